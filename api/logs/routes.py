"""`POST /logs`, `GET /logs`, `GET /logs/{id}` and their aliases. Source: dataplane contract 3.1 to 3.3."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request, Response
from starlette.datastructures import QueryParams

from api.analytics.instants import parse_instant
from api.analytics.selection import chosen
from api.dependencies import Caller, Db, Now, Parts
from api.errors import ErrorAnswer, NotFound
from api.ingest.body import decompressed
from api.ingest.schemas import Accepted
from api.logs import insert, service
from api.logs.documented import list_parameters, path_parameter
from api.logs.parameters import ORDER_ALIASES, parse_list
from api.logs.schemas import LogObject, LogRows
from api.permissions import needs
from api.routing import Router
from warehouse.logstore.paths import PathFormat
from warehouse.query.logs import SORTABLE

router = Router("logs")

JSON = "application/json"
_LOG: dict[str, Any] = {
    "type": "object",
    "required": ["request", "response"],
    "additionalProperties": True,
    "properties": {
        "request": {
            "type": "object",
            "description": "What was asked: url, method, provider, headers, body. One log alone needs url and body.",
            "additionalProperties": True,
        },
        "response": {
            "type": "object",
            "description": "What was answered: status, headers, body, response_time (ms), streamingMode.",
            "additionalProperties": True,
        },
        "metadata": {
            "description": "Keys and values; also trace_id, span_id, span_name and parent_span_id.",
            "anyOf": [{"type": "object", "additionalProperties": True}, {"type": "string"}],
        },
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"One log, or an array of up to {insert.MOST_LOGS}; as it is, or with gzip or zstd.",
        "content": {JSON: {"schema": {"oneOf": [_LOG, {"type": "array", "items": _LOG}]}}},
    }
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request's body as it came, and its headers by their names in lower case."""

    content: bytes
    headers: Mapping[str, str]


async def _sent(request: Request) -> Sent:
    return Sent(await request.body(), request.headers)


Body = Annotated[Sent, Depends(_sent)]


@router.post(
    "/logs",
    permission=needs("completions.write", "logs.write"),
    operation_id="insert_logs",
    summary="Store logs of requests that no gateway saw",
    response_model=Accepted,
    openapi_extra=_BODY,
    large_body=True,
    audited=False,
)
def insert_logs(caller: Caller, parts: Parts, session: Db, now: Now, sent: Body) -> Response:
    """Answers once every log is on disk; it can be read and counted a moment later."""
    content = decompressed(sent.content, sent.headers.get("content-encoding", ""), parts.settings.ingest_limit_bytes)
    owner = parts.owners.of(session, caller)
    records = insert.spoolable(content, insert.Sender(caller, owner, sent.headers, now), parts.logs)
    ids = parts.spool.append(insert.KIND, tuple(records.values()), owner, tuple(records))
    answer = Accepted(message="Logs successfully saved", log_ids=ids)
    return Response(orjson.dumps(answer.model_dump()), media_type=JSON)


_SEARCHED = "ids, models, providers, users, keys, configs, prompts, span names and metadata"
_HINTS: list[dict[str, Any]] = [
    {
        "name": "path_format",
        "in": "query",
        "description": "How the log object is placed, where the log's row does not say.",
        "schema": {"type": "string", "enum": [form.value for form in PathFormat]},
    },
    {
        "name": "created_at",
        "in": "query",
        "description": "About when the request was made: finds an old log faster.",
        "schema": {"type": "string", "examples": ["2026-02-23T14:20:31Z"]},
    },
]


def _read(request: Request, caller: Caller, parts: Parts, session: Db, now: Now) -> Response:
    """Logs of the time asked for, without what was said in them. The newest first unless asked otherwise."""
    wanted = parse_list(request.query_params, now)
    reading = service.Reading(session, parts.engine, parts.settings, caller, parts.logs)
    return Response(service.listed(reading, wanted), media_type=JSON)


def _one(request: Request, caller: Caller, parts: Parts, session: Db, now: Now) -> Response:
    """What was asked and answered, where it is kept and the caller may see it; else what is known of the request."""
    reading = service.Reading(session, parts.engine, parts.settings, caller, parts.logs)
    hints = _hints(request.query_params)
    return Response(service.one(reading, request.path_params["id"], hints, now), media_type=JSON)


def _hints(query: QueryParams) -> service.Hints:
    form = chosen(query, "path_format", tuple(form.value for form in PathFormat))
    if chosen(query, "type", ("hooks", "generations")) == "hooks":
        raise NotFound("No results of hooks are kept of this log")
    at = query.get("created_at", "").strip()
    return service.Hints(PathFormat(form) if form else None, parse_instant("created_at", at) if at else None)


def _declare(path: str, name: str) -> None:
    parameters = list_parameters(SORTABLE, ORDER_ALIASES, _SEARCHED)
    router.get(
        path,
        permission=needs("logs.list"),
        operation_id=f"list_{name}",
        summary="Single requests",
        response_model=LogRows,
        openapi_extra={"parameters": parameters},
    )(_read)
    router.get(
        f"{path}/{{id}}",
        permission=needs("logs.view") | needs("logs.read") | needs("completions.write") | needs("logs.write"),
        operation_id=f"read_{name.removesuffix('s')}",
        summary="One request with what was asked and answered",
        response_model=LogObject,
        openapi_extra={"parameters": [path_parameter("id", "Id of the log."), *_HINTS]},
        responses={404: {"model": ErrorAnswer, "description": "AB08: there is no such log."}},
    )(_one)


_declare("/logs", "logs")
_declare("/generations", "generations")
