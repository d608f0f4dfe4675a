"""What an engine must do, and the walk that lowers the catalog's neutral functions to its spelling.

An engine knows how to spell SQL and how to move Arrow; it knows no dataset, no tenant and no HTTP.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.functions import NAMED, NEUTRAL, expression_named
from warehouse.catalog.model import Dataset

EXPECTED = "expected_revision"
"""Column of `Engine.rewrite`'s changes: the revision that a row must have to be changed."""

Spelling = Callable[[list[exp.Expr]], exp.Expr]
"""Arguments of a neutral call → the engine's own tree."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which instants a query can touch (both inclusive, UTC-aware): a hint that prunes files, never a filter."""

    since: datetime | None = None
    until: datetime | None = None


def scan(dataset: str, *windows: Window) -> exp.Table:
    """The table of a dataset in a neutral tree, with the instants that this place of the tree can touch.

    The windows are a hint like `Engine.query`'s own (which holds for every table that carries none); a tree needs
    them where its tables differ, such as feedbacks given after the requests they are on.
    """
    table = exp.table_(exp.to_identifier(dataset, quoted=True))
    if windows:
        table.meta["windows"] = windows
    return table


def within_windows_of(predicate: exp.Expr) -> exp.Expr:
    """The predicate, marked as the one that holds for exactly the rows within the windows of the scan beside it.

    An engine that knows of some rows that they lie within need not try it on those.
    """
    predicate.meta["within windows"] = True
    return predicate


def predicate_of_windows(tree: exp.Expr) -> exp.Expr | None:
    """What `within_windows_of` marked in the tree."""
    return next((node for node in tree.walk() if node.meta.get("within windows")), None)


def windows_of(table: exp.Table, otherwise: Window = Window()) -> tuple[Window, ...]:
    """The windows that `scan` gave this table, else the query's own; rows outside all of them are not needed."""
    return table.meta.get("windows") or (otherwise,)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may take."""

    timeout_s: float = 60.0
    memory_mb: int = 4096
    rows: int | None = None
    fenced: bool = False
    """True for a question that a caller wrote: it runs where nothing but the datasets can be reached and nothing be
    changed, and when it cannot be answered, that is the caller's fault (InvalidInput)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What makes an append happen once: the same `id` twice stores nothing the second time."""

    id: str


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of the rows of one append: `stored + duplicates + len(conflicts)` is what was given."""

    stored: int
    duplicates: int
    conflicts: tuple[str, ...] = ()
    """Ids that are stored already with another `created_at`."""
    replayed: bool = False
    """True when the batch had been committed before (then everything counts as a duplicate)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something `Engine.check` found: what, and what an operator can do."""

    what: str
    remedy: str


class Engine(ABC):
    """A warehouse: append rows exactly once, replace derived days, ask questions."""

    name: str
    dialect: str
    spellings: Mapping[str, Spelling]

    def __init__(self) -> None:
        missing = NEUTRAL.keys() - self.spellings.keys()
        if missing:
            raise TypeError(f"{type(self).__name__} does not spell {', '.join(sorted(missing))}")
        self._texts: dict[str, str] = {}
        self.on_query: Callable[[float], object] | None = None
        """Hears how many seconds each query took, waiting for a turn included."""

    @abstractmethod
    def create(self, datasets: Iterable[Dataset]) -> list[str]:
        """Bring the store to the catalog's schema: create what is missing, add new columns. Says what was done."""

    @abstractmethod
    def append(self, dataset: Dataset, rows: pa.Table, batch: Batch) -> Appended:
        """Store rows whose id is new, atomically and durably.

        `rows` has the Arrow schema of `warehouse.storage.tables.arrow_schema(dataset)`; repeated ids within it
        count as duplicates. Safe under kill -9, repeats and concurrent writers.
        """

    @abstractmethod
    def rewrite(self, dataset: Dataset, changes: pa.Table, batch: Batch) -> int:
        """Set columns of stored rows; how many of the rows bear their new revision afterwards.

        `changes` holds the dataset's id and time, its revision column with the new revision, `EXPECTED`, and the
        columns to set. A row whose revision is not the expected one stays as it is, so a repeat changes nothing and
        nobody's work is overwritten. A row changes whole, never in part; the lake changes all rows of a call at once.
        Safe under kill -9 and beside loads, queries and maintenance.
        """

    @property
    def rewrites(self) -> bool:
        """False where `rewrite` always refuses: better to know before a change is promised."""
        return True

    @abstractmethod
    def replace_days(self, dataset: Dataset, days: Iterable[date], rows: pa.Table) -> None:
        """Make `rows` the whole content of those days of a derived dataset, atomically per day."""

    @abstractmethod
    def forget(self, dataset: Dataset, before: date) -> int:
        """Delete the rows of all UTC days before `before`; how many they were. A repeat deletes nothing more."""

    @abstractmethod
    def query(self, tree: exp.Query, window: Window = Window(), limits: Limits = Limits()) -> pa.Table:
        """Answer a neutral tree. Instants come UTC-aware (us), money as decimal128, counts as int64.

        Raises: QueryTooLarge, WarehouseBusy, WarehouseError.
        """

    @abstractmethod
    def version(self, dataset: str) -> str:
        """A text that changes whenever the dataset's content does: the key of result caches."""

    @abstractmethod
    def day_fingerprints(self, dataset: Dataset, window: Window = Window()) -> dict[date, str]:
        """For each UTC day that holds rows, a text that changes when rows of that day do."""

    @abstractmethod
    def maintain(self, now: datetime) -> list[str]:
        """Compact, checkpoint and sweep; safe beside loads and queries. Says what was done."""

    @abstractmethod
    def check(self) -> list[Problem]:
        """What keeps the warehouse from working; empty when all is well."""

    @abstractmethod
    def close(self) -> None: ...

    @contextmanager
    def timed(self) -> Generator[None]:
        """Tells `on_query` how long the block took, whatever becomes of it."""
        began = time.perf_counter()
        try:
            yield
        finally:
            if self.on_query is not None:
                self.on_query(time.perf_counter() - began)

    def lower(self, tree: exp.Query) -> exp.Query:
        """The tree in this engine's own functions, from the leaves up; the given tree is left as it was."""
        lowered = tree.copy()
        # Parents come before their children in this list, so reversed it lowers a call after its arguments.
        for node in reversed(list(lowered.find_all(exp.Anonymous, bfs=False))):
            name = str(node.this).upper()
            if name == NAMED:
                node.replace(exp.Var(this=self._text_of(node.expressions[0].name)))
            elif name in self.spellings:
                node.replace(self.spellings[name](list(node.expressions)))
        return lowered

    def _text_of(self, name: str) -> str:
        """This engine's SQL of a named expression of the catalog."""
        if name not in self._texts:
            lowered = self.lower(exp.select(expression_named(name).copy(), copy=False)).selects[0]
            self._texts[name] = lowered.sql(dialect=self.dialect)
        return self._texts[name]

    def sql(self, tree: exp.Query) -> str:
        """The SQL text this engine runs for a neutral tree.

        Not pretty-printed: that is slower, and the printer would alter a text value that holds its line-break mark.
        """
        return self.lower(tree).sql(dialect=self.dialect)
