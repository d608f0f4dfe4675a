"""OTLP over HTTP: `POST /otel/v1/{traces,logs}`, also below `/logs`. Source: dataplane contract 3.4."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from api.dependencies import Caller, Db, Now, Parts
from api.ingest.body import decompressed
from api.otel import service
from api.otel.decoding import JSON, PROTOBUF, Encoding
from api.permissions import needs
from api.routing import Router

router = Router("otel")

PREFIXES = {"": "/otel/v1", "_below_logs": "/logs/otel/v1"}
"""Tools name their endpoint either way."""
_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {"partialSuccess": {"type": "object", "additionalProperties": True}},
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Export:
    """A request as it came."""

    content: bytes
    content_type: str
    content_encoding: str


async def _export(request: Request) -> Export:
    headers = request.headers
    return Export(await request.body(), headers.get("content-type", ""), headers.get("content-encoding", ""))


Sent = Annotated[Export, Depends(_export)]


def _declare(name: str, signal: service.Signal, summary: str) -> None:
    def export(caller: Caller, parts: Parts, session: Db, now: Now, sent: Sent) -> Response:
        """Answers once what is kept is on disk. What is about no model is counted in `partialSuccess`."""
        encoding = Encoding.of(sent.content_type)
        body = decompressed(sent.content, sent.content_encoding, parts.settings.ingest_limit_bytes)
        owner = parts.owners.of(session, caller)
        taken = service.taken(body, encoding, signal, caller, owner, parts.logs, now)
        parts.spool.append(service.KIND, taken.records, owner)
        return Response(service.written(signal.answer(taken.ignored), encoding), media_type=encoding.value)

    content = {PROTOBUF: {"schema": {"type": "string", "format": "binary"}}, JSON: {"schema": {"type": "object"}}}
    answers = {PROTOBUF: content[PROTOBUF], JSON: {"schema": _ANSWER}}
    for suffix, prefix in PREFIXES.items():
        router.post(
            f"{prefix}/{name}",
            permission=needs("logs.write"),
            operation_id=f"otlp_{name}{suffix}",
            summary=summary,
            response_class=Response,
            responses={200: {"description": "The OTLP answer, encoded as the request.", "content": answers}},
            openapi_extra={"requestBody": {"required": True, "content": content}},
            large_body=True,
            audited=False,
        )(export)


_declare("traces", service.TRACES, "Store spans about generative models")
_declare("logs", service.LOGS, "Store events that tell what a model used")
