"""A question as a value that checks itself: which rows, grouped by what, which numbers, in which order."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset, Dimension
from warehouse.errors import InvalidInput
from warehouse.query.scope import TenantScope

FilterValue = int | float | Decimal | tuple[str, ...] | tuple[int, ...] | tuple[tuple[str, str], ...]
"""By operator: AT_LEAST/AT_MOST a number; ONE_OF texts or integers; ALL_PAIRS and MODEL_OF_PROVIDER pairs."""


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

    def __post_init__(self) -> None:
        for instant, name in ((self.since, "since"), (self.until, "until")):
            if instant.tzinfo is None:
                raise InvalidInput(f"{name} needs a time zone")
        if self.since > self.until:
            raise InvalidInput(f"since ({self.since.isoformat()}) is after until ({self.until.isoformat()})")
        if not self.by:
            raise InvalidInput("a grouped query needs at least one group-by")
        if len(set(self.by)) != len(self.by):
            raise InvalidInput(f"a group-by is named twice: {', '.join(self.by)}")
        for name in self.by:
            dimension_of(self.dataset, name)
        for name in self.measures:
            registry.measure(self.dataset, name)
        for condition in self.conditions:
            registry.filter_(self.dataset, condition.filter)
        orderable = {dimension_of(self.dataset, name).key for name in self.by} | {"requests"} | set(self.measures)
        for order in self.order:
            if order.by not in orderable:
                raise InvalidInput(f"cannot order by '{order.by}'; allowed: {', '.join(sorted(orderable))}")
        if self.offset < 0 or (self.limit is not None and self.limit < 0):
            raise InvalidInput("limit and offset are 0 or more")


def dimension_of(dataset: Dataset, name: str) -> Dimension | MetadataDimension:
    """The dimension `name`, or the one that `metadata.<key>` stands for. Raises: UnknownName."""
    if name.startswith(registry.METADATA_PREFIX) and len(name) > len(registry.METADATA_PREFIX):
        return MetadataDimension(name)
    return registry.dimension(dataset, name)
