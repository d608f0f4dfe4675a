"""What the clock does to keys: they expire, get a new secret by their policy, and lose the secret before it.

Idempotent: what was done is not due any more. What was missed is caught up, once. Source: controlplane contract 3.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.analytics.rendering import instant
from api.api_keys.alerts import tell_expired, tell_rotated
from api.api_keys.lifetime import EXPIRED
from api.api_keys.rotation import RotatedKey, described, rotate_by_policy
from api.api_keys.rows import ApiKey
from api.audit import Audit, Trail
from api.db import Database

BATCH = 500
"""Keys of one transaction: short enough that nobody waits for it."""


@dataclass(frozen=True, slots=True)
class KeyNote:
    """A key as an operator is told of it."""

    id: str
    name: str
    mask: str
    type: str
    organisation_id: str
    at: datetime
    """When it expired; when the secret before stops to count."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done."""

    expired: tuple[KeyNote, ...] = ()
    rotated: tuple[KeyNote, ...] = ()
    forgotten: int = 0
    """Secrets from before a rotation that count no longer."""


def expire_due(session: Session, now: datetime, limit: int = BATCH) -> list[ApiKey]:
    """The keys whose time is over, written down as expired; at most `limit`, the longest overdue first."""
    due = session.scalars(
        select(ApiKey)
        .where(ApiKey.expires_at <= now, ApiKey.status != EXPIRED, ApiKey.deleted_at.is_(None))
        .order_by(ApiKey.expires_at, ApiKey.id)
        .limit(limit)
        .with_for_update()
    ).all()
    for row in due:
        row.status, row.last_updated_at = EXPIRED, now
    session.flush()
    return list(due)


def rotate_due(session: Session, now: datetime, after: str = "", limit: int = BATCH) -> tuple[list[RotatedKey], str]:
    """The keys with a new secret by their policy, among the `limit` next ones by id that have a policy.

    The second value is the last id looked at; blank when none was left.
    """
    rows = session.scalars(
        select(ApiKey)
        .where(ApiKey.rotation_policy.is_not(None), ApiKey.deleted_at.is_(None), ApiKey.status != EXPIRED)
        .where(ApiKey.id > after)
        .order_by(ApiKey.id)
        .limit(limit)
        .with_for_update()
    ).all()
    found = [rotate_by_policy(row, now) for row in rows if row.expires_at is None or row.expires_at > now]
    session.flush()
    return [one for one in found if one is not None], rows[-1].id if rows else ""


def forget_past_secrets(session: Session, now: datetime, limit: int = BATCH) -> int:
    """How many secrets from before a rotation were taken away, because their time is over."""
    rows = session.scalars(
        select(ApiKey)
        .where(ApiKey.previous_key_hash.is_not(None), ApiKey.previous_key_expires_at <= now)
        .limit(limit)
        .with_for_update()
    ).all()
    for row in rows:
        row.previous_key_hash = row.previous_key_expires_at = None
    session.flush()
    return len(rows)


def keep_up(database: Database, audit: Audit, now: datetime) -> Upkeep:
    """Everything that is due, with audit records and mails, in short transactions; safe to kill and to repeat.

    Records are on disk before the commit: after a crash between the two there is one too many, never one too few.
    """
    return Upkeep(
        forgotten=_forget(database, now),
        expired=tuple(_expire(database, audit, now)),
        rotated=tuple(_rotate(database, audit, now)),
    )


def _forget(database: Database, now: datetime) -> int:
    forgotten = 0
    while True:
        with database.transaction() as session:
            some = forget_past_secrets(session, now)
        forgotten += some
        if some < BATCH:
            return forgotten


def _expire(database: Database, audit: Audit, now: datetime) -> list[KeyNote]:
    expired: list[KeyNote] = []
    while True:
        with database.transaction() as session:
            rows = expire_due(session, now)
            for row in rows:
                _record(audit, row, "update", f"status=expired expires_at={instant(row.expires_at or now)}")
                tell_expired(session, row, now)
        expired += [_note(row, row.expires_at or now) for row in rows]
        if len(rows) < BATCH:
            return expired


def _rotate(database: Database, audit: Audit, now: datetime) -> list[KeyNote]:
    rotated: list[KeyNote] = []
    last = ""
    while True:
        with database.transaction() as session:
            keys, last = rotate_due(session, now, last)
            for key in keys:
                _record(audit, key.row, "rotate", described(key, "auto"))
                tell_rotated(session, key, now)
        rotated += [_note(key.row, key.transition_expires_at) for key in keys]
        if not last:
            return rotated


def _record(audit: Audit, row: ApiKey, action: str, reason: str) -> None:
    trail = Trail("api_keys", action, resource_id=row.id, workspace_id=row.workspace_id)
    trail.organisation_id = row.organisation_id
    audit.event(trail, reason=reason)


def _note(row: ApiKey, at: datetime) -> KeyNote:
    return KeyNote(row.id, row.name, row.key_mask, row.type, row.organisation_id, at)
