"""Graphs and summaries as JSON. Source: dataplane contract 1.6, 1.7, 2.1, 2.2.

Every bucket of time has a point, in ascending order. What counts nothing is 0. Only money can be unknown: it is null
where there are requests and none of them has a price.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from api.analytics.graphs import SPEEDUP, Field, Graph, Stack, Summary
from api.analytics.rendering import instant, money
from warehouse.catalog import registry
from warehouse.catalog.model import Dataset, Kind, Ratio
from warehouse.query.run import BUCKET, GroupedAnswer, SeriesAnswer
from warehouse.query.spec import dimension_of

GRAPH_OBJECT, SUMMARY_OBJECT = "analytics-graph", "analytics-summary"

Line = Mapping[str, Any]


def graph(of: Graph, answer: SeriesAnswer) -> dict[str, Any]:
    """The envelope of a graph."""
    whole = answer.whole.to_pylist()
    return {
        "object": GRAPH_OBJECT,
        "summary": _numbers(of.dataset, of.summary, whole[0] if whole else None),
        "data_points": list(_values(of, answer) if of.key else _buckets(of, answer)),
    }


def summary(of: Summary, dataset: Dataset, answer: GroupedAnswer) -> dict[str, Any]:
    """The envelope of a summary."""
    lines = answer.rows.to_pylist()
    numbers = _numbers(dataset, of.fields, lines[0] if lines else None)
    if SPEEDUP in numbers:
        numbers[SPEEDUP] = _speedup(lines[0]) if lines else 0
    return {"object": SUMMARY_OBJECT, "summary": numbers}


def _values(of: Graph, answer: SeriesAnswer) -> Iterable[dict[str, Any]]:
    """A point per value of the dimension."""
    key = dimension_of(of.dataset, of.dimension).key
    for line in answer.points.to_pylist():
        if line[of.points[0].measure]:
            yield {of.key: line[key], **_numbers(of.dataset, _fields(of), line)}


def _buckets(of: Graph, answer: SeriesAnswer) -> Iterable[dict[str, Any]]:
    lines: dict[int, list[Line]] = {}
    for line in answer.points.to_pylist():
        lines.setdefault(line[BUCKET], []).append(line)
    running = {field.name: Decimal(0) for field in _fields(of) if field.running}
    for place, start in enumerate(answer.starts):
        in_bucket = lines.get(place, [])
        for field in _fields(of):
            if field.running:
                running[field.name] += sum((line[field.measure] or Decimal(0) for line in in_bucket), Decimal(0))
        point: dict[str, Any] = {"timestamp": instant(start)}
        for part in of.points:
            if isinstance(part, Stack):
                point[part.name] = _stacked(of, part, in_bucket)
            elif part.running:
                point[part.name] = money(running[part.name])
            elif of.dimension:
                point[part.name] = sum(line[part.measure] for line in in_bucket)
            else:
                point[part.name] = _number(of.dataset, part.measure, in_bucket[0] if in_bucket else None)
        yield point


def _stacked(of: Graph, stack: Stack, lines: Sequence[Line]) -> list[dict[str, Any]]:
    key = dimension_of(of.dataset, of.dimension).key
    return [{stack.key: line[key], stack.count: line[stack.measure]} for line in lines if line[stack.measure]]


def _fields(of: Graph) -> list[Field]:
    return [part for part in of.points if isinstance(part, Field)]


def _numbers(dataset: Dataset, fields: Iterable[Field], line: Line | None) -> dict[str, Any]:
    return {field.name: _number(dataset, field.measure, line) for field in fields}


def _number(dataset: Dataset, name: str, line: Line | None) -> Any:
    if line is None:
        return 0
    value = line[name]
    if value is None:
        return None if _is_of_money(dataset, name) and line[dataset.count.name] else 0
    return money(value) if isinstance(value, Decimal) else value


def _is_of_money(dataset: Dataset, name: str) -> bool:
    measure = registry.measure(dataset, name)
    return (dataset.measure(measure.numerator) if isinstance(measure, Ratio) else measure).kind is Kind.MONEY


def _speedup(line: Line) -> float:
    hit, miss = line["avg_hit_latency"], line["avg_miss_latency"]
    return (miss - hit) / miss * 100 if miss and hit is not None else 0
