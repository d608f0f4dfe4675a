"""API keys: how they look, what is kept of them, and how they are made. Source: controlplane contract 1.1 to 1.3."""

import hashlib
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.errors import InvalidRequest, NotFound
from api.identifiers import new_id
from api.permissions import KeyKind, checked_scopes

PREFIX = "gl_"
ALPHABET = string.digits + string.ascii_letters
BODY_LENGTH = 43
"""62^43 is a little more than 2^256."""
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is to be."""

    kind: KeyKind
    name: str
    organisation_id: str
    scopes: Iterable[str]
    workspace_id: str | None = None
    user_id: str | None = None
    description: str | None = None
    expires_at: datetime | None = None
    created_by: str | None = None
    creation_mode: str = "api"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key: its row, and the raw text that nobody can see again."""

    row: ApiKey
    raw: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.row.id}, {self.row.key_mask})"


def new_raw_key() -> str:
    """A new key of 256 random bits: `gl_` and 43 characters of base62."""
    return PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(BODY_LENGTH))


def hash_of(raw: str) -> str:
    """What is stored of a key. A plain SHA-256 is enough: the key is random, so there is nothing to guess."""
    return hashlib.sha256(raw.encode("utf-8", "surrogateescape")).hexdigest()


def mask_of(raw: str) -> str:
    """What people see of a key: first 2 characters, 5 stars, last 3."""
    return f"{raw[:2]}*****{raw[-3:]}"


def create(session: Session, wanted: NewKey, *, now: datetime) -> IssuedKey:
    """A new key. Raises: InvalidRequest, UnknownName (a scope)."""
    _check(wanted, now)
    raw = new_raw_key()
    row = ApiKey(
        id=new_id(),
        organisation_id=wanted.organisation_id,
        workspace_id=wanted.workspace_id,
        user_id=wanted.user_id,
        type=wanted.kind.value,
        name=wanted.name.strip(),
        description=wanted.description,
        key_hash=hash_of(raw),
        key_mask=mask_of(raw),
        scopes=sorted(checked_scopes(wanted.scopes, wanted.kind)),
        creation_mode=wanted.creation_mode,
        created_by=wanted.created_by,
        created_at=now,
        last_updated_at=now,
        expires_at=wanted.expires_at,
    )
    session.add(row)
    session.flush()
    return IssuedKey(row, raw)


def find(session: Session, organisation_id: str, key_id: str) -> ApiKey:
    """The key of this organisation that is not deleted. Raises: NotFound."""
    found = session.scalar(
        select(ApiKey).where(
            ApiKey.id == key_id, ApiKey.organisation_id == organisation_id, ApiKey.deleted_at.is_(None)
        )
    )
    if found is None:
        raise NotFound("There is no such API key.")
    return found


def _check(wanted: NewKey, now: datetime) -> None:
    if not wanted.name.strip() or len(wanted.name) > LONGEST_NAME:
        raise InvalidRequest(f"name: a key needs a name of 1 to {LONGEST_NAME} characters")
    needs_workspace = wanted.kind is not KeyKind.ORGANISATION_SERVICE
    if needs_workspace != (wanted.workspace_id is not None):
        raise InvalidRequest(
            f"workspace_id: a {wanted.kind.value} key {'needs' if needs_workspace else 'has no'} workspace"
        )
    needs_user = wanted.kind is KeyKind.WORKSPACE_USER
    if needs_user != (wanted.user_id is not None):
        raise InvalidRequest(f"user_id: a {wanted.kind.value} key {'needs' if needs_user else 'has no'} user")
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise InvalidRequest("expires_at: must be in the future")
