"""Worked examples of providers' own price pages, from the log object that a gateway writes to the cents of a row."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.factories.records import batch_of, lines
from tests.factories.wire_examples import log_of
from warehouse.ingest.batching import Pricing
from warehouse.pricing.applies import Applies, Target
from warehouse.pricing.book import PriceBook
from warehouse.pricing.negotiated import NegotiatedPrice, Overlay
from warehouse.pricing.sources import shipped_level
from warehouse.settings import CostPolicy

FILE = Path(__file__).parents[1] / "golden" / "pricing_wire" / "examples.json"
EXAMPLES = json.loads(FILE.read_text())
BOOK = PriceBook([shipped_level()])
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PAID_BY_THE_HOUR = Overlay(
    (NegotiatedPrice("ptu", Applies("acme", Target.PROVIDER, "vertex-ai"), LONG_AGO, LONG_AGO, skips_ptu=True),)
)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["example"] for example in EXAMPLES])
def test_a_log_object_costs_what_the_page_says(example) -> None:
    overlay = {"overlay": PAID_BY_THE_HOUR} if example.get("skip_ptu") else {}
    pricing = Pricing(BOOK, CostPolicy.COMPUTED_ELSE_REPORTED, **overlay)
    batch = batch_of(lines(log_of(example)), form="log_objects", pricing=pricing)
    assert not batch.rejects
    [row] = batch.table.to_pylist()
    assert row["computed_cost"] == Decimal(example["cents"]), (example["page"], row["unpriced_reason"])
    for name, value in example.get("row", {}).items():
        assert row[name] == (Decimal(value) if name.endswith("cost") else value), name


def test_every_page_is_named() -> None:
    assert len(EXAMPLES) >= 30
    assert all(example["page"] and Decimal(example["cents"]) >= 0 for example in EXAMPLES)
