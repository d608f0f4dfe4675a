"""`gateledger ingest`: gateway logs become priced, deduplicated rows."""

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from api.cli.output import print_fields, print_json, progress_bar, stderr
from warehouse.errors import InvalidInput

if TYPE_CHECKING:
    from warehouse.ingest.load import LoadReport, Progress

EXIT_REJECTS = 1


def register(cli: typer.Typer) -> None:
    """Add the command to the command line."""
    cli.command()(ingest)


def ingest(
    source: list[str] = typer.Argument(help="File, folder, glob, s3:// gs:// az:// URL, or - for standard input."),
    format_: str = typer.Option("auto", "--format", help="Format of the records; auto looks at the content."),
    workspace: str | None = typer.Option(
        None, help="Workspace (slug or id) of records that name none; default: the first."
    ),
    map_: list[str] = typer.Option(
        [], "--map", metavar="COLUMN=FIELD", help="Our column from the file's field; repeat or separate by commas."
    ),
    set_: list[str] = typer.Option(
        [], "--set", metavar="COLUMN=VALUE", help="One value for every record; cost_unit=usd converts dollars."
    ),
    strict: bool = typer.Option(False, "--strict", help="Exit 1 when a record was rejected."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Load gateway logs: every record is stored once, counted as a duplicate, or put in quarantine with its reason.

    Formats are found by content: analytics rows (NDJSON, .gz, .zst, JSON, Parquet), log objects, quarantine files; with
    --map any CSV, NDJSON or Parquet.

    Examples:

    gateledger ingest logs/

    gateledger ingest s3://bucket/prefix

    gateledger ingest t.csv --map created_at=TIMESTAMP,req_units=In,res_units=Out --set ai_org=openai,ai_model=gpt-4o
    """
    from api.cli.local import Local
    from warehouse.ingest.discover import sources_of
    from warehouse.ingest.load import LoadOptions

    local = Local()
    loader = local.loader(workspace)
    options = LoadOptions(format=format_, mapping=_pairs("--map", map_), constants=_pairs("--set", set_))
    with progress_bar("loading") as line:

        def show(progress: "Progress") -> None:
            line.update(progress.bytes_read, progress.bytes_total, f"{progress.rows:,} rows")

        sources = sources_of(source, sys.stdin.buffer, os.environ, lambda text: stderr.print(text, highlight=False))
        report = loader.load(sources, options, datetime.now(UTC), on_progress=show)
    if report.stored:
        local.refresh_limits()
    _print(report, as_json=json_)
    if strict and report.rejected:
        raise typer.Exit(EXIT_REJECTS)


def _print(report: "LoadReport", *, as_json: bool) -> None:
    counts = {**report.counts, "seconds": round(report.seconds, 3)}
    if as_json:
        extra: dict[str, object] = {}
        if report.rejected:
            extra = {"reasons": dict(report.reasons), "quarantine": str(report.quarantine)}
        print_json(counts | extra)
        return
    print_fields("Loaded", counts)
    if report.rejected:
        for reason, count in sorted(report.reasons.items(), key=lambda item: -item[1]):
            stderr.print(f"[yellow]rejected[/yellow] {count:,} × {reason}", highlight=False)
        stderr.print(f"The rejected records, with reasons: {report.quarantine}", highlight=False, soft_wrap=True)
        stderr.print("Once the reason is gone, load that file again.", highlight=False)


def _pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in (part.strip() for text in given for part in text.split(",")):
        if not part:
            continue
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise InvalidInput(f"{option} takes COLUMN={'FIELD' if option == '--map' else 'VALUE'}, not '{part}'")
        if name.strip() in pairs:
            raise InvalidInput(f"{option} names '{name.strip()}' twice")
        pairs[name.strip()] = value.strip()
    return pairs
