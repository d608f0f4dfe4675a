"""Derived days: which are stale, making them again, and proof that they equal the rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
from sqlglot import exp

from warehouse import rated
from warehouse.catalog.functions import call, column, named, text
from warehouse.catalog.model import Column
from warehouse.catalog.rated import DERIVED, Derived, Rated
from warehouse.catalog.rollups import (
    LEAST_ROWS,
    METADATA_KEY,
    METADATA_VALUE,
    MOST_KEYS,
    ROLLED_UP,
    SOURCE_VERSION,
    Rollup,
)
from warehouse.engines.base import Engine, Window, scan
from warehouse.query import conditions, plan
from warehouse.storage.tables import arrow_schema

_DAYS_AT_ONCE = 31
_DAY, _HOUR_S = timedelta(days=1), 3600
_LISTS = ("metadata.key", "metadata.value")
_KEPT_DAY, _KEPT_OWNER, _KEPT_KEY = "kept_day", "kept_owner", "kept_key"


@dataclass(frozen=True, slots=True)
class Difference:
    """A day of a derived dataset that is not what its rows make: how many lines are missing, too many or differ."""

    rollup: str
    day: date
    groups: int


def build_rollups(engine: Engine, window: Window = Window(), which: Iterable[Derived] | None = None) -> dict[str, int]:
    """How many days of each derived dataset (or of `which`) were made again: those of `window` made from other rows.

    Safe beside loads and beside itself: a day is labelled with the fingerprint its rows had before they were read, so
    rows that come meanwhile leave it stale, never wrongly fresh.
    """
    return {each.name: _build(engine, each, window) for each in (DERIVED.values() if which is None else which)}


def stale_days(engine: Engine, derived: Derived, window: Window = Window()) -> list[date]:
    """The days of `window`, in order, that the derived dataset lacks, or made from other rows than there are now."""
    fresh = _freshness(engine, derived, _whole_days(window))
    return sorted(day for day, is_fresh in fresh.items() if not is_fresh)


def check_rollups(engine: Engine, window: Window = Window()) -> list[Difference]:
    """Every fresh day that differs from what its rows make; empty when all is well. Stale days are not compared."""
    days = _whole_days(window)
    found: list[Difference] = []
    for derived in DERIVED.values():
        before = _fresh_days(engine, derived, days)
        if not before:
            continue
        span = _window_of(sorted(before))
        differing = engine.query(_differences(derived, span), span).to_pylist()
        # A load or a rebuild in between makes a day differ without a fault: only what was fresh throughout counts.
        steady = before & _fresh_days(engine, derived, days)
        found += [Difference(derived.name, row["day"], row["groups"]) for row in differing if row["day"] in steady]
    return sorted(found, key=lambda difference: (difference.rollup, difference.day))


def _build(engine: Engine, derived: Derived, window: Window) -> int:
    days = _whole_days(window)
    labels = plan.labels_of(engine, derived, days)
    fresh = plan.freshness_of(labels, plan.rolled_days(engine, derived, days))
    stale = sorted(day for day, is_fresh in fresh.items() if not is_fresh)
    for chunk in _chunks(stale):
        lines = engine.query(_lines(derived, chunk), _window_of(chunk))
        engine.replace_days(derived.dataset, chunk, _labelled(derived, lines, labels))
    return len(stale)


def _freshness(engine: Engine, derived: Derived, days: Window) -> dict[date, bool]:
    held = plan.rolled_days(engine, derived, days)
    return plan.freshness_of(plan.labels_of(engine, derived, days), held)


def _fresh_days(engine: Engine, derived: Derived, days: Window) -> set[date]:
    return {day for day, is_fresh in _freshness(engine, derived, days).items() if is_fresh}


def _lines(derived: Derived, days: Sequence[date]) -> exp.Query:
    """The lines of these days, from the rows: columns `c0…` in the dataset's order, without the label."""
    windows = [_window_of([day]) for day in days] if len(days) < _span(days) else [_window_of(days)]
    return rated.lines(derived, windows) if isinstance(derived, Rated) else _sums(derived, windows)


def _sums(rollup: Rollup, windows: Sequence[Window]) -> exp.Select:
    time_column = rollup.of.time_column
    keys = [exp.alias_(_key(rollup, of), f"c{index}") for index, of in enumerate(_key_columns(rollup))]
    sums = [
        exp.alias_(named(f"{rollup.of.name}.{part.name}", part.expression), f"c{index}")
        for index, part in enumerate(ROLLED_UP, start=len(keys))
    ]
    rows = exp.select(*keys, *sums, copy=False).from_(scan(rollup.of.name, *windows), copy=False)
    rows = rows.where(conditions.within_windows(time_column, windows), copy=False)
    if rollup.by_metadata:
        same = [exp.EQ(this=exp.column(name), expression=_own_key(rollup, name)) for name in (_KEPT_DAY, _KEPT_OWNER)]
        kept = _kept_keys(rollup, windows).subquery("kept", copy=False)
        rows = rows.join(kept, on=exp.and_(*same), join_type="left", copy=False)
    return rows.group_by(*(exp.column(f"c{index}") for index in range(len(keys))), copy=False)


def _kept_keys(rollup: Rollup, windows: Sequence[Window]) -> exp.Select:
    """The keys of the metadata that are kept of each organisation and day: see `LEAST_ROWS`."""
    owner = [exp.column(_KEPT_DAY), exp.column(_KEPT_OWNER)]
    key, place, value, with_value, with_key = map(exp.column, (_KEPT_KEY, "place", "value", "with_value", "with_key"))
    lines = exp.select(
        *(exp.alias_(_own_key(rollup, name), name) for name in (_KEPT_DAY, _KEPT_OWNER)),
        exp.alias_(column("workspace_slug"), "place"),
        *map(column, _LISTS),
        exp.alias_(call("GL_EACH", _LISTS[0]), _KEPT_KEY),
    ).from_(scan(rollup.of.name, *windows))
    lines = lines.where(conditions.within_windows(rollup.of.time_column, windows))
    found = exp.alias_(call("GL_MAP_VALUE", *_LISTS, key.copy()), "value")
    groups = exp.select(*owner, key, place, found, exp.alias_(call("GL_COUNT"), "with_value"))
    groups = groups.from_(lines.subquery("lines")).where(key.neq(text(""))).group_by(*owner, key, place, value)
    keys = exp.select(*owner, key, exp.alias_(call("GL_SUM_INT", with_value), "with_key"))
    least = exp.Mul(this=call("GL_COUNT"), expression=exp.Literal.number(LEAST_ROWS))
    keys = keys.from_(groups.subquery("groups")).group_by(*owner, key)
    keys = keys.having(exp.GTE(this=call("GL_SUM_INT", with_value), expression=least))
    order = exp.Order(expressions=[exp.Ordered(this=with_key, desc=True), exp.Ordered(this=key)])
    rank = exp.Window(this=exp.RowNumber(), partition_by=owner, order=order)
    ranked = exp.select(*owner, key, exp.alias_(rank, "place")).from_(keys.subquery("keys"))
    most = exp.LTE(this=place, expression=exp.Literal.number(MOST_KEYS))
    return exp.select(*owner, key).from_(ranked.subquery("ranked")).where(most)


def _own_key(rollup: Rollup, name: str) -> exp.Expr:
    return call("GL_DAY", rollup.of.time_column) if name == _KEPT_DAY else column("organisation_id")


def _labelled(derived: Derived, lines: pa.Table, labels: Mapping[date, str]) -> pa.Table:
    schema = arrow_schema(derived.dataset)
    kept = [field for field in schema if field.name != SOURCE_VERSION]
    columns = {field.name: lines[f"c{index}"].cast(field.type) for index, field in enumerate(kept)}
    days: list[date] = columns["day"].to_pylist()
    # A row of a day without a label came after the labels were read: none, so the day stays stale.
    columns[SOURCE_VERSION] = pa.array([labels.get(day) for day in days], pa.string())
    return pa.table([columns[field.name] for field in schema], schema=schema)


def _differences(derived: Derived, span: Window) -> exp.Select:
    """Days with lines that are not, value for value, on both sides: those made of the rows and those that are kept."""
    kept_columns = [of.name for of in derived.dataset.columns if of.name != SOURCE_VERSION]
    names = [f"c{index}" for index in range(len(kept_columns))]
    kept = exp.select(*(exp.alias_(column(of), name) for of, name in zip(kept_columns, names, strict=True)))
    kept = kept.from_(scan(derived.name, span)).where(conditions.within_days((span,)))
    # Two lines may be the same in all columns, so each counts for its side.
    both = exp.union(
        _on_side(kept, names, 1), _on_side(_lines(derived, _days_of(span)), names, -1), distinct=False, copy=False
    )
    groups = exp.select(*map(exp.column, names)).from_(both.subquery("both")).group_by(*map(exp.column, names))
    groups = groups.having(exp.NEQ(this=call("GL_SUM_INT", exp.column("side")), expression=exp.Literal.number(0)))
    differing = exp.select(exp.alias_(exp.column("c0"), "day"), exp.alias_(call("GL_COUNT"), "groups"))
    return differing.from_(groups.subquery("differing")).group_by(exp.column("c0"))


def _on_side(lines: exp.Query, names: Sequence[str], side: int) -> exp.Select:
    number = exp.alias_(exp.Literal.number(side), "side")
    return exp.select(*map(exp.column, names), number).from_(lines.subquery("lines", copy=False), copy=False)


def _key_columns(rollup: Rollup) -> list[Column]:
    hour = ("hour",) if rollup.hourly else ()
    return [rollup.dataset.column(name) for name in ("day", *rollup.keys, *hour)]


def _key(rollup: Rollup, of: Column) -> exp.Expr:
    if of.name == "day":
        return call("GL_DAY", rollup.of.time_column)
    if of.name == "hour":
        return call("GL_BUCKET", rollup.of.time_column, _HOUR_S)
    kept = exp.column(_KEPT_KEY)
    kept_or_blank = exp.Coalesce(this=kept, expressions=[text("")])
    if of.name == METADATA_KEY:
        return kept_or_blank
    if of.name == METADATA_VALUE:
        # Metadata may have a blank key, which is never kept.
        none_kept = exp.If(this=exp.Is(this=kept.copy(), expression=exp.Null()), true=text(""))
        return exp.Case(ifs=[none_kept], default=call("GL_MAP_VALUE", *_LISTS, kept_or_blank))
    return column(of.name)


def _chunks(days: Sequence[date]) -> Iterator[Sequence[date]]:
    for start in range(0, len(days), _DAYS_AT_ONCE):
        yield days[start : start + _DAYS_AT_ONCE]


def _whole_days(window: Window) -> Window:
    since = _start(window.since.astimezone(UTC).date()) if window.since else None
    until = _start(window.until.astimezone(UTC).date()) + _DAY - conditions.MILLISECOND if window.until else None
    return Window(since, until)


def _window_of(days: Sequence[date]) -> Window:
    return Window(_start(days[0]), _start(days[-1]) + _DAY - conditions.MILLISECOND)


def _days_of(span: Window) -> list[date]:
    if span.since is None or span.until is None:
        raise ValueError("a span of days has two ends")
    return [span.since.date() + _DAY * offset for offset in range((span.until.date() - span.since.date()).days + 1)]


def _span(days: Sequence[date]) -> int:
    return (days[-1] - days[0]).days + 1


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
