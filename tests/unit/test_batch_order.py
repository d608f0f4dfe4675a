"""The order that a batch gives its rows is the one of the files, found in another way."""

import random
from datetime import datetime, timedelta

import polars as pl
import pytest

from warehouse.catalog.generations import GENERATIONS
from warehouse.ingest.ordering import ordered

START = datetime(2026, 5, 1, 22)  # noqa: DTZ001 - naive means UTC in every frame
KEYS = (pl.col("created_at").dt.date(), *GENERATIONS.sort_by)


def rows(count: int, workspaces: int, seed: int = 1) -> pl.DataFrame:
    """Rows of several days and of two organisations, in no order, many at the same instant."""
    drawn = random.Random(seed)
    return pl.DataFrame(
        {
            "id": [f"id-{number}" for number in range(count)],
            "organisation_id": [drawn.choice(["Ω", "acme"]) for _ in range(count)],
            "workspace_slug": [f"w{drawn.randrange(workspaces)}" for _ in range(count)],
            "created_at": [START + timedelta(minutes=drawn.randrange(3000)) for _ in range(count)],
            "metadata.key": [["k"] * drawn.randrange(3) for _ in range(count)],
            "cost": pl.Series([None] * count, dtype=pl.Decimal(18, 12)),
        },
        schema_overrides={"created_at": pl.Datetime("us")},
    )


@pytest.mark.parametrize(("count", "workspaces"), [(0, 1), (1, 1), (500, 3), (3000, 900)])
def test_rows_are_ordered_as_polars_orders_them(count: int, workspaces: int) -> None:
    frame = rows(count, workspaces)
    assert ordered(frame, GENERATIONS).equals(frame.sort(*KEYS, maintain_order=True))


def test_rows_without_a_key_are_ordered_too() -> None:
    frame = rows(300, 3).with_columns(pl.when(pl.col("workspace_slug") != "w1").then("workspace_slug"))
    assert ordered(frame, GENERATIONS).equals(frame.sort(*KEYS, maintain_order=True))
