"""What a caller asks of the audit log, and the answer as clients read it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import orjson
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from starlette.datastructures import QueryParams

from api.analytics import instants
from api.analytics.rendering import instant
from api.audit import API_KEY, RESOURCE_TYPES, USER
from api.errors import Forbidden, InvalidRequest
from api.paging import Page
from api.users.rows import User
from api.workspaces.rows import Workspace
from warehouse.engines.base import Window
from warehouse.query.audit import AuditAnswer, AuditQuestion
from warehouse.query.scope import TenantScope

DEFAULT_SPAN = timedelta(days=30)
METHODS = ("POST", "PUT", "DELETE", "PATCH", "GET")
"""GET stands there only for tokens that were refused."""
_TEXTS = ("uri", "request_id", "user_id", "resource_id", "client_ip")
_HIGHEST_STATUS = 599
_MOST_DIGITS = 20
_TELLING = ("method", "uri", "response_status_code", "reason")


def question(session: Session, organisation_id: str, query: QueryParams, page: Page, now: datetime) -> AuditQuestion:
    """The records that a query asks for. Raises: InvalidRequest, Forbidden (another organisation)."""
    named = query.get("organisation_id") or query.get("organization_id")
    if named and named != organisation_id:
        raise Forbidden
    conditions: dict[tuple[str, ...], tuple[str | int, ...]] = {(name,): _listed(query, name) for name in _TEXTS}
    conditions |= {
        ("method",): _one_of("method", (each.upper() for each in _listed(query, "method")), METHODS),
        ("user_type",): _one_of("user_type", _listed(query, "user_type"), (USER, API_KEY)),
        ("user_id", "api_key_id"): _listed(query, "actor_id"),
        ("action",): tuple(each.lower() for each in _listed(query, "action")),
        ("country",): tuple(each.upper() for each in _listed(query, "country")),
        ("resource_type",): tuple(dict.fromkeys(_types(_listed(query, "resource_type")))),
        ("response_status_code",): _statuses(_listed(query, "response_status_code")),
        ("workspace_id",): _workspaces(session, organisation_id, _listed(query, "workspace_id")),
    }
    return AuditQuestion(
        scope=TenantScope(organisation_id),
        window=_window(query, now),
        limit=page.size,
        offset=page.offset,
        conditions={names: values for names, values in conditions.items() if values},
    )


def rendered(session: Session, answer: AuditAnswer, page: Page) -> Mapping[str, Any]:
    """The page as clients read it; names of people are looked up now."""
    people = _people(session, (row["user_id"] for row in answer.rows if row["user_type"] == USER))
    records = [_record(row, people.get(row["user_id"])) for row in answer.rows]
    return {
        "object": "list",
        "total": answer.total,
        "current_page": page.number,
        "page_size": page.size,
        "records": records,
        "data": records,
    }


def _listed(query: QueryParams, name: str) -> tuple[str, ...]:
    """The values of a comma-separated parameter, also when it is given several times; blanks don't count."""
    items = (item.strip() for value in query.getlist(name) for item in value.split(","))
    return tuple(dict.fromkeys(item for item in items if item))


def _window(query: QueryParams, now: datetime) -> Window:
    since, until = query.get("start_time", "").strip(), query.get("end_time", "").strip()
    end = instants.parse_instant("end_time", until) if until else now
    try:
        start = instants.parse_start("start_time", since) if since else end - DEFAULT_SPAN
    except OverflowError:
        raise InvalidRequest(f"end_time: {until} is too early") from None
    if start > end:
        raise InvalidRequest(f"start_time ({since}) is after end_time ({until or 'now'})")
    return Window(start, end)


def _one_of(name: str, values: Iterable[str], allowed: Sequence[str]) -> tuple[str, ...]:
    found = tuple(values)
    for value in found:
        if value not in allowed:
            raise InvalidRequest(f"{name}: '{value[:40]}' is not allowed; allowed: {', '.join(allowed)}")
    return found


def _types(values: Iterable[str]) -> Iterable[str]:
    """Resource types as they are recorded, for any spelling that clients use: `virtual_key`, `API Keys`, `config`."""
    for value in values:
        name = value.strip().lower().replace(" ", "_").replace("-", "_")
        for spelling in (name, f"{name}s"):
            yield RESOURCE_TYPES.get(spelling, spelling)


def _statuses(values: Iterable[str]) -> tuple[int, ...]:
    found: list[int] = []
    for value in values:
        if not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS and int(value) <= _HIGHEST_STATUS):
            raise InvalidRequest(f"response_status_code: '{value[:40]}' is not an HTTP status from 100 to 599")
        found.append(int(value))
    return tuple(found)


def _workspaces(session: Session, organisation_id: str, references: Sequence[str]) -> tuple[str, ...]:
    """Ids and slugs of the workspaces: a record names one as its call did. One that is gone is found by what it was."""
    if not references:
        return ()
    found = session.execute(
        select(Workspace.id, Workspace.slug).where(
            Workspace.organisation_id == organisation_id,
            or_(Workspace.id.in_(references), Workspace.slug.in_(references)),
        )
    )
    return tuple(dict.fromkeys([*references, *(name for row in found for name in row)]))


def _people(session: Session, ids: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """User id → e-mail and name."""
    wanted = set(ids)
    if not wanted:
        return {}
    found = session.execute(select(User.id, User.email, User.first_name, User.last_name).where(User.id.in_(wanted)))
    return {id_: (email, f"{first} {last}".strip()) for id_, email, first, last in found}


def _record(row: Mapping[str, Any], person: tuple[str, str] | None) -> Mapping[str, Any]:
    at = instant(row["timestamp"])
    email, name = person or (None, None)
    return {
        **row,
        "timestamp": at,
        "actor_id": row["user_id"],
        "actor_email": email,
        "actor_name": name or None,
        "resource_name": None,
        "ip_address": row["client_ip"],
        "user_agent": _header(row["request_headers"], "user-agent"),
        "metadata": {name: row[name] for name in _TELLING if row[name] is not None},
        "created_at": at,
    }


def _header(headers: str | None, name: str) -> str | None:
    try:
        told = orjson.loads(headers or "{}")
    except ValueError:
        return None  # headers that were cut
    value = cast("Mapping[str, object]", told).get(name)
    return value if isinstance(value, str) else None
