"""A trace as a tree: every request is in it exactly once, whatever its span says of its parent."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.traces import rendering
from api.traces.tree import DEEPEST, Node, in_order, roots_of
from warehouse.query.logs import COLUMNS

START = datetime(2026, 4, 1, tzinfo=UTC)


def span(number: int, span_id: str | None, parent: str | None = None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"feedback_count": 0, "weighted_feedback": None, "metadata.key": [], "metadata.value": []}
    at = START + timedelta(seconds=number)
    return row | {"id": f"log-{number}", "created_at": at, "span_id": span_id, "parent_span_id": parent}


def shape(nodes: list[Node]) -> list[Any]:
    return [(node.row["id"], shape(node.children)) for node in nodes]


def test_children_stand_below_their_parents_in_order() -> None:
    rows = [span(0, "b", "a"), span(1, "a"), span(2, "c", "a"), span(3, "d", "c")]
    assert shape(roots_of(rows)) == [("log-1", [("log-0", []), ("log-2", [("log-3", [])])])]
    assert [node.depth for node in in_order(roots_of(rows))] == [0, 1, 1, 2]


def test_orphans_are_roots_and_say_so() -> None:
    roots = roots_of([span(0, "a", "absent"), span(1, None, None), span(2, "b", ""), span(3, None, "a")])
    assert [(node.row["id"], node.is_orphan) for node in roots] == [("log-0", True), ("log-1", False), ("log-2", False)]
    assert [child.row["id"] for child in roots[0].children] == ["log-3"]


def test_circles_are_cut_at_their_first_span() -> None:
    assert shape(roots_of([span(0, "a", "a")])) == [("log-0", [])]
    two = [span(0, "a", "b"), span(1, "b", "a"), span(2, "c", "b")]
    assert shape(roots_of(two)) == [("log-0", [("log-1", [("log-2", [])])])]
    beside = [span(0, "x", "c"), span(1, "a", "c"), span(2, "b", "a"), span(3, "c", "b")]
    assert shape(roots_of(beside)) == [("log-1", [("log-2", [("log-3", [("log-0", [])])])])]


def test_a_span_id_that_is_there_twice_has_its_children_at_the_first() -> None:
    rows = [span(0, "a"), span(1, "a"), span(2, "b", "a")]
    assert shape(roots_of(rows)) == [("log-0", [("log-2", [])]), ("log-1", [])]


@given(st.integers(0, 2**32), st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_every_request_is_there_once(seed: int, count: int) -> None:
    random = Random(seed)
    names = [None, "", *map(str, range(12))]
    rows = [span(number, random.choice(names), random.choice(names)) for number in range(count)]
    nodes = in_order(roots_of(rows))
    assert sorted(node.row["id"] for node in nodes) == sorted(row["id"] for row in rows)
    assert text_ids(rendering.trace("t", rows, is_cut=False)) == sorted(row["id"] for row in rows)


def test_a_very_deep_trace_can_be_written_as_json() -> None:
    rows = [span(number, str(number), str(number - 1) if number else None) for number in range(5000)]
    told = rendering.trace("t", rows, is_cut=False)
    assert text_ids(told) == sorted(row["id"] for row in rows)
    depth, at = 0, told["spans"][0]
    while at["children"]:
        depth, at = depth + 1, at["children"][0]
    assert depth == DEEPEST + 1
    assert in_order(roots_of(rows))[-1].depth == 4999


def text_ids(told: dict[str, Any]) -> list[str]:
    import orjson

    body = json.loads(orjson.dumps(told))
    found: list[str] = []
    waiting = list(body["spans"])
    while waiting:
        one = waiting.pop()
        found.append(one["log_id"])
        waiting += one["children"]
    return sorted(found)
