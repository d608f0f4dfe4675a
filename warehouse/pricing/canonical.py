"""Texts that are equal exactly where values are: what hashes of prices are made from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, cast

_NOT_PRICES = frozenset({"source", "as_of"})
"""Fields of an entry that say where its prices are from."""
_NOT_HASHED = frozenset({*_NOT_PRICES, "effective_from"})


def plain(value: Decimal) -> str:
    """All digits of a number and no others, equal for equal numbers (`normalize` would round to the context)."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if value else "0"


def canonical(value: Any) -> str:
    """A text of a price's parts that is equal for equal prices, however their numbers were written."""
    if isinstance(value, Decimal):
        return plain(value)
    if is_dataclass(value):
        names = (one.name for one in fields(value) if one.name not in _NOT_HASHED)
        return "(" + ",".join(f"{name}={canonical(getattr(value, name))}" for name in names) + ")"
    if isinstance(value, Mapping):
        items = sorted(cast(Mapping[str, Any], value).items())
        return "{" + ",".join(f"{key}:{canonical(item)}" for key, item in items) + "}"
    if isinstance(value, tuple):
        return "[" + ",".join(canonical(item) for item in cast(tuple[Any, ...], value)) + "]"
    return repr(value)


def canonical_json(value: object) -> str:
    """JSON of what a price file holds: keys in order, every digit of every number, equal for equal values."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Mapping):
        items = sorted(cast("Mapping[str, Any]", value).items())
        return (
            "{" + ", ".join([f"{encode_basestring_ascii(name)}: {canonical_json(item)}" for name, item in items]) + "}"
        )
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join([canonical_json(item) for item in cast("Sequence[Any]", value)]) + "]"
    return json.dumps(value)


def content_hash(entry: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> str:
    """A hash that is equal exactly where an entry and its file's defaults give equal prices at equal times."""
    return digest(_priced(entry), _defaults(_Same(defaults)))


def digest(*parts: str) -> str:
    """A short hash of texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


class _Same:
    """A value that is equal to itself alone, so that what it comes to is found without comparing all of it."""

    def __init__(self, value: Mapping[str, Any] | None) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


@lru_cache(128)
def _defaults(given: _Same) -> str:
    """The defaults of a file; thousands of entries share them."""
    return _priced(given.value or {})


def _priced(entry: Mapping[str, Any]) -> str:
    return canonical_json({name: value for name, value in entry.items() if name not in _NOT_PRICES})
