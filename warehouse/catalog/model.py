"""The shapes of the catalog: frozen values that check themselves when they are made."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from sqlglot import exp

from warehouse.catalog.functions import NEUTRAL, neutral_calls

_COLUMN_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")
_WIRE_NAME = re.compile(r"[a-z][a-z0-9_]*(-[a-z]+)*")


_DIVISIBLE = frozenset({"GL_COUNT", "GL_COUNT_IF", "GL_COUNT_DISTINCT", "GL_SUM_INT", "GL_SUM_FLOAT", "GL_SUM_MONEY"})

PER_TRACE = {
    "requests": "requests of the group in the trace",
    "feedbacks": "feedbacks on the trace",
    "weighted_sum": "sum of their weighted values",
    "weighted_count": "how many of them have one",
}
"""What a measure `through` feedbacks reads: a line per trace of a group that has feedback."""


class Kind(StrEnum):
    """What a value is; each engine and Arrow have one type for each."""

    TEXT = "text"
    TEXT_LIST = "text list"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    DATE = "date"
    MONEY = "money"
    MONEY_SUM = "money sum"


class Unit(StrEnum):
    """What a number counts."""

    NONE = ""
    CENTS = "USD cents"
    MILLISECONDS = "ms"
    TOKENS = "tokens"
    PERCENT = "percent, 0 to 100"
    REQUESTS = "requests"
    USERS = "users"
    IMAGES = "images"
    UTC = "UTC"


class Origin(StrEnum):
    """Who fills a column."""

    GATEWAY = "gateway"
    GATELEDGER = "gateledger"


def _check_text(owner: str, description: str) -> None:
    if not description or not description.endswith("."):
        raise ValueError(f"{owner}: a description is a sentence that ends with a full stop")


@dataclass(frozen=True, slots=True)
class Column:
    """One stored column of a dataset."""

    name: str
    kind: Kind
    description: str
    unit: Unit = Unit.NONE
    origin: Origin = Origin.GATEWAY
    since: int = 1
    """The schema version that added it (see `warehouse/storage/migrations`)."""
    distinct: bool = False
    """Whether nearly every row has a text of its own, so that a list of all texts would make a file no smaller."""
    looked_up: bool = False
    """Whether questions look every row up by it in another dataset, so that reading it must be quick."""

    def __post_init__(self) -> None:
        if not _COLUMN_NAME.fullmatch(self.name):
            raise ValueError(f"column name {self.name!r}: lower case words joined by _ and at most one dot")
        _check_text(f"column {self.name}", self.description)


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something rows can be grouped by; `name` is the group-by on the wire, `key` the field of an answer's row."""

    name: str
    column: str
    description: str
    key: str = ""
    kind: Kind = Kind.TEXT

    def __post_init__(self) -> None:
        if not _WIRE_NAME.fullmatch(self.name):
            raise ValueError(f"dimension name {self.name!r} cannot stand in a URL")
        if not self.key:
            object.__setattr__(self, "key", self.name)
        _check_text(f"dimension {self.name}", self.description)


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of a group. `additive` ones may be summed over groups and rolled up."""

    name: str
    kind: Kind
    expression: exp.Expr
    description: str
    unit: Unit = Unit.NONE
    additive: bool = False
    merge: str = ""
    """How partial values of two row sets combine: `sum`, `min`, `max`, or empty where they cannot."""
    internal: bool = False
    """True for a part of a ratio that no answer names."""
    beside: str = ""
    """Measure that every answer with this one holds too, so that a sum says what it lacks."""
    since: int = 1
    """The schema version that added it to the rollups, as a column."""
    through: str | None = None
    """Name of another dataset that is looked up by `trace_id`; the expression is then over traces (see `PER_TRACE`)."""

    def __post_init__(self) -> None:
        if not _WIRE_NAME.fullmatch(self.name):
            raise ValueError(f"measure name {self.name!r} cannot stand in a URL")
        if self.additive:
            object.__setattr__(self, "merge", "sum")
        if self.merge not in {"", "sum", "min", "max"}:
            raise ValueError(f"measure {self.name}: merge is sum, min, max or empty")
        unknown = {str(node.this) for node in neutral_calls(self.expression)} - NEUTRAL.keys()
        if unknown:
            raise ValueError(f"measure {self.name}: unknown neutral functions {sorted(unknown)}")
        _check_text(f"measure {self.name}", self.description)

    @property
    def can_be_divided(self) -> bool:
        """True for what a ratio may hold: a sum, or a count of distinct values, of the very group."""
        return str(self.expression.this).upper() in _DIVISIBLE


@dataclass(frozen=True, slots=True)
class Ratio:
    """A number that divides one sum or count by another; totals divide again, they never average."""

    name: str
    numerator: str
    denominator: str
    description: str
    unit: Unit = Unit.NONE
    scale: int = 1
    kind: Kind = Kind.FLOAT

    def __post_init__(self) -> None:
        _check_text(f"ratio {self.name}", self.description)


class Operator(StrEnum):
    """How a filter compares. A row without the value never passes, but an empty text asks for just such rows."""

    AT_LEAST = "at least"
    AT_MOST = "at most"
    ONE_OF = "one of"
    ONE_OF_IGNORING_CASE = "one of, ignoring case"
    ALL_PAIRS = "all key-value pairs"
    MODEL_OF_PROVIDER = "one of the provider__model pairs"


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on rows that a caller may name. `columns` are what it reads."""

    name: str
    operator: Operator
    columns: tuple[str, ...]
    kind: Kind
    description: str
    unit: Unit = Unit.NONE
    minimum: float | None = None
    maximum: float | None = None
    through: str | None = None
    """Name of another dataset that the condition is looked up in by `trace_id`; None for the row itself."""
    allowed: tuple[str, ...] = ()
    """The values that a caller may name; empty where they are free."""

    def __post_init__(self) -> None:
        if not _WIRE_NAME.fullmatch(self.name):
            raise ValueError(f"filter name {self.name!r} cannot stand in a URL")
        _check_text(f"filter {self.name}", self.description)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dataset:
    """A table: its columns, what identifies a row, how it lies on disk, and what can be asked of it.

    There is one value per dataset, so it is compared and hashed by identity (questions about it are cache keys).
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    sort_by: tuple[str, ...]
    time_column: str = "created_at"
    id_column: str | None = "id"
    """Unique per row; None for a derived table that is replaced day by day (`time_column` is then a DATE)."""
    revision_column: str | None = None
    """When a row was last rewritten in place (an INSTANT, NULL as loaded); None where rows never change."""
    holds_rows: bool = False
    """Whether a derived table holds rows as they came, not sums of them: then it is kept no longer than they are."""
    dimensions: tuple[Dimension, ...] = ()
    measures: tuple[Measure, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    filters: tuple[Filter, ...] = ()
    _by_name: dict[str, Column] = field(init=False, default_factory=dict)
    _measures: dict[str, Measure] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({column.name: column for column in self.columns})
        self._measures.update({measure.name: measure for measure in self.measures})
        self._check()

    def __repr__(self) -> str:
        return f"Dataset({self.name!r})"

    def column(self, name: str) -> Column:
        """The column `name`. Raises: KeyError."""
        return self._by_name[name]

    def has_column(self, name: str) -> bool:
        return name in self._by_name

    def has_measure(self, name: str) -> bool:
        return name in self._measures

    def measure(self, name: str) -> Measure:
        """The measure `name`, internal ones included. Raises: KeyError."""
        return self._measures[name]

    @property
    def count(self) -> Measure:
        """The measure that counts rows: the first one, by which groups are ordered when nothing else is asked."""
        return self.measures[0]

    @property
    def schema_version(self) -> int:
        """The newest `since` of its columns."""
        return max(column.since for column in self.columns)

    def _check(self) -> None:
        named: list[tuple[str, Callable[[], list[str]]]] = [
            ("column", lambda: [c.name for c in self.columns]),
            ("dimension", lambda: [d.name for d in self.dimensions]),
            ("measure", lambda: [m.name for m in self.measures] + [r.name for r in self.ratios]),
            ("filter", lambda: [f.name for f in self.filters]),
        ]
        for what, names in named:
            seen = names()
            if len(seen) != len(set(seen)):
                raise ValueError(
                    f"{self.name}: a {what} is named twice: {sorted({n for n in seen if seen.count(n) > 1})}"
                )
        for name in (*self.sort_by, self.time_column, self.id_column, self.revision_column):
            if name is not None:
                self._require(name, "the layout")
        for dimension in self.dimensions:
            self._require(dimension.column, f"dimension {dimension.name}")
        for measure in self.measures:
            for node in measure.expression.find_all(exp.Column):
                if measure.through is None or node.name not in PER_TRACE:
                    self._require(node.name, f"measure {measure.name}")
        parts = {m.name: m for m in self.measures}
        for measure in self.measures:
            if measure.beside and measure.beside not in parts:
                raise ValueError(
                    f"{self.name}: measure {measure.name} stands beside {measure.beside}, which does not exist"
                )
        for ratio in self.ratios:
            for part in (ratio.numerator, ratio.denominator):
                if part not in parts or not parts[part].can_be_divided:
                    raise ValueError(f"{self.name}: ratio {ratio.name} needs the sum or count {part}")
        for filter_ in self.filters:
            if filter_.through is None:
                for name in filter_.columns:
                    self._require(name, f"filter {filter_.name}")

    def _require(self, column: str, who: str) -> None:
        if column not in self._by_name:
            raise ValueError(f"{self.name}: {who} names the column {column}, which does not exist")
