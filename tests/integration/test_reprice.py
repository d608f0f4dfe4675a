"""Stored costs corrected: once each, whatever ends the run, and beside everything else that goes on."""

import multiprocessing
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlglot import exp

from tests.factories import repricing, rows
from tests.factories.engines import shared_server
from tests.factories.gateway import PartMissing
from tests.factories.loaded import loaded
from tests.factories.parts import lacking
from tests.factories.prices import MemoryLevel
from tests.integration import reprice_worker as worker
from warehouse.catalog.functions import column
from warehouse.catalog.prices import CORRECTED, NEW, OLD
from warehouse.engines.base import Engine
from warehouse.errors import InvalidInput
from warehouse.pricing.book import PriceBook
from warehouse.query.run import run_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery
from warehouse.reprice import rows as reading
from warehouse.reprice import run
from warehouse.reprice.rows import Selection

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.integration.reprice_worker"])
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD_RATES, NEW_RATES = {"gpt_4o": 0.003, "gpt_4o_mini": 0.07}, {"gpt_4o": 0.0001, "claude_sonnet_4_5": 1e-12}
COSTS = tuple(of.name for of in CORRECTED)


@pytest.fixture(params=["lake", "clickhouse"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with loaded(str(request.param), tmp_path, rows.generations(1, 0)) as opened:
        yield filled(opened)


def filled(engine: Engine, count: int = 150) -> Engine:
    by = repricing.pricer(PriceBook([MemoryLevel(repricing.price_files(**OLD_RATES))]))
    for seed in range(2):
        repricing.load(engine, repricing.priced(seed, count, by, NOW - HOUR), f"load-{seed}")
    return engine


def table(engine: Engine, name: str, *columns: str) -> list[dict[str, Any]]:
    return engine.query(exp.select(*(column(each) for each in columns)).from_(name)).to_pylist()


def costs(engine: Engine) -> dict[str, tuple[Any, ...]]:
    return {row["id"]: tuple(row[name] for name in COSTS) for row in table(engine, "generations", "id", *COSTS)}


def answered(engine: Engine, as_known_at: datetime | None = None) -> list[Any]:
    year = {"since": NOW.replace(month=1), "until": NOW.replace(month=12), "as_known_at": as_known_at, "limit": None}
    asked = [
        GroupedQuery(TenantScope(organisation), by=("model", "workspace"), measures=("cost",), **year)
        for organisation in rows.ORGANISATIONS
    ]
    return [run_grouped(engine, question).rows.to_pylist() for question in asked]


def check_log(engine: Engine, before: dict[str, tuple[Any, ...]]) -> None:
    """Each row bears what its corrections say, one after the other, and starts from what it was loaded with."""
    now = costs(engine)
    names = [prefix + name for prefix in (OLD, NEW) for name in COSTS]
    log = table(engine, "corrections", "row_id", "corrected_at", *names)
    borne = {row["id"]: row["repriced_at"] for row in table(engine, "generations", "id", "repriced_at")}
    chains: dict[str, list[dict[str, Any]]] = {}
    for correction in sorted(log, key=lambda one: one["corrected_at"]):
        chains.setdefault(correction["row_id"], []).append(correction)
    for id_, first in before.items():
        chain = [one for one in chains.get(id_, []) if borne[id_] is not None and one["corrected_at"] <= borne[id_]]
        value = first
        for correction in chain:
            assert tuple(correction[OLD + name] for name in COSTS) == value
            value = tuple(correction[NEW + name] for name in COSTS)
        assert now[id_] == value
    assert max(Counter((one["row_id"], one["corrected_at"]) for one in log).values(), default=1) == 1


def test_what_differs_is_shown_then_corrected_and_then_nothing_is_left(engine: Engine) -> None:
    before = costs(engine)
    dry = repricing.reprice_by(engine, NEW_RATES, NOW, is_dry=True)
    assert costs(engine) == before
    assert table(engine, "corrections", "id") == []
    done = repricing.reprice_by(engine, NEW_RATES, NOW)
    assert (done.differences, done.corrections, done.rows) == (dry.differences, dry.corrections, 300)
    after = costs(engine)
    changed = [id_ for id_ in before if before[id_][:-2] != after[id_][:-2]]
    assert 0 < len(changed) <= done.corrections
    known = [(old[0] or 0, new[0] or 0) for old, new in ((before[id_], after[id_]) for id_ in before)]
    assert done.difference == sum((new - old for old, new in known), Decimal(0))
    assert sum(one.rows for one in done.differences) == done.corrections
    lost = [id_ for id_ in before if before[id_][0] is not None and after[id_][0] is None]
    found = [id_ for id_ in before if before[id_][0] is None and after[id_][0] is not None]
    assert sum(one.newly_unpriced for one in done.differences) == len(lost) > 0
    assert sum(one.newly_priced for one in done.differences) == len(found) > 0
    check_log(engine, before)
    again = repricing.reprice_by(engine, NEW_RATES, NOW + HOUR)
    assert (again.corrections, again.differences, again.settled) == (0, (), 0)
    assert costs(engine) == after


def test_a_price_that_comes_back_is_corrected_back_and_every_step_stays_on_record(engine: Engine) -> None:
    before = costs(engine)
    told = {NOW - HOUR / 2: answered(engine)}
    for step, rates in enumerate((NEW_RATES, OLD_RATES, NEW_RATES)):
        # The clock stands still: each correction still comes after the one before.
        made = repricing.reprice_by(engine, rates, NOW)
        assert made.corrected_at == NOW + step * timedelta(milliseconds=1)
        assert made.overtaken == 0
        told[made.corrected_at] = answered(engine)
        check_log(engine, before)
    for at, then in told.items():
        assert answered(engine, at) == then


def test_only_what_is_selected_is_priced_again(engine: Engine) -> None:
    first = rows.FIRST_DAY
    selection = Selection(first + HOUR, first + 30 * HOUR, provider="Open-AI", model="gpt-4o")
    by = repricing.pricer(PriceBook([MemoryLevel(repricing.price_files(**NEW_RATES))]))
    before = costs(engine)
    facts = {
        row["id"]: row for row in table(engine, "generations", "id", "ai_org", "ai_model", "created_at", "repriced_at")
    }
    done = run.reprice(engine, by, selection, NOW)
    wanted = {
        id_
        for id_, row in facts.items()
        if (row["ai_org"], row["ai_model"]) == ("openai", "gpt-4o")
        and selection.since <= row["created_at"] <= selection.until
    }
    assert done.rows == len(wanted) > 0
    assert {id_ for id_ in before if costs(engine)[id_] != before[id_]} <= wanted
    assert done.corrections == len(table(engine, "corrections", "id"))


def test_pieces_of_any_size_come_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loaded("lake", tmp_path / "a", rows.generations(1, 0)) as whole:
        expected = repricing.reprice_by(filled(whole), NEW_RATES, NOW)
        ends = costs(whole)
    monkeypatch.setattr(reading, "CHUNK_ROWS", 7)
    monkeypatch.setattr(run, "FLUSH_ROWS", 11)
    with loaded("lake", tmp_path / "b", rows.generations(1, 0)) as small:
        done = repricing.reprice_by(filled(small), NEW_RATES, NOW)
        assert (done.rows, done.corrections, done.differences) == (
            expected.rows,
            expected.corrections,
            expected.differences,
        )
        assert costs(small) == ends


def test_a_time_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    with loaded("lake", tmp_path, rows.generations(1, 0)) as engine, pytest.raises(InvalidInput, match="is after"):
        run.reprice(engine, repricing.pricer(PriceBook([])), Selection(NOW, NOW - HOUR), NOW)


def killed(url: str, kill_at: int | None) -> bool:
    """Whether a run was killed at that moment; False when it ended before."""
    process = FORK.Process(target=worker.reprice, args=(url, NEW_RATES, NOW, kill_at), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode in (0, -9)
    return process.exitcode == -9


def check_recovery(engine: Engine, before: dict[str, tuple[Any, ...]], told: list[Any]) -> int:
    """Whatever was done until the kill is sound, and a run after it ends with everything exactly once."""
    assert answered(engine, NOW - HOUR / 2) == told
    check_log(engine, before)
    written = len(table(engine, "corrections", "id"))
    done = repricing.reprice_by(engine, NEW_RATES, NOW + HOUR)
    check_log(engine, before)
    log = table(engine, "corrections", "row_id")
    assert len({one["row_id"] for one in log}) == len(log) == written + done.corrections
    assert answered(engine, NOW - HOUR / 2) == told
    assert repricing.reprice_by(engine, NEW_RATES, NOW + 2 * HOUR).corrections == 0
    return done.settled


@pytest.mark.slow
def test_a_run_on_the_lake_killed_at_any_moment_is_taken_up_again(tmp_path: Path) -> None:
    with loaded("lake", tmp_path / "home", rows.generations(1, 0)) as engine:
        filled(engine, 40)
        before, told = costs(engine), answered(engine)
        repricing.reprice_by(filled_copy(tmp_path, "whole"), NEW_RATES, NOW)
        expected = costs(worker.open_at(f"file://{tmp_path}/whole"))
    kill_at = settled = 0
    while killed(f"file://{copied(tmp_path, kill_at)}", kill_at):
        again = worker.open_at(f"file://{tmp_path}/{kill_at}")
        settled += check_recovery(again, before, told)
        assert costs(again) == expected
        again.close()
        kill_at += 3
    assert kill_at >= 5 * rows.DAYS, "several steps a day"
    assert settled > 0, "some kills fell between a correction and its rows"


def copied(folder: Path, name: object) -> Path:
    """A copy of the lake that was filled."""
    shutil.copytree(folder / "home" / "lake", folder / str(name))
    return folder / str(name)


def filled_copy(folder: Path, name: str) -> Engine:
    return worker.open_at(f"file://{copied(folder, name)}")


@pytest.mark.slow
def test_a_run_on_clickhouse_killed_between_log_and_rows_is_taken_up_again(tmp_path: Path) -> None:
    with loaded("clickhouse", tmp_path, rows.generations(1, 0)) as engine:
        filled(engine, 40)
        before, told = costs(engine), answered(engine)
        assert killed(str(address_of(engine)), kill_at=2)
        assert check_recovery(engine, before, told) > 0


def address_of(engine: Engine) -> str:
    try:
        return shared_server().url(engine.address.database)  # type: ignore[attr-defined]
    except PartMissing as missing:
        lacking(missing)


def test_loads_and_maintenance_beside_it_lose_nothing(engine: Engine) -> None:
    by = repricing.pricer(PriceBook([MemoryLevel(repricing.price_files(**OLD_RATES))]))
    batches = [repricing.priced(seed, 25, by, NOW) for seed in range(10, 18)]

    def load() -> None:
        for number, batch in enumerate(batches):
            repricing.load(engine, batch, f"beside-{number}")
            engine.maintain(NOW + number * HOUR)

    beside = Thread(target=load)
    beside.start()
    for step in range(3):
        assert repricing.reprice_by(engine, NEW_RATES, NOW + step * HOUR).overtaken == 0
    beside.join()
    repricing.reprice_by(engine, NEW_RATES, NOW + 9 * HOUR)
    stored = table(engine, "generations", "id")
    assert len(stored) == len({row["id"] for row in stored}) == 300 + 8 * 25
    assert repricing.reprice_by(engine, NEW_RATES, NOW + 10 * HOUR).corrections == 0
