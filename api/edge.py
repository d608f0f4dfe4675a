"""The outermost ring of the API: request ids, path spellings, the access log, and a last net for errors."""

import logging
import time
from typing import Any
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.routing import canonical_path

logger = logging.getLogger("api.access")

REQUEST_ID_HEADER = b"x-portkey-request-id"
"""SDKs do not retry a 5xx that carries it. Source: dataplane contract 1.2."""


class Edge:
    """Wraps the app: every answer carries a request id, and nothing that breaks inside shows outside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid4())
        path = scope["path"]
        scope["path"] = canonical_path(path)
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                logger.exception("unhandled error", extra={"method": scope["method"], "path": path})
                if status:
                    raise  # half an answer is out: only a broken connection tells the caller
                await errors.unexpected()(scope, receive, send_with_id)
            finally:
                _log(scope, path, status, time.perf_counter() - started)


def _log(scope: Scope, path: str, status: int, seconds: float) -> None:
    # The query string stays out: it holds what people ask for, and some clients put secrets there.
    if not logger.isEnabledFor(logging.INFO):
        return
    fields: dict[str, Any] = {
        "method": scope["method"],
        "path": path,
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
    }
    principal = scope.get("state", {}).get("principal")
    if principal is not None:
        fields["organisation_id"] = principal.organisation_id
        fields["api_key_id"] = principal.key_id
    logger.info("request", extra=fields)
