"""A question as a value that checks itself: which rows, grouped by what, which numbers, in which order."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import gcd
from typing import Literal

from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset, Dimension, Kind
from warehouse.errors import InvalidInput
from warehouse.query.scope import TenantScope
from warehouse.query.values import FilterValue, check_condition, check_number, check_text

Comparison = Literal[">=", "<=", ">", "<", "=", "!="]
COMPARISONS: tuple[Comparison, ...] = (">=", "<=", "!=", ">", "<", "=")
NUMBERS = (Kind.INTEGER, Kind.FLOAT, Kind.MONEY)
"""What a group can be compared by."""

_MOST_ROWS = 2**53


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter of the catalog with its value."""

    filter: str
    value: FilterValue


@dataclass(frozen=True, slots=True)
class Having:
    """What a number of a group must be for the group to be listed; a group without the number is not."""

    measure: str
    comparison: Comparison
    value: int | float | Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """One key of the order: a dimension's key or a measure."""

    by: str
    direction: Literal["asc", "desc"] = "desc"


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups by their keys, a value for each dimension of `by`; None for the key of rows without a number."""

    by: tuple[str, ...]
    keys: tuple[tuple[str | int | None, ...], ...]


@dataclass(frozen=True, slots=True)
class MetadataDimension:
    """Groups by the value of one metadata key, which is free text and only ever becomes a literal."""

    name: str

    @property
    def key(self) -> str:
        return self.name

    @property
    def metadata_key(self) -> str:
        return self.name.removeprefix(registry.METADATA_PREFIX)


@dataclass(frozen=True, slots=True)
class Question:
    """Rows of `scope` between two instants (inclusive), grouped by `by`, with `measures` of each group.

    Units: the instants count to the millisecond, as rows do; what is finer is cut off on both sides.
    Raises: UnknownName, InvalidInput.
    """

    scope: TenantScope
    since: datetime
    until: datetime
    by: tuple[str, ...] = ()
    measures: tuple[str, ...] = ("requests",)
    conditions: tuple[Condition, ...] = ()
    trace_conditions: tuple[Condition, ...] = ()
    """Filters of requests; the row's trace has a request that passes all of them, whenever it was made."""
    outside: Groups | None = None
    """Groups whose rows do not count."""
    dataset: Dataset = GENERATIONS
    as_known_at: datetime | None = None
    """The answer as it was at that instant: without what was loaded or corrected later. None: as it is now."""

    def __post_init__(self) -> None:
        self._check_range()
        self._check_names()
        self._check_knowledge()
        for condition in self.conditions:
            check_condition(registry.filter_(self.dataset, condition.filter), condition.value)
        for condition in self.trace_conditions:
            check_condition(registry.filter_(GENERATIONS, condition.filter), condition.value)
        self._check_more()

    def numbers(self) -> tuple[str, ...]:
        """Every measure and ratio that the answer needs, also those it is only sorted or sifted by."""
        return self.measures

    def _check_more(self) -> None:
        """Raises InvalidInput for what only this kind of question has."""

    def _check_range(self) -> None:
        for instant, name in ((self.since, "since"), (self.until, "until")):
            if instant.tzinfo is None:
                raise InvalidInput(f"{name} needs a time zone")
        if self.since > self.until:
            raise InvalidInput(f"since ({self.since.isoformat()}) is after until ({self.until.isoformat()})")

    def _check_knowledge(self) -> None:
        if self.as_known_at is None:
            return
        if self.as_known_at.tzinfo is None:
            raise InvalidInput("as_known_at needs a time zone")
        if self.dataset is not GENERATIONS:
            raise InvalidInput(f"{self.dataset.name} cannot be asked for as known at an instant, only generations")
        through = {measure.name for measure in self.dataset.measures if measure.through}
        through |= {ratio.name for ratio in self.dataset.ratios if ratio.numerator in through}
        through |= {filter_.name for filter_ in self.dataset.filters if filter_.through}
        for name in (*(condition.filter for condition in self.conditions), *self.numbers()):
            if name in through:
                raise InvalidInput(f"{name} looks at what is known now; it does not go with as_known_at")

    def _check_names(self) -> None:
        if not self.measures:
            raise InvalidInput("a question needs at least one column")
        for what, names in (("group-by", self.by), ("column", self.measures)):
            if len(set(names)) != len(names):
                raise InvalidInput(f"a {what} is named twice: {', '.join(names)}")
        for key in self.key_names():
            check_text("a group-by", key)
        for name in self.measures:
            registry.measure(self.dataset, name)
        for name in self.outside.by if self.outside else ():
            dimension_of(self.dataset, name)

    def key_names(self) -> list[str]:
        """The names of the groups' keys."""
        return [dimension_of(self.dataset, name).key for name in self.by]


@dataclass(frozen=True, slots=True)
class GroupedQuery(Question):
    """A page of groups; without a group-by, the one group of all rows."""

    having: tuple[Having, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = 50
    offset: int = 0
    include_total: bool = True

    def numbers(self) -> tuple[str, ...]:
        return (*self.measures, *(order.by for order in self.order), *(having.measure for having in self.having))

    def _check_more(self) -> None:
        keys = self.key_names()
        orderable = {*keys, self.dataset.count.name, *self.measures}
        for order in self.order:
            if order.by not in orderable:
                raise InvalidInput(f"cannot order by '{order.by}'; allowed: {', '.join(sorted(orderable))}")
            if order.direction not in ("asc", "desc"):
                raise InvalidInput(f"cannot order '{order.direction}'; allowed: asc, desc")
        for having in self.having:
            measure = registry.measure(self.dataset, having.measure)
            if measure.kind not in NUMBERS:
                raise InvalidInput(f"having: {having.measure} is no number")
            if having.comparison not in COMPARISONS:
                raise InvalidInput(
                    f"having: cannot compare by '{having.comparison}'; allowed: {', '.join(COMPARISONS)}"
                )
            check_number(f"having: {having.measure}", having.value)
        for name, count in (("limit", self.limit), ("offset", self.offset)):
            if count is not None and not 0 <= count < _MOST_ROWS:
                raise InvalidInput(f"{name} is from 0 to {_MOST_ROWS - 1}, not {count}")


@dataclass(frozen=True, slots=True)
class SeriesQuery(Question):
    """The same groups in each bucket of time, and once more over the whole time.

    `edges` are where the buckets start and where the last one ends; the first may start before `since`, and only rows
    from `since` on count in it. No edges: the whole time is the only bucket.
    """

    edges: tuple[datetime, ...] = ()

    def _check_more(self) -> None:
        if not self.edges:
            return
        if len(self.edges) < 2 or any(edge.tzinfo is None for edge in self.edges):
            raise InvalidInput("edges are at least two instants with a time zone")
        if any(one >= other for one, other in zip(self.edges, self.edges[1:], strict=False)):
            raise InvalidInput("edges go upwards")
        if not (self.edges[0] <= self.since and self.until < self.edges[-1]):
            raise InvalidInput("the buckets do not hold the whole time")

    @property
    def starts(self) -> tuple[datetime, ...]:
        """Where each bucket starts."""
        return self.edges[:-1] if self.edges else (self.since,)

    def step_s(self) -> int:
        """The widest step in whole seconds since 1970 that meets every edge; 0 when there are none."""
        return gcd(*(int(edge.timestamp()) for edge in self.edges[:-1]))


def dimension_of(dataset: Dataset, name: str) -> Dimension | MetadataDimension:
    """The dimension `name`, or the one that `metadata.<key>` stands for. Raises: UnknownName."""
    if name.startswith(registry.METADATA_PREFIX) and len(name) > len(registry.METADATA_PREFIX):
        return MetadataDimension(name)
    return registry.dimension(dataset, name)
