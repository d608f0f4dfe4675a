"""Limits of usage on the wire, with what became of them. Source: dataplane contract 7.1, controlplane contract 2.3."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from api.analytics.rendering import instant
from api.limits import forecast
from api.limits.rows import Limit
from api.limits.schemas import plain


def usage_limit(limits: Sequence[Limit], now: datetime) -> dict[str, Any] | None:
    """The one limit of a key; None when there is none. Shape: `UsageLimitAnswer`."""
    return _told(limits[0], now) if limits else None


def usage_limits(limits: Sequence[Limit], now: datetime) -> list[dict[str, Any]] | None:
    """The limits of a workspace; None when there are none."""
    return [_told(limit, now) for limit in limits] or None


def exhausts_at(limit: Limit, now: datetime) -> datetime | None:
    """When the limit will be used up if usage goes on as lately; None when it will not before its next reset.

    None too for one that is used up already.
    """
    days = forecast.days_left(limit.credit_limit, limit.current_usage, limit.usage_per_day)
    return forecast.exhausts_at(days, limit.next_reset_at, now)


def _told(limit: Limit, now: datetime) -> dict[str, Any]:
    end = exhausts_at(limit, now)
    return {
        "type": limit.type,
        "credit_limit": plain(limit.credit_limit),
        "alert_threshold": plain(limit.alert_threshold),
        "periodic_reset": limit.periodic_reset,
        "periodic_reset_days": limit.periodic_reset_days,
        "next_usage_reset_at": _moment(limit.next_reset_at),
        "current_usage": None if limit.counted_at is None else plain(limit.current_usage),
        "is_threshold_alerts_sent": limit.is_threshold_alert_sent,
        "is_exhausted_alerts_sent": limit.is_exhausted_alert_sent,
        "status": limit.status,
        "last_reset_at": _moment(limit.last_reset_at),
        "forecast": {"usage_per_day": plain(limit.usage_per_day), "exhausts_at": _moment(end)},
    }


def _moment(value: datetime | None) -> str | None:
    return None if value is None else instant(value)
