"""The answers in plain Python: every formula written out by hand, nothing shared with what is tested."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from math import floor
from typing import Any

import pyarrow as pa

from warehouse.query.spec import Condition, GroupedQuery

Row = dict[str, Any]

_DIMENSION_COLUMN = {
    "ai_service": "ai_org",
    "model": "ai_model",
    "status_code": "response_status_code",
    "api_key": "api_key_id",
    "config": "config",
    "workspace": "workspace_slug",
    "provider": "virtual_key",
    "prompt": "prompt_slug",
    "unpriced_reason": "unpriced_reason",
}
_BESIDE = (("cost", "unpriced_requests"), ("cost_low", "unpriced_requests"), ("cost_high", "unbounded_requests"))
_NUMBER_FILTERS = {
    "total_units": "total_units",
    "cost": "cost",
    "prompt_token": "req_units",
    "completion_token": "res_units",
}
_LIST_FILTERS = {
    "virtual_keys": "virtual_key",
    "configs": "config",
    "prompt_slug": "prompt_slug",
    "api_key_ids": "api_key_id",
    "trace_id": "trace_id",
    "span_id": "span_id",
    "cost_source": "cost_source",
}


@dataclass(frozen=True)
class Oracle:
    """Rows of generations and feedbacks, and what every question about them has as its answer."""

    generations: pa.Table
    feedbacks: pa.Table

    @cached_property
    def rows(self) -> list[Row]:
        return [_aware(row) for row in self.generations.to_pylist()]

    @cached_property
    def given(self) -> list[Row]:
        return self.feedbacks.to_pylist()

    def rows_of(self, query: GroupedQuery) -> list[Row]:
        """The rows that the question is about."""
        since, until = _cut(query.since), _cut(query.until)
        passing = [self._passes(query, condition) for condition in query.conditions]
        return [
            row
            for row in self.rows
            if since <= row["created_at"] <= until
            and _is_in_scope(query, row)
            and all(passes(row) for passes in passing)
        ]

    def answer(self, query: GroupedQuery) -> tuple[list[Row], int]:
        """The page of groups, with requested measures and what stands beside them, and the number of all groups."""
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows_of(query):
            groups.setdefault(tuple(_key(name, row) for name in query.by), []).append(row)
        names = list(query.measures)
        for money, beside in _BESIDE:
            if money in query.measures and beside not in names:
                names.append(beside)
        keys = list(query.by)
        lines = [
            dict(zip(keys, key, strict=True)) | {name: MEASURES[name](rows) for name in {*names, "requests"}}
            for key, rows in groups.items()
        ]
        for name in reversed(keys):
            lines.sort(key=lambda line: _sortable(line[name], "asc"))
        order = query.order or ()
        asked = [(one.by, one.direction) for one in order] or [("requests", "desc")]
        for name, direction in reversed(asked):
            lines.sort(key=lambda line: _sortable(line[name], direction))
        end = None if query.limit is None else query.offset + query.limit
        return [{name: line[name] for name in (*keys, *names)} for line in lines[query.offset : end]], len(lines)

    def _passes(self, query: GroupedQuery, condition: Condition) -> Callable[[Row], bool]:
        name, value = condition.filter, condition.value
        if name.startswith("weighted_feedback"):
            return self._feedback_passes(query, name, value)
        if name in _LIST_FILTERS:
            column = _LIST_FILTERS[name]
            return lambda row: (row[column] or "") in value if "" in value else row[column] in value
        if name == "status_code":
            return lambda row: row["response_status_code"] in value
        if name == "cache_status":
            lowered = {item.lower() for item in value}
            return lambda row: (
                (row["cache_status"] or "").lower() in lowered and (row["cache_status"] is not None or "" in lowered)
            )
        if name == "metadata":
            return lambda row: all(_metadata(row, key) == wanted for key, wanted in value)
        if name == "ai_org_model":
            return lambda row: ((row["ai_org"] or ""), (row["ai_model"] or "")) in value
        column, bound = _NUMBER_FILTERS[name.rsplit("_", 1)[0]], Decimal(str(value))
        if name.endswith("_min"):
            return lambda row: row[column] is not None and row[column] >= bound
        return lambda row: row[column] is not None and row[column] <= bound

    def _feedback_passes(self, query: GroupedQuery, name: str, value: Any) -> Callable[[Row], bool]:
        weighted: dict[str, list[float]] = {}
        for given in self.given:
            if _is_in_scope(query, given) and given["trace_id"] and given["weighted"] is not None:
                weighted.setdefault(given["trace_id"], []).append(given["weighted"])
        means = {trace: sum(values) / len(values) for trace, values in weighted.items()}
        if name.endswith("_min"):
            good = {trace for trace, mean in means.items() if mean >= value}
        else:
            good = {trace for trace, mean in means.items() if mean <= value}
        return lambda row: row["trace_id"] in good


def quantile(values: Sequence[int], share: float) -> float | None:
    """The inclusive quantile with linear interpolation; None over no values."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _aware(row: Row) -> Row:
    return row | {"created_at": row["created_at"].replace(tzinfo=UTC)}


def _cut(instant: datetime) -> datetime:
    utc = instant.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond - utc.microsecond % 1000)


def _is_in_scope(query: GroupedQuery, row: Row) -> bool:
    scope = query.scope
    if row["organisation_id"] != scope.organisation_id:
        return False
    return scope.workspaces is None or row["workspace_slug"] in scope.workspaces


def _metadata(row: Row, key: str) -> str:
    for known, value in zip(row["metadata.key"] or (), row["metadata.value"] or (), strict=False):
        if known == key:
            return value
    return ""


def _key(name: str, row: Row) -> Any:
    if name == "status_code":
        return row["response_status_code"]
    if name.startswith("metadata."):
        return _metadata(row, name[len("metadata.") :])
    return row[_DIMENSION_COLUMN[name]] or ""


def _sortable(value: Any, direction: str) -> tuple[bool, Any]:
    """Ascending sort key with None last; only numbers, texts and instants are turned round."""
    if value is None:
        return (True, 0)
    return (False, _Reversed(value) if direction == "desc" else value)


@dataclass(frozen=True)
class _Reversed:
    value: Any

    def __lt__(self, other: "_Reversed") -> bool:
        return other.value < self.value


def _known(rows: Sequence[Row], column: str) -> list[Any]:
    return [row[column] for row in rows if row[column] is not None]


def _sum(column: str) -> Callable[[Sequence[Row]], int]:
    return lambda rows: sum(_known(rows, column))


def _cost(rows: Sequence[Row]) -> Decimal | None:
    known = _known(rows, "cost")
    return sum(known, Decimal(0)) if known else None


def _bounds(rows: Sequence[Row], column: str) -> list[Decimal | None]:
    return [row["cost"] if row[column] is None else row[column] for row in rows]


def _bound(column: str) -> Callable[[Sequence[Row]], Decimal | None]:
    def total(rows: Sequence[Row]) -> Decimal | None:
        known = [bound for bound in _bounds(rows, column) if bound is not None]
        return sum(known, Decimal(0)) if known else None

    return total


def _divided(top: float, bottom: int) -> float | None:
    return top / bottom if bottom else None


def _hits(rows: Sequence[Row]) -> int:
    return sum((row["cache_status"] or "").lower() in ("hit", "semantic hit") for row in rows)


def _lookups(rows: Sequence[Row]) -> int:
    return sum((row["cache_status"] or "").lower() not in ("", "disabled") for row in rows)


MEASURES: dict[str, Callable[[Sequence[Row]], Any]] = {
    "requests": len,
    "cost": _cost,
    "unpriced_requests": lambda rows: sum(row["cost"] is None for row in rows),
    "priced_requests": lambda rows: sum(row["cost"] is not None for row in rows),
    "unpriced_tokens": lambda rows: sum(row["total_units"] or 0 for row in rows if row["cost"] is None),
    "cost_low": _bound("cost_low"),
    "cost_high": _bound("cost_high"),
    "unbounded_requests": lambda rows: sum(bound is None for bound in _bounds(rows, "cost_high")),
    "total_tokens": _sum("total_units"),
    "error_count": lambda rows: sum(row["is_success"] is False for row in rows),
    "p95_latency": lambda rows: quantile(_known(rows, "response_time"), 0.95),
    "p99_latency": lambda rows: quantile(_known(rows, "response_time"), 0.99),
    "last_seen": lambda rows: max(row["created_at"] for row in rows),
    "first_seen": lambda rows: min(row["created_at"] for row in rows),
    "avg_tokens": lambda rows: _divided(sum(_known(rows, "total_units")), len(rows)),
    "avg_input_tokens": lambda rows: _divided(sum(_known(rows, "req_units")), len(rows)),
    "avg_output_tokens": lambda rows: _divided(sum(_known(rows, "res_units")), len(rows)),
    "avg_latency": lambda rows: _divided(sum(_known(rows, "response_time")), len(_known(rows, "response_time"))),
    "success_rate": lambda rows: _divided(100 * sum(row["is_success"] is True for row in rows), len(rows)),
    "cache_hit_rate": lambda rows: _divided(100 * _hits(rows), _lookups(rows)),
}
