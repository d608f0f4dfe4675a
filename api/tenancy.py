"""Whose rows a caller's question is about. Source: dataplane contract 6."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from cachetools import LRUCache
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.errors import Forbidden
from api.permissions import KeyKind
from api.principal import Principal
from api.settings import AdminKeyScope
from api.workspaces import service as workspaces
from api.workspaces.places import place_of
from warehouse.ingest.ownership import Ownership
from warehouse.query.scope import OwnRows, TenantScope


def scope_of(
    session: Session, principal: Principal, references: Sequence[str], when_unnamed: AdminKeyScope
) -> TenantScope:
    """The rows that a caller asks about by workspace slugs or UUIDs, never more than it may see.

    A workspace key sees its workspace, whatever it names, and may be held to the rows of its own user's keys. Archived
    workspaces are part of their organisation, for those who look at all of it.
    Raises: Forbidden when a workspace is not of the caller's organisation, or archived and not for the caller.
    """
    place = _place(session, principal, references, when_unnamed)
    return place if principal.sees_all_data else replace(place, own=_own_rows(session, principal))


def _place(
    session: Session, principal: Principal, references: Sequence[str], when_unnamed: AdminKeyScope
) -> TenantScope:
    if principal.workspace_id is not None:
        if principal.workspace_slug is None:
            raise Forbidden
        return TenantScope(principal.organisation_id, frozenset({principal.workspace_slug}))
    if references:
        is_admin = principal.is_organisation_admin
        named = (place_of(session, principal.organisation_id, one, is_admin=is_admin) for one in references)
        return TenantScope(principal.organisation_id, frozenset(place.slug for place in named))
    if when_unnamed is AdminKeyScope.DEFAULT_WORKSPACE:
        default = workspaces.default_of(session, principal.organisation_id)
        return TenantScope(principal.organisation_id, frozenset({default.slug}))
    return TenantScope(principal.organisation_id)


def _own_rows(session: Session, principal: Principal) -> OwnRows:
    """The rows of the user and of every key that the user has or had in the organisation."""
    if principal.user_id is None:
        raise Forbidden
    keys = session.scalars(
        select(ApiKey.id).where(
            ApiKey.user_id == principal.user_id,
            ApiKey.organisation_id == principal.organisation_id,
            ApiKey.type == KeyKind.WORKSPACE_USER.value,
        )
    )
    return OwnRows(principal.user_id, frozenset(keys))


class Owners:
    """What records sent with a key may belong to: its organisation, and only its workspace when it has one.

    Looked up for each request, but the same object as long as nothing changes: the spool writes an owner once for all
    records of the same object.
    """

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[str, str | None], Ownership] = LRUCache(maxsize=10_000)
        self._lock = threading.Lock()

    def of(self, session: Session, principal: Principal) -> Ownership:
        """The ownership of a caller. Raises: NotFound when the organisation has no default workspace."""
        owned = workspaces.ownership_of(session, principal.organisation_id, principal.workspace_id)
        if principal.workspace_id is not None:
            owned = replace(owned, known={principal.organisation_id: frozenset({owned.workspace_slug})})
        with self._lock:
            kept = self._kept.setdefault((principal.organisation_id, principal.workspace_id), owned)
            if kept != owned:
                kept = self._kept[principal.organisation_id, principal.workspace_id] = owned
        return kept
