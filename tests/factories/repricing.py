"""Price books that change, and re-pricings by them, for tests of corrections."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from tests.factories import rows
from tests.factories.prices import MemoryLevel, default, entry
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine
from warehouse.pricing.book import PriceBook
from warehouse.pricing.cost import price
from warehouse.reprice.rows import Selection
from warehouse.reprice.run import Pricer, RepriceReport, reprice
from warehouse.settings import CostPolicy
from warehouse.storage.tables import arrow_schema

ALWAYS = Selection(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC))
USAGE = ("uncached_input_tokens", "output_tokens")
_PROVIDERS = ("openai", "anthropic", "bedrock")


def price_files(**rates: float) -> Mapping[str, object]:
    """A file of each provider with these models: `gpt_4o=3` prices gpt-4o at 3 cents a token."""
    models = {name.replace("_", "-"): entry(request_token=rate, response_token=rate) for name, rate in rates.items()}
    return {provider: {"default": default(), **models} for provider in _PROVIDERS}


def pricer(book: PriceBook) -> Pricer:
    """Prices by this book alone."""
    return partial(price, book=book, policy=CostPolicy.COMPUTED_ELSE_REPORTED)


def priced(seed: int, count: int, by: Pricer, ingested_at: datetime) -> pa.Table:
    """Random rows with usage, priced as a load at that time would have."""
    table = rows.generations(seed, count)
    frame = pl.DataFrame(table).with_columns(
        pl.col("req_units").alias(USAGE[0]),
        pl.col("res_units").alias(USAGE[1]),
        pl.lit(ingested_at.replace(tzinfo=None), dtype=pl.Datetime("us")).alias("ingested_at"),
        pl.col("req_units").is_not_null().alias("usage_known"),
        pl.col("units.name", "units.quantity").fill_null([]),
    )
    schema = arrow_schema(GENERATIONS)
    return by(frame).select(schema.names).to_arrow(compat_level=pl.CompatLevel.newest()).cast(schema)


def load(engine: Engine, table: pa.Table, name: str) -> None:
    """Store rows."""
    assert engine.append(GENERATIONS, table, Batch(name)).stored == table.num_rows


def reprice_by(engine: Engine, rates: Mapping[str, float], now: datetime, **options: Any) -> RepriceReport:
    """Price all rows again by these rates."""
    return reprice(engine, pricer(PriceBook([MemoryLevel(price_files(**rates))])), ALWAYS, now, **options)
