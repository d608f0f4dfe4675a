"""A caller's SQL over the caller's own rows, and what it may name."""

import io
import time
from datetime import UTC, datetime
from typing import cast

import orjson
import pyarrow as pa

from api.analytics.instants import MAX, MIN, parse_instant, parse_start
from api.analytics.service import Asking
from api.analytics_sql.schemas import (
    LONGEST_TIMEOUT_S,
    MOST_PARAMETERS,
    MOST_ROWS,
    EngineDifference,
    FunctionEntry,
    SqlLimits,
    SqlQuery,
    SqlSchema,
    View,
    ViewColumn,
)
from api.errors import InvalidRequest
from api.settings import ApiSettings
from warehouse.catalog import registry
from warehouse.engines.base import Engine, Limits, Window
from warehouse.query import export
from warehouse.query.customer_differences import DIFFERENCES
from warehouse.query.customer_functions import FUNCTIONS, TYPES
from warehouse.query.customer_grammar import LONGEST
from warehouse.query.customer_sql import VIEW_TYPES, VIEWS, CustomerAnswer, CustomerQuery, run_customer

_MOST_MEMORY_MB = 1_024
_GRAMMAR = (
    "One SELECT as DuckDB writes it: WITH (not recursive), subqueries, UNION, EXCEPT, INTERSECT, JOIN, window "
    "functions, QUALIFY. Division gives a DOUBLE, and NULL by 0. CAST gives NULL where a value is none of that type. "
    "Instants are UTC. Money is in US cents. Parameters are written :name."
)


def answered(asking: Asking, wanted: SqlQuery, now: datetime) -> CustomerAnswer:
    """The rows that a query asks for, over no rows but the caller's.

    Raises: Forbidden, InvalidRequest, InvalidInput, QueryTooLarge, WarehouseBusy, WarehouseError.
    """
    named = (name.strip() for name in (wanted.workspace_slug or "").split(","))
    query = CustomerQuery(
        scope=asking.scope(tuple(dict.fromkeys(name for name in named if name))),
        sql=wanted.sql,
        now=now,
        limit=wanted.limit,
        parameters=wanted.parameters,
        window=_window(wanted),
    )
    limits = Limits(timeout_s=wanted.timeout_s, memory_mb=_memory_mb(asking.settings))
    return run_customer(asking.engine, query, limits)


def as_json(answer: CustomerAnswer, began_s: float) -> bytes:
    """The answer's envelope. Units: `began_s` is of the monotonic clock."""
    rows = answer.rows
    content = {
        "object": "list",
        "columns": [{"name": each.name, "type": type_name(each.name, each.type)} for each in rows.schema],
        "data": export.records(rows),
        "row_count": rows.num_rows,
        "truncated": answer.truncated,
        "elapsed_ms": round((time.perf_counter() - began_s) * 1000, 3),
    }
    return orjson.dumps(content)


def as_file(answer: CustomerAnswer, wanted: export.Format) -> bytes:
    """The rows alone, as CSV, NDJSON or Parquet."""
    for each in answer.rows.schema:
        type_name(each.name, each.type)
    content = io.BytesIO()
    export.write(answer.rows, wanted, content)
    return content.getvalue()


def type_name(name: str, of: pa.DataType) -> str:
    """The SQL name of a column's type. Raises: InvalidRequest for what has no form on the wire."""
    for holds, told in _TYPE_NAMES:
        if holds(of):
            return told
    if pa.types.is_list(of) and pa.types.is_string(cast("pa.ListType[pa.DataType]", of).value_type):
        return "VARCHAR[]"
    raise InvalidRequest(f"sql: the column '{name[:60]}' is of a type that cannot be sent; CAST it to VARCHAR")


_TYPE_NAMES = (
    (pa.types.is_string, "VARCHAR"),
    (pa.types.is_large_string, "VARCHAR"),
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_integer, "BIGINT"),
    (pa.types.is_floating, "DOUBLE"),
    (pa.types.is_decimal, "DECIMAL"),
    (pa.types.is_timestamp, "TIMESTAMP"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_null, "NULL"),
)


def described(settings: ApiSettings, engine: Engine) -> SqlSchema:
    """Everything that a query may name: it holds no data."""
    return SqlSchema(
        grammar=_GRAMMAR,
        engine=engine.name,
        differences=[
            EngineDifference(
                what=each.what, duckdb=each.duckdb, clickhouse=each.clickhouse, example=each.example or None
            )
            for each in DIFFERENCES
        ],
        views=[
            View(
                name=name,
                description=registry.dataset(name).description,
                columns=[
                    ViewColumn(
                        name=each.name, type=VIEW_TYPES[each.kind], unit=each.unit.value, description=each.description
                    )
                    for each in columns
                ],
            )
            for name, columns in VIEWS.items()
        ],
        functions=[
            FunctionEntry(name=name, kind=each.kind, signature=each.signature, description=each.description)
            for name, each in FUNCTIONS.items()
        ],
        types=sorted(set(TYPES.values())),
        limits=SqlLimits(
            rows=MOST_ROWS,
            timeout_s=LONGEST_TIMEOUT_S,
            memory_mb=_memory_mb(settings),
            characters=LONGEST,
            parameters=MOST_PARAMETERS,
        ),
    )


def _memory_mb(settings: ApiSettings) -> int:
    return min(settings.warehouse.query_memory_mb, _MOST_MEMORY_MB)


def _window(wanted: SqlQuery) -> Window:
    since = parse_start(MIN, wanted.time_of_generation_min) if wanted.time_of_generation_min else None
    until = parse_instant(MAX, wanted.time_of_generation_max) if wanted.time_of_generation_max else None
    if since and until and since > until:
        raise InvalidRequest(f"{MIN} ({since.astimezone(UTC).isoformat()}) is after {MAX}")
    return Window(since, until)
