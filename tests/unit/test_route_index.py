"""The index finds just the route that trying one after the other would find."""

from typing import Any

import pytest
from starlette.routing import Match

from api.app import ROUTERS
from api.permissions import PUBLIC
from api.route_index import RouteIndex, served
from api.routing import Gate, Router, gates


def built(*routers: Router) -> tuple[Gate, ...]:
    return gates(routers, body_limit_bytes=1, large_body_limit_bytes=1)


def by_trying(routes: tuple[Gate, ...], scope: dict[str, Any]) -> tuple[Match, Gate | None]:
    partial: Gate | None = None
    for route in routes:
        match, _ = route.matches(dict(scope))
        if match is Match.FULL:
            return match, route
        if match is Match.PARTIAL and partial is None:
            partial = route
    return (Match.PARTIAL, partial) if partial else (Match.NONE, None)


def by_index(index: RouteIndex, scope: dict[str, Any]) -> tuple[Match, Gate | None]:
    match, child = index.matches(dict(scope))
    return match, child.get("route")


@pytest.fixture(scope="module")
def routes() -> tuple[Gate, ...]:
    odd = Router("odd")
    for path in ("/odd/fixed", "/odd/{id}", "/odd/{id}/x", "/odd/fixed/x", "/odd/{rest:path}", "/odd/{a}.json"):
        odd.get(path, permission=PUBLIC)(lambda: None)
    odd.put("/odd/{id}", permission=PUBLIC)(lambda: None)
    return built(*ROUTERS, odd)


def test_every_route_is_found_as_before(routes: tuple[Gate, ...]) -> None:
    index = RouteIndex(routes)
    tails = ("", "/", "/x", "/fixed", "/a/b/c")
    paths = {route.path.replace("{", "").replace("}", "").replace(":path", "") for route in routes}
    words = {path.replace("id", value) for path in paths for value in ("fixed", "a.json", "ws-1", "%2F", "")}
    assert len(words) > 100
    for path in {word + tail for word in words for tail in tails} | {"", "/", "//", "/v1", "nonsense"}:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            scope = {"type": "http", "method": method, "path": path, "headers": [], "root_path": ""}
            match, route = by_trying(routes, scope)
            assert by_index(index, scope) == (match, route), (method, path)
            wanted = route if match is Match.FULL and route is not None and route.is_direct else None
            assert index.direct(scope) is wanted, (method, path)
            if wanted is not None:
                _, child = wanted.matches(scope)
                assert (scope["route"], scope["path_params"]) == (wanted, child["path_params"])


def test_most_routes_are_direct(routes: list[Gate]) -> None:
    assert sum(route.is_direct for route in routes) > len(routes) / 2
    assert next(route for route in routes if route.path == "/v1/policies/evaluate").is_direct


def test_few_routes_are_tried(routes: tuple[Gate, ...]) -> None:
    index = RouteIndex(routes)
    assert max(len(index.candidates(route.path)) for route in routes) <= 12
    assert tuple(served([index])) == routes


def test_the_rest_of_a_path_may_hold_a_line_break(routes: tuple[Gate, ...]) -> None:
    scope = {"type": "http", "method": "GET", "path": "/v1/odd/a/b\nc\n", "headers": [], "root_path": ""}
    match, child = RouteIndex(routes).matches(scope)
    assert (match, child["path_params"]) == (Match.FULL, {"rest": "a/b\nc\n"})
