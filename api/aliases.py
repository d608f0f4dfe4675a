"""Routes under a second path: clients call some resources by an administration path and by a bare one."""

from dataclasses import replace

from api.routing import Router


def serve_also(router: Router, path: str, alias: str) -> None:
    """Every route of the router below `path` is served below `alias` too; the OpenAPI document names the first only."""
    start = router.base + path
    for route in tuple(router.declared):
        if route.path == start or route.path.startswith(start + "/"):
            other = router.base + alias + route.path[len(start) :]
            router.declared.append(replace(route, path=other, options={**route.options, "include_in_schema": False}))
