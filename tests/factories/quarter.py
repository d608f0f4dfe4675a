"""A quarter of a company's traffic, and what its limits should say: an independent model of usage, resets and alerts.

The model knows rows as whole numbers and walks the calendar day by day. It shares nothing with what it judges.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import numpy as np
import polars as pl
import pyarrow as pa

from tests.factories.prices import MemoryLevel
from tests.factories.repricing import price_files, pricer
from warehouse.catalog.generations import GENERATIONS
from warehouse.pricing.book import PriceBook
from warehouse.reprice.run import Pricer
from warehouse.storage.tables import arrow_schema

START = datetime(2026, 4, 1, 9, 15, 30, 250_000, tzinfo=UTC)
DAYS = 91
DAY = timedelta(days=1)
DAY_MS = 86_400_000
RATES = (100, 130, 85)
"""What a token costs, by the version of the prices. Units: 1/10,000 of a cent."""
MEAN_TOKENS = 750
_SLUG_OF_KIND = ("api_key", "workspace", "virtual_key")


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def moment(ms: int) -> datetime:
    """The instant of so many milliseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def pricer_of(version: int) -> Pricer:
    """Prices by the rate of a version."""
    return pricer(PriceBook([MemoryLevel(dict(price_files(gpt_4o=RATES[version] / 10_000)))]))


@dataclass
class Rows:
    """The rows of the company as arrays: when, whose (numbers of key, workspace, virtual key), tokens, price."""

    at_ms: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    whose: np.ndarray = field(default_factory=lambda: np.empty((3, 0), np.int32))
    tokens: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    rates: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, more: "Rows") -> None:
        self.at_ms = np.concatenate([self.at_ms, more.at_ms])
        self.whose = np.concatenate([self.whose, more.whose], axis=1)
        self.tokens = np.concatenate([self.tokens, more.tokens])
        self.rates = np.concatenate([self.rates, more.rates])

    def reprice(self, since_ms: int, until_ms: int, rate: int) -> int:
        """How many rows from `since` to `until`, both inclusive, have this rate now."""
        chosen = (self.at_ms >= since_ms) & (self.at_ms <= until_ms)
        self.rates[chosen] = rate
        return int(chosen.sum())


@dataclass(frozen=True)
class Company:
    """Whose rows there are: ids of keys with the workspace each is in, slugs of workspaces, slugs of virtual keys."""

    organisation_id: str
    keys: Sequence[str]
    place_of_key: Sequence[int]
    workspaces: Sequence[str]
    virtual_keys: Sequence[str]

    def drawn(self, random: Random, at_ms: Sequence[int]) -> Rows:
        """A row for each instant."""
        source = np.random.default_rng(random.getrandbits(64))
        count = len(at_ms)
        keys = source.integers(0, len(self.keys), count, dtype=np.int32)
        places = np.asarray(self.place_of_key, np.int32)[keys]
        virtual = source.integers(0, len(self.virtual_keys), count, dtype=np.int32)
        tokens = source.integers(1, 2 * MEAN_TOKENS, count)
        rates = np.full(count, RATES[0], np.int64)
        return Rows(np.asarray(at_ms, np.int64), np.stack([keys, places, virtual]), tokens, rates)

    def table(self, rows: Rows, prefix: str) -> pa.Table:
        """The rows as the warehouse has them, priced by the first version."""
        keys, places, virtual = rows.whose
        requested = rows.tokens // 2
        named = {
            "organisation_id": pl.lit(self.organisation_id),
            "created_at": pl.Series(rows.at_ms).cast(pl.Datetime("ms")).cast(pl.Datetime("us")),
            "workspace_slug": pl.Series(np.asarray(self.workspaces, object)[places].tolist()),
            "id": pl.Series([f"{prefix}-{number}" for number in range(len(rows.tokens))], dtype=pl.String),
            "api_key_id": pl.Series(np.asarray(self.keys, object)[keys].tolist()),
            "virtual_key": pl.Series(np.asarray(self.virtual_keys, object)[virtual].tolist()),
            "ai_org": pl.lit("openai"),
            "ai_model": pl.lit("gpt-4o"),
            "is_success": pl.lit(True),
            "req_units": pl.Series(requested),
            "res_units": pl.Series(rows.tokens - requested),
            "total_units": pl.Series(rows.tokens),
            "uncached_input_tokens": pl.Series(requested),
            "output_tokens": pl.Series(rows.tokens - requested),
            "cost_currency": pl.lit("USD"),
            "usage_known": pl.lit(True),
            "ingested_at": pl.lit(START.replace(tzinfo=None), dtype=pl.Datetime("us")),
            "batch_id": pl.lit(prefix),
        }
        schema = arrow_schema(GENERATIONS)
        empty = pl.DataFrame(schema.empty_table())
        frame = pl.DataFrame({"at": rows.at_ms}).select(
            *(
                named[name].alias(name) if name in named else pl.lit(None, dtype=dtype).alias(name)
                for name, dtype in empty.schema.items()
            ),
            named["usage_known"].alias("usage_known"),
        )
        frame = frame.with_columns(pl.col("units.name", "units.quantity").fill_null([]))
        priced = pricer_of(0)(frame).select(schema.names)
        return priced.to_arrow(compat_level=pl.CompatLevel.newest()).cast(schema)


@dataclass
class Expected:
    """What one limit should say. Units: 1/1,000,000 of a USD, or tokens."""

    limit_id: str
    kind: int
    """Which of the numbers of a row tells whose it is."""
    numbers: tuple[int, ...]
    """Those whose rows count."""
    places: tuple[int, ...]
    """Of a virtual key, the workspace in which they count."""
    type: str
    credit_limit: int
    threshold: int | None
    schedule: tuple[str, int] | None
    """(weekly|monthly|days, number of days)."""
    scheduled_at: datetime
    since: datetime
    """When its period began."""
    walked_until: datetime
    usage: int = 0
    told: dict[str, bool] = field(default_factory=lambda: {"threshold": False, "exhausted": False})

    def walk(self, now: datetime) -> None:
        """The period in which `now` lies, midnight by midnight since the last walk."""
        midnight = self.walked_until.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
        while midnight <= now:
            if self._resets_at(midnight):
                self.restart(midnight)
            midnight += DAY
        self.walked_until = now

    def restart(self, at: datetime) -> None:
        self.since, self.usage = at, 0
        self.told = {"threshold": False, "exhausted": False}

    def _resets_at(self, midnight: datetime) -> bool:
        if self.schedule is None or midnight <= self.scheduled_at:
            return False
        name, days = self.schedule
        if name == "weekly":
            return midnight.isoweekday() == 7
        if name == "monthly":
            return midnight.day == 1
        first = self.scheduled_at.replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight - first).days % days == 0

    def change(self, credit_limit: int, threshold: int | None) -> None:
        """Source: dataplane contract 7.2 "update rules"."""
        if credit_limit > self.credit_limit:
            self.told = {"threshold": False, "exhausted": False}
        elif threshold is None or (self.threshold is not None and threshold > self.threshold):
            self.told["threshold"] = False
        self.credit_limit, self.threshold = credit_limit, threshold

    def count(self, sums: "Sums", now: datetime) -> Iterator[str]:
        """What is to be told now that so much is used."""
        self.usage = sums.of(self, now)
        if self.threshold is not None and self.usage >= self.threshold and not self.told["threshold"]:
            self.told["threshold"] = True
            yield "threshold"
        if self.is_exhausted and not self.told["exhausted"]:
            self.told["exhausted"] = True
            yield "exhausted"

    @property
    def is_exhausted(self) -> bool:
        return self.usage >= self.credit_limit

    def amount(self, value: int) -> Decimal:
        """In the unit of the limit."""
        return Decimal(value) / 1_000_000 if self.type == "cost" else Decimal(value)


class Sums:
    """Sums over the rows by whose they are, row by row and nothing remembered."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._of: defaultdict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.empty(0, np.int64))
        for kind in range(len(_SLUG_OF_KIND)):
            order = np.argsort(rows.whose[kind], kind="stable")
            numbers, starts = np.unique(rows.whose[kind][order], return_index=True)
            for number, some in zip(numbers, np.split(order, starts[1:]), strict=True):
                self._of[kind, int(number)] = some

    def of(self, expected: Expected, now: datetime) -> int:
        """What is used from the start of the period until now."""
        since, until = milliseconds(expected.since), milliseconds(now)
        total = 0
        for number in expected.numbers:
            some = self._of[expected.kind, number]
            at_ms = self._rows.at_ms[some]
            some = some[(at_ms >= since) & (at_ms < until)]
            if expected.places:
                some = some[np.isin(self._rows.whose[1][some], expected.places)]
            tokens = self._rows.tokens[some]
            total += int((tokens * self._rows.rates[some]).sum() if expected.type == "cost" else tokens.sum())
        return total


def instants(random: Random, before: datetime, now: datetime, count: int) -> list[int]:
    """When so many requests of a step were made: mostly just now, some at midnights, some late, some ahead of time."""
    first, last = milliseconds(before), milliseconds(now)
    midnights = [ms for ms in range(first - first % DAY_MS, last + DAY_MS, DAY_MS) if first <= ms <= last]
    found: list[int] = []
    late_days = [random.randrange(1, 30) for _ in range(2)]
    for _ in range(count):
        chance = random.random()
        if chance < 0.04 and midnights:
            found.append(random.choice(midnights) + random.choice((-1, 0, 0, 1)))
        elif chance < 0.14:
            late = last - last % DAY_MS - random.choice(late_days) * DAY_MS + random.randrange(DAY_MS)
            found.append(late if late >= milliseconds(START) - 2 * DAY_MS else first)
        elif chance < 0.15:
            found.append(last + random.randrange(DAY_MS // 2))
        else:
            found.append(random.randrange(first, last + 1))
    return found


def clock(random: Random, steps: int) -> Iterator[datetime]:
    """The instants at which somebody looks: any time of the day, exactly at midnight, and after days of downtime."""
    now, mean = START, DAYS / steps
    for _ in range(steps):
        before = now
        now += timedelta(days=mean) * random.choice((0.1, 0.5, 0.9, 1.0, 2.5)) + timedelta(minutes=6)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if midnight - before > timedelta(minutes=6) and random.random() < 0.2:
            now = midnight
        yield now
