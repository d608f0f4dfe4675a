"""A provider's whole file as the levels make it together: what a gateway, or another gateledger, is given to read.

The first level that knows a model gives its entry, as in the price book. An entry means the same under the one default
of the file as it did in the file that it comes from. Numbers keep all their digits.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, cast

import msgspec

from warehouse.errors import PricingError
from warehouse.pricing.book import PriceLevel
from warehouse.pricing.capabilities import DEFAULT, independent, parse_capabilities, resolved
from warehouse.pricing.config import parse_provider
from warehouse.pricing.inheritance import config_of, deep_merged, without_prices, written_out
from warehouse.pricing.names import model_keys, provider_slug

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_BEGINNING = datetime.min.replace(tzinfo=UTC)
Entries = Mapping[str, Any]


def encoded(value: Any) -> bytes:
    """JSON whose numbers have every digit of the files they come from."""
    return _ENCODER.encode(value)


@dataclass(frozen=True)
class ModelFile:
    """One provider's file."""

    provider: str
    entries: Entries
    """By model, with `default`; and the `name` and `description` of a capabilities file."""
    levels: Mapping[str, str]
    """Model → the level that its entry is from."""

    @cached_property
    def text(self) -> bytes:
        return encoded(self.entries)

    @cached_property
    def etag(self) -> str:
        return hashlib.sha256(self.text).hexdigest()[:32]

    def key_of(self, model: str) -> str | None:
        """The key of a model by its name in a request; case counts only between keys that differ by it."""
        for name in model_keys(self.provider, model):
            if name in self.levels:
                return name
            if (key := self._folded.get(name.casefold())) is not None:
                return key
        return None

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {key.casefold(): key for key in reversed([*self.levels])}


Merge = Callable[[str, Sequence[tuple[str, bytes]]], ModelFile | None]


def merged_prices(provider: str, parts: Sequence[tuple[str, bytes]]) -> ModelFile | None:
    """The price file of (level, text) parts, the first one on top; refused entries and unreadable parts left out."""
    readable = list(_readable(provider, parts))
    if not readable:
        return None
    defaults = [cast(Entries, entries.get(DEFAULT, {})) for _, entries in readable]
    alike = all(config_of(default) == config_of(defaults[0]) for default in defaults)
    top = defaults[0] if alike else without_prices(defaults[0])
    merged: dict[str, Any] = {DEFAULT: top}
    levels: dict[str, str] = {}
    for (level, entries), default in zip(readable, defaults, strict=True):
        for model in entries.keys() - merged.keys():
            entry = cast(Entries, entries[model])
            merged[model] = entry if alike else written_out(entry, default, config_of(top).get("calculate"))
            levels[model] = level
    order = [DEFAULT, *sorted(levels)]
    return ModelFile(provider, {name: merged[name] for name in order}, {name: levels[name] for name in order[1:]})


def _readable(provider: str, parts: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, Entries]]:
    """(level, entries that are not refused) of each part that can be read."""
    for level, text in parts:
        try:
            parsed = parse_provider(provider, text, level)
        except PricingError:
            continue
        refused = {problem.model for problem in parsed.problems}
        yield level, {model: entry for model, entry in parsed.raw.items() if model not in refused}


def merged_capabilities(provider: str, parts: Sequence[tuple[str, bytes]]) -> ModelFile | None:
    """The capabilities file of (level, text) parts, the first one on top."""
    entries: dict[str, Any] = {}
    levels: dict[str, str] = {}
    for level, text in parts:
        try:
            parsed = parse_capabilities(provider, text, level)
        except PricingError:
            continue
        if not entries:
            entries |= {"name": parsed.name, "description": parsed.description, DEFAULT: parsed.default}
        top = cast("Mapping[str, Any]", entries[DEFAULT])
        for model, entry in parsed.models.items():
            if model not in levels:
                entries[model] = entry if parsed.default == top else independent(entry, parsed.default, top)
                levels[model] = level
    return ModelFile(provider, entries, levels) if entries else None


def pricing_config(file: ModelFile, model: str, now: datetime) -> dict[str, Any] | None:
    """The `pricing_config` in force of a model, with the provider's default merged in; None when there is none.

    Source: dataplane contract 5.1, 5.5.
    """
    default = config_of(file.entries.get(DEFAULT))
    if model == DEFAULT:
        return dict(default) or None
    key = file.key_of(model)
    if key is None:
        return None
    own = _in_force(file.entries[key], now).get("pricing_config")
    return None if own is None else deep_merged(default, own)


def capability(file: ModelFile, model: str) -> dict[str, Any] | None:
    """The capabilities of a model, with the provider's default inherited; None when the model is unknown."""
    default = cast("Mapping[str, Any]", file.entries[DEFAULT])
    if model == DEFAULT:
        return dict(default) or None
    key = file.key_of(model)
    return None if key is None else resolved(file.entries[key], default)


def _in_force(entry: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """The period of an entry that counts now: the oldest one reaches back to the beginning."""
    periods = sorted([entry, *(entry.get("periods") or ())], key=_start)
    return next((period for period in reversed(periods) if _start(period) <= now), periods[0])


def _start(period: Mapping[str, Any]) -> datetime:
    if (written := period.get("effective_from")) is None:
        return _BEGINNING
    start = datetime.fromisoformat(written)
    return start.replace(tzinfo=UTC) if start.tzinfo is None else start


class Library:
    """Whole files by provider; made once for the same texts of the levels."""

    def __init__(self, levels: Sequence[PriceLevel], merge: Merge) -> None:
        self._levels, self._merge = tuple(levels), merge
        self._made: dict[str, tuple[tuple[tuple[str, bytes], ...], ModelFile | None]] = {}

    def providers(self) -> list[str]:
        """Slugs of all providers that have a file."""
        return sorted({provider for level in self._levels for provider in level.providers()})

    def file(self, provider: str) -> ModelFile | None:
        """The file of a provider by any of its names; None when no level has a usable one."""
        slug = provider_slug(provider)
        parts = tuple(self._parts(slug))
        if not parts:
            return None
        made = self._made.get(slug)
        if made is None or made[0] != parts:
            made = self._made[slug] = parts, self._merge(slug, parts)
        return made[1]

    def _parts(self, slug: str) -> Iterator[tuple[str, bytes]]:
        for level in self._levels:
            try:
                text = level.read(slug)
            except (OSError, PricingError):
                continue  # the level keeps the error for `statuses`; the next one answers
            if text is not None:
                yield level.name, text
