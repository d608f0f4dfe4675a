"""Workspaces and members on the wire. Source: controlplane contract 2.4, 2.5."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from api.analytics.rendering import instant
from api.limits.rendering import usage_limits
from api.limits.rows import Limit
from api.limits.schemas import render_rate_limits
from api.organisations.rows import Organisation
from api.permissions import KeyKind, scopes_of
from api.rights import effective_scopes
from api.security_settings.service import effective, effective_settings
from api.workspaces.matching import shown_name
from api.workspaces.members import Member
from api.workspaces.rows import Workspace
from api.workspaces.schemas import MemberAnswer, WorkspaceAnswer, WorkspaceDetail

PLAIN = "plain"


def listed(organisation: Organisation, workspace: Workspace, limits: Sequence[Limit], now: datetime) -> WorkspaceAnswer:
    """The workspace as lists have it."""
    return WorkspaceAnswer.model_validate(_fields(organisation, workspace, limits, now))


def detail(
    organisation: Organisation,
    workspace: Workspace,
    limits: Sequence[Limit],
    now: datetime,
    members: Sequence[Member] | None = None,
    *,
    name_format: str | None = None,
) -> WorkspaceDetail:
    """The workspace with everything; without `members`, its users are null."""
    fields = _fields(organisation, workspace, limits, now) | {
        "settings": effective_settings(organisation, workspace),
        "organisation_id": workspace.organisation_id,
        "last_reset_at": _moment(workspace.last_reset_at),
        "created_by": workspace.created_by,
        "creation_source": workspace.creation_source,
        "users": None if members is None else [member(organisation, workspace, one) for one in members],
    }
    if name_format == PLAIN:
        fields["name"] = workspace.name
    return WorkspaceDetail.model_validate(fields)


def member(organisation: Organisation, workspace: Workspace, found: Member) -> MemberAnswer:
    """The member with what its keys may do here."""
    kind = KeyKind.WORKSPACE_USER
    settings = effective(organisation, workspace)
    scopes = effective_scopes(kind, scopes_of(kind), found.organisation_role, found.place.role, settings)
    return MemberAnswer.model_validate(
        {
            "id": found.user.id,
            "user_id": found.user.id,
            "first_name": found.user.first_name,
            "last_name": found.user.last_name,
            "org_role": found.organisation_role,
            "role": found.place.role,
            "created_at": instant(found.place.created_at),
            "last_updated_at": instant(found.place.last_updated_at),
            "status": "active",
            "workspace_id": workspace.id,
            "email": found.user.email,
            "scopes": sorted(scopes),
        }
    )


def _fields(organisation: Organisation, workspace: Workspace, limits: Sequence[Limit], now: datetime) -> dict[str, Any]:
    defaults = workspace.defaults
    return {
        "id": workspace.id,
        "slug": workspace.slug,
        "name": shown_name(workspace),
        "icon": workspace.icon,
        "description": workspace.description,
        "created_at": instant(workspace.created_at),
        "last_updated_at": instant(workspace.last_updated_at),
        "defaults": defaults
        and {name: defaults.get(name) for name in ("metadata", "input_guardrails", "output_guardrails")},
        "is_default": int(workspace.is_default),
        "scim_source_id": workspace.scim_source_id,
        "usage_limits": usage_limits(limits, now),
        "rate_limits": render_rate_limits(workspace.rate_limits),
        "security_settings": effective(organisation, workspace),
        "status": workspace.status,
    }


def _moment(value: datetime | None) -> str | None:
    return None if value is None else instant(value)
