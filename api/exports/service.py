"""Exports of a caller: asked for, started, stopped, and looked at. The work itself is `api/exports/running.py`.

A file holds the rows that whoever started it could see at that moment; nobody downloads more than they may see.
Source: dataplane contract 3.5, 6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from api.errors import Forbidden, InvalidRequest, NotFound
from api.exports.asking import Asked, asked_of
from api.exports.rows import Export, Status
from api.exports.schemas import LARGEST_FILTERS_BYTES, ChangedExport, NewExport
from api.identifiers import is_id, new_id
from api.principal import Principal
from api.settings import ApiSettings
from api.tenancy import scope_of
from api.workspaces import service as workspaces
from warehouse.engines.base import Engine, Limits
from warehouse.engines.open import limits_of
from warehouse.exports.fields import BODIES, fields_of
from warehouse.query.scope import OwnRows, TenantScope
from warehouse.query.stream import count_rows

_STARTABLE = (Status.DRAFT, Status.FAILED, Status.STOPPED)


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and of what."""

    session: Session
    engine: Engine
    settings: ApiSettings
    principal: Principal
    now: datetime

    @property
    def limits(self) -> Limits:
        return limits_of(self.settings.warehouse)

    def asked(self, filters: Mapping[str, Any]) -> Asked:
        return asked_of(filters, self.now, self.settings.export_max_rows)


def create(asking: Asking, wanted: NewExport) -> Export:
    """A new draft. Raises: InvalidRequest, UnknownName, Forbidden."""
    principal = asking.principal
    export = Export(
        id=new_id(),
        organisation_id=principal.organisation_id,
        workspace_id=_workspace_of(asking, wanted.workspace_id),
        filters=wanted.filters,
        requested_data=list(fields_of(wanted.requested_data).names),
        format=wanted.format or "jsonl",
        description=wanted.description or "",
        status=Status.DRAFT.value,
        created_by=principal.user_id or principal.key_id,
        parts=[],
        created_at=asking.now,
        last_updated_at=asking.now,
    )
    export.total_records = _total(asking, export)
    asking.session.add(export)
    asking.session.flush()
    return export


def change(asking: Asking, export_id: str, wanted: ChangedExport) -> Export:
    """The export as a draft of something else. Raises: NotFound, InvalidRequest, UnknownName, Forbidden."""
    export = _mine(asking, export_id)
    if export.status not in _STARTABLE:
        raise InvalidRequest(f"An export that is {export.status} cannot be changed; cancel it, or create another one")
    if wanted.workspace_id is not None:
        export.workspace_id = _workspace_of(asking, wanted.workspace_id)
    if wanted.filters is not None:
        export.filters = wanted.filters
    if wanted.requested_data is not None:
        export.requested_data = list(fields_of(wanted.requested_data).names)
    if wanted.format is not None:
        export.format = wanted.format
    if wanted.description is not None:
        export.description = wanted.description
    export.status = Status.DRAFT.value
    export.error = None
    export.written_records = 0
    export.total_records = _total(asking, export)
    export.last_updated_at = asking.now
    return export


def start(asking: Asking, export_id: str) -> Export:
    """The export, which a worker takes soon. It begins anew. Raises: NotFound, InvalidRequest, Forbidden."""
    export = _mine(asking, export_id)
    if export.status not in _STARTABLE:
        raise InvalidRequest(
            f"An export that is {export.status} cannot be started; only draft, failed and stopped ones"
        )
    export.total_records = _total(asking, export)
    export.rights = _stored(_scope(asking, export))
    export.known_until = export.started_at = export.last_updated_at = asking.now
    export.status = Status.IN_PROGRESS.value
    export.runs += 1
    export.parts = []
    export.written_records = export.passed_records = 0
    export.position_at = export.position_id = export.error = export.file_bytes = export.finished_at = None
    export.lease = export.lease_until = None
    return export


def cancel(asking: Asking, export_id: str) -> Export:
    """The export, stopped; its worker notices within seconds. Raises: NotFound, InvalidRequest."""
    export = _mine(asking, export_id)
    if export.status != Status.IN_PROGRESS:
        raise InvalidRequest(f"An export that is {export.status} cannot be cancelled; only one that is in_progress")
    export.status = Status.STOPPED.value
    export.lease = export.lease_until = None
    export.last_updated_at = export.finished_at = asking.now
    return export


def get(asking: Asking, export_id: str) -> Export:
    """One export that the caller may see. Raises: NotFound."""
    return _mine(asking, export_id)


def listing(asking: Asking, workspace: str | None) -> Select[Export]:
    """The exports that the caller may see, the newest first. Raises: Forbidden for an unknown workspace."""
    found = _visible(asking.principal)
    if asking.principal.workspace_id is None and workspace:
        place = workspaces.find(asking.session, asking.principal.organisation_id, workspace)
        found = found.where(Export.workspace_id == place.id)
    return found.order_by(Export.created_at.desc(), Export.id.desc())


def downloadable(asking: Asking, export_id: str) -> Export:
    """An export whose file the caller may read. Raises: NotFound, InvalidRequest, Forbidden."""
    export = _mine(asking, export_id)
    if export.status != Status.SUCCESS:
        raise InvalidRequest(f"An export that is {export.status} cannot be downloaded; only one with success")
    scope = scope_from(export)
    own = _scope(asking, export).own
    if own is not None and (scope.own is None or scope.own.user_id != own.user_id):
        # Somebody who sees more started it.
        raise Forbidden
    _check_bodies(asking.principal, export.requested_data)
    return export


def scope_from(export: Export) -> TenantScope:
    """Whose rows a started export holds."""
    rights = export.rights
    if rights is None:
        raise ValueError("an export has rights once it is started")
    named, own = rights["workspaces"], rights["own"]
    return TenantScope(
        export.organisation_id,
        None if named is None else frozenset(named),
        None if own is None else OwnRows(own["user_id"], frozenset(own["api_key_ids"])),
    )


def _stored(scope: TenantScope) -> dict[str, Any]:
    own = scope.own
    return {
        "workspaces": None if scope.workspaces is None else sorted(scope.workspaces),
        "own": None if own is None else {"user_id": own.user_id, "api_key_ids": sorted(own.api_key_ids)},
    }


def _visible(principal: Principal) -> Select[Export]:
    found = select(Export).where(Export.organisation_id == principal.organisation_id)
    if principal.workspace_id is not None:
        found = found.where(Export.workspace_id == principal.workspace_id)
    if not principal.sees_all_data:
        found = found.where(Export.created_by == principal.user_id)
    return found


def _mine(asking: Asking, export_id: str) -> Export:
    found = None
    if is_id(export_id):
        found = asking.session.scalars(_visible(asking.principal).where(Export.id == export_id)).first()
    if found is None:
        raise NotFound(f"There is no export {export_id[:60]}")
    return found


def _workspace_of(asking: Asking, named: str | None) -> str | None:
    """The workspace that an export is kept with; the caller's own for those who have one. Raises: Forbidden."""
    principal = asking.principal
    if principal.workspace_id is not None:
        return principal.workspace_id
    return workspaces.find(asking.session, principal.organisation_id, named).id if named else None


def _scope(asking: Asking, export: Export) -> TenantScope:
    named = asking.asked(export.filters).selection.workspaces
    settings = asking.settings
    if export.workspace_id is None:
        return scope_of(asking.session, asking.principal, named, settings.admin_key_scope)
    scope = scope_of(asking.session, asking.principal, (export.workspace_id,), settings.admin_key_scope)
    if asking.principal.workspace_id is not None or not named:
        return scope
    within = scope_of(asking.session, asking.principal, named, settings.admin_key_scope)
    return scope if within.workspaces is None else scope.narrowed(within.workspaces)


def _total(asking: Asking, export: Export) -> int:
    """How many rows it is of at the moment. Raises: InvalidRequest, UnknownName, Forbidden."""
    if len(orjson.dumps(export.filters, default=str)) > LARGEST_FILTERS_BYTES:
        raise InvalidRequest(f"filters: at most {LARGEST_FILTERS_BYTES} bytes")
    _check_bodies(asking.principal, export.requested_data)
    asked = asking.asked(export.filters)
    question = asked.question(_scope(asking, export), fields_of(export.requested_data), asking.now)
    return asked.of(count_rows(asking.engine, question, asking.limits))


def _check_bodies(principal: Principal, names: Sequence[str]) -> None:
    if not principal.visibility.log_bodies and BODIES & set(names):
        raise Forbidden("You may not see requests and responses; leave them out of requested_data")
