"""The price book's history: every version of a model's prices that was ever seen, and which of them counts when.

Two times matter. *Effective* time says when a price is owed, *knowledge* time when we learned of it. A file that says
no dates is effective from when it became known; the first version of a model reaches back to the beginning. Dates in
a file count as they stand, also when they lie in the past: that is how a wrong price is put right.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any, cast

import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.functions import column, text
from warehouse.catalog.prices import PRICES
from warehouse.engines.base import Batch, Engine
from warehouse.pricing.book import PriceRow, Statement, plain, rows_of
from warehouse.pricing.config import parse_provider
from warehouse.storage.tables import arrow_schema

_MILLISECOND = timedelta(milliseconds=1)
_NOT_PRICES = frozenset({"source", "as_of"})
_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Version:
    """What a file said of a model, from when it was first seen until it said something else."""

    provider: str
    model: str
    known_from: datetime
    source: str
    entry: str
    """JSON, as the file had it, every digit kept."""
    defaults: str
    """JSON of the file's entry `default`; empty when it has none."""
    content: str
    """Hash of all that decides a cost."""

    @property
    def id(self) -> str:
        return _hash(self.provider, self.model, self.content, self.known_from.isoformat())

    def rows(self) -> tuple[PriceRow, ...]:
        """The dated prices of the version alone, as its file would give them."""
        defaults = f'"{_DEFAULT}": {self.defaults}, ' if self.defaults else ""
        parsed = parse_provider(self.provider, f"{{{defaults}{json.dumps(self.model)}: {self.entry}}}", self.source)
        return next((rows for model, rows in rows_of(parsed, self.source) if model == self.model), ())


def content_of(statement: Statement) -> str:
    """A hash that is equal exactly where entry and defaults give equal prices at equal times."""
    entry = {name: value for name, value in statement.entry.items() if name not in _NOT_PRICES}
    defaults = {name: value for name, value in (statement.defaults or {}).items() if name not in _NOT_PRICES}
    return _hash(canonical_json(entry), canonical_json(defaults))


def timeline(versions: Sequence[Version]) -> tuple[PriceRow, ...]:
    """The prices of a model by effective time, from all its versions in the order they became known.

    A version decides from its own first date on, and takes back what older ones had said of later times. What it says
    without a date holds from when it became known, unless one of its dates lies before that; only the first version
    reaches back to the beginning.
    """
    found: list[PriceRow] = []
    for number, version in enumerate(sorted(versions, key=attrgetter("known_from"))):
        rows = [replace(row, known_from=version.known_from) for row in version.rows()]
        said = rows if number == 0 else _since(rows, version.known_from)
        if said:
            start = said[0].effective_from
            found = [row for row in found if start is not None and _is_before(row, start)]
        for row in said:
            if not found or found[-1].prices != row.prices:
                found.append(row)
    ends = [*(row.effective_from for row in found[1:]), None]
    return tuple(replace(row, effective_to=end) for row, end in zip(found, ends, strict=True))


def _since(rows: Sequence[PriceRow], known_from: datetime) -> list[PriceRow]:
    """What a later version says: dated prices at their dates, the undated one from when it became known."""
    dated = [row for row in rows if row.effective_from is not None]
    undated = [row for row in rows if row.effective_from is None]
    if any(row.effective_from is not None and row.effective_from <= known_from for row in dated):
        return dated  # the undated price is of the time before those dates, of which older versions speak
    return [*(row.starting(known_from) for row in undated), *dated]


def _is_before(row: PriceRow, start: datetime) -> bool:
    return row.effective_from is None or row.effective_from < start


class WarehouseHistory:
    """The versions in the dataset `prices`; what is new is appended there, known from `now`.

    With `known_at` it is the book as it was known then: what became known later is not in it, nothing is recorded.
    Without `records` what is new counts as known from `now`, and is left for others to record.
    """

    def __init__(
        self, engine: Engine, now: datetime, known_at: datetime | None = None, *, records: bool = True
    ) -> None:
        self._engine, self._now, self._records = engine, now.astimezone(UTC), records
        self.known_at = None if known_at is None else known_at.astimezone(UTC)

    def versions(self, provider: str | None = None, model: str | None = None) -> list[Version]:
        """All versions, of one provider or model if named, by provider, model and when they became known."""
        names = [field.name for field in arrow_schema(PRICES) if field.name != "id"]
        tree = exp.select(*(column(name) for name in names)).from_(PRICES.name)
        for name, value in (("provider", provider), ("model", model)):
            if value is not None:
                tree = tree.where(column(name).eq(text(value)))
        rows = self._engine.query(tree).to_pylist()
        found = [Version(**{name: row[name] for name in names}) for row in rows]
        found = [one for one in found if self.known_at is None or one.known_from <= self.known_at]
        return sorted(found, key=lambda one: (one.provider, one.model, one.known_from, one.content))

    def providers(self) -> list[str]:
        """Slugs of the providers that have a version."""
        tree = exp.select(column("provider")).distinct().from_(PRICES.name)
        return sorted(self._engine.query(tree).column("provider").to_pylist())

    def dated(
        self, provider: str, current: Mapping[str, tuple[PriceRow, ...]], *, teaches: bool
    ) -> dict[str, tuple[PriceRow, ...]]:
        """The prices of a provider by all that is known, given what its files say now.

        `teaches` is False where a source failed: then the files only help with models that no version is known of,
        so a fallback for an hour never becomes the price of that hour.
        """
        known = {model: list(of) for model, of in groupby(self.versions(provider), key=attrgetter("model"))}
        learned: list[Version] = []
        for model, rows in current.items() if teaches and self.known_at is None else ():
            version = self._learned(provider, model, rows, known.get(model, []))
            if version is not None:
                known.setdefault(model, []).append(version)
                learned.append(version)
        self._record(learned)
        fresh = {} if self.known_at is not None else dict(current)
        return fresh | {model: self._rows(of, current.get(model), teaches=teaches) for model, of in known.items()}

    def _rows(
        self, versions: Sequence[Version], current: tuple[PriceRow, ...] | None, *, teaches: bool
    ) -> tuple[PriceRow, ...]:
        if len(versions) == 1 and current and teaches and self.known_at is None:
            return tuple(replace(row, known_from=versions[0].known_from) for row in current)  # parsed already
        return timeline(versions)

    def _learned(
        self, provider: str, model: str, rows: tuple[PriceRow, ...], versions: Sequence[Version]
    ) -> Version | None:
        """The new version of a model; None when its newest one says the same."""
        statement = rows[0].statement
        if statement is None:
            return None
        content = content_of(statement)
        newest = versions[-1] if versions else None
        if newest is not None and newest.content == content:
            return None
        known_from = self._now.replace(microsecond=self._now.microsecond // 1000 * 1000)
        if newest is not None:
            known_from = max(known_from, newest.known_from + _MILLISECOND)  # also where a clock went back
        return Version(
            provider,
            model,
            known_from,
            rows[-1].source,
            canonical_json(statement.entry),
            "" if statement.defaults is None else canonical_json(statement.defaults),
            content,
        )

    def _record(self, versions: Sequence[Version]) -> None:
        if not versions or not self._records:
            return
        rows = [
            {
                "provider": one.provider,
                "known_from": one.known_from.replace(tzinfo=None),
                "model": one.model,
                "id": one.id,
                "content": one.content,
                "source": one.source,
                "entry": one.entry,
                "defaults": one.defaults,
            }
            for one in versions
        ]
        table = pa.Table.from_pylist(rows, schema=arrow_schema(PRICES))
        self._engine.append(PRICES, table, Batch(_hash(*(one.id for one in versions))))


def canonical_json(value: object) -> str:
    """JSON of what a price file holds: keys in order, every digit of every number, equal for equal values."""
    match value:
        case Decimal():
            return plain(value)
        case Mapping():
            items = sorted(cast("Mapping[str, Any]", value).items())
            return "{" + ", ".join(f"{json.dumps(name)}: {canonical_json(item)}" for name, item in items) + "}"
        case list() | tuple():
            return "[" + ", ".join(canonical_json(item) for item in cast("Sequence[Any]", value)) + "]"
        case _:
            return json.dumps(value)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
