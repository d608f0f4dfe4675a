"""`gateledger query`: grouped analytics at the command line, by the same parser as the API."""

from enum import StrEnum
from pathlib import Path

import typer

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.registry import public_measures

BEGINNING, END = "1970-01-01", "9000-01-01"


class QueryFormat(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def register(cli: typer.Typer) -> None:
    """Add the command to the command line."""
    cli.command(help=_HELP)(query)


_HELP = f"""Ask for requests, cost and other numbers by model, workspace and more, over the whole organisation.

Group by: {", ".join(d.name for d in GENERATIONS.dimensions)}, metadata.KEY.

Columns: {", ".join(m.name for m in public_measures(GENERATIONS))}. Cost is in US cents.

Filters: {", ".join(f.name for f in GENERATIONS.filters)}, workspace_slug.

Example: gateledger query --by model,workspace --columns cost,p95_latency --since 2026-02-01 --order-by cost
"""


def query(
    by: str = typer.Option(..., "--by", help="What to group by; several with commas."),
    columns: str = typer.Option("cost,total_tokens", help="Which numbers, beside the number of requests."),
    since: str = typer.Option(BEGINNING, help="First instant or day; default: the beginning.", show_default=False),
    until: str = typer.Option(END, help="Last instant or day; default: the end.", show_default=False),
    tz: str = typer.Option("UTC", help="Time zone of days and of instants without offset, for example Asia/Kolkata."),
    filters: list[str] = typer.Option(
        [], "--filter", metavar="NAME=VALUE", help="Only rows that match; repeat for more."
    ),
    order_by: str = typer.Option("requests", help="A group-by or a column; NAME:asc for the smallest first."),
    as_known_at: str | None = typer.Option(
        None, help="Answer as it was at this instant: without what was loaded or corrected later."
    ),
    limit: int | None = typer.Option(None, min=0, help="At most so many groups."),
    format_: QueryFormat = typer.Option(QueryFormat.TABLE, "--format", help="table, json, csv or parquet."),
    output: Path | None = typer.Option(None, "-o", "--output", help="File to write instead of stdout."),
    json_: bool = typer.Option(False, "--json", help="The same as --format json."),
) -> None:
    """Print the groups of a question."""
    from api.cli.answering import JSON, answer, write

    first, *more = [name.strip() for name in by.split(",") if name.strip()] or [""]
    key, _, direction = order_by.partition(":")
    parameters = [
        ("time_of_generation_min", since),
        ("time_of_generation_max", until),
        ("tz", tz),
        ("group_by", ",".join(more)),
        ("columns", columns),
        ("order_by", key),
        ("order_by_type", direction),
        ("as_known_at", as_known_at or ""),
    ]
    write(answer(first, parameters, filters, limit), JSON if json_ else format_.value, output)
