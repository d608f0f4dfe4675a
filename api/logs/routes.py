"""`POST /logs`, `GET /logs`, `GET /logs/{id}` and their aliases. Source: dataplane contract 3.1 to 3.3."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request, Response

from api.dependencies import Caller, Db, Now, Parts
from api.ingest.body import decompressed
from api.ingest.schemas import Accepted
from api.logs import insert
from api.permissions import needs
from api.routing import Router

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
    ids = parts.spool.append(insert.KIND, records, owner)
    answer = Accepted(message="Logs successfully saved", log_ids=ids)
    return Response(orjson.dumps(answer.model_dump()), media_type=JSON)
