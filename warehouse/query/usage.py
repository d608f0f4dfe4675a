"""How much was used since when, of many keys, workspaces and virtual keys at once, from the rows and nothing else.

Whole days are summed once by one grouped query per kind and kept as long as the engine says that their rows are the
same; so to count again after a commit reads the days that the commit touched. A first day that starts within the day is
summed apart. What is kept is only ever an answer of the warehouse: without it the numbers are the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from threading import Lock
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import polars as pl
from sqlglot import exp

from warehouse.catalog.functions import call, column, named, text
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Engine, Window, scan
from warehouse.query.conditions import MILLISECOND, instant, to_millisecond, within_windows

DAY = timedelta(days=1)
LATELY_DAYS = 7
"""Whole days before today that tell how much is used a day."""
_DAYS_AT_ONCE = 31
_STARTS_AT_ONCE = 500
_ORGANISATION = "organisation_id"
_MONEY = pl.Decimal(38, 12)
_RATE_STEP = Decimal("0.000001")
_NOTHING: "_Sums" = (Decimal(0), 0)
_IDLE = (Decimal(0), Decimal(0))
_SUMS = {"cost": "cost", "tokens": "total_tokens"}
"""Our name of each sum → the measure."""


class Kind(Enum):
    """Whose usage is counted: the columns that tell one from the other within an organisation."""

    API_KEY = ("api_key_id",)
    WORKSPACE = ("workspace_slug",)
    VIRTUAL_KEY = ("workspace_slug", "virtual_key")

    @property
    def columns(self) -> tuple[str, ...]:
        return (_ORGANISATION, *self.value)


@dataclass(frozen=True, slots=True)
class Meter:
    """What is to be counted: rows of these `keys` from `since` (inclusive) on, before `until` and before now.

    `keys` hold a value for each of the kind's columns; of several, all count. `until` is a midnight of UTC or None.
    """

    id: str
    kind: Kind
    organisation_id: str
    keys: tuple[tuple[str, ...], ...]
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """What a meter found, and how much of it a day lately (whatever its start). Units: cents, tokens."""

    cost_cents: Decimal
    tokens: int
    cost_cents_per_day: Decimal
    tokens_per_day: Decimal


def count(engine: Engine, meters: Iterable[Meter], now: datetime) -> dict[str, Used]:
    """Meter id → what was used. Instants count to the millisecond, as rows do. Raises: WarehouseError."""
    with _counters_lock:
        counters = _counters_of.setdefault(engine, {kind: _Counter(kind) for kind in Kind})
    by_kind: defaultdict[Kind, list[Meter]] = defaultdict(list)
    for meter in meters:
        by_kind[meter.kind].append(meter)
    found: dict[str, Used] = {}
    for kind, some in by_kind.items():
        found |= counters[kind].count(engine, some, to_millisecond(now))
    return found


class _Line(NamedTuple):
    """One key of one meter: `values` are those of the kind's columns."""

    meter: int
    values: tuple[str, ...]
    since: datetime
    end: date

    @property
    def is_whole(self) -> bool:
        """Whether the first day counts from its midnight."""
        return self.since == _midnight(self.since.date())


_Sums = tuple[Decimal, int]


class _Counter:
    """The days of one kind that were summed, and what each was summed from. Safe between threads."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._lock = Lock()
        self._days: dict[date, str] = {}
        """Day → the fingerprint that its rows had before they were read."""
        self._sums = pl.DataFrame(schema=_schema(kind))
        self._starts: dict[tuple[tuple[str, ...], datetime], tuple[str, _Sums]] = {}
        """Values and a start within a day → the fingerprint, and the sums from the start to the end of the day."""

    def count(self, engine: Engine, meters: Sequence[Meter], now: datetime) -> dict[str, Used]:
        """See `count`."""
        lines = [line for number, meter in enumerate(meters) for line in _lines(number, meter)]
        with self._lock:
            today = now.date()
            first = min(min(line.since.date() for line in lines), today - LATELY_DAYS * DAY)
            window = Window(_midnight(first), _midnight(today) + DAY - MILLISECOND)
            made = {
                day: fingerprint
                for day, fingerprint in engine.day_fingerprints(GENERATIONS, window).items()
                if first <= day <= today
            }
            self._refresh_days(engine, made, now)
            self._refresh_starts(engine, made, lines, now)
            return self._counted(meters, lines, today)

    def _refresh_days(self, engine: Engine, made: Mapping[date, str], now: datetime) -> None:
        stale = sorted(day for day, fingerprint in made.items() if self._days.get(day) != fingerprint)
        gone = self._days.keys() - made.keys()
        if not stale and not gone:
            return
        frames = [self._sums.filter(~pl.col("day").is_in([*stale, *gone]))]
        for start in range(0, len(stale), _DAYS_AT_ONCE):
            chunk = stale[start : start + _DAYS_AT_ONCE]
            sums, is_whole = _before(engine, _day_sums(self._kind, chunk), _windows(chunk), self._kind, now)
            frames.append(sums)
            # A day with rows of the future is read again next time: they count when their time has come.
            self._days |= {day: made[day] if is_whole else "" for day in chunk}
        self._sums = pl.concat(frames)
        for day in gone:
            del self._days[day]

    def _refresh_starts(self, engine: Engine, made: Mapping[date, str], lines: Sequence[_Line], now: datetime) -> None:
        wanted = {(line.values, line.since) for line in lines if not line.is_whole and line.since.date() in made}
        self._starts = {key: known for key, known in self._starts.items() if key in wanted}
        stale: defaultdict[date, defaultdict[datetime, list[tuple[str, ...]]]] = defaultdict(lambda: defaultdict(list))
        for values, since in wanted:
            day = since.date()
            if self._starts.get((values, since), ("",))[0] != made[day]:
                stale[day][since].append(values)
        for day, by_start in stale.items():
            starts = sorted(by_start)
            for offset in range(0, len(starts), _STARTS_AT_ONCE):
                chunk = starts[offset : offset + _STARTS_AT_ONCE]
                sums, is_whole = _before(engine, _start_sums(self._kind, chunk), _windows([day]), self._kind, now)
                found = _from_starts(self._kind, sums, [by_start[start] for start in chunk])
                for number, start in enumerate(chunk):
                    for values in by_start[start]:
                        used = found.get((number, values), _NOTHING)
                        self._starts[(values, start)] = (made[day] if is_whole else "", used)

    def _counted(self, meters: Sequence[Meter], lines: Sequence[_Line], today: date) -> dict[str, Used]:
        joined = _asked(self._kind, lines).join(self._sums, on=self._kind.columns)
        sums = _by_meter(joined.filter((pl.col("day") >= pl.col("first")) & (pl.col("day") < pl.col("end"))))
        for line in lines:
            known = self._starts.get((line.values, line.since))
            if known is not None:
                (cost, tokens), (begun_cost, begun_tokens) = sums.get(line.meter, _NOTHING), known[1]
                sums[line.meter] = (cost + begun_cost, tokens + begun_tokens)
        rates = _lately(joined, today)
        return {
            meter.id: Used(*sums.get(number, _NOTHING), *rates.get(number, _IDLE))
            for number, meter in enumerate(meters)
        }


_counters_of: WeakKeyDictionary[Engine, dict[Kind, _Counter]] = WeakKeyDictionary()
_counters_lock = Lock()


def _key_schema(kind: Kind) -> dict[str, Any]:
    return dict.fromkeys(kind.columns, pl.Categorical)


def _schema(kind: Kind) -> dict[str, Any]:
    return {"day": pl.Date, **_key_schema(kind), "cost": _MONEY, "tokens": pl.Int64}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _windows(days: Sequence[date]) -> list[Window]:
    """The days as windows, days side by side in one."""
    windows: list[Window] = []
    for day in days:
        start, end = _midnight(day), _midnight(day) + DAY - MILLISECOND
        if windows and windows[-1].until == start - MILLISECOND:
            windows[-1] = Window(windows[-1].since, end)
        else:
            windows.append(Window(start, end))
    return windows


def _day_sums(kind: Kind, days: Sequence[date]) -> exp.Select:
    return _sums(kind, "day", call("GL_DAY", GENERATIONS.time_column), _windows(days))


def _start_sums(kind: Kind, starts: Sequence[datetime]) -> exp.Select:
    """Sums by the stretch between two starts that a row lies in, numbered by the start before it."""
    end = _midnight(starts[0].date()) + DAY - MILLISECOND
    return _sums(kind, "slot", _numbered(starts, 0), [Window(starts[0], end)])


def _numbered(starts: Sequence[datetime], first: int) -> exp.Expr:
    """The number of the last start that an instant is not before, found by halving."""
    if len(starts) == 1:
        return exp.Literal.number(first)
    half = len(starts) // 2
    before = exp.LT(this=column(GENERATIONS.time_column), expression=instant(starts[half]))
    left, right = _numbered(starts[:half], first), _numbered(starts[half:], first + half)
    return exp.Case(ifs=[exp.If(this=before, true=left)], default=right)


def _sums(kind: Kind, by: str, key: exp.Expr, windows: Sequence[Window]) -> exp.Select:
    keys = [exp.alias_(key, by), *(exp.alias_(column(name), f"k_{name}") for name in kind.columns)]
    measures = [
        exp.alias_(named(f"{GENERATIONS.name}.{measure}", GENERATIONS.measure(measure).expression), name)
        for name, measure in (*_SUMS.items(), ("latest", "last_seen"))
    ]
    known = [column(name).neq(text("")) for name in kind.columns]
    rows = exp.select(*keys, *measures).from_(scan(GENERATIONS.name, *windows))
    rows = rows.where(within_windows(GENERATIONS.time_column, windows), *known)
    return rows.group_by(exp.column(by), *(exp.column(f"k_{name}") for name in kind.columns))


def _before(
    engine: Engine, tree: exp.Select, windows: Sequence[Window], kind: Kind, now: datetime
) -> tuple[pl.DataFrame, bool]:
    """The sums of the rows before now, and whether those are all rows."""
    window = Window(windows[0].since, windows[-1].until)
    found = cast("pl.DataFrame", pl.from_arrow(engine.query(tree, window)))
    is_whole = found.is_empty() or cast("datetime", found["latest"].max()) < now
    if not is_whole:
        past = tree.where(exp.LT(this=column(GENERATIONS.time_column), expression=instant(now)))
        found = cast("pl.DataFrame", pl.from_arrow(engine.query(past, window)))
    by = found.columns[0]
    return found.select(
        pl.col(by).cast(pl.Date if by == "day" else pl.Int64),
        *(pl.col(f"k_{name}").cast(pl.String).cast(pl.Categorical).alias(name) for name in kind.columns),
        pl.col("cost").cast(_MONEY).fill_null(Decimal(0)),
        pl.col("tokens").cast(pl.Int64).fill_null(0),
    ), is_whole


def _lines(number: int, meter: Meter) -> list[_Line]:
    since = to_millisecond(meter.since)
    end = date.max if meter.until is None else meter.until.astimezone(UTC).date()
    return [_Line(number, (meter.organisation_id, *keys), since, end) for keys in dict.fromkeys(meter.keys)]


def _from_starts(
    kind: Kind, sums: pl.DataFrame, wanted: Sequence[Sequence[tuple[str, ...]]]
) -> dict[tuple[int, tuple[str, ...]], _Sums]:
    """(Number of a start, values wanted from it) → the sums from that start on."""
    lines = [(number, *values) for number, some in enumerate(wanted) for values in some]
    asked = pl.DataFrame(lines, schema={"start": pl.Int64, **_key_schema(kind)}, orient="row")
    later = asked.join(sums, on=kind.columns).filter(pl.col("slot") >= pl.col("start"))
    added = later.group_by("start", *kind.columns).agg(pl.col("cost").sum(), pl.col("tokens").sum())
    return {(row[0], tuple(row[1:-2])): (row[-2], row[-1]) for row in added.iter_rows()}


def _asked(kind: Kind, lines: Sequence[_Line]) -> pl.DataFrame:
    """The lines with their first whole day and the day before which they end."""
    rows = [
        (line.meter, *line.values, line.since.date() + (timedelta(0) if line.is_whole else DAY), line.end)
        for line in lines
    ]
    schema = {"meter": pl.Int64, **_key_schema(kind), "first": pl.Date, "end": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _by_meter(sums: pl.DataFrame) -> dict[int, _Sums]:
    added = sums.group_by("meter").agg(pl.col("cost").sum(), pl.col("tokens").sum())
    return {meter: (cost, tokens) for meter, cost, tokens in added.iter_rows()}


def _lately(joined: pl.DataFrame, today: date) -> dict[int, tuple[Decimal, Decimal]]:
    """Usage a day: the mean of the whole days since the first that saw any, or what was used today."""
    recent = joined.filter(pl.col("day") >= today - LATELY_DAYS * DAY)
    before, now = recent.filter(pl.col("day") < today), recent.filter(pl.col("day") == today)
    begun = dict(before.group_by("meter").agg(pl.col("day").min()).iter_rows())
    rates = {meter: _per_day(sums, 1) for meter, sums in _by_meter(now).items()}
    return rates | {meter: _per_day(sums, (today - begun[meter]).days) for meter, sums in _by_meter(before).items()}


def _per_day(sums: _Sums, days: int) -> tuple[Decimal, Decimal]:
    cost, tokens = sums
    return (cost / days).quantize(_RATE_STEP), (Decimal(tokens) / days).quantize(_RATE_STEP)
