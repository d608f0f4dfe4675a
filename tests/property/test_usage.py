"""Usage of many meters is what plain Python adds up, on every engine, after each load, late row and new price."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from tests.factories.engines import OPENERS
from tests.factories.rows import DAYS, FIRST_DAY, as_generations, generations
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import EXPECTED, Batch, Engine
from warehouse.query.usage import LATELY_DAYS, Kind, Meter, Used, count
from warehouse.storage.tables import arrow_schema

MS, DAY = timedelta(milliseconds=1), timedelta(days=1)
KEYS = {
    Kind.API_KEY: [("key-1",), ("key-2",), ("key-3",), ("nobody",)],
    Kind.WORKSPACE: [("default",), ("prod",), ("Prod",), ("équipe-✓",), ("o'brien",)],
    Kind.VIRTUAL_KEY: [("prod", "openai-main"), ("prod", "openai-eu"), ("o'brien", "openai-eu"), ("prod", "nothing")],
}


def some_meters(random: Random, rows: Sequence[dict[str, Any]], number: int) -> list[Meter]:
    meters: list[Meter] = []
    for index in range(number):
        kind = random.choice(list(Kind))
        keys = tuple(random.sample(KEYS[kind], random.choice((1, 1, 2))))
        moment: datetime = random.choice(rows)["created_at"].replace(tzinfo=UTC) + random.choice((-MS, 0 * MS, MS))
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        since = random.choice((moment, midnight, midnight, FIRST_DAY - 90 * DAY))
        until = random.choice((None, None, midnight + random.randrange(1, 3) * DAY))
        meters.append(Meter(f"m{index}", kind, random.choice(("org-a", "org-b", "org-'c\\")), keys, since, until))
    return meters


def expected(meter: Meter, rows: Sequence[dict[str, Any]], now: datetime) -> Used:
    own = [
        (row["created_at"].replace(tzinfo=UTC), row["cost"] or Decimal(0), row["total_units"] or 0)
        for row in rows
        if row["organisation_id"] == meter.organisation_id
        and tuple(row[name] for name in meter.kind.value) in meter.keys
        and row["created_at"].replace(tzinfo=UTC) < now
    ]
    inside = [(cost, tokens) for at, cost, tokens in own if meter.since <= at < (meter.until or now)]
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    lately = [one for one in own if today - LATELY_DAYS * DAY <= one[0] < today]
    days = (today.date() - min(at for at, *_ in lately).date()).days if lately else 1
    lately = lately or [one for one in own if one[0] >= today]
    return Used(
        sum((cost for cost, _ in inside), Decimal(0)),
        sum(tokens for _, tokens in inside),
        (sum((cost for _, cost, _ in lately), Decimal(0)) / days).quantize(Decimal("0.000001")),
        (Decimal(sum(tokens for _, _, tokens in lately)) / days).quantize(Decimal("0.000001")),
    )


def priced_anew(engine: Engine, random: Random, rows: list[dict[str, Any]], now: datetime) -> None:
    """Some stored rows get another cost, as a re-pricing gives it."""
    chosen = random.sample(range(len(rows)), 5)
    changes = [
        {
            "id": rows[index]["id"],
            "created_at": rows[index]["created_at"],
            "repriced_at": now.replace(tzinfo=None),
            EXPECTED: rows[index]["repriced_at"],
            "cost": Decimal(random.randrange(10**13)).scaleb(-12),
        }
        for index in chosen
    ]
    types = {field.name: field.type for field in arrow_schema(GENERATIONS)} | {EXPECTED: pa.timestamp("us")}
    schema = pa.schema([(name, types[name]) for name in changes[0]])
    assert engine.rewrite(GENERATIONS, pa.Table.from_pylist(changes, schema=schema), Batch(f"anew-{now}")) == 5
    for index, change in zip(chosen, changes, strict=True):
        rows[index] |= {"cost": change["cost"], "repriced_at": change["repriced_at"]}


@pytest.mark.parametrize("kind", ["lake", "clickhouse"])
def test_it_is_the_sum_over_the_rows_whatever_came_before(kind: str, tmp_path: Path) -> None:
    random = Random(17)
    with OPENERS[kind](tmp_path) as engine:
        rows: list[dict[str, Any]] = []
        meters: list[Meter] = []
        for step in range(8 if kind == "lake" else 4):
            now = FIRST_DAY + timedelta(days=(step + 1) * DAYS / 7, milliseconds=random.randrange(10**6))
            more = generations(step, 60).to_pylist()
            engine.append(GENERATIONS, as_generations(more), Batch(f"step-{step}"))
            rows += more
            if step % 3 == 2:
                priced_anew(engine, random, rows, now)
            meters = meters[step:] + some_meters(random, rows, 30)
            meters = [Meter(f"m{index}", *_rest(meter)) for index, meter in enumerate(meters)]
            found = count(engine, meters, now)
            assert found == {meter.id: expected(meter, rows, now) for meter in meters}


def test_starts_within_a_day_in_great_number(tmp_path: Path) -> None:
    """More than one question asks at once, each start with its own keys."""
    random = Random(5)
    rows = generations(1, 400).to_pylist()
    with OPENERS["lake"](tmp_path) as engine:
        engine.append(GENERATIONS, as_generations(rows), Batch("all"))
        starts = [FIRST_DAY + timedelta(milliseconds=random.randrange(86_400_000)) for _ in range(700)]
        meters = [
            Meter(str(index), Kind.WORKSPACE, "org-a", (random.choice(KEYS[Kind.WORKSPACE]),), start)
            for index, start in enumerate(starts)
        ]
        now = FIRST_DAY + DAYS * DAY
        assert count(engine, meters, now) == {meter.id: expected(meter, rows, now) for meter in meters}


def test_nobody_and_nothing(tmp_path: Path) -> None:
    with OPENERS["lake"](tmp_path) as engine:
        assert count(engine, [], FIRST_DAY) == {}
        meter = Meter("m", Kind.API_KEY, "org-a", (("key-1",),), FIRST_DAY)
        assert count(engine, [meter], FIRST_DAY + DAY)["m"].tokens == 0


def _rest(meter: Meter) -> tuple[Any, ...]:
    return meter.kind, meter.organisation_id, meter.keys, meter.since, meter.until
