"""The app factory: one resource after the other, one error shape, one ring around all."""

import gc
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI

from api import errors, openapi, structured_log
from api.alerts import routes as alerts
from api.analytics import routes as analytics
from api.analytics_sql import routes as analytics_sql
from api.api_keys import routes as api_keys
from api.audit_logs import routes as audit_logs
from api.edge import Edge
from api.exports import routes as exports
from api.feedback import routes as feedback
from api.health import routes as health
from api.ingest import routes as ingest
from api.invites import page as invite_page
from api.invites import routes as invites
from api.logs import routes as logs
from api.model_configs import routes as model_configs
from api.operations import routes as operations
from api.organisations import routes as organisations
from api.otel import routes as otel
from api.policies import evaluate_routes as policy_evaluation
from api.policies import rate_routes as rate_policies
from api.policies import routes as usage_policies
from api.pricing import routes as pricing
from api.route_index import RouteIndex
from api.routing import Router, gates
from api.services import Services, running
from api.settings import ApiSettings
from api.traces import routes as traces
from api.users import routes as users
from api.workspaces import member_routes as workspace_members
from api.workspaces import routes as workspaces

ROUTERS: tuple[Router, ...] = (
    analytics.router,
    analytics_sql.router,
    pricing.router,
    organisations.router,
    # Before the users: /users/invites is no user.
    invites.router,
    invite_page.router,
    users.router,
    workspaces.router,
    workspace_members.router,
    api_keys.router,
    usage_policies.router,
    rate_policies.router,
    policy_evaluation.router,
    ingest.router,
    feedback.router,
    exports.router,
    alerts.router,
    model_configs.router,
    model_configs.bare,
    audit_logs.router,
    operations.bare,
    health.router,
    health.bare,
    openapi.router,
    traces.router,
    otel.router,
    # Last, for a log's id can be any word: /logs/exports and the like are no logs.
    logs.router,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def utc_now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def create_app(
    settings: ApiSettings,
    *,
    clock: Callable[[], datetime] = utc_now,
    environment: Mapping[str, str] = os.environ,
    routers: Sequence[Router] = ROUTERS,
) -> FastAPI:
    """The API over the stores that `settings` names; they are opened when the app starts.

    `environment` is where a log store finds its credentials; `routers` is what is served.

    Raises: ConfigurationError, at start.
    """
    limits_bytes = {
        "body_limit_bytes": settings.request_limit_bytes,
        "large_body_limit_bytes": settings.ingest_limit_bytes,
    }
    index = RouteIndex(gates(routers, **limits_bytes))
    app = FastAPI(
        title="gateledger",
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        routes=[index],
        # FastAPI's documentation pages load their scripts from a CDN; the document itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(settings, clock, environment),
        # The framework's own could send what people ask for, and what failed, to wherever the environment says.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    openapi.install(app)
    errors.install(app)
    app.add_middleware(Edge, index=index)
    return app


def from_environment(routers: Sequence[Router] = ROUTERS) -> FastAPI:
    """The app for `uvicorn --factory api.app:from_environment`: settings and logs by the environment."""
    settings = ApiSettings()
    structured_log.configure(settings.log_level)
    app = create_app(settings, routers=routers)
    # What is loaded by now stays for good: looking through it for garbage would hold up requests for 0.2 s at a time.
    gc.freeze()
    return app


def _lifespan(settings: ApiSettings, clock: Callable[[], datetime], environment: Mapping[str, str]) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        with ExitStack() as stack:
            services: Services = stack.enter_context(running(settings, clock, environment))
            app.state.services = services
            with services.operations.stopping.listening():
                yield
        gc.unfreeze()  # what is never let go of, libraries would call leaked

    return lifespan
