"""Series and graphs in plain Python: buckets by the clock of the zone, every field of every graph written out by hand.

Nothing of it is shared with what is tested: not the table of graphs, not the arithmetic of buckets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from tests.factories.oracle import GIVEN_MEASURES, MEASURES, Oracle, Row
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery, Question

STEPS = {"minute": 1, "5m": 5, "15m": 15, "hour": 60}
"""Minutes of the buckets that follow the wall clock."""
Answer = dict[str, Any]


def bucket_of(instant: datetime, granularity: str, zone: tzinfo) -> datetime:
    """Where the bucket starts that an instant is in. For zones whose clocks change by whole hours."""
    local = instant.astimezone(zone).replace(second=0, microsecond=0)
    if granularity in STEPS:
        minute = local.hour * 60 + local.minute
        local = local.replace(minute=(minute - minute % STEPS[granularity]) % 60 if granularity != "hour" else 0)
        return local.astimezone(UTC)
    midnight = local.replace(hour=0, minute=0, fold=0)
    if granularity == "week":
        midnight = midnight - timedelta(days=midnight.weekday())
    if granularity == "month":
        midnight = midnight.replace(day=1)
    return midnight.astimezone(UTC)


def buckets_of(since: datetime, until: datetime, granularity: str, zone: tzinfo) -> list[datetime]:
    """Every bucket from the one of `since` to the one of `until`, by looking at every minute or hour of the time."""
    step = timedelta(minutes=1) if granularity in ("minute", "5m", "15m") else timedelta(minutes=15)
    found, at = {bucket_of(until, granularity, zone)}, since
    while at <= until:
        found.add(bucket_of(at, granularity, zone))
        at += step
    return sorted(found)


def series(
    truth: Oracle, query: Question, measures: Sequence[str], granularity: str, zone: tzinfo
) -> tuple[list[Row], Row]:
    """The lines of each bucket that holds rows, by bucket and keys, and the line of the whole time."""
    rows = truth.rows_of(query)
    of = GIVEN_MEASURES if query.dataset is FEEDBACKS else MEASURES
    starts = buckets_of(query.since, query.until, granularity, zone)
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(starts.index(bucket_of(row["created_at"], granularity, zone)), []).append(row)
    lines = [{"bucket": place, **{name: of[name](groups[place]) for name in measures}} for place in sorted(groups)]
    return lines, {name: of[name](rows) for name in measures}


@dataclass(frozen=True)
class Asked:
    """What is asked of a graph."""

    scope: TenantScope
    since: datetime
    until: datetime
    granularity: str
    zone: tzinfo
    conditions: tuple[Condition, ...] = ()


def graph(truth: Oracle, path: str, asked: Asked) -> Answer:
    """The whole answer of a graph, numbers as JSON has them."""
    on_feedback = path in ("feedbacks", "feedbacks/scores", "feedbacks/weighted")
    question = GroupedQuery(
        asked.scope,
        asked.since,
        asked.until,
        measures=("feedbacks",) if on_feedback else ("requests",),
        conditions=() if on_feedback else asked.conditions,
        trace_conditions=asked.conditions if on_feedback else (),
        **({"dataset": FEEDBACKS} if on_feedback else {}),
    )
    rows = truth.rows_of(question)
    if path in _BY_VALUE:
        summary, points = _BY_VALUE[path](truth, asked.scope, rows)
        return _answer(summary, points)
    starts = buckets_of(asked.since, asked.until, asked.granularity, asked.zone)
    groups: dict[datetime, list[Row]] = {start: [] for start in starts}
    for row in rows:
        groups[bucket_of(row["created_at"], asked.granularity, asked.zone)].append(row)
    of_summary, of_point = _TIMED[path]
    points = [{"timestamp": _text(start), **of_point(inside)} for start, inside in groups.items()]
    if path == "cache/hit-rate":
        _run_up(points, list(groups.values()))
    return _answer(of_summary(rows), points)


def _answer(summary: Answer, points: list[Answer]) -> Answer:
    return {"object": "analytics-graph", "summary": summary, "data_points": points}


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


def _zero(value: Any) -> Any:
    return 0 if value is None else value


def _picked(**names: str) -> Callable[[Sequence[Row]], Answer]:
    return lambda rows: {name: _zero(MEASURES[measure](rows)) for name, measure in names.items()}


def _cost(rows: Sequence[Row]) -> Answer:
    cost, mean = (MEASURES[name](rows) for name in ("cost", "avg_cost"))
    if not rows:
        cost = mean = 0
    return {"total": cost, "avg": mean, "unpriced_requests": sum(row["cost"] is None for row in rows)}


def _given(rows: Sequence[Row]) -> Answer:
    return {"total": len(rows)}


def _weighted(rows: Sequence[Row]) -> Answer:
    return {"avg": _zero(GIVEN_MEASURES["avg_weighted_feedback"](rows))}


def _failed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["is_success"] is False]


def _counted(rows: Sequence[Row], column: str, key: str, count: str = "count") -> list[Answer]:
    values = sorted({row[column] for row in rows})
    return [{key: value, count: sum(row[column] == value for row in rows)} for value in values]


def _stats(rows: Sequence[Row]) -> Answer:
    return {"stats": _counted(_failed(rows), "response_status_code", "response_status_code")}


def _retries(rows: Sequence[Row]) -> Answer:
    retried = [row for row in rows if row["is_success"] is True and (row["retry_success_count"] or 0) > 0]
    listed = _counted(retried, "retry_success_count", "retry_success_count")
    return {"retry": listed, "fallback": MEASURES["rescued_by_fallback"](rows)}


def _run_up(points: list[Answer], buckets: Sequence[Sequence[Row]]) -> None:
    for kind, hit in (("simple", "simple_cache_savings"), ("semantic", "semantic_cache_savings")):
        total = Decimal(0)
        for point, rows in zip(points, buckets, strict=True):
            total += MEASURES[hit](rows) or 0
            point[f"cumulative_{kind}_cache_savings"] = total


def _status_codes(truth: Oracle, scope: TenantScope, rows: Sequence[Row]) -> tuple[Answer, list[Answer]]:
    codes = _counted(_failed(rows), "response_status_code", "status_code")
    return {"total_errors": len(_failed(rows)), "unique_error_codes": len(codes)}, codes


def _scores(truth: Oracle, scope: TenantScope, rows: Sequence[Row]) -> tuple[Answer, list[Answer]]:
    return {"total": len(rows)}, _counted(rows, "value", "score", "total")


def _models(truth: Oracle, scope: TenantScope, rows: Sequence[Row]) -> tuple[Answer, list[Answer]]:
    points: list[Answer] = []
    for model in sorted({row["ai_model"] or "" for row in rows}, key=lambda text: text.encode()):
        own = [row for row in rows if (row["ai_model"] or "") == model]
        total = truth.number("feedbacks", scope, own)
        if total:
            mean = _zero(truth.number("avg_weighted_feedback", scope, own))
            points.append({"ai_model": model, "total": total, "avg_weighted_feedback": mean})
    return {}, points


_LATENCY = _picked(avg="avg_latency", p50="p50_latency", p90="p90_latency", p99="p99_latency")
_HITS = _picked(
    simple_hits="simple_hits", semantic_hits="semantic_hits", rate="cache_hit_rate", unpriced_hits="unpriced_hits"
)
_TIMED: dict[str, tuple[Callable[[Sequence[Row]], Answer], Callable[[Sequence[Row]], Answer]]] = {
    "requests": (_picked(total="requests"), _picked(total="requests")),
    "cost": (_cost, _cost),
    "latency": (_LATENCY, _LATENCY),
    "tokens": (_picked(total="total_tokens", avg="avg_tokens"), _picked(total="total_tokens", avg="avg_tokens")),
    "users": (_picked(total="users"), _picked(total="users")),
    "users/requests": (
        _picked(total="user_requests", unique="users", avg="requests_per_user"),
        _picked(avg="requests_per_user"),
    ),
    "errors": (_picked(total="error_count"), _picked(total="error_count")),
    "errors/rate": (_picked(rate="error_rate"), _picked(rate="error_rate")),
    "errors/stacks": (_picked(total="error_count"), _stats),
    "requests/rescued": (_picked(retry="rescued_by_retry", fallback="rescued_by_fallback"), _retries),
    "cache/hit-rate": (_picked(total="cache_hits", rate="cache_hit_rate", unpriced_hits="unpriced_hits"), _HITS),
    "cache/latency": (lambda _: {}, _picked(avg="avg_hit_latency")),
    "feedbacks": (_given, _given),
    "feedbacks/weighted": (_weighted, _weighted),
}
_BY_VALUE: dict[str, Callable[[Oracle, TenantScope, Sequence[Row]], tuple[Answer, list[Answer]]]] = {
    "errors/status-codes": _status_codes,
    "feedbacks/scores": _scores,
    "feedbacks/ai-models": _models,
}
PATHS = (*_TIMED, *_BY_VALUE)
