"""The audit log: what is recorded of a request, and how it gets onto the disk before the answer leaves.

The gate begins a `Trail` for every call that changes something, and for every token it refuses; a handler may add to
it (`api/dependencies.py`). When the answer is about to leave, the edge has it recorded with the answer's status.
Source: controlplane contract 10.4.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from uuid import uuid4

import orjson
from sqlalchemy import select
from starlette.types import Receive, Scope

from api.client_address import Proxies
from api.db import Database
from api.masking import LONGEST_BODY_BYTES, cut, masked_body, masked_headers, masked_query, masked_text
from api.organisations.rows import Organisation
from api.permissions import Permission
from api.principal import Principal
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.spool import Spool

logger = logging.getLogger("api.audit")

KIND = "audit_logs"
USER, API_KEY = "user", "api_key"
_NOBODY = Ownership("", "", "", {})
"""Audit records name their organisation themselves."""
_LONGEST_NAME = 255

RESOURCE_TYPES: Mapping[str, str] = {
    "organisation_users": "users",
    "organisation_service_api_keys": "api_keys",
    "workspace_service_api_keys": "api_keys",
    "workspace_user_api_keys": "api_keys",
    "organisation_settings": "organisation",
    "workspace_users": "workspaces",
    "organisation_guardrails": "guardrails",
    "organisation_integrations": "integrations",
    "workspace_integrations": "integrations",
    "providers": "model_catalog",
    "virtual_keys": "model_catalog",
    "negotiated_prices": "model_catalog",
    "price_reservations": "model_catalog",
}
"""Resource of a scope → resource type of the record; every other resource has its own name."""
ACTIONS = frozenset({"create", "update", "delete", "publish", "export", "rotate", "duplicate"})
OTHER_ACTION = "manage"
_BY_METHOD: Mapping[str, str] = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the records of a route say unless its handler knows better."""

    resource_type: str
    action: str


def recorded(permission: Permission, method: str, tag: str) -> Recorded:
    """What a route's records say, by the permission it needs: `<resource>.<verb>`."""
    if permission.public:
        return Recorded(tag, _BY_METHOD.get(method, OTHER_ACTION))
    resource, _, verb = min(permission.alternatives[0]).rpartition(".")
    return Recorded(RESOURCE_TYPES.get(resource, resource), verb if verb in ACTIONS else OTHER_ACTION)


@dataclass(slots=True)
class Trail:
    """What the record of one request will say. Handlers use its methods; it is nothing they have to close."""

    resource_type: str
    action_name: str
    resource_id: str | None = None
    workspace_id: str | None = None
    organisation_id: str | None = None
    user_id: str | None = None
    user_type: str | None = None
    api_key_id: str | None = None
    reason: str | None = None
    is_refusal: bool = False
    """True where the organisation is only what a refused credential says."""
    _chunks: list[bytes] = field(default_factory=list[bytes])
    _size: int = 0

    def resource(self, type_: str | None = None, id_: str | None = None) -> None:
        """What is changed: its kind, its id, or both."""
        self.resource_type, self.resource_id = type_ or self.resource_type, id_ or self.resource_id

    def action(self, name: str) -> None:
        """What is done to it, where the route's permission does not say it."""
        self.action_name = name

    def workspace(self, workspace_id: str) -> None:
        """The workspace it is in, where the caller's key does not say it."""
        self.workspace_id = workspace_id

    def by(self, caller: Principal) -> None:
        """Who calls."""
        self.organisation_id, self.api_key_id = caller.organisation_id, caller.key_id
        self.workspace_id = self.workspace_id or caller.workspace_id
        self.by_user(caller.organisation_id, caller.user_id)

    def by_user(self, organisation_id: str, user_id: str | None) -> None:
        """Who acts, on a route that needs no key (such as accepting an invite)."""
        self.organisation_id = organisation_id
        self.user_id, self.user_type = (user_id, USER) if user_id else (self.api_key_id, API_KEY)

    def refused(self, organisation_id: str, reason: str) -> None:
        """That the credential was refused, by an organisation it names, and why."""
        self.organisation_id, self.reason = organisation_id, reason
        self.user_type, self.is_refusal = API_KEY, True

    def read(self, chunk: bytes) -> None:
        """Keep a part of the body as it is read."""
        self._size += len(chunk)
        if self._size <= LONGEST_BODY_BYTES:
            self._chunks.append(chunk)

    async def read_rest(self, scope: Scope, receive: Receive) -> None:
        """Read a body that nobody has read: the call was refused before that, or its handler needs none."""
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        is_more = self._size == 0 and lengths not in ([], [b"0"])
        while is_more and self._size <= LONGEST_BODY_BYTES:
            message = await receive()
            self.read(message.get("body", b""))
            is_more = message["type"] == "http.request" and message.get("more_body", False)

    def made(self, content: bytes) -> None:
        """Take the id of what was made from the answer that tells it."""
        if self.resource_id is not None or not content.startswith(b"{") or len(content) > LONGEST_BODY_BYTES:
            return
        told = _object(content)
        found = told.get("id") or cast("Mapping[str, object]", told.get("data") or {}).get("id")
        if isinstance(found, str):
            self.resource_id = found

    @property
    def body(self) -> tuple[bytes, int]:
        """What was kept of the body, and how large all of it was as far as it was read."""
        return b"".join(self._chunks), self._size


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the edge knows of an answered request."""

    scope: Scope
    uri: str
    request_id: str
    status: int


class Audit:
    """Records trails in a spool of their own. Safe between threads."""

    def __init__(
        self, spool: Spool, database: Database, proxies: Proxies, clock: Callable[[], datetime], *, is_on: bool = True
    ) -> None:
        self._spool, self._database, self._proxies, self._clock, self._is_on = spool, database, proxies, clock, is_on

    def record(self, trail: Trail, outcome: Outcome) -> None:
        """Returns once the record is on disk.

        What was done cannot be undone when the disk is full: the record then goes to the log, where it can be found.
        """
        if trail.organisation_id is None or not self._is_on:
            return
        if trail.is_refusal and not self._exists(trail.organisation_id):
            return
        told = self._told(trail, outcome)
        try:
            self._spool.append(KIND, [orjson.dumps(told)], _NOBODY)
        except OSError:
            logger.exception("an audit record is not in its spool", extra={"audit_record": told})

    def event(
        self, trail: Trail, *, reason: str | None = None, id_: str | None = None, at: datetime | None = None
    ) -> None:
        """Record something that no request caused, such as a threshold that was crossed. Raises: OSError.

        Given with the same `id_` and `at` again, it is in the log once.
        """
        if not self._is_on:
            return
        trail.reason = trail.reason or reason
        nothing: Scope = {"type": "http", "method": "", "headers": [], "query_string": b"", "client": None}
        told = {**self._told(trail, Outcome(nothing, "", "", 0)), "id": id_ or str(uuid4())}
        if at is not None:
            told["timestamp"] = at.isoformat(timespec="milliseconds")
        self._spool.append(KIND, [orjson.dumps(told)], _NOBODY)

    def _told(self, trail: Trail, outcome: Outcome) -> Mapping[str, object]:
        scope = outcome.scope
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        content, size = trail.body
        kind = next((value.decode("latin-1") for name, value in headers if name == b"content-type"), "")
        query: bytes = scope["query_string"]
        return {
            "id": str(uuid4()),
            "timestamp": self._clock().isoformat(timespec="milliseconds"),
            "organisation_id": trail.organisation_id,
            "workspace_id": trail.workspace_id or _workspace_of(content, query),
            "user_id": trail.user_id,
            "user_type": trail.user_type,
            "api_key_id": trail.api_key_id,
            "resource_type": trail.resource_type,
            "resource_id": _short(trail.resource_id or _named(scope)),
            "action": trail.action_name,
            "method": scope["method"] or None,
            "uri": cut(masked_text(outcome.uri)) or None,
            "response_status_code": outcome.status or None,
            "request_id": outcome.request_id or None,
            "request_body": masked_body(content, size, kind),
            "query_params": _text(masked_query(query)) if query else None,
            "request_headers": _text(masked_headers(headers)) if headers else None,
            "client_ip": self._proxies.client(scope) or None,
            "country": self._proxies.country(scope),
            "reason": masked_text(trail.reason) if trail.reason else None,
        }

    def _exists(self, organisation_id: str) -> bool:
        with self._database.transaction(writes=False) as session:
            return session.scalar(select(Organisation.id).where(Organisation.id == organisation_id)) is not None


def _named(scope: Scope) -> str | None:
    """What the path names last: the thing that is changed."""
    named = scope.get("path_params") or {}
    return str(list(named.values())[-1]) if named else None


def _workspace_of(content: bytes, query: bytes) -> str | None:
    """The workspace that a request of an organisation key names."""
    told = _object(content).get("workspace_id") if content.startswith(b"{") else None
    told = told or masked_query(query).get("workspace_id")
    return _short(told) if isinstance(told, str) else None


def _object(content: bytes) -> Mapping[str, object]:
    try:
        told = orjson.loads(content)
    except ValueError:
        return {}
    return cast("Mapping[str, object]", told) if isinstance(told, dict) else {}


def _short(value: str | None) -> str | None:
    return masked_text(value[:_LONGEST_NAME]) if value else None


def _text(value: Mapping[str, object]) -> str:
    return cut(orjson.dumps(value).decode())
