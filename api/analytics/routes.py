"""Graphs, groups and summaries. Source: dataplane contract 2.

A graph, a listing and a summary is a row of a table; this page serves every row of it.
"""

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response

from api.analytics import catalog_page, documented, documented_answers, service
from api.analytics.graph_parameters import parse_graph, parse_periods
from api.analytics.graphs import GRAPHS, SUMMARIES, Graph, Summary
from api.analytics.listings import LISTINGS, METADATA_KEY, Listing
from api.analytics.parameters import parse_groups, parse_listing
from api.analytics.selection import check_known
from api.dependencies import Caller, Db, Parts
from api.permissions import needs
from api.routing import Router

router = Router("analytics")

JSON = "application/json"
Endpoint = Callable[[Request, Caller, Parts, Db], Response]


def _documented(parameters: list[dict[str, Any]], description: str, schema: dict[str, Any]) -> dict[str, Any]:
    answer = {"description": description, "content": {JSON: {"schema": schema}}}
    return {"response_class": Response, "openapi_extra": {"parameters": parameters}, "responses": {200: answer}}


def _of_graph(graph: Graph) -> Endpoint:
    def draw(request: Request, caller: Caller, parts: Parts, session: Db) -> Response:
        wanted = parse_graph(graph, request.query_params)
        check_known(wanted.periods.current.as_known_at, parts.clock())
        asking = service.Asking(session, parts.engine, parts.settings, caller)
        return Response(service.drawn(asking, wanted), media_type=JSON)

    return draw


def _of_summary(summary: Summary) -> Endpoint:
    def sum_up(request: Request, caller: Caller, parts: Parts, session: Db) -> Response:
        wanted = parse_periods(request.query_params)
        check_known(wanted.current.as_known_at, parts.clock())
        asking = service.Asking(session, parts.engine, parts.settings, caller)
        return Response(service.summed(asking, summary, wanted), media_type=JSON)

    return sum_up


def _of_listing(listing: Listing) -> Endpoint:
    def list_(request: Request, caller: Caller, parts: Parts, session: Db) -> Response:
        wanted = parse_listing(listing, request.path_params.get(METADATA_KEY, ""), request.query_params)
        check_known(wanted.as_known_at, parts.clock())
        asking = service.Asking(session, parts.engine, parts.settings, caller)
        return Response(service.grouped(asking, wanted, listing), media_type=JSON)

    return list_


def _register() -> None:
    """Serve every row of the tables; before the route of any group-by, whose place in the path is the same."""
    view = needs("analytics.view")
    for graph in GRAPHS:
        told = _documented(documented.graph_parameters(graph), "The graph.", documented_answers.graph_schema(graph)) | {
            "summary": graph.title
        }
        draw = _of_graph(graph)
        name = graph.path.replace("/", "_").replace("-", "_")
        router.get(f"/analytics/graphs/{graph.path}", permission=view, operation_id=f"analytics_graph_{name}", **told)(
            draw
        )
        aliases = [f"/analytics/graphs/{alias}" for alias in graph.aliases]
        router.get(*aliases, permission=view, include_in_schema=False)(draw)
    for summary in SUMMARIES:
        told = _documented(
            documented.summary_parameters(), "The summary.", documented_answers.summary_schema(summary)
        ) | {"summary": summary.title, "operation_id": f"analytics_summary_{summary.path}"}
        router.get(f"/analytics/summary/{summary.path}", permission=view, **told)(_of_summary(summary))
    for listing in LISTINGS:
        told = _documented(
            documented.listing_parameters(listing),
            "The groups of one page.",
            documented_answers.listing_schema(listing),
        ) | {"summary": listing.summary, "operation_id": f"analytics_groups_{listing.name}"}
        router.get(f"/analytics/groups/{listing.path}", permission=view, **told)(_of_listing(listing))


_register()
_GROUPS = _documented(documented.group_parameters(), "The groups of one page.", documented_answers.groups_schema())


@router.get(
    "/analytics/groups/{groupBy}",
    permission=needs("analytics.view"),
    operation_id="analytics_groups",
    summary="Requests, cost, tokens and latency by group",
    **_GROUPS,
)
@router.get(
    "/logs/groups/{groupBy}",
    permission=needs("analytics.view") | needs("logs.list"),
    operation_id="logs_groups",
    summary="The same, by its other name",
    **_GROUPS,
)
def groups(request: Request, caller: Caller, parts: Parts, session: Db) -> Response:
    """Groups of the caller's requests. Only the request count is answered unless `columns` asks for more."""
    wanted = parse_groups(request.path_params["groupBy"], request.query_params)
    check_known(wanted.as_known_at, parts.clock())
    asking = service.Asking(session, parts.engine, parts.settings, caller)
    return Response(service.grouped(asking, wanted), media_type=JSON)


@router.get(
    "/analytics/catalog",
    permission=needs("analytics.view"),
    operation_id="analytics_catalog",
    summary="Everything that can be asked: dimensions, measures, filters and graphs, with their units",
    response_model=catalog_page.CatalogAnswer,
)
def catalog() -> catalog_page.CatalogAnswer:
    """The same for every caller: it holds no data."""
    return catalog_page.content()
