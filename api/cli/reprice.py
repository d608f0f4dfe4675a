"""`gateledger reprice`: stored requests priced again, and corrections where the cost differs."""

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

import typer

from api.cli.output import print_fields, print_json, print_rows, progress_bar, stderr
from api.cli.query import BEGINNING, END

if TYPE_CHECKING:
    from warehouse.reprice.run import RepriceReport

_COLUMNS = ["workspace", "provider", "model", "rows", "old_cost", "new_cost", "difference"]
_COUNTS = ["newly_priced", "newly_unpriced"]


def register(cli: typer.Typer) -> None:
    """Add the command to the command line."""
    cli.command()(reprice)


def reprice(
    since: str = typer.Option(BEGINNING, help="First instant or day; default: the beginning.", show_default=False),
    until: str = typer.Option(END, help="Last instant or day; default: the end.", show_default=False),
    provider: str | None = typer.Option(None, help="Only requests to this provider, by any of its names."),
    model: str | None = typer.Option(None, help="Only requests to this model."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what would change."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Price stored requests again by the prices known now, show what differs, and correct it.

    Each request gets the price that was effective when it was made. What it cost before stays on record: a correction
    keeps both costs, and `gateledger query --as-known-at` still answers as before. Running it again changes nothing.

    Example: gateledger reprice --since 2026-02-01 --provider openai --dry-run
    """
    from api.analytics.instants import parse_range
    from api.cli.local import Local
    from warehouse.reprice.rows import Selection

    selection = Selection(*parse_range(since, until, None), provider, model)
    local = Local()
    with progress_bar("pricing again") as line:

        def show(day: date, rows: int) -> None:
            line.update(rows, None, f"{day}: {rows:,} rows")

        found = local.reprice(selection, is_dry=True, on_day=show)
        if not json_:
            _print_differences(found)
        if not dry_run:
            found = local.reprice(selection, on_day=show)
            local.refresh_limits()
    if json_:
        print_json(_plain(found))
    else:
        _print_outcome(found)


def _print_differences(found: "RepriceReport") -> None:
    rows: list[dict[str, object]] = [{**asdict(one), "difference": one.difference} for one in found.differences]
    if rows:
        print_rows("What differs (US cents, of the changed requests)", rows, [*_COLUMNS, *_COUNTS])


def _print_outcome(found: "RepriceReport") -> None:
    what = "would be corrected" if found.is_dry else "corrected"
    fields: dict[str, object] = {"requests": found.rows, what: found.corrections}
    if found.corrections:
        fields |= {"old cost": found.old_cost, "new cost": found.new_cost, "difference": found.difference}
    if not found.is_dry and found.corrections:
        fields |= {"re-pricing": found.reprice_id, "corrected at": found.corrected_at.isoformat()}
    if found.settled:
        fields["settled from an earlier run"] = found.settled
    print_fields("Priced again", fields)
    if found.overtaken:
        stderr.print(f"{found.overtaken:,} requests changed meanwhile; run it again.", highlight=False)


def _plain(found: "RepriceReport") -> dict[str, object]:
    """The report with every digit of its money, as text."""
    differences = [
        {
            **asdict(one),
            "old_cost": format(one.old_cost, "f"),
            "new_cost": format(one.new_cost, "f"),
            "difference": format(one.difference, "f"),
        }
        for one in found.differences
    ]
    return {
        **asdict(found),
        "corrected_at": found.corrected_at.isoformat(),
        "old_cost": format(found.old_cost, "f"),
        "new_cost": format(found.new_cost, "f"),
        "difference": format(found.difference, "f"),
        "differences": differences,
    }
