"""`gateledger sample`: realistic gateway logs to try things with."""

from datetime import UTC, datetime
from pathlib import Path

import typer

from api.cli.output import print_fields, print_json, progress_bar
from warehouse.errors import InvalidInput
from warehouse.sample.spec import SampleFormat, SampleSpec


def register(cli: typer.Typer) -> None:
    """Add the command to the command line."""
    cli.command()(sample)


def sample(
    rows: int = typer.Option(..., min=1, help="How many requests."),
    days: int = typer.Option(3, min=1, max=3660, help="Over how many days."),
    seed: int = typer.Option(1, help="The same seed writes the same bytes (with --until, and the same workspaces)."),
    to: Path = typer.Option(..., help="Folder to write to; made when missing."),
    format_: SampleFormat = typer.Option(
        SampleFormat.METRICS,
        "--format",
        help="metrics: analytics rows, NDJSON.gz by hour. log-objects: one JSON object per request.",
    ),
    until: str | None = typer.Option(None, help="End of the last day, ISO 8601; default: the last full hour."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Write realistic gateway logs, in the layout of the log store.

    Where `gateledger init` has run, the records belong to its organisation and workspaces; elsewhere they name none
    and take those of whoever loads them.

    Example: gateledger sample --rows 100000 --days 30 --seed 7 --to logs
    """
    from api.cli.local import Local
    from warehouse.sample.write import write_sample

    tenant = Local().sample_tenant()
    spec = SampleSpec(
        rows=rows,
        days=days,
        seed=seed,
        until=_until(until),
        format=format_,
        organisation_id=tenant.organisation_id if tenant else None,
        organisation_name=tenant.organisation_name if tenant else None,
        workspaces=tenant.workspaces if tenant else None,
    )
    with progress_bar(f"writing {rows:,} records") as line:
        report = write_sample(spec, to, on_progress=lambda done: line.update(done, rows, f"{done:,} / {rows:,}"))
    fields = {
        "rows": report.rows,
        "files": report.files,
        "bytes": report.bytes,
        "to": str(report.folder),
        "until": spec.until.isoformat(),
    }
    if json_:
        print_json(fields)
    else:
        print_fields("Sample", fields)


def _until(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"--until '{text}' is not ISO 8601, for example 2026-02-23 or 2026-02-23T14:00:00+05:30"
        ) from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
