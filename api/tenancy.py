"""Whose rows a caller's question is about. Source: dataplane contract 6."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from api.errors import Forbidden
from api.principal import Principal
from api.settings import AdminKeyScope
from api.workspaces import service as workspaces
from warehouse.ingest.ownership import Ownership
from warehouse.query.scope import TenantScope


def scope_of(
    session: Session, principal: Principal, references: Sequence[str], when_unnamed: AdminKeyScope
) -> TenantScope:
    """The rows that a caller asks about by workspace slugs or UUIDs, never more than it may see.

    A workspace key sees its workspace, whatever it names. Archived workspaces are part of their organisation.
    Raises: Forbidden when a workspace is not of the caller's organisation.
    """
    if principal.workspace_id is not None:
        if principal.workspace_slug is None:
            raise Forbidden
        return TenantScope(principal.organisation_id, frozenset({principal.workspace_slug}))
    if references:
        return TenantScope(
            principal.organisation_id, workspaces.slugs_of(session, principal.organisation_id, references)
        )
    if when_unnamed is AdminKeyScope.DEFAULT_WORKSPACE:
        default = workspaces.default_of(session, principal.organisation_id)
        return TenantScope(principal.organisation_id, frozenset({default.slug}))
    return TenantScope(principal.organisation_id)


def ownership_for(session: Session, principal: Principal) -> Ownership:
    """What records sent with this key may belong to: its organisation, and only its workspace when it has one.

    Raises: NotFound when the organisation has no default workspace.
    """
    owned = workspaces.ownership_of(session, principal.organisation_id, principal.workspace_id)
    if principal.workspace_id is None:
        return owned
    return replace(owned, known={principal.organisation_id: frozenset({owned.workspace_slug})})
