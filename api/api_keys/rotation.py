"""A new secret for a key whose id stays; the one before counts for a while. Source: controlplane contract 3.

Two secrets at most. A rotation by schedule makes a secret that nobody has seen: until the transition ends, a rotation
by hand hands out another one in its place, and the secret before keeps its time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from api.analytics.rendering import instant
from api.api_keys.rows import ApiKey
from api.api_keys.schemas import LEAST_TRANSITION_MS, RotationPolicy
from api.api_keys.service import hash_of, mask_of, new_raw_key
from api.errors import Conflict, InvalidRequest
from api.limits.resets import MONDAY, next_reset

SHORTEST_PERIOD = {"weekly": timedelta(days=7), "monthly": timedelta(days=28)}
UNCLAIMED = "is_unclaimed"
"""In a stored policy: the schedule made the present secret, and nobody has got it yet."""


@dataclass(frozen=True, slots=True)
class RotatedKey:
    """The new secret, and what the audit log says of the old one."""

    row: ApiKey
    raw: str
    old_mask: str
    transition_expires_at: datetime

    def __repr__(self) -> str:
        return f"RotatedKey({self.row.id}, {self.old_mask} -> {self.row.key_mask})"


def stored_policy(wanted: RotationPolicy | None, now: datetime) -> dict[str, Any] | None:
    """The policy as plain JSON, complete. Raises: InvalidRequest."""
    if wanted is None:
        return None
    period = SHORTEST_PERIOD[wanted.rotation_period]
    transition_ms = wanted.key_transition_period_ms or LEAST_TRANSITION_MS
    if timedelta(milliseconds=transition_ms) >= period:
        raise InvalidRequest(
            f"rotation_policy.key_transition_period_ms: must be less than the period ({period.days} days)"
        )
    if wanted.next_rotation_at is not None and wanted.next_rotation_at <= now:
        raise InvalidRequest("rotation_policy.next_rotation_at: must be in the future")
    return {
        "rotation_period": wanted.rotation_period,
        "next_rotation_at": instant(wanted.next_rotation_at or _next(wanted.rotation_period, now)),
        "key_transition_period_ms": transition_ms,
    }


def rotate(row: ApiKey, transition_ms: int | None, now: datetime) -> RotatedKey:
    """The key with a new secret, by hand.

    Raises: Conflict while the secret before an earlier rotation still counts, InvalidRequest.
    """
    policy = row.rotation_policy or {}
    if in_transition(row, now):
        if not policy.get(UNCLAIMED):
            until = "" if row.previous_key_expires_at is None else instant(row.previous_key_expires_at)
            raise Conflict(f"The key was rotated already; its earlier secret counts until {until}. Rotate it then.")
        return _claimed(row, now)
    span = timedelta(milliseconds=transition_ms or policy.get("key_transition_period_ms") or LEAST_TRANSITION_MS)
    period = SHORTEST_PERIOD.get(policy.get("rotation_period", ""))
    if period is not None and span >= period:
        raise InvalidRequest(f"key_transition_period_ms: must be less than the rotation period ({period.days} days)")
    return _renewed(row, span, now, is_unclaimed=False)


def rotate_by_policy(row: ApiKey, now: datetime) -> RotatedKey | None:
    """The key with a new secret when its policy says that it is time, else None.

    However many rotations were missed, it is one; the next is the first that the calendar has after `now`.
    """
    policy = row.rotation_policy
    if policy is None or datetime.fromisoformat(policy["next_rotation_at"]) > now or in_transition(row, now):
        return None
    span = timedelta(milliseconds=policy["key_transition_period_ms"])
    row.rotation_policy = {**policy, "next_rotation_at": instant(_next(policy["rotation_period"], now))}
    return _renewed(row, span, now, is_unclaimed=True)


def described(rotated: RotatedKey, mode: Literal["manual", "auto"]) -> str:
    """What the audit log says of a rotation."""
    return (
        f"api_key_id={rotated.row.id} rotation_mode={mode} old_key_masked={rotated.old_mask} "
        f"transition_expires_at={instant(rotated.transition_expires_at)}"
    )


def in_transition(row: ApiKey, now: datetime) -> bool:
    """Whether the secret before still counts."""
    return row.previous_key_expires_at is not None and row.previous_key_expires_at > now


def _renewed(row: ApiKey, span: timedelta, now: datetime, *, is_unclaimed: bool) -> RotatedKey:
    old_mask, until = row.key_mask, now + span
    row.previous_key_hash, row.previous_key_expires_at = row.key_hash, until
    return _with_new_secret(row, old_mask, until, now, is_unclaimed=is_unclaimed)


def _claimed(row: ApiKey, now: datetime) -> RotatedKey:
    until = row.previous_key_expires_at or now
    return _with_new_secret(row, row.key_mask, until, now, is_unclaimed=False)


def _with_new_secret(row: ApiKey, old_mask: str, until: datetime, now: datetime, *, is_unclaimed: bool) -> RotatedKey:
    raw = new_raw_key()
    row.key_hash, row.key_mask, row.last_updated_at = hash_of(raw), mask_of(raw), now
    if row.rotation_policy is not None:
        row.rotation_policy = {**row.rotation_policy, UNCLAIMED: is_unclaimed}
    return RotatedKey(row, raw, old_mask, until)


def _next(period: str, now: datetime) -> datetime:
    found = next_reset({"periodic_reset": period}, started_at=now, after=now.astimezone(UTC), weekday=MONDAY)
    if found is None:
        raise ValueError(f"no such period: {period}")
    return found
