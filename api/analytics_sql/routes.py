"""`POST /analytics/query`: a caller's own SELECT over its own rows."""

import time
from typing import Any

from fastapi import Response

from api.analytics.service import Asking
from api.analytics_sql import service
from api.analytics_sql.schemas import SqlAnswer, SqlQuery, SqlSchema
from api.dependencies import Caller, Db, Now, Parts
from api.permissions import needs
from api.routing import Router
from warehouse.query.export import CONTENT_TYPES, Format

router = Router("analytics")

ROW_COUNT, TRUNCATED = "x-gateledger-row-count", "x-gateledger-truncated"
_HEADERS: dict[str, Any] = {
    ROW_COUNT: {"description": "Rows of the answer.", "schema": {"type": "integer"}},
    TRUNCATED: {"description": "Whether there are more rows than `limit`.", "schema": {"type": "boolean"}},
}
_CONTENT: dict[str, Any] = {
    "text/csv": {"schema": {"type": "string"}},
    CONTENT_TYPES[Format.NDJSON]: {"schema": {"type": "string"}},
    CONTENT_TYPES[Format.PARQUET]: {"schema": {"type": "string", "format": "binary"}},
}


@router.post(
    "/analytics/query",
    permission=needs("analytics.view"),
    operation_id="analytics_query",
    summary="Ask in SQL: one SELECT over the caller's own rows",
    response_model=SqlAnswer,
    responses={200: {"description": "The rows.", "headers": _HEADERS, "content": _CONTENT}},
    audited=False,
)
def query(wanted: SqlQuery, caller: Caller, session: Db, parts: Parts, now: Now) -> Response:
    """A query that is not allowed, cannot be answered, or takes more time or memory than it may, is a 400 that says
    why. CSV, NDJSON and Parquet are the rows alone; headers say how many, and whether there are more.
    """
    began_s = time.perf_counter()
    answer = service.answered(Asking(session, parts.engine, parts.settings, caller), wanted, now)
    told = {ROW_COUNT: str(answer.rows.num_rows), TRUNCATED: str(answer.truncated).lower()}
    if wanted.format is Format.JSON:
        content = service.as_json(answer, began_s)
    else:
        content = service.as_file(answer, wanted.format)
    return Response(content, media_type=CONTENT_TYPES[wanted.format], headers=told)


@router.get(
    "/analytics/query/schema",
    permission=needs("analytics.view"),
    operation_id="analytics_query_schema",
    summary="What a SQL query may name: views, columns, functions, limits",
    response_model=SqlSchema,
)
def schema(parts: Parts) -> SqlSchema:
    """The same for every caller: it holds no data."""
    return service.described(parts.settings, parts.engine)
