"""What a change of a usage limit does to what was counted. Pure. Source: dataplane contract 7.2."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from api.analytics.rendering import instant

COUNTED = ("current_usage", "is_threshold_alerts_sent", "is_exhausted_alerts_sent", "counts_from")
"""What is kept beside the settings of a limit. `counts_from`: rows from before the limit do not count."""


def changed(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, now: datetime) -> dict[str, Any] | None:
    """The new limit with what stays of the old one's count and alerts.

    A higher limit may alert anew about everything, a higher or no threshold about the threshold.
    """
    if new is None:
        return None
    if old is None or old["type"] != new["type"]:
        return {**new, "counts_from": instant(now)}
    kept: dict[str, Any] = {name: old[name] for name in COUNTED if name in old}
    if _exact(new["credit_limit"]) > _exact(old["credit_limit"]):
        kept |= {"is_threshold_alerts_sent": False, "is_exhausted_alerts_sent": False}
    before, after = old.get("alert_threshold"), new.get("alert_threshold")
    if after is None or (before is not None and _exact(after) > _exact(before)):
        kept["is_threshold_alerts_sent"] = False
    return {**new, **kept}


def changed_all(
    old: list[dict[str, Any]] | None, new: list[dict[str, Any]] | None, now: datetime
) -> list[dict[str, Any]] | None:
    """The same for limits in an array: each is compared with the one of its type."""
    before = {limit["type"]: limit for limit in old or ()}
    after = [changed(before.get(limit["type"]), limit, now) for limit in new or ()]
    return [limit for limit in after if limit is not None] or None


def counted_anew(limit: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The limit with nothing used and no alert sent, from now on."""
    fresh = {"current_usage": 0, "is_threshold_alerts_sent": False, "is_exhausted_alerts_sent": False}
    return {**limit, **fresh, "counts_from": instant(now)}


def is_exhausted(limit: Mapping[str, Any] | None) -> bool:
    """Whether all of it is used, as far as was counted."""
    used = None if limit is None else limit.get("current_usage")
    return limit is not None and used is not None and _exact(used) >= _exact(limit["credit_limit"])


def _exact(number: float) -> Decimal:
    return Decimal(str(number))
