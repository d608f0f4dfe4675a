"""Cost columns while they are written (`warehouse/pricing/sheet.py`), and frames priced whole, in parts, row by row."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from tests.factories.prices import MemoryLevel, default, entry, usage
from warehouse.pricing import sheet as sheets
from warehouse.pricing.amounts import MONEY
from warehouse.pricing.book import PriceBook
from warehouse.pricing.cost import price
from warehouse.pricing.sheet import Sheet
from warehouse.settings import CostPolicy

FIRST, SECOND = slice(0, 3), slice(3, 5)
TEXTS = ["short", None, "a text of more than twelve bytes", "", "zwölf Bytes und mehr, ü", "exactly12byt"]


def column(value: pl.Expr) -> pl.Series:
    return pl.DataFrame({"row": range(5)}).with_columns(value.alias("value"))["value"]


@pytest.mark.parametrize("large", [16, 1 << 21])
def test_parts_write_amounts_and_which_are_known(large, monkeypatch):
    monkeypatch.setattr(sheets, "_LARGE", large)
    sheet = Sheet(5)
    sheet.amounts("a", FIRST)[:] = [1, 2, 10**18 - 1]
    sheet.mask("a", SECOND, given=True)[:] = [False, True]
    found = column(sheet.money("a", "a"))
    assert found.dtype == MONEY
    pico = Decimal(1).scaleb(-12)
    assert found.to_list() == [pico, 2 * pico, 10**6 - pico, None, 0]
    sheet.copy("b", "a", FIRST)[1] = 7
    sheet.put("b", SECOND, np.array([-5, 10**18 - 1]))
    assert column(sheet.money("b")).to_list() == [pico, 7 * pico, 10**6 - pico, -5 * pico, 10**6 - pico]
    assert sheet.copy("c", "nobody", FIRST).tolist() == [0] * 3


def test_what_nobody_writes_is_one_value():
    sheet = Sheet(5)
    assert column(sheet.money("a")).to_list() == [0] * 5
    assert column(sheet.text("t")).to_list() == [None] * 5
    sheet.mask("known", FIRST, given=True)[:] = False
    assert column(sheet.money("a", "known")).to_list() == [None, None, None, 0, 0]
    sheet.write("t", FIRST, TEXTS, 2)
    sheet.write("t", SECOND, TEXTS, 2)
    assert column(sheet.text("t")).to_list() == [TEXTS[2]] * 5


def test_parts_write_texts_of_their_own():
    sheet = Sheet(5)
    sheet.write("t", FIRST, TEXTS, np.array([4, 2, 3]), np.array([True, True, False]))
    assert column(sheet.text("t")).to_list() == [TEXTS[4], TEXTS[2], None, None, None]
    sheet.write("t", SECOND, [TEXTS[2], TEXTS[0]], np.array([1, 0], dtype=np.uint8))
    assert column(sheet.text("t")).to_list() == [TEXTS[4], TEXTS[2], None, TEXTS[0], TEXTS[2]]
    sheet.write("t", FIRST, ["another text of many bytes"], 0)
    assert column(sheet.text("t")).to_list() == ["another text of many bytes"] * 3 + [TEXTS[0], TEXTS[2]]
    sheet.write("u", slice(0, 5), TEXTS, np.array([5, 3, 0, 2, 4]))
    assert column(sheet.text("u")).to_list() == [TEXTS[5], "", TEXTS[0], TEXTS[2], TEXTS[4]]


BOOK = PriceBook(
    [
        MemoryLevel(
            {
                "acme": {
                    "default": default(),
                    "m": entry({"web_search": 0.5}, request_token=0.25, response_token=2),
                    "fine": entry(request_token=3e-20, response_token=0.1),
                    "image": entry(image={"default": {"default": 4}}, config={"calculate": None}),
                    "broken": entry(nonsense=1),
                }
            }
        )
    ]
)


def rows_of_all_kinds(count: int) -> pl.DataFrame:
    return usage(
        *(
            {
                "ai_model": ("m", "m", "fine", "other", "image", "broken", None)[row % 7],
                "ai_org": "nobody" if row % 19 == 4 else "acme",
                "is_success": row % 5 != 3,
                "cache_status": ("MISS", "HIT", None, "Semantic hit")[row % 4 if row % 3 == 0 else 0],
                "usage_known": row % 11 != 5,
                "uncached_input_tokens": None if row % 13 == 0 else -1 if row % 17 == 0 else row * 1_000_003,
                "output_tokens": 2**62 if row % 23 == 6 else row % 2,
                "generated_images": row % 3 if row % 8 == 4 else None,
                "reported_cost": (None, None, Decimal(0), Decimal("1.25"))[row % 4] if row > count // 2 else None,
                "extra_units": {"web_search": row, "hours_of_nothing": 1} if row % 6 == 5 else {},
                "execution_mode": "batch" if row % 9 == 2 else None,
            }
            for row in range(count)
        )
    )


@pytest.mark.parametrize("policy", CostPolicy)
def test_rows_cost_the_same_among_any_others(policy, monkeypatch):
    frame = rows_of_all_kinds(90)
    whole = price(frame, BOOK, policy)
    alone = pl.concat([price(frame[row], BOOK, policy) for row in range(frame.height)])
    assert whole.equals(alone)
    for size in (7, 32):
        monkeypatch.setattr("warehouse.pricing.cost._ROWS_AT_ONCE", size)
        assert price(frame, BOOK, policy).equals(whole)
    monkeypatch.setattr("warehouse.pricing.columnar._BLOCK", 5)
    monkeypatch.setattr("warehouse.pricing.distinct._BLOCK", 5)
    assert price(frame, BOOK, policy).equals(whole)
