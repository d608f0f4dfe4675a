"""Workspaces made, listed, read and changed by a caller who may. Source: controlplane contract 2.4."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api.errors import Forbidden, InvalidRequest
from api.limits import service as limits
from api.limits.rows import Limit
from api.limits.schemas import WORKSPACE_UNITS, parse_rate_limits, parse_usage_limits
from api.limits.service import Entity
from api.listing import page_of
from api.metadata_schema import WORKSPACE_SCHEMA, conforming
from api.organisations.rows import Organisation
from api.paging import Page
from api.principal import Principal
from api.security_settings.service import change_workspace, effective, effective_settings
from api.workspaces import service
from api.workspaces.matching import clean_name, name_holds, name_is
from api.workspaces.members import add
from api.workspaces.rows import ARCHIVED, Workspace
from api.workspaces.schemas import NewMember, NewWorkspace, WorkspaceChanges, WorkspaceDefaults

ACTIVE, EXHAUSTED = "active", "exhausted"
STATUSES = (ACTIVE, ARCHIVED)
_FOR_MANAGERS = frozenset({"debug_log"})
"""Settings that managers may change; whether they do is a setting of the organisation."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which workspaces a list is about."""

    name: str | None = None
    exact_name: str | None = None
    statuses: Collection[str] = (ACTIVE,)


def listed(session: Session, caller: Principal, wanted: Wanted, page: Page) -> tuple[list[Workspace], int]:
    """One page of the workspaces that the caller reaches, the newest first, and how many there are.

    Raises: Forbidden when somebody who is no admin of the organisation asks for archived ones.
    """
    if ARCHIVED in wanted.statuses and not caller.is_organisation_admin:
        raise Forbidden("Archived workspaces are for owners and admins of the organisation.")
    query = select(Workspace).where(Workspace.organisation_id == caller.organisation_id)
    if caller.workspace_id is not None:
        query = query.where(Workspace.id == caller.workspace_id)
    if wanted.name:
        query = query.where(name_holds(wanted.name))
    if wanted.exact_name:
        query = query.where(name_is(wanted.exact_name))
    archived = Workspace.status == ARCHIVED
    states = [archived if status == ARCHIVED else ~archived for status in wanted.statuses]
    query = query.where(or_(*states)).order_by(Workspace.created_at.desc(), Workspace.id.desc())
    rows, total = page_of(session, query, page)
    return [row[0] for row in rows], total


def find(session: Session, caller: Principal, reference: str, *, is_written: bool = False) -> Workspace:
    """The workspace, by slug or UUID, that the caller reaches. Raises: Forbidden when it is elsewhere or archived."""
    found = service.find(session, caller.organisation_id, reference)
    if caller.workspace_id not in {None, found.id} or found.status == ARCHIVED:
        raise Forbidden
    if is_written:
        session.refresh(found, with_for_update=True)
    return found


def create(session: Session, caller: Principal, wanted: NewWorkspace, now: datetime) -> Workspace:
    """A new workspace with its members. Raises: InvalidRequest, Conflict (the slug)."""
    icon = wanted.icon or None
    workspace = service.create(
        session,
        organisation_id=caller.organisation_id,
        name=clean_name(wanted.name, icon),
        slug=wanted.slug or None,
        description=wanted.description,
        created_by=caller.user_id or caller.key_id,
        now=now,
    )
    workspace.icon = icon
    organisation = session.get_one(Organisation, caller.organisation_id)
    _write_defaults(organisation, workspace, wanted.defaults)
    _write_limits(session, workspace, wanted, now)
    change_workspace(organisation, workspace, _said(wanted), workspace_role=caller.workspace_role)
    members = [NewMember(id=user_id, role="member") for user_id in dict.fromkeys(wanted.users or ())]
    add(session, caller, workspace, members, now)
    session.flush()
    return workspace


def update(session: Session, caller: Principal, reference: str, wanted: WorkspaceChanges, now: datetime) -> Workspace:
    """The workspace with its changes. Raises: InvalidRequest, Forbidden."""
    workspace = find(session, caller, reference, is_written=True)
    organisation = session.get_one(Organisation, caller.organisation_id)
    said = wanted.model_fields_set
    before = workspace.icon
    if "name" in said and wanted.name is None:
        raise InvalidRequest("name: cannot be null; leave it out to keep it")
    if "icon" in said:
        workspace.icon = wanted.icon or None
    if wanted.name is not None:
        workspace.name = clean_name(wanted.name, workspace.icon, before)
    if "description" in said:
        workspace.description = wanted.description
    if "defaults" in said:
        _write_defaults(organisation, workspace, wanted.defaults)
    _write_limits(session, workspace, wanted, now)
    if wanted.reset_usage:
        reset_usage(session, workspace, now)
    _require_may_set(organisation, workspace, caller, _said(wanted))
    change_workspace(organisation, workspace, _said(wanted), workspace_role=caller.workspace_role)
    if said:
        workspace.last_updated_at = now
    session.flush()
    return workspace


def reset_usage(session: Session, workspace: Workspace, now: datetime) -> None:
    """Usage starts at 0 again, and an exhausted workspace is active again."""
    workspace.last_reset_at = now
    _judge(workspace, limits.reset_usage(session, entity_of(workspace), now))


def entity_of(workspace: Workspace) -> Entity:
    """The workspace as something that has limits."""
    return Entity("workspace", workspace.id, workspace.organisation_id, workspace.id)


def _require_may_set(
    organisation: Organisation, workspace: Workspace, caller: Principal, given: Mapping[str, Any]
) -> None:
    """Nothing, when the caller may set this. Raises: Forbidden.

    Whoever is held back by a setting must not be able to lift it. Sending back what was read changes nothing.
    """
    if caller.user_id is None or caller.is_organisation_admin or caller.workspace_role == "admin":
        return
    counting = {
        "security_settings": effective(organisation, workspace),
        "settings": effective_settings(organisation, workspace),
    }
    for field, values in given.items():
        named = cast("Mapping[str, Any]", values) if isinstance(values, Mapping) else {}
        is_changed = any(
            name not in _FOR_MANAGERS and counting[field].get(name) != value for name, value in named.items()
        )
        if values is None or is_changed:
            raise Forbidden(f"{field}: is for admins of the workspace or the organisation")


def _said(wanted: NewWorkspace | WorkspaceChanges) -> dict[str, Any]:
    return {
        name: getattr(wanted, name) for name in ("security_settings", "settings") if name in wanted.model_fields_set
    }


def _write_defaults(organisation: Organisation, workspace: Workspace, wanted: WorkspaceDefaults | None) -> None:
    """Keep the defaults: what was left out stays, null clears; the metadata conforms to the organisation's schema."""
    merged: dict[str, Any] = {}
    if wanted is not None:
        merged = {**(workspace.defaults or {}), **{name: getattr(wanted, name) for name in wanted.model_fields_set}}
    metadata = conforming(merged.get("metadata"), organisation.settings.get(WORKSPACE_SCHEMA))
    # The same guardrail twice would run twice.
    guardrails = {
        name: list(dict.fromkeys(merged[name]))
        for name in ("input_guardrails", "output_guardrails")
        if merged.get(name)
    }
    kept = {**({"metadata": metadata} if metadata is not None else {}), **guardrails}
    workspace.defaults = kept or None


def _write_limits(
    session: Session, workspace: Workspace, wanted: NewWorkspace | WorkspaceChanges, now: datetime
) -> None:
    said = wanted.model_fields_set
    if "usage_limits" in said:
        asked = parse_usage_limits(wanted.usage_limits, shape="array", now=now)
        _judge(workspace, limits.write(session, entity_of(workspace), asked or (), now))
    if "rate_limits" in said:
        workspace.rate_limits = parse_rate_limits(wanted.rate_limits, units=WORKSPACE_UNITS)


def _judge(workspace: Workspace, held: Sequence[Limit]) -> None:
    if workspace.status in {ACTIVE, EXHAUSTED}:
        workspace.status = EXHAUSTED if limits.is_exhausted(held) else ACTIVE
