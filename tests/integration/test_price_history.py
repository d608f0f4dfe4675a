"""The price book over a warehouse: what is seen is kept, and each request gets the price of its time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from tests.factories import rows
from tests.factories.loaded import loaded
from tests.factories.prices import MemoryLevel, default, entry
from warehouse.engines.base import Appended, Engine
from warehouse.pricing.book import Listing, PriceBook, UnpricedReason
from warehouse.pricing.history import WarehouseHistory

T1 = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
T2, T3 = T1 + timedelta(days=30), T1 + timedelta(days=60)


@pytest.fixture(params=["lake", "clickhouse"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with loaded(str(request.param), tmp_path, rows.generations(1, 0)) as opened:
        yield opened


class Broken(MemoryLevel):
    """A level that is down."""

    def read(self, provider: str) -> bytes | None:
        raise OSError(f"no answer for {provider}")


def book(engine: Engine, now: datetime, *levels: MemoryLevel, known_at: datetime | None = None) -> PriceBook:
    return PriceBook(levels).remembering(WarehouseHistory(engine, now, known_at))


def level(**rates: float) -> MemoryLevel:
    return MemoryLevel({"acme": {"default": default(), **{m: entry(request_token=r) for m, r in rates.items()}}})


def rate(of: PriceBook, model: str, at: datetime) -> Decimal | UnpricedReason:
    found = of.listing("acme", model)
    if not isinstance(found, Listing):
        return found
    row = found.row(at)
    assert row is not None
    assert row.pricing.config is not None
    return row.pricing.config.pay_as_you_go.tokens["request_token"]


def test_a_change_is_appended_and_the_old_price_stays(engine: Engine) -> None:
    precise = 0.123456789012345678
    assert rate(book(engine, T1, level(m=precise, n=2)), "m", T1) == Decimal(str(precise))
    assert rate(book(engine, T2, level(m=precise, n=2)), "m", T2) == Decimal(str(precise))
    past = WarehouseHistory(engine, T2)
    assert [(one.model, one.known_from) for one in past.versions()] == [
        ("m", T1.replace(microsecond=123_000)),
        ("n", T1.replace(microsecond=123_000)),
    ]
    changed = book(engine, T3, level(m=7, n=2))
    assert [rate(changed, "m", at) for at in (T1, T2, T3)] == [Decimal(str(precise))] * 2 + [7]
    assert [one.known_from.date() for one in past.versions("acme", "m")] == [T1.date(), T3.date()]
    assert len(past.versions("acme", "n")) == 1


def test_the_book_as_known_at_an_instant_reads_no_file(engine: Engine) -> None:
    for now, price in ((T1, 1), (T2, 2)):
        assert rate(book(engine, now, level(m=price)), "m", now) == price
    known = book(engine, T3, level(m=99), known_at=T2 - timedelta(seconds=1))
    assert rate(known, "m", T3) == 1
    assert rate(book(engine, T3, known_at=T1 - timedelta(days=1)), "m", T3) is UnpricedReason.UNKNOWN_PROVIDER
    assert len(WarehouseHistory(engine, T3).versions()) == 2


def test_a_source_that_fails_teaches_nothing(engine: Engine) -> None:
    assert rate(book(engine, T1, level(m=5), level(m=1)), "m", T1) == 5
    fallen = book(engine, T2, Broken({}), level(m=1, n=3))
    assert rate(fallen, "m", T2) == 5, "the fallback's price is not the price of that hour"
    assert rate(fallen, "n", T2) == 3, "a model that nothing is known of is better priced than not"
    assert len(WarehouseHistory(engine, T2).versions()) == 1
    assert [str(problem) for problem in fallen.problems()] == ["memory acme: no answer for acme"]


def test_a_model_that_leaves_the_files_keeps_its_price(engine: Engine) -> None:
    assert rate(book(engine, T1, level(m=5)), "m", T1) == 5
    assert rate(book(engine, T2, level(n=1)), "m", T2) == 5
    gone = book(engine, T3)
    assert rate(gone, "m", T3) == 5
    assert gone.providers() == ("acme",)


def test_a_clock_that_went_back_keeps_the_order(engine: Engine) -> None:
    assert rate(book(engine, T2, level(m=5)), "m", T2) == 5
    assert rate(book(engine, T1, level(m=6)), "m", T3) == 6
    assert rate(book(engine, T1, level(m=6)), "m", T3) == 6
    assert len(WarehouseHistory(engine, T3).versions()) == 2


def test_who_only_looks_records_nothing(engine: Engine) -> None:
    looking = PriceBook([level(m=5)]).remembering(WarehouseHistory(engine, T1, records=False))
    assert rate(looking, "m", T1) == 5
    assert WarehouseHistory(engine, T1).versions() == []


def test_rates_are_rows_of_unit_and_rate(engine: Engine) -> None:
    files = MemoryLevel({"acme": {"m": entry(request_token=1, response_token=2, units={"web_search": 30})}})
    [row] = book(engine, T1, files).rows("acme")
    assert dict(row.rates()) == {
        "request_token": Decimal(1),
        "response_token": Decimal(2),
        "web_search": Decimal(30),
    }
    assert row.known_from == T1.replace(microsecond=123_000)


class Counted:
    """An engine that tells how often it was asked and written to."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.asked, self.written = engine, 0, 0

    def query(self, *given: Any, **named: Any) -> pa.Table:
        self.asked += 1
        return self._engine.query(*given, **named)

    def append(self, *given: Any, **named: Any) -> Appended:
        self.written += 1
        return self._engine.append(*given, **named)


def test_all_providers_are_read_and_recorded_together(engine: Engine) -> None:
    def files(rate: float) -> MemoryLevel:
        entries = {"default": default(), "m": entry(request_token=1), "n": entry(request_token=2)}
        alike = dict.fromkeys(("one", "two", "three"), entries)
        return MemoryLevel(alike | {"four": entries | {"m": entry(request_token=rate)}})

    for now, price, asked, written in ((T1, 5, 1, 1), (T2, 5, 1, 0), (T3, 6, 2, 1), (T3, 6, 2, 0)):
        counted = Counted(engine)
        together = PriceBook([files(price)]).remembering(WarehouseHistory(cast(Engine, counted), now))
        shelves = together.shelves(["one", "two", "three", "four"])
        assert (counted.asked, counted.written) == (asked, written)
        alone = PriceBook([files(price)]).remembering(WarehouseHistory(engine, now))
        for found in shelves:
            assert found is not None
            again = alone.shelf(found.provider)
            assert again is not None
            assert found.models == again.models
    four = PriceBook([files(6)]).remembering(WarehouseHistory(engine, T3)).shelf("four")
    assert four is not None
    first, second = four.models["m"]
    assert (first.effective_to, second.effective_from) == (T3.replace(microsecond=123_000),) * 2
