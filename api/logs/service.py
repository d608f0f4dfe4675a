"""Logs of a caller: a page of them, and one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.orm import Session

from api.errors import Forbidden, NotFound
from api.logs.objects import LogObjects, Whereabouts
from api.logs.parameters import ListRequest
from api.logs.rendering import log_object, log_row
from api.principal import Principal
from api.settings import AdminKeyScope, ApiSettings
from api.tenancy import scope_of
from warehouse.engines.base import Engine, Limits
from warehouse.engines.open import limits_of
from warehouse.logstore.paths import PathFormat
from warehouse.query.logs import find_log, find_logs, has_log, sum_logs
from warehouse.query.scope import TenantScope

_YEARS = range(1970, 9999)
"""In which a hint makes sense."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Who reads, and of what."""

    session: Session
    engine: Engine
    settings: ApiSettings
    principal: Principal
    logs: LogObjects

    def scope(self, references: Sequence[str] = (), when_unnamed: AdminKeyScope | None = None) -> TenantScope:
        """The rows of the workspaces that were named, as far as the caller may see them. Raises: Forbidden."""
        return scope_of(self.session, self.principal, references, when_unnamed or self.settings.admin_key_scope)

    @property
    def limits(self) -> Limits:
        return limits_of(self.settings.warehouse)


@dataclass(frozen=True, slots=True)
class Hints:
    """Where a client thinks that a log lies; the row knows better, where it says."""

    form: PathFormat | None = None
    created_at: datetime | None = None


def listed(reading: Reading, request: ListRequest) -> bytes:
    """A page of logs. Raises: Forbidden, InvalidInput, WarehouseBusy, QueryTooLarge, WarehouseError."""
    question = request.within(reading.scope(request.selection.workspaces))
    page = find_logs(reading.engine, question, reading.limits)
    total = sum_logs(reading.engine, question, reading.limits)["requests"] if request.include_total else None
    answer: dict[str, Any] = {
        "object": "list",
        "total": total,
        "data": [log_row(row) for row in page.rows],
        "next_cursor": request.next_cursor(page.position),
    }
    return orjson.dumps(answer)


def one(reading: Reading, log_id: str, hints: Hints, now: datetime) -> bytes:
    """One log. A log of the organisation that the caller may not see is forbidden; any other one is not found.

    Raises: Forbidden, NotFound, SourceError, WarehouseBusy, WarehouseError.
    """
    visibility = reading.principal.visibility
    if not (visibility.log_bodies or visibility.log_metadata):
        raise Forbidden
    scope = reading.scope(when_unnamed=AdminKeyScope.ORGANISATION)
    near = hints.created_at if hints.created_at and hints.created_at.year in _YEARS else now
    row = find_log(reading.engine, scope, log_id, near, reading.limits)
    if row is None:
        whole = TenantScope(scope.organisation_id)
        if scope != whole and has_log(reading.engine, whole, log_id, reading.limits):
            raise Forbidden
        raise NotFound(f"There is no log '{log_id[:80]}'")
    kept = None
    if visibility.log_bodies:
        at = Whereabouts(
            row["organisation_id"],
            row["workspace_slug"],
            row["id"],
            row["created_at"],
            row["log_store_file_path_format"],
        )
        kept = reading.logs.find(at, hints.form)
    return orjson.dumps(log_object(row, kept, visibility))
