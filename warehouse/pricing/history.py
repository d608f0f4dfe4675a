"""The price book's history: every version of a model's prices that was ever seen, and which of them counts when.

Two times matter. *Effective* time says when a price is owed, *knowledge* time when we learned of it. A file that says
no dates is effective from when it became known; the first version of a model reaches back to the beginning. Dates in
a file count as they stand, also when they lie in the past: that is how a wrong price is put right.
"""

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter

import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.functions import column, text
from warehouse.catalog.prices import PRICES
from warehouse.engines.base import Batch, Engine
from warehouse.pricing.book import PriceRow, Said, rows_of
from warehouse.pricing.canonical import canonical_json, digest
from warehouse.pricing.config import parse_provider
from warehouse.storage.tables import arrow_schema

_MILLISECOND = timedelta(milliseconds=1)
_TEXTS = ("entry", "defaults")
"""Columns that hold what a file said; all others tell versions apart."""
_FEW = 500
"""Models that are worth naming in a query; of more than that, all models of their providers are read."""
_Key = tuple[str, str]
"""Provider and model."""
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
        return digest(self.provider, self.model, self.content, self.known_from.isoformat())

    def rows(self) -> tuple[PriceRow, ...]:
        """The dated prices of the version alone, as its file would give them."""
        defaults = f'"{_DEFAULT}": {self.defaults}, ' if self.defaults else ""
        parsed = parse_provider(self.provider, f"{{{defaults}{json.dumps(self.model)}: {self.entry}}}", self.source)
        return next((rows for model, rows in rows_of(parsed, self.source) if model == self.model), ())


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
        return self._versions(() if provider is None else (provider,), () if model is None else (model,))

    def _versions(
        self, providers: Iterable[str] = (), models: Iterable[str] = (), *, with_texts: bool = True
    ) -> list[Version]:
        """Versions of these providers and models (none: of all); without their texts they are found much sooner."""
        names = [field.name for field in arrow_schema(PRICES) if field.name != "id"]
        asked = [name for name in names if with_texts or name not in _TEXTS]
        tree = exp.select(*(column(name) for name in asked)).from_(PRICES.name)
        for name, values in (("provider", providers), ("model", models)):
            if literals := [text(value) for value in values]:
                tree = tree.where(column(name).isin(*literals))
        rows = self._engine.query(tree).to_pylist()
        found = [Version(**{name: row.get(name, "") for name in names}) for row in rows]
        found = [one for one in found if self.known_at is None or one.known_from <= self.known_at]
        return sorted(found, key=lambda one: (one.provider, one.model, one.known_from, one.content))

    def providers(self) -> list[str]:
        """Slugs of the providers that have a version."""
        tree = exp.select(column("provider")).distinct().from_(PRICES.name)
        return sorted(self._engine.query(tree).column("provider").to_pylist())

    def dated(self, said: Mapping[str, Said]) -> dict[str, dict[str, tuple[PriceRow, ...]]]:
        """The prices of providers by all that is known, given what their files say now.

        Where a source failed the files only help with models that no version is known of, so a fallback for an hour
        never becomes the price of that hour.
        """
        known = {key: list(of) for key, of in groupby(self._versions(said, with_texts=False), key=_model_of)}
        learned = list(self._all_learned(said, known)) if self.known_at is None else []
        self._record(learned)
        for version in learned:
            known.setdefault(_model_of(version), []).append(version)
        told = {key for key, of in known.items() if not self._is_told_by_files(of, said[key[0]])}
        timelines = self._timelines(told, learned)
        found: dict[str, dict[str, tuple[PriceRow, ...]]] = {}
        for provider, one in said.items():
            found[provider] = {} if self.known_at is not None else dict(one.models)
        for (provider, model), versions in known.items():
            rows = timelines.get((provider, model))
            if rows is None:  # parsed already
                since = versions[0].known_from
                rows = tuple(replace(row, known_from=since) for row in said[provider].models[model])
            found[provider][model] = rows
        return found

    def _all_learned(self, said: Mapping[str, Said], known: Mapping[_Key, Sequence[Version]]) -> Iterable[Version]:
        for provider, one in said.items():
            for model, rows in one.models.items() if one.teaches else ():
                version = self._learned(provider, model, rows, known.get((provider, model), ()))
                if version is not None:
                    yield version

    def _is_told_by_files(self, versions: Sequence[Version], said: Said) -> bool:
        return len(versions) == 1 and said.teaches and self.known_at is None and versions[0].model in said.models

    def _timelines(self, models: Set[_Key], learned: Sequence[Version]) -> dict[_Key, tuple[PriceRow, ...]]:
        """The prices of models that have more to say than their file."""
        if not models:
            return {}
        names = {model for _, model in models} if len(models) < _FEW else ()
        stored = self._versions({provider for provider, _ in models}, names)
        fresh = {one.id for one in learned}  # what was just recorded may already be read, or not yet
        versions: dict[_Key, list[Version]] = {key: [] for key in models}
        for version in (*(one for one in stored if one.id not in fresh), *learned):
            if _model_of(version) in versions:
                versions[_model_of(version)].append(version)
        return {key: timeline(of) for key, of in versions.items()}

    def _learned(
        self, provider: str, model: str, rows: tuple[PriceRow, ...], versions: Sequence[Version]
    ) -> Version | None:
        """The new version of a model; None when its newest one says the same."""
        statement = rows[0].statement
        if statement is None:
            return None
        newest = versions[-1] if versions else None
        if newest is not None and newest.content == statement.content:
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
            statement.content,
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
        self._engine.append(PRICES, table, Batch(digest(*(one.id for one in versions))))


def _model_of(version: Version) -> _Key:
    return version.provider, version.model
