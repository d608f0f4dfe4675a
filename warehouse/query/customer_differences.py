"""Where a caller's SQL means not quite the same on each engine; all else does, and tests say so."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that engines do each in their own way, and a query that shows it."""

    what: str
    duckdb: str
    clickhouse: str
    example: str


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "Whole numbers beyond 64 bits",
        "An error.",
        "They begin again from the other end; as a literal they become a DOUBLE.",
        "SELECT max(req_units) * 9000000000000000000 AS x FROM generations",
    ),
    Difference(
        "Numbers with a point",
        "A DECIMAL: 0.1 + 0.2 = 0.3.",
        "A DOUBLE; CAST(x AS DECIMAL(38, 12)) is exact.",
        "SELECT 0.1 + 0.2 = 0.3 AS x",
    ),
    Difference(
        "Text of a DOUBLE",
        "With a point always: 1.0.",
        "As short as can be: 1.",
        "SELECT CAST(CAST(1 AS DOUBLE) AS VARCHAR) AS x",
    ),
    Difference(
        "Text of an instant",
        "Without a fraction where there is none.",
        "With three digits of a second always.",
        "SELECT CAST(CAST('2026-03-28 10:00:00' AS TIMESTAMP) AS VARCHAR) AS x",
    ),
    Difference(
        "Finest instant of a CAST",
        "The microsecond.",
        "The millisecond, which is also the finest that is stored.",
        "SELECT CAST('2026-03-28 10:00:00.123456' AS TIMESTAMP) AS x",
    ),
    Difference(
        "Days of a DATE",
        "Every day of the calendar.",
        "From 1970-01-01 to 2149-06-06; others become some day between them.",
        "SELECT CAST('2200-01-01' AS DATE) AS x",
    ),
    Difference(
        "Days as text",
        "2026-03-28; anything else is NULL.",
        "Also 28.03.2026 and the like.",
        "SELECT CAST('28.03.2026' AS DATE) AS x",
    ),
    Difference(
        "Blanks around a number as text",
        "They don't count.",
        "NULL; trim them before.",
        "SELECT CAST(' 12 ' AS BIGINT) AS x",
    ),
    Difference(
        "Place 0 of substr",
        "Before the first character: one character fewer.",
        "An empty text.",
        "SELECT substr('abc', 0, 2) AS x",
    ),
    Difference(
        "Upper case of ß",
        "One letter.",
        "SS.",
        "SELECT upper('straße') AS x",
    ),
    Difference(
        "The memory of one query",
        "Of all customers' queries of a process together.",
        "Of each query alone.",
        "",
    ),
)
"""The embedded lake is DuckDB. An example is empty where no answer shows the difference."""
