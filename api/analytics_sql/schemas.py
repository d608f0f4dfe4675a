"""A caller's SQL and its answer on the wire."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, StringConstraints

from warehouse.query.customer_grammar import LONGEST
from warehouse.query.export import Format

DEFAULT_ROWS, MOST_ROWS = 1_000, 100_000
DEFAULT_TIMEOUT_S, LONGEST_TIMEOUT_S = 10.0, 60.0
MOST_PARAMETERS = 100

_Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
Instant = Annotated[str, StringConstraints(strip_whitespace=True, max_length=60)]


class SqlQuery(BaseModel):
    """One SELECT over `generations` and `feedbacks`. What exists: `GET /v1/analytics/query/schema`."""

    model_config = ConfigDict(extra="ignore")

    sql: str = Field(
        min_length=1,
        max_length=LONGEST,
        description="One SELECT in DuckDB's grammar. The views hold only the caller's own rows.",
        examples=["SELECT ai_model, count(*) AS requests, sum(cost) AS cost FROM generations GROUP BY ai_model"],
    )
    parameters: dict[ParameterName, _Scalar | list[_Scalar] | None] = Field(
        default_factory=dict,
        max_length=MOST_PARAMETERS,
        description="Values of `:name` in the query. A list stands in `IN (:name)`.",
    )
    format: Format = Field(default=Format.JSON, description="What the answer is written as.")
    limit: int = Field(default=DEFAULT_ROWS, ge=1, le=MOST_ROWS, strict=True, description="Most rows of the answer.")
    timeout_s: float = Field(
        default=DEFAULT_TIMEOUT_S, gt=0, le=LONGEST_TIMEOUT_S, description="Seconds after which the query is stopped."
    )
    workspace_slug: str | None = Field(
        default=None,
        max_length=1_000,
        description="Slugs or ids of workspaces, comma-separated: the views hold only their rows.",
    )
    time_of_generation_min: Instant | None = Field(
        default=None, description="The views hold only rows from then on: faster than a condition on created_at."
    )
    time_of_generation_max: Instant | None = Field(default=None, description="The views hold only rows up to then.")


class SqlColumn(BaseModel):
    """A column of an answer."""

    name: str
    type: str = Field(
        description="VARCHAR, BIGINT, DOUBLE, DECIMAL, BOOLEAN, TIMESTAMP, DATE, VARCHAR[] or NULL.",
        examples=["VARCHAR"],
    )


class SqlAnswer(BaseModel):
    """Rows by the names of their columns."""

    object: Literal["list"]
    columns: list[SqlColumn]
    data: list[dict[str, Any]]
    row_count: int
    truncated: bool = Field(description="Whether there are more rows than `limit`.")
    elapsed_ms: float


class ViewColumn(BaseModel):
    """A column of a view."""

    name: str
    type: str
    unit: str
    description: str


class View(BaseModel):
    """What can stand after FROM."""

    name: str
    description: str
    columns: list[ViewColumn]


class FunctionEntry(BaseModel):
    """A function that a query may call."""

    name: str
    kind: Literal["aggregate", "window", "scalar"]
    signature: str
    description: str


class SqlLimits(BaseModel):
    """What one query may take."""

    rows: int
    timeout_s: float
    memory_mb: int
    characters: int
    parameters: int


class EngineDifference(BaseModel):
    """What one query means on each engine, where that is not the same."""

    what: str
    duckdb: str = Field(description="On the embedded lake.")
    clickhouse: str
    example: str | None


class SqlSchema(BaseModel):
    """Everything that a query may name."""

    object: Literal["analytics-query-schema"] = "analytics-query-schema"
    grammar: str
    engine: str = Field(description="The engine that answers here: duckdb or clickhouse.", examples=["duckdb"])
    differences: list[EngineDifference] = Field(description="Where engines differ; all else means the same on each.")
    views: list[View]
    functions: list[FunctionEntry]
    types: list[str] = Field(description="What can be cast to; NULL where a value is none of that type.")
    limits: SqlLimits
