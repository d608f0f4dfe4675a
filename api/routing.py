"""How a route is declared, and what every request passes on its way to one.

A resource makes one `Router` and names, for each route, the permission it needs; there is no default. The gate of a
route then does, in this order: who calls (401), may they (403), how large is the body (413), the handler within one
transaction, commit, answer.

Prefixes: routes live under `/v1`. `/v2/x`, `/albus/v1/x` and `/albus/v2/x` are the same route, by rewriting the path
before it is matched, so that no route is registered twice. Source: dataplane contract 1.1, controlplane contract 0.2.
"""

import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.types import Message

from api.audit import Recorded, Trail, recorded
from api.authentication import caller_of
from api.db import Database, lost_a_race
from api.direct import Handle, handler_of
from api.errors import ErrorAnswer, Forbidden, body_over
from api.feature_flags import Feature
from api.permissions import Permission
from api.principal import Principal

if TYPE_CHECKING:
    from api.services import Services

logger = logging.getLogger("api.routing")

BASE = "/v1"
ALIASES = ("/v2",)
FRONTEND = "/albus"
"""The frontend strips this before it passes a request on; without a frontend it is ours to strip."""
ATTEMPTS = 3
"""Of one request whose transaction the database undoes for another's."""
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class _Rest(PathConvertor):
    """The rest of a path, whatever it holds: the framework's own ends at a line break."""

    regex = "(?s:.*)"


register_url_convertor("path", _Rest())

Handler = Callable[..., Any]

ERROR_SCHEMA = {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}

ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in (
        (400, "AB01: the request cannot be done as it is written."),
        (401, "AB05: no usable key."),
        (403, "AB03: not permitted, or not of this organisation."),
        (500, "AB04: something broke on our side."),
        (429, "AB06: asked too often; `Retry-After` says when to try again."),
        (503, "AB04: busy or unreachable for now; `Retry-After` says when to try again."),
    )
}
_OF_ONE_THING: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "AB08: it is absent, or another organisation's."}
}
_OF_WRITING: dict[int | str, dict[str, Any]] = {
    409: {"model": ErrorAnswer, "description": "AB07: it exists already, or something depends on it."},
    413: {"model": ErrorAnswer, "description": "AB01: the body is too large."},
}


def canonical_path(path: str) -> str:
    """The path that a route is registered under, for any of its spellings."""
    if path.startswith(FRONTEND + "/"):
        path = path[len(FRONTEND) :]
    for alias in ALIASES:
        if path.startswith(alias + "/"):
            return BASE + path[len(alias) :]
    return path


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """One route as its resource declares it; equal to itself only."""

    path: str
    method: str
    permission: Permission
    endpoint: Handler
    tag: str
    large_body: bool
    feature: Feature | None
    """The part of the product that it belongs to; where that is switched off, it answers 403."""
    audited: bool
    """Whether its calls are in the audit log: what changes something, but for records that gateways send."""
    options: dict[str, Any]


@dataclass
class Router:
    """The routes of one resource. `base` is `/v1` but for what clients call without a version."""

    tag: str
    base: str = BASE
    declared: list[Declared] = field(default_factory=list[Declared])

    def get(self, *paths: str, permission: Permission, **options: Any) -> Callable[[Handler], Handler]:
        return self._declare("GET", paths, permission, options)

    def post(self, *paths: str, permission: Permission, **options: Any) -> Callable[[Handler], Handler]:
        return self._declare("POST", paths, permission, options)

    def put(self, *paths: str, permission: Permission, **options: Any) -> Callable[[Handler], Handler]:
        return self._declare("PUT", paths, permission, options)

    def delete(self, *paths: str, permission: Permission, **options: Any) -> Callable[[Handler], Handler]:
        return self._declare("DELETE", paths, permission, options)

    def _declare(
        self, method: str, paths: Sequence[str], permission: Permission, options: dict[str, Any]
    ) -> Callable[[Handler], Handler]:
        large_body: bool = options.pop("large_body", False)
        feature: Feature | None = options.pop("feature", None)
        audited: bool = options.pop("audited", method not in READING_METHODS)

        def register(endpoint: Handler) -> Handler:
            for path in paths:
                route = Declared(
                    self.base + path,
                    method,
                    permission,
                    endpoint,
                    self.tag,
                    large_body,
                    feature,
                    audited,
                    dict(options),
                )
                self.declared.append(route)
            return endpoint

        return register


class Gate(APIRoute):
    """A route that lets a caller through only with its permission, and runs in one transaction."""

    def __init__(
        self,
        path: str,
        endpoint: Handler,
        *,
        permission: Permission,
        body_limit_bytes: int,
        feature: Feature | None = None,
        records: Recorded | None = None,
        **options: Any,
    ) -> None:
        self.permission, self.body_limit_bytes, self.feature = permission, body_limit_bytes, feature
        self.records = records
        extra = {"x-gateledger-permission": permission.described(), **(options.pop("openapi_extra", None) or {})}
        if permission.public:
            extra["security"] = []
        super().__init__(path, _committing(endpoint), openapi_extra=extra, **options)
        self.answer: Handle = self.get_route_handler()
        """Of a direct route: the answer to a request. Raises what `api.errors` knows, and what is unexpected."""

    @property
    def is_direct(self) -> bool:
        """Whether nothing of the framework need stand between the edge and this gate."""
        return self._direct is not None

    def get_route_handler(self) -> Handle:
        self._direct = handler_of(self)
        handle = self._direct or super().get_route_handler()
        permission, limit_bytes, feature = self.permission, self.body_limit_bytes, self.feature
        records = self.records

        async def pass_gate(request: Request) -> Response:
            services = cast("Services", request.app.state.services)
            state = request.state
            state.now = services.clock()
            trail = None
            if records is not None:
                state.audit = trail = Trail(records.resource_type, records.action)
            try:
                if not permission.public:
                    state.principal = await caller_of(services, request, records)
                if feature is not None:
                    services.features.require(feature)
                if not permission.public:
                    state.principal.require(permission)
            except Forbidden:
                if trail is not None:
                    await trail.read_rest(request.scope, request.receive)
                raise
            # What is not audited takes records or asks questions: it writes no table, so nobody need wait for it.
            writes = records is not None and request.method not in READING_METHODS
            response = await _in_one_transaction(services, handle, _limited(request, limit_bytes, trail), writes=writes)
            if trail is not None:
                await trail.read_rest(request.scope, request.receive)
                trail.made(bytes(response.body))
            return response

        return pass_gate


async def _in_one_transaction(services: "Services", handle: Handle, request: Request, *, writes: bool) -> Response:
    """The handler's answer, once what it did is committed; done again when the database preferred another one."""
    principal: Principal | None = getattr(request.state, "principal", None)
    for attempt in range(1, ATTEMPTS + 1):
        work = Work(services.database, principal, writes=writes)
        request.state.work = work
        token = _work.set(work)
        try:
            response = await handle(request)
            await work.commit()
        except DBAPIError as error:
            if attempt == ATTEMPTS or not lost_a_race(error):
                raise
            logger.info("a transaction lost a race and is tried again", extra={"attempt": attempt})
        else:
            return response
        finally:
            _work.reset(token)
            work.close()
    raise AssertionError("the last attempt answers or raises")


_work: ContextVar["Work"] = ContextVar("work")


def _committing(endpoint: Handler) -> Handler:
    """The handler, which commits in the thread that it ran in: going to a thread once more costs more than most do."""
    if iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    def handle(*arguments: Any, **named: Any) -> Any:
        answer = endpoint(*arguments, **named)
        _work.get().commit_here()
        return answer

    return handle


class Work:
    """The transaction of one request: begun by the first statement, committed at the edge, else rolled back."""

    def __init__(self, database: Database, principal: Principal | None, *, writes: bool) -> None:
        self._database, self._writes = database, writes
        self._organisation_id = principal.organisation_id if principal else None
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        if self._session is None:
            self._session = self._database.session(writes=self._writes, organisation_id=self._organisation_id)
        return self._session

    def commit_here(self) -> None:
        """Commit when there is something to."""
        if self._session is not None and self._session.in_transaction():
            self._session.commit()

    async def commit(self) -> None:
        """Commit, away from the event loop, what the handler has not (one that is async, or what was read since)."""
        if self._session is not None and self._session.in_transaction():
            await run_in_threadpool(self._session.commit)

    def close(self) -> None:
        """Roll back what was not committed and give the connection back."""
        if self._session is not None:
            self._session.close()


def _limited(request: Request, limit_bytes: int, trail: Trail | None) -> Request:
    """The request, whose body cannot be read beyond the limit; what is read, the trail keeps.

    Raises: HTTPException when its length is declared.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit_bytes:
        raise body_over(limit_bytes)
    read = 0

    async def receive() -> Message:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        if read > limit_bytes:
            raise body_over(limit_bytes)
        if trail is not None:
            trail.read(message.get("body", b""))
        return message

    return Request(request.scope, receive)


def _responses(route: Declared) -> dict[int | str, dict[str, Any]]:
    """What a route answers beside its success, for the document.

    The one error shape is a reference: as a model, the framework would make a validator of it for each status of each
    route, which was most of the time that an app takes to start.
    """
    of_one_thing = _OF_ONE_THING if "{" in route.path else {}
    of_writing = _OF_WRITING if route.method not in READING_METHODS else {}
    answers = {**ERROR_RESPONSES, **of_one_thing, **of_writing, **route.options.get("responses", {})}
    return {status: _by_reference(answer) for status, answer in answers.items()}


def _by_reference(answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("model") is not ErrorAnswer:
        return answer
    return {"description": answer["description"], "content": {"application/json": {"schema": ERROR_SCHEMA}}}


def gates(routers: Sequence[Router], *, body_limit_bytes: int, large_body_limit_bytes: int) -> tuple[Gate, ...]:
    """The routes of all routers, ready to be served; they hold nothing of an app, so those of a process share them.

    Raises: ValueError when two routes have the same method and path.
    """
    declared = tuple(route for router in routers for route in router.declared)
    return _gates(declared, body_limit_bytes, large_body_limit_bytes)


@lru_cache(maxsize=8)
def _gates(declared: Sequence[Declared], body_limit_bytes: int, large_body_limit_bytes: int) -> tuple[Gate, ...]:
    seen: set[tuple[str, str]] = set()
    built: list[Gate] = []
    for route in declared:
        if (route.method, route.path) in seen:
            raise ValueError(f"{route.method} {route.path} is declared twice")
        seen.add((route.method, route.path))
        built.append(
            Gate(
                route.path,
                route.endpoint,
                permission=route.permission,
                feature=route.feature,
                records=recorded(route.permission, route.method, route.tag) if route.audited else None,
                methods=[route.method],
                tags=[route.tag],
                body_limit_bytes=large_body_limit_bytes if route.large_body else body_limit_bytes,
                **{**route.options, "responses": _responses(route)},
            )
        )
    return tuple(built)
