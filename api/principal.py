"""Who calls, what they may do, and whose rows they see: resolved here and nowhere else.

Effective rights are the scopes of the key that its kind can hold. A key counts only while it, its organisation,
its workspace and its user's place in the organisation are all active.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cachetools import TTLCache
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.api_keys.service import hash_of
from api.db import Database
from api.errors import Forbidden, Unauthorised
from api.organisations.rows import Organisation
from api.permissions import KeyKind, Permission, scopes_of
from api.users.rows import OrganisationMember
from api.workspaces.rows import Workspace

KEY_HEADER = "x-portkey-api-key"
LONGEST_CREDENTIAL = 8192
ACTIVE = "active"
_USABLE_KEY = (ACTIVE, "exhausted")
"""An exhausted budget stops requests at the gateway; the key may still read what it has used."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: its key, its organisation, and its workspace unless it is an organisation key."""

    kind: KeyKind
    key_id: str
    organisation_id: str
    scopes: frozenset[str]
    workspace_id: str | None = None
    workspace_slug: str | None = None
    user_id: str | None = None
    expires_at: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether the key's time is over."""
        return self.expires_at is not None and self.expires_at <= now

    def require(self, permission: Permission) -> None:
        """Nothing, when the caller may. Raises: Forbidden."""
        if not permission.allows(self.kind, self.scopes):
            raise Forbidden


def credential_of(headers: Mapping[str, str]) -> str:
    """The key that a request carries: `x-portkey-api-key`, else `Authorization: Bearer`. Raises: Unauthorised."""
    credential = headers.get(KEY_HEADER, "").strip()
    if not credential:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        credential = rest.strip() if scheme.lower() == "bearer" else ""
    if not credential or len(credential) > LONGEST_CREDENTIAL:
        raise Unauthorised
    return credential


def resolve(session: Session, key_hash: str, now: datetime) -> Principal:
    """The caller whose key has this hash. Raises: Unauthorised when it is unknown, expired, revoked or archived."""
    found = session.execute(
        select(ApiKey, Workspace.slug, Workspace.status, OrganisationMember.status)
        .join(Organisation, Organisation.id == ApiKey.organisation_id)
        .outerjoin(Workspace, Workspace.id == ApiKey.workspace_id)
        .outerjoin(
            OrganisationMember,
            (OrganisationMember.user_id == ApiKey.user_id)
            & (OrganisationMember.organisation_id == ApiKey.organisation_id),
        )
        .where(ApiKey.key_hash == key_hash, ApiKey.deleted_at.is_(None))
        .where(ApiKey.status.in_(_USABLE_KEY), Organisation.status == ACTIVE)
    ).one_or_none()
    if found is None:
        raise Unauthorised
    key, workspace_slug, workspace_status, member_status = found
    kind = KeyKind(key.type)
    stranded = key.workspace_id is not None and workspace_status != ACTIVE
    left = key.user_id is not None and member_status != ACTIVE
    principal = Principal(
        kind=kind,
        key_id=key.id,
        organisation_id=key.organisation_id,
        scopes=frozenset(key.scopes) & scopes_of(kind),
        workspace_id=key.workspace_id,
        workspace_slug=workspace_slug,
        user_id=key.user_id,
        expires_at=key.expires_at,
    )
    if stranded or left or principal.expired(now):
        raise Unauthorised
    return principal


class Gatekeeper:
    """Callers by key, remembered for less than a second so that a revoked key is refused at once everywhere."""

    def __init__(self, database: Database, *, ttl_s: float, timer: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._known: TTLCache[str, Principal] = TTLCache(maxsize=10_000, ttl=ttl_s, timer=timer)
        self._lock = threading.Lock()

    def remembered(self, credential: str, now: datetime) -> Principal | None:
        """The caller, when its key was looked up a moment ago. Raises: Unauthorised when the key expired since."""
        with self._lock:
            principal = self._known.get(hash_of(credential))
        if principal is not None and principal.expired(now):
            raise Unauthorised
        return principal

    def look_up(self, credential: str, now: datetime) -> Principal:
        """The caller by the database. Raises: Unauthorised."""
        key_hash = hash_of(credential)
        with self._database.transaction(writes=False) as session:
            principal = resolve(session, key_hash, now)
        with self._lock:
            self._known[key_hash] = principal
        return principal

    def forget_all(self) -> None:
        """Drop what is remembered, after a write that changes keys, workspaces, members or organisations."""
        with self._lock:
            self._known.clear()
