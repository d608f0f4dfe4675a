"""`gateledger prices`: what models cost, where each price comes from, and how sets of prices differ."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from api.cli.output import print_fields, print_rows, stdout
from warehouse.errors import InvalidInput, PricingError

if TYPE_CHECKING:
    from warehouse.pricing.book import PriceLevel, PriceRow
    from warehouse.pricing.files import Library
    from warehouse.pricing.sources import Sources

prices = typer.Typer(no_args_is_help=True, help="What models cost, and where each price comes from.")
IN_FORCE = "in-force"
JSON_OPTION = typer.Option(False, "--json", help="One JSON object on stdout.")


def register(cli: typer.Typer) -> None:
    """Add the commands to the command line."""
    cli.add_typer(prices, name="prices")


@prices.command("list")
def list_(
    provider: str | None = typer.Argument(None, help="Provider; without it, all providers are listed."),
    model: str | None = typer.Option(None, help="Only models whose name has this in it."),
    json_: bool = JSON_OPTION,
) -> None:
    """The providers, or the models of one with their token rates in US cents."""
    from api.cli.local import Local

    book = Local().book()
    if provider is None and model is None:
        rows: list[dict[str, object]] = [
            {"provider": name, "models": len(shelf.models)}
            for name in book.providers()
            if (shelf := book.shelf(name)) is not None
        ]
        _print(f"{len(rows)} providers", rows, json_)
        return
    if provider is not None and book.shelf(provider) is None:
        raise InvalidInput(f"No price file has the provider {provider!r}. Known: {', '.join(book.providers())}.")
    wanted = (model or "").casefold()
    found = [_listed(row) for row in book.rows(provider) if wanted in row.model.casefold()]
    _print(f"{len(found)} prices, US cents per token", found, json_)


@prices.command("show")
def show(
    provider: str = typer.Argument(help="Provider, by any of its names."),
    model: str = typer.Argument(help="Model, as a request names it."),
    json_: bool = JSON_OPTION,
) -> None:
    """Every rate of one model with its unit, tier and time, and where it is from."""
    from api.cli.local import Local
    from warehouse.pricing.book import UnpricedReason

    book = Local().book()
    listing = book.listing(provider, model)
    if isinstance(listing, UnpricedReason):
        raise InvalidInput(
            f"{provider} {model} has no price: {listing.value}.{_problems_of(book.problems(), provider)}"
        )
    found = [row for band in listing.bands for row in band.rows]
    shown: list[dict[str, object]] = [_shown(row) for row in found]
    if json_:
        _print_json({"object": "list", "data": shown})
        return
    for fields in shown:
        rates = fields.pop("rates")
        print_fields(f"{provider} {model}", fields)
        print_rows("", [{**rate, "cents": str(rate["cents"])} for rate in _each(rates)], ["rate", "cents", "per"])


@prices.command("sources")
def sources(
    provider: str = typer.Option("openai", help="The provider that each level is asked for."),
    json_: bool = JSON_OPTION,
) -> None:
    """Every level of the source chain, first asked first: is it configured, does it answer, what is wrong in it."""
    from api.cli.local import Local
    from warehouse.pricing.sources import KINDS

    chain = Local().sources
    rows: list[dict[str, object]] = [row for kind in KINDS for row in _asked(chain, kind, provider)]
    problems = list(_problems_in(chain))
    if json_:
        _print_json({"object": "list", "data": rows, "problems": problems})
        return
    print_rows(f"Where files of {provider} come from", rows, ["files", "level", "state", "models", "where", "message"])
    for problem in problems:
        stdout.print(f"[yellow]not used:[/yellow] {problem}", highlight=False, soft_wrap=True)


@prices.command("diff")
def diff(
    old: str = typer.Argument(
        help=f"A folder of price files, a level (proxy, log-store, local, shipped), or {IN_FORCE}."
    ),
    new: str = typer.Argument(IN_FORCE, help="The same; what is in force, when left out."),
    provider: str | None = typer.Option(None, help="Only this provider."),
    json_: bool = JSON_OPTION,
) -> None:
    """How two sets of prices differ, rate by rate."""
    from api.cli.local import Local
    from warehouse.pricing.differences import differences
    from warehouse.pricing.names import provider_slug

    chain = Local().sources
    before, after = _library(chain, old), _library(chain, new)
    # A level that cannot list what it has is asked for what the other side has.
    names = sorted({*before.providers(), *after.providers()}) if provider is None else [provider_slug(provider)]
    rows: list[dict[str, object]] = [asdict(one) for one in differences(before, after, names)]
    _print(f"{old} → {new}: {len(rows)} differences", rows, json_)


def _print(title: str, rows: list[dict[str, object]], json_: bool) -> None:
    if json_:
        _print_json({"object": "list", "total": len(rows), "data": rows})
    else:
        print_rows(title, [{k: _text(v) for k, v in row.items()} for row in rows], list(rows[0]) if rows else [])


def _print_json(value: Mapping[str, object]) -> None:
    """One JSON object on stdout, with all digits of each price."""
    from warehouse.pricing.files import encoded

    typer.echo(encoded(value).decode())


def _text(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else value


def _listed(row: "PriceRow") -> dict[str, object]:
    config = row.pricing.config
    tokens = config.pay_as_you_go.tokens if config else {}
    return {
        "provider": row.provider,
        "model": row.model,
        "request_token": tokens.get("request_token"),
        "response_token": tokens.get("response_token"),
        "cache_read_input_token": tokens.get("cache_read_input_token"),
        "effective_from": row.effective_from,
        "source": row.source,
    }


def _shown(row: "PriceRow") -> dict[str, object]:
    return {
        "model": row.model,
        "price_id": row.price_id,
        "source": row.source,
        "as_of": row.pricing.as_of,
        "effective_from": row.effective_from,
        "effective_to": row.effective_to,
        "rates": [{"rate": rate, "cents": cents, "per": per} for rate, cents, per in _rates((), asdict(row.pricing))],
    }


_PER = {"tokens": "token", "image": "image", "fixed_cost": "request", "finetune": "unit"}
_SILENT = frozenset({"config", "tokens", "units", "custom", "regions", "pay_as_you_go"})
"""Steps of a path that say nothing to people."""


def _rates(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, Decimal, str]]:
    """(name, cents, per what) of every rate below a path of a price's parts."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key != "calculate":
                yield from _rates((*path, key), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _rates((*path, str(index)), item)
    elif isinstance(value, Decimal):
        name = ".".join(part for part in path if part not in _SILENT)
        kind = next((part for part in reversed(path[:-1]) if part in {*_PER, "units", "defaults"}), "")
        per = {"units": path[-1], "defaults": "(a quantity, not a price)"}.get(kind) or _PER.get(kind, "")
        yield name, value, per


def _each(rates: object) -> Iterable[dict[str, Any]]:
    return rates if isinstance(rates, list) else ()


def _problems_of(problems: Iterable[object], provider: str) -> str:
    found = [str(problem) for problem in problems if provider in str(problem)]
    return "" if not found else " Not used: " + "; ".join(found[:3])


def _asked(chain: "Sources", kind: Any, provider: str) -> Iterator[dict[str, object]]:
    """How each level of a kind answers for a provider."""
    from warehouse.pricing.names import provider_slug
    from warehouse.pricing.remembered import RememberedLevel
    from warehouse.pricing.sources import LEVELS, setting_of

    configured = {level.name: level for level in chain.levels(kind)}
    for name in LEVELS:
        row: dict[str, object] = {"files": kind, "level": name, "state": "off", "models": None, "where": ""}
        level = configured.get(name)
        if level is None:
            yield row | {"message": f"set {setting_of(name, kind)}"}
            continue
        row |= _answer(level, kind, provider_slug(provider))
        if isinstance(level, RememberedLevel):
            status = level.status()
            row |= {"where": status.where, "last_success_at": status.last_success_at, "stale": list(status.stale)}
        yield row


def _answer(level: "PriceLevel", kind: str, slug: str) -> dict[str, object]:
    from warehouse.pricing.capabilities import parse_capabilities
    from warehouse.pricing.config import parse_provider

    try:
        text = level.read(slug)
        if text is None:
            return {"state": "answers", "models": 0, "message": f"has no file of {slug}"}
        parse = parse_provider if kind == "pricing" else parse_capabilities
        return {"state": "answers", "models": len(parse(slug, text, level.name).models), "message": ""}
    except (OSError, PricingError) as error:
        return {"state": "fails", "models": None, "message": str(error)}


def _problems_in(chain: "Sources") -> Iterator[str]:
    """What could not be used in any provider's price file; the same trouble of a level with all of them once."""
    book = chain.book()
    for provider in book.providers():
        book.shelf(provider)
    found = book.problems()
    files = Counter((problem.source, problem.message) for problem in found if not problem.model)
    yield from (f"{level}: {message} ({count} files)" for (level, message), count in files.items())
    yield from (str(problem) for problem in found if problem.model)


def _library(chain: "Sources", name: str) -> "Library":
    """The price files that a name means."""
    from warehouse.pricing.files import Library, merged_prices
    from warehouse.pricing.sources import LEVELS, FolderLevel, setting_of

    if name == IN_FORCE:
        return chain.prices
    configured = {level.name: level for level in chain.levels()}
    if name in configured:
        return Library([configured[name]], merged_prices)
    if name in LEVELS:
        raise InvalidInput(f"The level {name} is not configured; set {setting_of(name, 'pricing')}.")
    if not Path(name).is_dir():
        raise InvalidInput(f"{name!r} is no folder and no level. Levels: {', '.join(LEVELS)}, {IN_FORCE}.")
    return Library([FolderLevel(name, Path(name))], merged_prices)
