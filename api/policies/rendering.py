"""Policies and their counters as clients read them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from api.analytics.rendering import instant
from api.limits import forecast
from api.limits.machine import NOTHING
from api.limits.schemas import plain
from api.policies.rate_counters import RateCounter
from api.policies.rows import Policy, PolicyEntity
from api.policies.schemas import (
    RATE_OBJECT,
    USAGE_OBJECT,
    ConditionAnswer,
    EntityAnswer,
    GroupByAnswer,
    RateEntityAnswer,
    RatePolicyAnswer,
    Unpriced,
    UsagePolicyAnswer,
    UsagePolicyDetail,
    ValueKeyUsage,
)


def usage_policy(row: Policy, now: datetime) -> UsagePolicyAnswer:
    """A usage policy."""
    return UsagePolicyAnswer.model_validate(_usage(row, now))


def usage_detail(row: Policy, entities: list[PolicyEntity] | None, now: datetime) -> UsagePolicyDetail:
    """A usage policy with the counters that are given; without any word of them for None."""
    counters = {} if entities is None else {"value_key_usage_map": {one.value_key: _counter(one) for one in entities}}
    return UsagePolicyDetail.model_validate({**_usage(row, now), **counters})


def rate_policy(row: Policy) -> RatePolicyAnswer:
    """A rate policy."""
    settings = {"type": row.type, "unit": row.unit, "value": row.value, "target": row.target}
    settings["object"] = RATE_OBJECT
    return RatePolicyAnswer.model_validate({**_policy(row), **settings})


def entity(row: PolicyEntity, policy: Policy, now: datetime) -> EntityAnswer:
    """A counter."""
    days = forecast.days_left(policy.credit_limit or NOTHING, row.current_usage, row.usage_per_day)
    return EntityAnswer.model_validate(
        {
            **_counter(row).model_dump(),
            "id": row.id,
            "entity_id": row.id,
            "limit_id": row.policy_id,
            "value_key": row.value_key,
            "usage": plain(row.current_usage),
            "last_reset_at": _moment(row.last_reset_at or policy.last_reset_at),
            "forecast": _forecast(policy, row.usage_per_day, days, now),
            "object": "policy_entity",
        }
    )


def rate_entity(counter: RateCounter, policy: Policy) -> RateEntityAnswer:
    """A counter of a rate."""
    return RateEntityAnswer(
        id=counter.id,
        entity_id=counter.id,
        limit_id=policy.id,
        value_key=counter.value_key,
        current_usage=counter.count,
        usage=counter.count,
        status="exhausted" if counter.is_exhausted else "active",
        resets_at=instant(counter.ends_at),
        last_reset_at=None,
        object="policy_entity",
    )


def _counter(row: PolicyEntity) -> ValueKeyUsage:
    return ValueKeyUsage.model_validate(
        {
            "current_usage": plain(row.current_usage),
            "status": row.status,
            "is_threshold_alerts_sent": row.is_threshold_alert_sent,
            "is_exhausted_alerts_sent": row.is_exhausted_alert_sent,
        }
    )


def _forecast(policy: Policy, per_day: Decimal | None, days: Decimal | None, now: datetime) -> dict[str, Any]:
    end = forecast.exhausts_at(days, policy.next_usage_reset_at, now)
    return {"usage_per_day": plain(per_day), "exhausts_at": _moment(end)}


def _usage(row: Policy, now: datetime) -> dict[str, Any]:
    return {
        **_policy(row),
        "type": row.type,
        "credit_limit": plain(row.credit_limit),
        "alert_threshold": plain(row.alert_threshold),
        "periodic_reset": row.periodic_reset,
        "periodic_reset_days": row.periodic_reset_days,
        "next_usage_reset_at": _moment(row.next_usage_reset_at),
        "last_reset_at": _moment(row.last_reset_at),
        "unpriced": Unpriced.UPPER_BOUND if row.counts_upper_bound else Unpriced.NOTHING,
        "forecast": _forecast(row, row.usage_per_day, row.days_left, now),
        "object": USAGE_OBJECT,
    }


def _policy(row: Policy) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "conditions": [ConditionAnswer(**condition) for condition in row.conditions],
        "group_by": [GroupByAnswer(key=key) for key in row.group_by],
        "status": row.status,
        "workspace_id": row.workspace_id,
        "organisation_id": row.organisation_id,
        "created_at": instant(row.created_at),
        "last_updated_at": instant(row.last_updated_at),
    }


def _moment(value: datetime | None) -> str | None:
    return None if value is None else instant(value)
