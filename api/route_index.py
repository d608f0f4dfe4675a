"""Finding the route of a request without trying one after the other: by the words of its path.

The framework tries every route's pattern in turn, which with hundreds of routes costs more than all else of a small
request. The index finds the few routes that can fit, in the order in which they were declared; which of them does,
and what follows, is the framework's as ever.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from api.routing import Gate

_CHOSEN = "gateledger.route"
_REST = ":path}"
"""How a parameter ends that takes the rest of the path."""


@dataclass(slots=True)
class _Node:
    """What can follow some words of a path."""

    words: "dict[str, _Node]" = field(default_factory=dict[str, "_Node"])
    parameter: "_Node | None" = None
    ends: list[int] = field(default_factory=list[int])
    """Routes that end here, by their numbers."""
    rests: list[int] = field(default_factory=list[int])
    """Routes that take whatever follows."""


class RouteIndex(BaseRoute):
    """All routes of the app as one."""

    def __init__(self, routes: Sequence[Gate]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        for number, route in enumerate(routes):
            self._add(number, route.path)
        self._whole = dict(self._whole_paths())

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        partial: tuple[Match, Scope] | None = None
        for route in self.candidates(scope["path"]):
            match, child = route.matches(scope)
            if match is Match.NONE:
                continue
            child[_CHOSEN] = route
            if match is Match.FULL:
                return match, child
            partial = partial or (match, child)
        return partial or (Match.NONE, {})

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        route: Gate = scope[_CHOSEN]
        await route.handle(scope, receive, send)

    def direct(self, scope: Scope) -> Gate | None:
        """The route of a request, when nothing of the framework is needed on the way to it. The scope then names it."""
        path, method = scope["path"], scope["method"]
        gate = None if scope.get("root_path") else self._whole.get((method, path))
        if gate is not None:
            scope.update(route=gate, path_params={})
            return gate
        match, child = self.matches(scope)
        if match is not Match.FULL or not child[_CHOSEN].is_direct:
            return None
        scope.update(child)
        return child[_CHOSEN]

    def _whole_paths(self) -> Iterator[tuple[tuple[str, str], Gate]]:
        """(Method, path) → the route that all such requests go to, where it is a direct one without parameters."""
        for route in self.routes:
            for method in route.methods or ():
                _, child = self.matches({"type": "http", "method": method, "path": route.path, "root_path": ""})
                if route.is_direct and "{" not in route.path and child[_CHOSEN] is route:
                    yield (method, route.path), route

    def candidates(self, path: str) -> Sequence[Gate]:
        """The routes that can fit a path, in the order in which they were declared."""
        found: list[int] = []
        _collect(self._root, path.split("/"), 0, found)
        return [self.routes[number] for number in sorted(set(found))]

    def _add(self, number: int, template: str) -> None:
        node = self._root
        for word in template.split("/"):
            if _REST in word:
                node.rests.append(number)
                return
            if "{" in word:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.words.setdefault(word, _Node())
        node.ends.append(number)


def served(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Every route, those of an index one by one."""
    return [each for route in routes for each in (route.routes if isinstance(route, RouteIndex) else (route,))]


def _collect(node: _Node, words: Sequence[str], at: int, found: list[int]) -> None:
    found += node.rests
    if at == len(words):
        found += node.ends
        return
    following = node.words.get(words[at])
    if following is not None:
        _collect(following, words, at + 1, found)
    if node.parameter is not None:
        _collect(node.parameter, words, at + 1, found)
