"""What to price next: requests without a cost by provider, model and reason, the dearest at risk first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa

from api.analytics.rendering import instant, money
from api.paging import Page
from warehouse.engines.base import Engine, Limits
from warehouse.query.run import GroupedAnswer, run_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery, Order

ROW_OBJECT = "unpriced-model"
BY = ("ai_service", "model", "unpriced_reason")
MEASURES = ("requests", "total_tokens", "cost_low", "cost_high", "unbounded_requests", "first_seen", "last_seen")
NAMES = {"ai_service": "ai_org", "model": "ai_model", "total_tokens": "tokens", "cost_high": "spend_at_risk"}
"""Fields of the answer that are called otherwise than in the catalog. Money is in cents."""
_LEFT_OUT = frozenset({"unpriced_requests"})


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is asked about; both ends are included."""

    since: datetime
    until: datetime


def unpriced(
    engine: Engine, scope: TenantScope, span: Span, page: Page | None, limits: Limits = Limits()
) -> GroupedAnswer:
    """One page, or all, of what has no cost within the scope; what has no upper bound comes last.

    Raises: WarehouseBusy, QueryTooLarge, WarehouseError.
    """
    query = GroupedQuery(
        scope=scope,
        since=span.since,
        until=span.until,
        by=BY,
        measures=MEASURES,
        conditions=(Condition("cost_source", ("",)),),
        order=(Order("cost_high"), Order("requests")),
        limit=page.size if page else None,
        offset=page.offset if page else 0,
    )
    return run_grouped(engine, query, limits)


def named(rows: pa.Table) -> pa.Table:
    """The rows by the names of the answer."""
    kept = [name for name in rows.column_names if name not in _LEFT_OUT]
    return rows.select(kept).rename_columns([NAMES.get(name, name) for name in kept])


def rendered(answer: GroupedAnswer) -> bytes:
    """The envelope as JSON: exact money, UTC instants."""
    data = [
        {name: _rendered(name, value) for name, value in row.items()} | {"object": ROW_OBJECT}
        for row in named(answer.rows).to_pylist()
    ]
    return orjson.dumps({"object": "list", "total": answer.total, "data": data})


def _rendered(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in ("cost_low", "spend_at_risk"):
        return money(value)
    return instant(value) if isinstance(value, datetime) else value
