"""Price files in memory and usage rows, for tests of money."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import polars as pl

from warehouse.catalog.generations import BUCKETS
from warehouse.pricing.book import PriceBook
from warehouse.pricing.cost import price
from warehouse.settings import CostPolicy

BUCKET_NAMES = tuple(column.name for column in BUCKETS)
MONEY = pl.Decimal(18, 12)
NOON = datetime.fromisoformat("2026-06-01T12:00:00")
"""Without a zone, as rows are stored: UTC."""


def times(*values):
    return {"operation": "multiply", "operands": [{"value": value} for value in values]}


def plus(*nodes):
    return {"operation": "sum", "operands": list(nodes)}


TEXT_FORMULA = {
    "request": times("input_tokens", "rates.request_token"),
    "response": times("output_tokens", "rates.response_token"),
}
IMAGE_FORMULA = {"request": times("0", "input_tokens"), "response": times("1", "rates.image")}


def prices(**rates):
    """{name: {"price": value}} of every rate."""
    return {name: {"price": value} for name, value in rates.items()}


def entry(units=None, image=None, config=None, **rates):
    """An entry of a price file."""
    table = prices(**rates)
    if units:
        table["additional_units"] = prices(**units)
    if image:
        table["image"] = {quality: prices(**sizes) for quality, sizes in image.items()}
    return {"pricing_config": {"pay_as_you_go": table, **(config or {})}}


def default(calculate=None, **rates):
    return entry(**({"request_token": 0, "response_token": 0} | rates), config={"calculate": calculate or TEXT_FORMULA})


@dataclass
class MemoryLevel:
    """A level of price files that are given as values or bytes."""

    files: dict[str, object]
    name: str = "memory"
    reads: list[str] = field(default_factory=list)

    def providers(self):
        return sorted(self.files)

    def read(self, provider):
        self.reads.append(provider)
        found = self.files.get(provider)
        if isinstance(found, Exception):
            raise found
        if found is None or isinstance(found, bytes):
            return found
        return json.dumps(found, default=_number).encode()


def _number(value):
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(value)


def book(models=None, *, provider="acme", provider_default=None):
    """A price book of one provider."""
    return PriceBook([MemoryLevel({provider: {"default": provider_default or default(), **(models or {})}})])


def usage(*rows, **defaults):
    """A frame as `price` takes it; what a row does not say is an ordinary successful request."""
    base = {
        "ai_org": "acme", "ai_model": "m", "created_at": NOON, "is_success": True, "cache_status": "MISS",
        "reported_cost": None, "usage_known": True, **dict.fromkeys(BUCKET_NAMES), **defaults,
    }  # fmt: skip
    rows = tuple(_with_units(row) for row in rows)
    extra = sorted({key for row in rows for key in row} - base.keys())
    schema = dict.fromkeys(BUCKET_NAMES, pl.Int64) | {
        "ai_org": pl.String, "ai_model": pl.String, "created_at": pl.Datetime("us"), "is_success": pl.Boolean,
        "cache_status": pl.String, "reported_cost": MONEY, "usage_known": pl.Boolean,
    }  # fmt: skip
    types = dict.fromkeys(("units.name", "units.quantity"), pl.List(pl.String))
    schema |= {name: types.get(name, pl.String) for name in extra}
    return pl.DataFrame([dict.fromkeys(extra) | base | row for row in rows], schema=schema)


def _with_units(row):
    """The row with its `extra_units` ([{unit, quantity}] or {unit: quantity}) as the two columns of the catalog."""
    if "extra_units" not in row:
        return row
    given = row["extra_units"]
    pairs = list(given.items()) if isinstance(given, dict) else [(one["unit"], one["quantity"]) for one in given or ()]
    lists = {"units.name": [name for name, _ in pairs], "units.quantity": [str(quantity) for _, quantity in pairs]}
    return {key: value for key, value in row.items() if key != "extra_units"} | lists


def priced(price_book, *rows, policy=CostPolicy.COMPUTED_ELSE_REPORTED, **defaults):
    """The priced rows as dicts."""
    return price(usage(*rows, **defaults), price_book, policy).to_dicts()


def cost_of_one(price_book, **row):
    """The computed cost of one request."""
    return priced(price_book, row)[0]["computed_cost"]
