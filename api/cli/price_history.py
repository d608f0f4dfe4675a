"""`gateledger prices history`: every price of a model that was ever known, and from when to when it counts."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from api.cli.output import print_json, print_rows
from api.cli.prices import prices
from warehouse.errors import InvalidInput

if TYPE_CHECKING:
    from warehouse.pricing.book import PriceRow


def register(_: typer.Typer) -> None:
    """Add the command to `gateledger prices`."""
    prices.command("history")(history)


def history(
    provider: str = typer.Argument(help="Provider, by any of its names."),
    model: str = typer.Argument(help="Model, as its price file names it."),
    known_at: str | None = typer.Option(None, help="Only what was known at this instant."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Every rate of a model over time: effective from and to, known from, and its source. Rates in US cents."""
    from api.analytics.instants import parse_instant
    from api.cli.local import Local
    from warehouse.pricing.history import WarehouseHistory, timeline
    from warehouse.pricing.names import provider_slug

    at = None if known_at is None else parse_instant("--known-at", known_at)
    past = WarehouseHistory(Local().engine, datetime.now(UTC), at)
    versions = past.versions(provider_slug(provider), model)
    if not versions:
        raise InvalidInput(
            f"No price of {provider} {model} has been seen yet: load requests, or materialize model_prices."
        )
    rows = [line for row in timeline(versions) for line in _lines(row)]
    if json_:
        print_json({"object": "list", "versions": len(versions), "data": rows})
    else:
        print_rows(f"{provider} {model}: {len(versions)} versions, US cents", rows, list(rows[0]))


def _lines(row: "PriceRow") -> list[dict[str, object]]:
    times: dict[str, object] = {
        "effective_from": row.effective_from,
        "effective_to": row.effective_to,
        "known_from": row.known_from,
        "source": row.source,
        "price_id": row.price_id,
    }
    return [{"unit": unit, "rate": format(rate, "f"), **times} for unit, rate in row.rates()]
