"""`GET /traces`, `/traces/{trace_id}`, `/traces/{trace_id}/spans`, `/spans`. Source: dataplane contract 3.3."""

from typing import Any

from fastapi import Request, Response

from api.dependencies import Caller, Db, Now, Parts
from api.errors import ErrorAnswer
from api.logs.documented import list_parameters, path_parameter
from api.logs.parameters import ORDER_ALIASES, parse_list
from api.logs.service import Reading
from api.permissions import needs
from api.routing import Router
from api.traces import service
from api.traces.schemas import Spans, Trace, TraceRows
from warehouse.query.logs import SORTABLE
from warehouse.query.traces import SORTS

router = Router("traces")

JSON = "application/json"
TRACE_ALIASES = {"created_at": "first_seen", "cost": "total_cost", "duration": "duration_ms", "span_count": "requests"}
_SEARCHED = "ids, models, providers, users, keys, configs, prompts, span names and metadata"
_ONE: dict[str, Any] = {
    "openapi_extra": {"parameters": [path_parameter("trace_id", "Id of the trace.")]},
    "responses": {404: {"model": ErrorAnswer, "description": "AB08: there is no such trace."}},
}


@router.get(
    "/traces",
    permission=needs("logs.list"),
    operation_id="list_traces",
    summary="Traces by their requests",
    response_model=TraceRows,
    openapi_extra={"parameters": list_parameters(tuple(SORTS), TRACE_ALIASES, _SEARCHED)},
)
def list_traces(request: Request, caller: Caller, parts: Parts, session: Db, now: Now) -> Response:
    """Traces of which a request passes the filters; their numbers are of all their requests within the time."""
    wanted = parse_list(request.query_params, now, sortable=tuple(SORTS), aliases=TRACE_ALIASES)
    return Response(service.listed(_reading(caller, parts, session), wanted), media_type=JSON)


@router.get(
    "/traces/{trace_id}",
    permission=needs("logs.list"),
    operation_id="read_trace",
    summary="One trace as a tree of spans",
    response_model=Trace,
    **_ONE,
)
def read_trace(request: Request, caller: Caller, parts: Parts, session: Db) -> Response:
    """A span whose parent is not there is a root."""
    found = service.one(_reading(caller, parts, session), request.path_params["trace_id"])
    return Response(found, media_type=JSON)


@router.get(
    "/traces/{trace_id}/spans",
    permission=needs("logs.list"),
    operation_id="list_spans_of_trace",
    summary="The spans of one trace, and what they amount to",
    response_model=Spans,
    **_ONE,
)
def list_spans_of_trace(request: Request, caller: Caller, parts: Parts, session: Db) -> Response:
    """One after the other, parents before their children; `depth` says how deep each stands."""
    found = service.spans_of(_reading(caller, parts, session), request.path_params["trace_id"])
    return Response(found, media_type=JSON)


@router.get(
    "/spans",
    permission=needs("logs.list"),
    operation_id="list_spans",
    summary="Spans of any trace, and what all of them amount to",
    response_model=Spans,
    openapi_extra={"parameters": list_parameters(SORTABLE, ORDER_ALIASES, _SEARCHED)},
)
def list_spans(request: Request, caller: Caller, parts: Parts, session: Db, now: Now) -> Response:
    """`trace_id` takes several traces, comma-separated."""
    wanted = parse_list(request.query_params, now)
    return Response(service.spans(_reading(caller, parts, session), wanted), media_type=JSON)


def _reading(caller: Caller, parts: Parts, session: Db) -> Reading:
    return Reading(session, parts.engine, parts.settings, caller, parts.logs)
