"""What is used of every counter of every policy, out of one reading of the rows for all of them.

Rows come summed up by everything that any policy of the organisation looks at (`policy_cells`). Policies that look at
the same columns share a smaller cube, cut out of that one; each then picks its cells. Nothing is ever rounded: money is
added as decimals all the way. Source: dataplane contract 7.1, DECISIONS "usage window".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any, Literal, NamedTuple

import polars as pl

from warehouse.engines.base import Engine, Limits
from warehouse.query.conditions import to_millisecond
from warehouse.query.policy_cells import (
    BOUND,
    COST,
    DAY,
    DAY_MS,
    LATELY_DAYS,
    MEASURES,
    REQUESTS,
    TIME,
    TOKENS,
    Cells,
    Look,
    midnight,
    ms_of,
    read_cells,
)
from warehouse.query.policy_rows import (
    COLUMNS,
    MODEL,
    PROVIDER,
    VIRTUAL_KEY,
    WORKSPACE,
    Workspaces,
    known_workspaces,
)
from warehouse.query.policy_terms import ANYTHING, METADATA, Selection, Term
from warehouse.query.scope import TenantScope

Measure = Literal["cost", "tokens", "requests"]
_FEW = 20
"""So many policies or fewer have the scan skip the rows that none of them is about."""
CENTS_PER_USD_DIGITS = 2
_AT_ONCE = 200
_RATE_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Counting:
    """One policy to count: what it is about, of which workspace (None: of all), what it counts, and since when."""

    id: str
    selection: Selection
    workspace_slug: str | None
    measure: Measure
    starts_at: datetime
    counts_upper_bound: bool = False


class Used(NamedTuple):
    """What is used of a counter, and how much of it a day lately (None: nothing). Units: USD, tokens, requests."""

    amount: Decimal | None
    """None where no row counts since the start."""
    per_day: Decimal | None


Counters = Mapping[tuple[str, ...], Used]
"""By the values of the counter."""


@dataclass(frozen=True, slots=True)
class Found:
    """The counters of one policy as they were counted, not yet taken apart."""

    counting: Counting
    sums: pl.DataFrame
    today: date

    @property
    def fingerprint(self) -> pl.Series:
        """The same for the same numbers."""
        return self.sums.hash_rows().sort()

    def counters(self) -> dict[tuple[str, ...], Used]:
        """Values → what is used."""
        groups = (self.sums[f"g{index}"].to_list() for index in range(len(self.counting.selection.group_by)))
        amounts = _exact(self.counting.measure, self.sums["used"])
        used = map(Used, amounts, self._per_day())
        return dict(zip(zip(*groups, strict=True), used, strict=True))

    def _per_day(self) -> list[Decimal | None]:
        """The mean of the whole days since the first lately that saw any, or what was used today."""
        sums, measure = self.sums, self.counting.measure
        days = (ms_of(midnight(self.today)) // DAY_MS - sums["begun"] // DAY_MS).to_list()
        lately, today = _exact(measure, sums["lately"]), _exact(measure, sums["today"])
        rates = (
            now if many is None or before is None else (before / many).quantize(_RATE_STEP)
            for many, before, now in zip(days, lately, today, strict=True)
        )
        return [rate or None for rate in rates]


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows as they are now. The same `version` means the same numbers of the same countings."""

    version: tuple[Any, ...]
    cube: "_Cube | None"

    def count(self, countings: Sequence[Counting]) -> list[Found]:
        """What is used of each, since its own start."""
        return [] if self.cube is None else self.cube.count(countings)


def read(
    engine: Engine,
    organisation_id: str,
    countings: Sequence[Counting],
    until: datetime,
    workspaces: Workspaces,
    limits: Limits = Limits(timeout_s=300.0),
) -> Reading:
    """The rows that these policies count, from their starts up to, but not at, `until`.

    Raises: QueryTooLarge, WarehouseBusy, WarehouseError.
    """
    if not countings:
        return Reading((), None)
    starts = [one.starts_at for one in countings if one.starts_at < until]
    cells = read_cells(engine, look_of(organisation_id, countings, workspaces), starts, until, limits)
    return Reading((cells.today, *cells.version), _Cube(cells, workspaces))


def look_of(organisation_id: str, countings: Sequence[Counting], workspaces: Workspaces) -> Look:
    """What has to be read for these policies."""
    about = frozenset(one.selection for one in countings)
    is_few = len(about) <= _FEW
    return Look(
        _scope(organisation_id, countings),
        tuple(sorted(reduce(or_, (columns_of(one) for one in countings)))),
        any(one.counts_upper_bound for one in countings),
        about if is_few else frozenset(),
        frozenset(workspaces.items()) if is_few else frozenset(),
    )


def columns_of(counting: Counting) -> frozenset[str]:
    """The columns of rows, and keys of metadata, that tell whether and for which counter a row counts."""
    found = {WORKSPACE} if counting.workspace_slug is not None else set[str]()
    for key in counting.selection.looks_at():
        if key == "model":
            found |= {PROVIDER, MODEL}
        elif key == "workspace_id":
            found.add(WORKSPACE)
        else:
            found.add(key if key.startswith(METADATA) else COLUMNS[key])
    if any(term.key == "model" for term in counting.selection.terms):
        found.add(VIRTUAL_KEY)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Cells in the order of one column, and where each of its values lies."""

    cells: pl.DataFrame
    places: Mapping[str, tuple[int, int]]

    @staticmethod
    def by(name: str, cells: pl.DataFrame) -> "_Sorted":
        cells = cells.sort(name)
        lengths = cells.group_by(name, maintain_order=True).len()
        ends = lengths["len"].cum_sum().to_list()
        places = zip(lengths[name].to_list(), zip(ends, lengths["len"].to_list(), strict=True), strict=True)
        return _Sorted(cells, {value: (end - length, length) for value, (end, length) in places})

    def size(self, values: Sequence[str]) -> int:
        """How many cells have one of these values, each named once."""
        return sum(self.places.get(value, (0, 0))[1] for value in values)

    def of(self, values: Sequence[str]) -> pl.DataFrame:
        """The cells that have one of these values, each named once."""
        found = [self.cells.slice(*self.places[value]) for value in values if value in self.places]
        return pl.concat(found) if found else self.cells.clear()


@dataclass(slots=True)
class _Cube:
    """The cells that were read, and smaller cubes cut out of them."""

    found: Cells
    workspaces: Workspaces
    _smaller: dict[frozenset[str], pl.DataFrame] = field(default_factory=dict[frozenset[str], pl.DataFrame])
    _sorted: dict[tuple[frozenset[str], str], _Sorted] = field(
        default_factory=dict[tuple[frozenset[str], str], _Sorted]
    )

    def count(self, countings: Sequence[Counting]) -> list[Found]:
        """See `Reading.count`."""
        found: list[Found] = []
        for start in range(0, len(countings), _AT_ONCE):
            some = countings[start : start + _AT_ONCE]
            sums = pl.collect_all([self._sums(one) for one in some])
            found += [Found(one, frame, self.found.today) for one, frame in zip(some, sums, strict=True)]
        return found

    def _sums(self, counting: Counting) -> pl.LazyFrame:
        """By the values of the counter: what is used since the start, lately, and today."""
        passing = [_term(term, self.workspaces) for term in counting.selection.terms]
        if counting.workspace_slug is not None:
            passing.append(pl.col(WORKSPACE) == counting.workspace_slug)
        keys = [_key(key, self.workspaces).alias(f"g{index}") for index, key in enumerate(counting.selection.group_by)]
        today = midnight(self.found.today)
        counts = pl.col(TIME) >= ms_of(to_millisecond(counting.starts_at))
        is_today = pl.col(TIME) >= ms_of(today)
        is_lately = (pl.col(TIME) >= ms_of(today - LATELY_DAYS * DAY)) & ~is_today
        value = _value(counting)
        return (
            self._cells(counting)
            .lazy()
            .filter(*passing)
            .group_by(keys)
            .agg(
                pl.when(counts.any()).then(value.filter(counts).sum()).alias("used"),
                pl.when(is_lately.any()).then(value.filter(is_lately).sum()).alias("lately"),
                pl.col(TIME).filter(is_lately).min().alias("begun"),
                value.filter(is_today).sum().alias("today"),
            )
        )

    def _cells(self, counting: Counting) -> pl.DataFrame:
        """The cells that may count: those of the values that a condition lists, or of the workspace, if fewer."""
        columns = columns_of(counting)
        listed = [(term.key if term.key.startswith(METADATA) else COLUMNS.get(term.key, ""), term.values)
                  for term in counting.selection.terms]  # fmt: skip
        if counting.workspace_slug is not None:
            listed.append((WORKSPACE, (counting.workspace_slug,)))
        best, fewest = self._cut(columns), None
        for name, values in listed:
            if name in columns and not any(value.endswith(ANYTHING) for value in values):
                by, wanted = self._by(columns, name), list(dict.fromkeys(values))
                size = by.size(wanted)
                if fewest is None or size < fewest:
                    best, fewest = by.of(wanted), size
        return best

    def _cut(self, columns: frozenset[str]) -> pl.DataFrame:
        if columns not in self._smaller:
            cells = self.found.cells
            if len(columns) < cells.width - len(MEASURES) - 1:
                cells = cells.group_by([*sorted(columns), TIME]).agg(pl.col(*MEASURES).sum())
            self._smaller[columns] = cells
        return self._smaller[columns]

    def _by(self, columns: frozenset[str], name: str) -> _Sorted:
        place = (columns, name)
        if place not in self._sorted:
            self._sorted[place] = _Sorted.by(name, self._cut(columns))
        return self._sorted[place]


def _value(counting: Counting) -> pl.Expr:
    if counting.measure != "cost":
        return pl.col(TOKENS if counting.measure == "tokens" else REQUESTS)
    return pl.col(COST) + pl.col(BOUND) if counting.counts_upper_bound else pl.col(COST)


def _exact(measure: Measure, sums: pl.Series) -> list[Decimal | None]:
    """The sums as exact numbers; money in USD."""
    values = sums.to_list()
    if measure == "cost":
        return [None if value is None else value.scaleb(-CENTS_PER_USD_DIGITS) for value in values]
    return [None if value is None else Decimal(value) for value in values]


def _term(term: Term, workspaces: Workspaces) -> pl.Expr:
    passing = _any_fits(term.key, term.values, workspaces)
    return passing & ~_any_fits(term.key, term.excludes, workspaces) if term.excludes else passing


def _any_fits(key: str, wanted: Sequence[str], workspaces: Workspaces) -> pl.Expr:
    if key == "model":
        names = [_fits(pl.col(MODEL), wanted)]
        names += [(pl.col(owner) != "") & _fits(_owned(owner), wanted) for owner in (PROVIDER, VIRTUAL_KEY)]
        return (pl.col(MODEL) != "") & reduce(or_, names)
    if key == "workspace_id":
        return _fits(pl.col(WORKSPACE), [*wanted, *known_workspaces(wanted, workspaces)])
    return _fits(pl.col(key if key.startswith(METADATA) else COLUMNS[key]), wanted)


def _fits(value: pl.Expr, wanted: Sequence[str]) -> pl.Expr:
    literals = [one for one in wanted if not one.endswith(ANYTHING)]
    beginnings = [one[:-1] for one in wanted if one.endswith(ANYTHING)]
    parts = [value.is_in(literals)] if literals else []
    parts += [value.str.starts_with(beginning) if beginning else value != "" for beginning in beginnings]
    return reduce(or_, parts)


def _key(key: str, workspaces: Workspaces) -> pl.Expr:
    if key == "model":
        both = (pl.col(PROVIDER) != "") & (pl.col(MODEL) != "")
        return pl.when(both).then(_owned(PROVIDER)).otherwise(pl.col(MODEL))
    if key == "workspace_id":
        return pl.col(WORKSPACE).replace(dict(workspaces)) if workspaces else pl.col(WORKSPACE)
    return pl.col(key if key.startswith(METADATA) else COLUMNS[key])


def _owned(owner: str) -> pl.Expr:
    return pl.concat_str([pl.lit("@"), pl.col(owner), pl.lit("/"), pl.col(MODEL)])


def _scope(organisation_id: str, countings: Sequence[Counting]) -> TenantScope:
    slugs = {one.workspace_slug for one in countings}
    named = frozenset(slug for slug in slugs if slug is not None)
    return TenantScope(organisation_id, None if None in slugs else named)
