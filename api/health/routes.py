"""`/health` and `/v1/health` for people, `/health/live` and `/health/ready` for probes. Source: DECISIONS "health"."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel

from api.dependencies import Parts
from api.health.service import FAILED, STOPPING, VERSION
from api.permissions import PUBLIC
from api.routing import Router
from api.services import Services


class HealthAnswer(BaseModel):
    """What answers and what doesn't."""

    status: str
    service: str
    version: str
    checks: dict[str, str]


bare = Router("health", base="")
router = Router("health")
FAILING = frozenset({FAILED, STOPPING})

_OPTIONS: dict[str, Any] = {
    "response_model": HealthAnswer,
    "summary": "What answers and what doesn't",
    "responses": {503: {"model": HealthAnswer, "description": "A part failed; `status` is `degraded`."}},
}


@bare.get("/health", permission=PUBLIC, operation_id="health_unversioned", **_OPTIONS)
@router.get("/health", permission=PUBLIC, operation_id="health", **_OPTIONS)
def health(parts: Parts) -> Response:
    """`status` is `success`, or `degraded` with status 503 when a part failed."""
    return _answer(parts, parts.health.results())


@bare.get("/health/live", permission=PUBLIC, operation_id="health_live", **_OPTIONS)
async def live(parts: Parts) -> Response:
    """That this process answers; nothing else is looked at, so that no broken part gets it restarted."""
    return _answer(parts, {})


@bare.get("/health/ready", permission=PUBLIC, operation_id="health_ready", **_OPTIONS)
def ready(parts: Parts) -> Response:
    """Whether to send requests here: database, warehouse and schema are fit, and the server was not asked to stop."""
    if parts.operations.stopping.is_asked:
        return _answer(parts, {"server": STOPPING})
    return _answer(parts, parts.readiness.results())


def _answer(parts: Services, checks: Mapping[str, str]) -> Response:
    failed = not FAILING.isdisjoint(checks.values())
    answer = HealthAnswer(
        status="degraded" if failed else "success",
        service=parts.settings.service_name,
        version=VERSION,
        checks=dict(checks),
    )
    status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
    return Response(orjson.dumps(answer.model_dump()), status_code=status, media_type="application/json")
