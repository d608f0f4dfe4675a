"""`GET /analytics/groups/{groupBy}` and `GET /logs/groups/{groupBy}`. Source: dataplane contract 2.4."""

from fastapi import Request, Response

from api.analytics import documented, service
from api.analytics.parameters import check_known, parse_groups
from api.dependencies import Caller, Db, Parts
from api.permissions import needs
from api.routing import Router

router = Router("analytics")

_GROUPS = {
    "response_class": Response,
    "openapi_extra": {"parameters": documented.group_parameters()},
    "responses": {
        200: {
            "description": "The groups of one page.",
            "content": {"application/json": {"schema": documented.groups_schema()}},
        }
    },
}


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
    content = service.grouped(session, parts.engine, parts.settings, caller, wanted)
    return Response(content, media_type="application/json")
