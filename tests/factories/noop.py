"""The API with routes that do nothing but pass the gate, and a bare app beside it: what passing costs.

For `uvicorn --factory tests.factories.noop:gated` and `:bare`.
"""

from fastapi import FastAPI, Response
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response as Answer
from starlette.routing import Route

from api import app as api_app
from api.dependencies import Caller
from api.permissions import needs
from api.routing import Router

router = Router("no-op")


@router.get("/noop", permission=needs("workspaces.list"))
async def at_once(caller: Caller) -> Response:
    """Answers on the event loop."""
    return Response(b"{}", media_type="application/json")


@router.get("/noop/thread", permission=needs("workspaces.list"))
def in_a_thread(caller: Caller) -> Response:
    """Answers in a thread, as handlers do that touch the database."""
    return Response(b"{}", media_type="application/json")


def gated() -> FastAPI:
    """The API with the routes."""
    return api_app.from_environment((*api_app.ROUTERS, router))


def bare() -> Starlette:
    """The least that the framework can do."""

    async def nothing(request: Request) -> Answer:
        return Answer(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/v1/noop", nothing)])
