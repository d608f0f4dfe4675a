"""What is used of every counter of every policy, out of one reading of the rows for all of them.

Rows come summed up by everything that any policy of the organisation looks at (`policy_cells`). Policies that look at
the same columns share a smaller cube, cut out of that one; each then picks its cells. Nothing is ever rounded: money is
added as decimals all the way. Source: dataplane contract 7.1, DECISIONS "usage window".
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
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
_CELLS_AT_ONCE = 2_000_000
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
        """The same for the same numbers; what is used a day is another number on another day."""
        return self.sums.with_columns(pl.lit(self.today).alias("as_of")).hash_rows().sort()

    def counters(self) -> dict[tuple[str, ...], Used]:
        """Values → what is used."""
        groups = (self.sums[f"g{index}"].to_list() for index in range(len(self.counting.selection.group_by)))
        used = map(self._used, self.sums["counts"].to_list(), self._exact("used"), self._per_day())
        return dict(zip(zip(*groups, strict=True), used, strict=True))

    @staticmethod
    def _used(counts: bool, amount: Decimal, per_day: Decimal | None) -> Used:  # noqa: FBT001
        return Used(amount if counts else None, per_day)

    def _per_day(self) -> list[Decimal | None]:
        """The mean of the whole days since the first lately that saw any, or what was used today."""
        days = (ms_of(midnight(self.today)) // DAY_MS - self.sums["begun"] // DAY_MS).to_list()
        rates = (
            now if many is None else (before / many).quantize(_RATE_STEP)
            for many, before, now in zip(days, self._exact("lately"), self._exact("today"), strict=True)
        )
        return [rate or None for rate in rates]

    def _exact(self, name: str) -> list[Decimal]:
        """Sums as exact numbers; money in USD."""
        if self.counting.measure == "cost":
            return [value.scaleb(-CENTS_PER_USD_DIGITS) for value in self.sums[name].to_list()]
        return [Decimal(value) for value in self.sums[name].to_list()]


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
class _Shape:
    """What policies share that are counted at once: they differ in one condition's values, the workspace, the start."""

    columns: frozenset[str]
    group_by: tuple[str, ...]
    measure: Measure
    counts_upper_bound: bool
    is_of_workspace: bool
    terms: tuple[Term, ...]
    listed: str | None
    """The column that the condition is about which lists values."""

    @property
    def joined_on(self) -> list[str]:
        """The columns that tell the policies apart."""
        listed = [] if self.listed is None else [self.listed]
        return [*listed, WORKSPACE] if self.is_of_workspace else listed


@dataclass(frozen=True, slots=True)
class _Asked:
    """A policy of a shape, by its place among all, and the values that it lists."""

    place: int
    counting: Counting
    values: tuple[str, ...]

    def lines(self, shape: _Shape) -> list[tuple[Any, ...]]:
        """One for each value: the place, the start, and the columns that are joined on."""
        start = ms_of(to_millisecond(self.counting.starts_at))
        ends = {WORKSPACE: self.counting.workspace_slug}
        return [
            (self.place, start, *(ends.get(name, value) for name in shape.joined_on))
            for value in (dict.fromkeys(self.values) if shape.listed is not None else ("",))
        ]


@dataclass(slots=True)
class _Cube:
    """The cells that were read, and smaller cubes cut out of them."""

    found: Cells
    workspaces: Workspaces
    _smaller: dict[frozenset[str], pl.DataFrame] = field(default_factory=dict[frozenset[str], pl.DataFrame])

    def count(self, countings: Sequence[Counting]) -> list[Found]:
        """See `Reading.count`."""
        shapes: defaultdict[_Shape, list[_Asked]] = defaultdict(list)
        for place, counting in enumerate(countings):
            shape, values = _shape_of(counting)
            shapes[shape].append(_Asked(place, counting, values))
        sums: dict[int, pl.DataFrame] = {}
        for shape, asked in shapes.items():
            sums |= self._of_shape(shape, asked)
        return [Found(counting, sums[place], self.found.today) for place, counting in enumerate(countings)]

    def _of_shape(self, shape: _Shape, asked: Sequence[_Asked]) -> dict[int, pl.DataFrame]:
        """Place of a policy → its sums by the values of its counters."""
        keys = [_key(key, self.workspaces).alias(f"g{index}") for index, key in enumerate(shape.group_by)]
        cells = self._cut(shape.columns).filter(*(_term(term, self.workspaces) for term in shape.terms))
        cells = cells.select(
            *keys,
            pl.col(TIME),
            _value(shape).alias("value"),
            *(pl.col(name).alias(f"on {name}") for name in shape.joined_on),
        )
        sums: dict[int, pl.DataFrame] = {}
        for some in _pieces(shape, asked, cells):
            counted = self._sums(shape, some, cells)
            parts = counted.partition_by("place", as_dict=True, include_key=False)
            sums |= {one.place: parts.get((one.place,), counted.clear().drop("place")) for one in some}
        return sums

    def _sums(self, shape: _Shape, asked: Sequence[_Asked], cells: pl.DataFrame) -> pl.DataFrame:
        """By policy and counter: what is used since the start, lately, and today."""
        names = [f"on {name}" for name in shape.joined_on]
        schema = {"place": pl.Int64, "start": pl.Int64, **dict.fromkeys(names, pl.String)}
        policies = pl.DataFrame([line for one in asked for line in one.lines(shape)], schema=schema, orient="row")
        joined = (
            policies.lazy().join(cells.lazy(), on=names) if names else policies.lazy().join(cells.lazy(), how="cross")
        )
        today = midnight(self.found.today)
        counts, is_today = pl.col(TIME) >= pl.col("start"), pl.col(TIME) >= ms_of(today)
        is_lately = (pl.col(TIME) >= ms_of(today - LATELY_DAYS * DAY)) & ~is_today
        groups = ["place", *(f"g{index}" for index in range(len(shape.group_by)))]
        return (
            joined.select(
                *groups,
                counts.alias("counts"),
                pl.when(counts).then("value").alias("used"),
                pl.when(is_lately).then("value").alias("lately"),
                pl.when(is_lately).then(TIME).alias("begun"),
                pl.when(is_today).then("value").alias("today"),
            )
            .group_by(groups)
            .agg(pl.col("counts").max(), pl.col("used", "lately", "today").sum(), pl.col("begun").min())
            .collect()
        )

    def _cut(self, columns: frozenset[str]) -> pl.DataFrame:
        if columns not in self._smaller:
            cells = self.found.cells
            if len(columns) < cells.width - len(MEASURES) - 1:
                cells = cells.group_by([*sorted(columns), TIME]).agg(pl.col(*MEASURES).sum())
            self._smaller[columns] = cells
        return self._smaller[columns]


def _shape_of(counting: Counting) -> tuple[_Shape, tuple[str, ...]]:
    """What a policy shares with others, and the values that it lists of its own."""
    terms = counting.selection.terms
    listing = [term for term in terms if _column(term) is not None and _lists_values(term)]
    own = min(listing, key=lambda term: len(term.values), default=None)
    shape = _Shape(
        columns_of(counting),
        counting.selection.group_by,
        counting.measure,
        counting.counts_upper_bound,
        counting.workspace_slug is not None,
        tuple(term for term in terms if term is not own),
        None if own is None else _column(own),
    )
    return shape, () if own is None else own.values


def _lists_values(term: Term) -> bool:
    return not term.excludes and not any(value.endswith(ANYTHING) for value in term.values)


def _column(term: Term) -> str | None:
    """The column that a condition's literal values are in."""
    return term.key if term.key.startswith(METADATA) else COLUMNS.get(term.key)


def _pieces(shape: _Shape, asked: Sequence[_Asked], cells: pl.DataFrame) -> Iterator[list[_Asked]]:
    """The policies, so many at once that they do not have too many cells together."""
    names = [f"on {name}" for name in shape.joined_on]
    sizes: dict[tuple[str, ...], int] = {}
    if names:
        sizes = {tuple(row[:-1]): row[-1] for row in cells.group_by(names).len().iter_rows()}
    some: list[_Asked] = []
    total = 0
    for one in asked:
        some.append(one)
        total += sum(sizes.get(line[2:], 0) for line in one.lines(shape)) if names else cells.height
        if total >= _CELLS_AT_ONCE:
            yield some
            some, total = [], 0
    if some:
        yield some


def _value(shape: _Shape) -> pl.Expr:
    if shape.measure != "cost":
        return pl.col(TOKENS if shape.measure == "tokens" else REQUESTS)
    return pl.col(COST) + pl.col(BOUND) if shape.counts_upper_bound else pl.col(COST)


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
