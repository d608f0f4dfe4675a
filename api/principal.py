"""Who calls, what they may do, and whose rows they see: resolved here and nowhere else.

A caller's scopes are the effective ones of `api.rights`. A key counts only while it, its organisation, its workspace
and its user's place in the organisation are all active. A token (JWT) is resolved by whoever verifies tokens.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.api_keys.service import hash_of
from api.caching import Cache, Shared
from api.db import Database
from api.errors import Forbidden, Unauthorised
from api.organisations.rows import Organisation
from api.permissions import KeyKind, Permission
from api.rights import ADMIN, EVERYTHING, OWNER, Visibility, effective_scopes, visibility
from api.security_settings.service import resolved
from api.users.rows import OrganisationMember, User
from api.workspaces.rows import ARCHIVED, Workspace, WorkspaceMember
from api.written import EVERY_ORGANISATION

KEY_HEADER = "x-portkey-api-key"
LONGEST_CREDENTIAL = 8192
ACTIVE = "active"
_USABLE_KEY = (ACTIVE, "exhausted")
"""An exhausted budget stops requests at the gateway; the key may still read what it has used."""


_TOKEN = re.compile(r"[A-Za-z0-9_-]+={0,2}\.[A-Za-z0-9_-]+={0,2}\.[A-Za-z0-9_-]*={0,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: its key or token, its organisation, and its workspace unless it is an organisation key."""

    kind: KeyKind
    """Of the key; a token has the rights of a workspace service key."""
    key_id: str
    """Of the key; of a token `jwt:` and the first 16 digits of its hash."""
    organisation_id: str
    scopes: frozenset[str]
    """What it may do now: `api.rights.effective_scopes`."""
    workspace_id: str | None = None
    workspace_slug: str | None = None
    user_id: str | None = None
    """Whom a user's key acts for."""
    expires_at: datetime | None = None
    organisation_role: str | None = None
    workspace_role: str | None = None
    """What the user is in the organisation and in the key's workspace; None for service keys and tokens."""
    visibility: Visibility = EVERYTHING
    email: str | None = None
    via: Literal["key", "jwt"] = "key"
    limits: Mapping[str, Any] | None = None
    """The limits that a token brings itself; those of a key are in its row."""

    @property
    def sees_all_data(self) -> bool:
        """False when only the rows of its own user's keys are to be seen."""
        return self.visibility.all_data

    @property
    def is_organisation_admin(self) -> bool:
        """An organisation key, or somebody who is owner or admin of the organisation."""
        return self.kind is KeyKind.ORGANISATION_SERVICE or self.organisation_role in (OWNER, ADMIN)

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


def looks_like_jwt(credential: str) -> bool:
    """Whether a credential is a token: three parts of base64url with dots between them, as no key is."""
    return _TOKEN.fullmatch(credential) is not None


def resolve(session: Session, key_hash: str, now: datetime) -> Principal:
    """The caller whose key has this hash. Raises: Unauthorised when it is unknown, expired, revoked or archived.

    The key before a rotation counts until its own time is over.
    """
    found = session.execute(
        _QUERY.where(or_(ApiKey.key_hash == key_hash, ApiKey.previous_key_hash == key_hash))
    ).first()
    if found is None:
        raise Unauthorised
    key, of_organisation, overrides, slug, workspace_status, own, status, role, workspace_role, email = found
    stranded = key.workspace_id is not None and workspace_status in {None, ARCHIVED}
    left = key.user_id is not None and status != ACTIVE
    if stranded or left:
        raise Unauthorised
    kind = KeyKind(key.type)
    settings = resolved(of_organisation, overrides, own)
    principal = Principal(
        kind=kind,
        key_id=key.id,
        organisation_id=key.organisation_id,
        scopes=effective_scopes(kind, key.scopes, role, workspace_role, settings),
        workspace_id=key.workspace_id,
        workspace_slug=slug,
        user_id=key.user_id,
        expires_at=_end_of(key, key_hash),
        organisation_role=role,
        workspace_role=workspace_role,
        visibility=visibility(kind, role, workspace_role, settings),
        email=email,
    )
    if principal.expired(now):
        raise Unauthorised
    return principal


_QUERY = (
    select(
        ApiKey,
        Organisation.security_settings,
        Organisation.workspace_overrides,
        Workspace.slug,
        Workspace.status,
        Workspace.security_settings,
        OrganisationMember.status,
        OrganisationMember.role,
        WorkspaceMember.role,
        User.email,
    )
    .join(Organisation, Organisation.id == ApiKey.organisation_id)
    .outerjoin(Workspace, Workspace.id == ApiKey.workspace_id)
    .outerjoin(User, User.id == ApiKey.user_id)
    .outerjoin(
        OrganisationMember,
        (OrganisationMember.user_id == ApiKey.user_id) & (OrganisationMember.organisation_id == ApiKey.organisation_id),
    )
    .outerjoin(
        WorkspaceMember,
        (WorkspaceMember.user_id == ApiKey.user_id) & (WorkspaceMember.workspace_id == ApiKey.workspace_id),
    )
    .where(ApiKey.deleted_at.is_(None), ApiKey.status.in_(_USABLE_KEY), Organisation.status == ACTIVE)
)


def _end_of(key: ApiKey, key_hash: str) -> datetime | None:
    """When a key, or the key that it replaces, stops to count. A replaced one without an end never counts."""
    if key.key_hash == key_hash:
        return key.expires_at
    if key.previous_key_expires_at is None:
        raise Unauthorised
    return min(key.previous_key_expires_at, key.expires_at or key.previous_key_expires_at)


Tokens = Callable[[Session, str, datetime], Principal]
"""Who verifies tokens. Raises: Unauthorised."""


def no_tokens(_session: Session, _token: str, _now: datetime) -> Principal:
    """Nobody: where no one verifies tokens, none counts. Raises: Unauthorised, always."""
    raise Unauthorised


class Gatekeeper:
    """Callers by credential, remembered for less than a second so that a revoked key is refused at once everywhere."""

    def __init__(
        self,
        database: Database,
        *,
        ttl_s: float,
        tokens: Tokens = no_tokens,
        shared: Shared | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._tokens = database, tokens
        self._known = Cache(
            "principal", Principal, lambda known: known.organisation_id, ttl_s=ttl_s, shared=shared, timer=timer
        )

    def remembered(self, credential: str, now: datetime) -> Principal | None:
        """The caller, when its key was looked up a moment ago. Raises: Unauthorised when the key expired since."""
        principal = self._known.get(hash_of(credential))
        if principal is not None and principal.expired(now):
            raise Unauthorised
        return principal

    def look_up(self, credential: str, now: datetime) -> Principal:
        """The caller by what the workers share, else by the database. Raises: Unauthorised."""
        key_hash = hash_of(credential)

        def read() -> Principal:
            with self._database.transaction(writes=False) as session:
                if looks_like_jwt(credential):
                    return self._tokens(session, credential, now)
                return resolve(session, key_hash, now)

        principal = self._known.load(key_hash, read)
        if principal.expired(now):
            raise Unauthorised
        return principal

    def forget(self, organisation_id: str = EVERY_ORGANISATION) -> None:
        """Drop what is remembered of one organisation's callers, or of all. Commits do so by themselves."""
        self._known.forget(organisation_id)

    def forget_all(self) -> None:
        """Drop what is remembered of all callers."""
        self._known.forget()
