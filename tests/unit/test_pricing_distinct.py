"""Rows of texts as numbers (`warehouse/pricing/distinct.py`)."""

import polars as pl
import pytest

from warehouse.pricing import distinct
from warehouse.pricing.distinct import numbered

NAMES = [f"a-model-with-a-long-name-{number % 700}" for number in range(3_000)]
FRAMES = {
    "none": pl.DataFrame({"a": [], "b": []}, schema={"a": pl.String, "b": pl.String}),
    "null is not blank": pl.DataFrame({"a": [None, "", "x", None, None], "b": ["", None, "x", None, ""]}),
    "all alike": pl.DataFrame({"a": ["m"] * 50, "b": [None] * 50}, schema={"a": pl.String, "b": pl.String}),
    "many": pl.DataFrame({"a": NAMES, "b": ["openai", None, "azure"] * 1_000}),
    "all differ": pl.DataFrame({"a": [f"{number:032}" for number in range(3_000)]}),
}


def assert_numbered(frame):
    index, known = numbered(frame)
    assert [known[number] for number in index] == frame.rows()
    assert len(known) == len(set(known)) == frame.unique().height


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("bits", [2, 14])
def test_each_number_stands_for_one_combination(name, bits, monkeypatch):
    monkeypatch.setattr(distinct, "_PLACES_BITS", bits)  # few places: combinations meet, and go on to the next round
    assert_numbered(FRAMES[name])


@pytest.mark.parametrize("sampled", [16, 1 << 13])
@pytest.mark.parametrize("views", [8, 1 << 10])
def test_texts_that_are_kept_once_and_texts_of_their_own(sampled, views, monkeypatch):
    monkeypatch.setattr(distinct, "_SAMPLED", sampled)  # few: most names are not among those that stand for a number
    monkeypatch.setattr(distinct, "_MOST_VIEWS", views)
    monkeypatch.setattr(distinct, "_BLOCK", 100)
    row = pl.int_range(2_000)
    names = pl.lit(pl.Series(["us.anthropic.claude-3-haiku", "gpt-4o", None, "", "a-rather-long-name"]))
    kept_once = pl.select(org=names.gather(row % 5), model=names.gather(row * row % 5))
    assert_numbered(kept_once)
    assert_numbered(kept_once.slice(7, 900))
    assert_numbered(kept_once.with_columns(pl.col("org") + "-of-its-own"))
    assert_numbered(pl.concat([kept_once.head(300), kept_once.with_columns(pl.col("model") + "-of-its-own")]))


def test_names_that_collide_in_every_round(monkeypatch):
    def collide(frame, *_):
        return pl.repeat(7, frame.height, dtype=pl.UInt64, eager=True)

    monkeypatch.setattr(pl.DataFrame, "hash_rows", collide)
    assert_numbered(FRAMES["many"])
