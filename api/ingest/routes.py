"""`POST /ingest/{generations,logs,feedbacks}` and `POST /ingest/hook`. Source: DECISIONS "ingest by a gateway"."""

from typing import Annotated, Any

import orjson
from fastapi import Depends, Request, Response

from api.dependencies import Caller, Db, Parts
from api.ingest.schemas import Accepted
from api.ingest.service import Kind, Sent, accept
from api.permissions import needs
from api.routing import Router

router = Router("ingest")

_RECORD = {"type": "object", "additionalProperties": True}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "A JSON array, NDJSON or one object; as it is, or with Content-Encoding gzip or zstd.",
        "content": {
            "application/json": {"schema": {"oneOf": [{"type": "array", "items": _RECORD}, _RECORD]}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
}


async def _sent(request: Request) -> Sent:
    return Sent(await request.body(), request.headers.get("content-encoding", ""))


Body = Annotated[Sent, Depends(_sent)]


def _declare(path: str, kind: Kind, what: str) -> None:
    options: dict[str, Any] = {
        "operation_id": f"ingest_{kind.value}",
        "summary": f"Store {what}",
        "response_model": Accepted,
        "openapi_extra": _BODY,
        "large_body": True,
        "audited": False,
    }

    def ingest(caller: Caller, parts: Parts, session: Db, sent: Body) -> Response:
        """Answers once every record is on disk; it is in the answers of analytics a moment later."""
        limit = parts.settings.ingest_limit_bytes
        ids = accept(session, parts.spool, parts.owners, caller, kind, sent, limit_bytes=limit)
        answer = Accepted(message="Logs successfully saved", log_ids=ids)
        return Response(orjson.dumps(answer.model_dump()), media_type="application/json")

    router.post(path, permission=needs("logs.write"), **options)(ingest)


_declare("/ingest/generations", Kind.GENERATIONS, "analytics rows as a gateway writes them")
_declare("/ingest/logs", Kind.LOGS, "log objects as a gateway writes them")
_declare("/ingest/feedbacks", Kind.FEEDBACKS, "feedback rows as a gateway writes them")
_declare("/ingest/hook", Kind.HOOKS, "what the log hook of the open-source gateway sends")
