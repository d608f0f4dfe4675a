"""The answers in plain Python: every formula written out by hand, nothing shared with what is tested."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from math import floor
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import pyarrow as pa

from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery, Question

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
    "user": "_user",
    "retries": "retry_success_count",
    "score": "value",
}
_NUMBERS = frozenset({"status_code", "retries", "score"})
_BESIDE = (
    ("cost", "unpriced_requests"),
    ("avg_cost", "unpriced_requests"),
    ("cost_low", "unpriced_requests"),
    ("cost_high", "unbounded_requests"),
    ("simple_cache_savings", "unpriced_hits"),
    ("semantic_cache_savings", "unpriced_hits"),
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": ge, "<=": le, ">": gt, "<": lt, "=": eq, "!=": ne,
}  # fmt: skip
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
        return [_aware(row) for row in self.feedbacks.to_pylist()]

    def rows_of(self, query: Question) -> list[Row]:
        """The rows that the question is about."""
        since, until = _cut(query.since), _cut(query.until)
        passing = [self._passes(query, condition) for condition in query.conditions]
        if query.trace_conditions:
            passing.append(self._trace_passes(query))
        if query.outside is not None:
            left_out = query.outside
            passing.append(lambda row: key_of(left_out.by, row) not in left_out.keys)
        rows = self.given if query.dataset.name == "feedbacks" else self.rows
        return [
            row
            for row in rows
            if since <= row["created_at"] <= until
            and _is_in_scope(query.scope, row)
            and all(passes(row) for passes in passing)
        ]

    def answer(self, query: GroupedQuery) -> tuple[list[Row], int]:
        """The page of groups, with requested measures and what stands beside them, and the number of all groups."""
        rows = self.rows_of(query)
        groups: dict[tuple[Any, ...], list[Row]] = {} if query.by else {(): rows}
        for row in rows if query.by else ():
            groups.setdefault(key_of(query.by, row), []).append(row)
        names = beside(query.measures)
        keys = list(query.by)
        needed = {*names, "requests", *(having.measure for having in query.having)}
        lines = [
            dict(zip(keys, key, strict=True)) | {name: self.number(name, query.scope, rows) for name in needed}
            for key, rows in groups.items()
        ]
        for having in query.having:
            compare, bound = _COMPARE[having.comparison], Decimal(str(having.value))
            lines = [
                line for line in lines if (value := line[having.measure]) is not None and compare(_exact(value), bound)
            ]
        for name in reversed(keys):
            lines.sort(key=lambda line: _sortable(line[name], "asc"))
        order = query.order or ()
        asked = [(one.by, one.direction) for one in order] or [("requests", "desc")]
        for name, direction in reversed(asked):
            lines.sort(key=lambda line: _sortable(line[name], direction))
        end = None if query.limit is None else query.offset + query.limit
        return [{name: line[name] for name in (*keys, *names)} for line in lines[query.offset : end]], len(lines)

    def number(self, name: str, scope: TenantScope, rows: Sequence[Row]) -> Any:
        """A measure over some rows of requests; each feedback on one of their traces counts once."""
        if name not in FEEDBACK_MEASURES:
            return MEASURES[name](rows)
        traces = {row["trace_id"] for row in rows}
        given = [
            one for one in self.given if _is_in_scope(scope, one) and one["trace_id"] and one["trace_id"] in traces
        ]
        if name == "requests_with_feedback":
            rated = {one["trace_id"] for one in given}
            return sum(row["trace_id"] in rated for row in rows)
        return GIVEN_MEASURES[name](given)

    def _trace_passes(self, query: Question) -> Callable[[Row], bool]:
        passing = [self._passes(query, condition) for condition in query.trace_conditions]
        traces = {
            row["trace_id"]
            for row in self.rows
            if row["trace_id"] and _is_in_scope(query.scope, row) and all(passes(row) for passes in passing)
        }
        return lambda row: row["trace_id"] in traces

    def _passes(self, query: Question, condition: Condition) -> Callable[[Row], bool]:
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

    def _feedback_passes(self, query: Question, name: str, value: Any) -> Callable[[Row], bool]:
        weighted: dict[str, list[float]] = {}
        for given in self.given:
            if _is_in_scope(query.scope, given) and given["trace_id"] and given["weighted"] is not None:
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


def beside(measures: Sequence[str]) -> list[str]:
    """The measures, then those that must stand beside them."""
    names = list(measures)
    for money, companion in _BESIDE:
        if money in measures and companion not in names:
            names.append(companion)
    return names


def key_of(by: Sequence[str], row: Row) -> tuple[Any, ...]:
    """The group that a row is in."""
    return tuple(_key(name, row) for name in by)


def _exact(value: Any) -> Decimal:
    return Decimal(value) if isinstance(value, int | float) else value


def _is_in_scope(scope: TenantScope, row: Row) -> bool:
    if row["organisation_id"] != scope.organisation_id:
        return False
    return scope.workspaces is None or row["workspace_slug"] in scope.workspaces


def _metadata(row: Row, key: str) -> str:
    for known, value in zip(row["metadata.key"] or (), row["metadata.value"] or (), strict=False):
        if known == key:
            return value
    return ""


def _key(name: str, row: Row) -> Any:
    if name in _NUMBERS:
        return row[_DIMENSION_COLUMN[name]]
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


def _is_hit(row: Row) -> bool:
    return (row["cache_status"] or "").lower() in ("hit", "semantic hit")


def _hits_of(kind: str) -> Callable[[Sequence[Row]], int]:
    return lambda rows: sum((row["cache_status"] or "").lower() == kind for row in rows)


def _saved(kind: str) -> Callable[[Sequence[Row]], Decimal | None]:
    def total(rows: Sequence[Row]) -> Decimal | None:
        known = _known([row for row in rows if (row["cache_status"] or "").lower() == kind], "cache_saved_cost")
        return sum(known, Decimal(0)) if known else None

    return total


def _mean_latency(rows: Sequence[Row]) -> float | None:
    return _divided(sum(_known(rows, "response_time")), len(_known(rows, "response_time")))


def _users(rows: Sequence[Row]) -> int:
    return len({row["_user"] for row in rows if row["_user"]})


def _of_users(rows: Sequence[Row]) -> int:
    return sum(bool(row["_user"]) for row in rows)


def _only_provider(rows: Sequence[Row]) -> str | None:
    providers = set(_known(rows, "ai_org"))
    return providers.pop() if len(providers) == 1 else None


def _is_retried(row: Row) -> bool:
    return row["is_success"] is True and (row["retry_success_count"] or 0) > 0


def _is_fallen_back(row: Row) -> bool:
    fell = (row["mode"] or "").lower() == "fallback" and (row["last_used_option_index"] or 0) > 0
    return row["is_success"] is True and fell


def _mean_cost(rows: Sequence[Row]) -> float | None:
    cost = _cost(rows)
    return None if cost is None else float(cost) / len(rows)


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
    "last_seen": lambda rows: max((row["created_at"] for row in rows), default=None),
    "first_seen": lambda rows: min((row["created_at"] for row in rows), default=None),
    "avg_tokens": lambda rows: _divided(sum(_known(rows, "total_units")), len(rows)),
    "avg_input_tokens": lambda rows: _divided(sum(_known(rows, "req_units")), len(rows)),
    "avg_output_tokens": lambda rows: _divided(sum(_known(rows, "res_units")), len(rows)),
    "avg_latency": _mean_latency,
    "success_rate": lambda rows: _divided(100 * sum(row["is_success"] is True for row in rows), len(rows)),
    "cache_hit_rate": lambda rows: _divided(100 * _hits(rows), _lookups(rows)),
    "avg_cost": _mean_cost,
    "error_rate": lambda rows: _divided(100 * sum(row["is_success"] is False for row in rows), len(rows)),
    "p50_latency": lambda rows: quantile(_known(rows, "response_time"), 0.5),
    "p90_latency": lambda rows: quantile(_known(rows, "response_time"), 0.9),
    "users": _users,
    "user_requests": _of_users,
    "requests_per_user": lambda rows: _divided(_of_users(rows), _users(rows)),
    "error_codes": lambda rows: len({row["response_status_code"] for row in rows if row["is_success"] is False}),
    "only_provider": _only_provider,
    "cache_hits": _hits,
    "simple_hits": _hits_of("hit"),
    "semantic_hits": _hits_of("semantic hit"),
    "simple_cache_savings": _saved("hit"),
    "semantic_cache_savings": _saved("semantic hit"),
    "unpriced_hits": lambda rows: sum(_is_hit(row) and row["cache_saved_cost"] is None for row in rows),
    "avg_hit_latency": lambda rows: _mean_latency([row for row in rows if _is_hit(row)]),
    "avg_miss_latency": lambda rows: _mean_latency([row for row in rows if not _is_hit(row)]),
    "rescued_by_retry": lambda rows: sum(map(_is_retried, rows)),
    "rescued_by_fallback": lambda rows: sum(map(_is_fallen_back, rows)),
}

FEEDBACK_MEASURES = ("feedbacks", "requests_with_feedback", "avg_weighted_feedback")
"""What a group of requests has by its traces."""

GIVEN_MEASURES: dict[str, Callable[[Sequence[Row]], Any]] = {
    "feedbacks": len,
    "avg_weighted_feedback": lambda given: _divided(sum(_known(given, "weighted")), len(_known(given, "weighted"))),
}
"""What rows of feedback add up to."""
