"""The requests of a trace as a tree of spans. Every request is in it exactly once, whatever its span says.

A span whose parent is not there is a root, and so is one of a circle of parents. Source: dataplane contract 3.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

DEEPEST = 60
"""Levels of nesting that an answer has; JSON readers give up on very deep ones. What is deeper stands at the last."""


@dataclass(slots=True)
class Node:
    """A request and what it called."""

    row: Row
    depth: int = 0
    is_orphan: bool = False
    """True where the span names a parent that the trace, as far as the caller sees it, does not hold."""
    children: "list[Node]" = field(default_factory=list["Node"])


def roots_of(rows: Sequence[Row]) -> list[Node]:
    """The roots of the tree, each with its children; all in the order of the rows."""
    nodes = [Node(row) for row in rows]
    by_span: dict[str, Node] = {}
    for node in nodes:
        span = node.row["span_id"]
        if span:
            by_span.setdefault(span, node)
    parents = [_parent_of(node, by_span) for node in nodes]
    heads = _heads(nodes, parents)
    roots: list[Node] = []
    for node, parent in zip(nodes, parents, strict=True):
        if parent is None or id(node) in heads:
            node.is_orphan = bool(node.row["parent_span_id"]) and id(node) not in heads
            roots.append(node)
        else:
            parent.children.append(node)
    _measure(roots)
    return roots


def in_order(roots: Sequence[Node]) -> list[Node]:
    """Every node, parents before their children."""
    found: list[Node] = []
    waiting = list(reversed(roots))
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(reversed(node.children))
    return found


def _parent_of(node: Node, by_span: Mapping[str, Node]) -> Node | None:
    parent = by_span.get(node.row["parent_span_id"] or "")
    return None if parent is node else parent


def _heads(nodes: Sequence[Node], parents: Sequence[Node | None]) -> set[int]:
    """For each circle of parents its first node, which has to stand for a root."""
    above = {id(node): parent for node, parent in zip(nodes, parents, strict=True)}
    settled: set[int] = set()
    heads: set[int] = set()
    for node in nodes:
        path: set[int] = set()
        at: Node | None = node
        while at is not None and id(at) not in settled:
            if id(at) in path:
                heads.add(_first_of_circle(at, above, nodes))
                break
            path.add(id(at))
            at = above[id(at)]
        settled |= path
    return heads


def _first_of_circle(start: Node, above: Mapping[int, Node | None], nodes: Sequence[Node]) -> int:
    circle = {id(start)}
    at = above[id(start)]
    while at is not None and id(at) not in circle:
        circle.add(id(at))
        at = above[id(at)]
    return next(id(node) for node in nodes if id(node) in circle)


def _measure(roots: Sequence[Node]) -> None:
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        for child in node.children:
            child.depth = node.depth + 1
        waiting.extend(node.children)
