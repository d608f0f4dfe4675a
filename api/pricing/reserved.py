"""Reserved costs beside usage costs: each in its own sum, so that nothing is lost and nothing counts twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import orjson

from api.analytics.rendering import money
from warehouse.engines.base import Engine, Limits
from warehouse.pricing.formula import exact_sum
from warehouse.pricing.reservations import Reservation, reserved_cents
from warehouse.query.conditions import MILLISECOND, to_millisecond
from warehouse.query.run import run_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery


@dataclass(frozen=True, slots=True)
class Usage:
    """What requests cost. Units: cents."""

    cost: Decimal | None
    unpriced_requests: int


def usage_of(engine: Engine, scope: TenantScope, since: datetime, until: datetime, limits: Limits = Limits()) -> Usage:
    """The known cost of all requests of the scope, and how many have none."""
    query = GroupedQuery(scope, since, until, ("workspace",), ("cost",), limit=None, include_total=False)
    rows = run_grouped(engine, query, limits).rows.to_pylist()
    known = [row["cost"] for row in rows if row["cost"] is not None]
    return Usage(exact_sum(known) if known else None, sum(row["unpriced_requests"] for row in rows))


def rendered(reservations: Sequence[Reservation], usage: Usage, since: datetime, until: datetime) -> bytes:
    """The answer as JSON with exact money. The time is that of requests: to the millisecond, both ends included."""
    start, stop = to_millisecond(since), to_millisecond(until) + MILLISECOND
    total = reserved_cents(reservations, start, stop)
    data = [
        {
            "object": "reservation-cost",
            "id": one.agreement_id,
            "version_id": one.id,
            "name": one.name,
            "workspace_slug": one.applies.workspace_slug,
            "applies_to": {"type": one.applies.target.value, "slug": one.applies.slug},
            "cost": money(one.cost_cents(start, stop)),
        }
        for one in reservations
    ]
    answer = {
        "object": "reservation-costs",
        "data": data,
        "reserved_cost": money(total),
        "usage_cost": None if usage.cost is None else money(usage.cost),
        "total_cost": money(exact_sum([total, usage.cost or Decimal(0)])),
        "unpriced_requests": usage.unpriced_requests,
    }
    return orjson.dumps(answer)
