"""The outermost ring of the API: request ids, path spellings, the access log, and a last net for errors."""

import logging
import re
import time
from random import getrandbits
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors, structured_log
from api.audit import Outcome
from api.operations.metrics import UNMATCHED
from api.operations.service import Operations
from api.route_index import RouteIndex
from api.routing import canonical_path

logger = logging.getLogger("api.access")

REQUEST_ID_HEADERS = (b"x-portkey-request-id", b"x-request-id")
"""SDKs do not retry a 5xx that carries the first. Source: dataplane contract 1.2."""
_GIVEN_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")
"""A caller's own request id is taken over when it looks like one."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Edge:
    """Wraps the app: every answer carries a request id, and nothing that breaks inside shows outside."""

    def __init__(self, app: ASGIApp, index: RouteIndex) -> None:
        self._app, self._index = app, index

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        path = scope["path"]
        scope["path"] = canonical_path(path)
        operations = _operations(scope)
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                shown = request_id.encode()
                message["headers"] = [*message.get("headers", ()), *((name, shown) for name in REQUEST_ID_HEADERS)]
                trail = scope["state"].get("audit")
                if trail is not None and operations is not None:
                    # Before the answer leaves: who has it can rely on the record being on disk.
                    await run_in_threadpool(operations.audit.record, trail, Outcome(scope, path, request_id, status))
            await send(message)

        scope.setdefault("state", {})
        structured_log.begin_request(request_id)
        if operations is not None:
            operations.metrics.under_way.inc()
        try:
            await self._pass_on(scope, receive, send_with_id)
        except Exception:
            logger.exception("unhandled error", extra={"method": scope["method"], "path": path})
            if status:
                raise  # half an answer is out: only a broken connection tells the caller
            await errors.unexpected()(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            if operations is not None:
                operations.metrics.under_way.dec()
                operations.metrics.answered(_route(scope), _method(scope), status, seconds)
            _log(scope, path, status, seconds)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """By the shortest way to the route: past the framework where nothing of it is needed."""
        gate = self._index.direct(scope)
        if gate is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await gate.answer(request)
        except Exception as error:
            known = errors.answer_to(request, error)
            if known is None:
                raise
            response = known
        await response(scope, receive, send)


def _operations(scope: Scope) -> Operations | None:
    """What watches the service; None while it is not open."""
    services = getattr(scope["app"].state, "services", None)
    return None if services is None else services.operations


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == REQUEST_ID_HEADERS[1]), b"")
    return given.decode() if _GIVEN_ID.fullmatch(given) else _new_id()


def _new_id() -> str:
    """A random UUID. Nobody gains by guessing one: the kernel's randomness is left to keys."""
    bits = getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _route(scope: Scope) -> str:
    """The template of the route, so that metrics hold no ids."""
    return getattr(scope.get("route"), "path", UNMATCHED)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "OTHER"


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
    logger.info("request", extra=fields)
