"""A question as a value that checks itself: which rows, grouped by what, which numbers, in which order."""

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset, Dimension, Filter, Kind, Operator
from warehouse.errors import InvalidInput
from warehouse.query.scope import TenantScope

FilterValue = int | float | Decimal | tuple[str, ...] | tuple[int, ...] | tuple[tuple[str, str], ...]
"""By operator: AT_LEAST/AT_MOST a number; ONE_OF texts or integers; ALL_PAIRS and MODEL_OF_PROVIDER pairs."""

_INT64 = 2**63
_MOST_ROWS = 2**53


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter of the catalog with its value."""

    filter: str
    value: FilterValue


@dataclass(frozen=True, slots=True)
class Order:
    """One key of the order: a dimension's key or a measure."""

    by: str
    direction: Literal["asc", "desc"] = "desc"


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
class GroupedQuery:
    """Rows of `scope` between two instants (inclusive), grouped by `by`, with `measures` of each group.

    Units: the instants count to the millisecond, as rows do; what is finer is cut off on both sides.
    Raises: UnknownName, InvalidInput.
    """

    scope: TenantScope
    since: datetime
    until: datetime
    by: tuple[str, ...]
    measures: tuple[str, ...] = ("requests",)
    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = 50
    offset: int = 0
    include_total: bool = True
    dataset: Dataset = GENERATIONS
    as_known_at: datetime | None = None
    """The answer as it was at that instant: without what was loaded or corrected later. None: as it is now."""

    def __post_init__(self) -> None:
        self._check_range()
        self._check_names()
        self._check_knowledge()
        for condition in self.conditions:
            check_condition(registry.filter_(self.dataset, condition.filter), condition.value)
        for name, count in (("limit", self.limit), ("offset", self.offset)):
            if count is not None and not 0 <= count < _MOST_ROWS:
                raise InvalidInput(f"{name} is from 0 to {_MOST_ROWS - 1}, not {count}")

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
        for condition in self.conditions:
            if registry.filter_(self.dataset, condition.filter).through is not None:
                raise InvalidInput(f"{condition.filter} looks at what is known now; it does not go with as_known_at")

    def _check_names(self) -> None:
        if not self.by:
            raise InvalidInput("a grouped query needs at least one group-by")
        if not self.measures:
            raise InvalidInput("a grouped query needs at least one column")
        for what, names in (("group-by", self.by), ("column", self.measures)):
            if len(set(names)) != len(names):
                raise InvalidInput(f"a {what} is named twice: {', '.join(names)}")
        keys = [dimension_of(self.dataset, name).key for name in self.by]
        for key in keys:
            _check_text("a group-by", key)
        for name in self.measures:
            registry.measure(self.dataset, name)
        orderable = {*keys, self.dataset.count.name, *self.measures}
        for order in self.order:
            if order.by not in orderable:
                raise InvalidInput(f"cannot order by '{order.by}'; allowed: {', '.join(sorted(orderable))}")
            if order.direction not in ("asc", "desc"):
                raise InvalidInput(f"cannot order '{order.direction}'; allowed: asc, desc")


def dimension_of(dataset: Dataset, name: str) -> Dimension | MetadataDimension:
    """The dimension `name`, or the one that `metadata.<key>` stands for. Raises: UnknownName."""
    if name.startswith(registry.METADATA_PREFIX) and len(name) > len(registry.METADATA_PREFIX):
        return MetadataDimension(name)
    return registry.dimension(dataset, name)


def check_condition(of: Filter, value: FilterValue) -> None:
    """Nothing, when `value` is one that the filter takes. Raises: InvalidInput."""
    if of.operator in (Operator.AT_LEAST, Operator.AT_MOST):
        _check_number(of, value)
        return
    if not isinstance(value, tuple):
        raise InvalidInput(f"{of.name} takes a list, not {value!r}")
    for item in value:
        if of.operator in (Operator.ALL_PAIRS, Operator.MODEL_OF_PROVIDER):
            if not isinstance(item, tuple) or len(item) != 2:
                raise InvalidInput(f"{of.name} takes pairs, not {item!r}")
            for part in item:
                _check_text(of.name, part)
        elif of.kind is Kind.INTEGER:
            if not isinstance(item, int):
                raise InvalidInput(f"{of.name} takes whole numbers, not {item!r}")
            _check_number(of, item)
        else:
            _check_text(of.name, item)


def _check_number(of: Filter, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not _is_finite(value):
        raise InvalidInput(f"{of.name} takes a number, not {value!r}")
    if of.minimum is not None and value < of.minimum:
        raise InvalidInput(f"{of.name} is {of.minimum:g} or more, not {value}")
    if of.maximum is not None and value > of.maximum:
        raise InvalidInput(f"{of.name} is {of.maximum:g} or less, not {value}")
    if not -_INT64 <= value < _INT64:
        raise InvalidInput(f"{of.name} is too large: {value}")


def _is_finite(value: float | Decimal) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)


def _check_text(who: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidInput(f"{who} takes text, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{who} holds a character that is not Unicode text: {value!r}") from None
