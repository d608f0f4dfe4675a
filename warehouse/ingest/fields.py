"""The raw columns: what a record may say, as text, before anything is judged."""

import re
from collections.abc import Mapping

import orjson
import polars as pl

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import BUCKETS, GENERATIONS, IDENTITY, REQUEST, SERVED
from warehouse.catalog.model import Dataset, Kind, Origin
from warehouse.ingest.records import BadRecord

METADATA_KEY, METADATA_VALUE = "metadata.key", "metadata.value"
PROMOTED = ("_environment", "_user", "_organisation", "_prompt")
"""Metadata keys that are columns too. Source: dataplane contract 4.3."""

REPORTED_COST_FIELDS = ("reported_cost", "cost")
"""Where a gateway's own cost stands, the better one first."""

METADATA_FIELD, UNITS_FIELD = "metadata", "extra_units"
"""Fields of a record that fill a pair of lists: `{"web_search": 2}` is as good as two parallel lists."""

UNIT_NAME, UNIT_QUANTITY = "units.name", "units.quantity"
LISTS = (METADATA_KEY, METADATA_VALUE, UNIT_NAME, UNIT_QUANTITY)
"""Raw columns that hold lists of text; all others hold text."""


def _fields(dataset: Dataset) -> tuple[str, ...]:
    if dataset is GENERATIONS:
        return (*(c.name for c in (*IDENTITY, *REQUEST, *BUCKETS, *SERVED)), *REPORTED_COST_FIELDS)
    return tuple(column.name for column in dataset.columns if column.origin is Origin.GATEWAY)


FIELDS: dict[str, tuple[str, ...]] = {dataset.name: _fields(dataset) for dataset in (GENERATIONS, FEEDBACKS)}
"""Raw columns by dataset."""


def raw_schema(dataset: Dataset) -> dict[str, pl.DataType]:
    """The schema of a raw frame: text everywhere but in the lists."""
    return {name: pl.List(pl.String()) if name in LISTS else pl.String() for name in FIELDS[dataset.name]}


def text_fields(dataset: Dataset) -> tuple[str, ...]:
    """The raw columns that stay text."""
    return tuple(c.name for c in dataset.columns if c.kind is Kind.TEXT and c.name in FIELDS[dataset.name])


LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
"""Half of a character, as a cut string leaves it: fast readers make nonsense of it."""


def parse_json(data: bytes) -> object:
    """The value of a JSON text; half characters become U+FFFD. Raises: BadRecord."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if LONE_SURROGATE.search(data):
            try:
                return orjson.loads(LONE_SURROGATE.sub(rb"\\ufffd", data))
            except orjson.JSONDecodeError:
                pass
        raise BadRecord("not valid JSON", str(error)) from None


def parse_object(data: bytes) -> Mapping[str, object]:
    """The object of a JSON text. Raises: BadRecord."""
    value = parse_json(data)
    if not isinstance(value, dict):
        raise BadRecord("not a JSON object", f"it is a {type(value).__name__}")
    return value  # pyright: ignore[reportUnknownVariableType]


def as_text(name: str, value: object) -> str | None:
    """A scalar as text, whole floats without their `.0`. Raises: BadRecord for a list or an object."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case _:
            raise BadRecord(f"{name} is not a plain value", f"it is a {type(value).__name__}")


def identifier(name: str, value: object) -> str | None:
    """Text that names something; a number is refused, because readers round long ones. Raises: BadRecord."""
    if value is None or isinstance(value, str):
        return value
    raise BadRecord(f"{name} is not text", f"it is a {type(value).__name__}: {value!r:.80}")


def metadata_lists(value: object) -> tuple[list[str], list[str]]:
    """Keys and values of metadata in any of its shapes: map, {key, value} lists, pairs, or JSON text of these.

    Raises: BadRecord.
    """
    if isinstance(value, str):
        value = parse_json(value.encode("utf-8", "replace")) if value.strip() else None
    if value is None:
        return [], []
    pairs = _pairs(value)
    return [key for key, _ in pairs], [text for _, text in pairs]


def unit_lists(value: object) -> tuple[list[str], list[str]]:
    """Names and quantities of units in any of their shapes, see `metadata_lists`; also lists of {unit, quantity}.

    Raises: BadRecord.
    """
    if isinstance(value, str):
        value = parse_json(value.encode("utf-8", "replace")) if value.strip() else None
    if value is None:
        return [], []
    pairs = _unit_pairs(value)
    return [name for name, _ in pairs], [as_text(UNIT_QUANTITY, quantity) or "" for _, quantity in pairs]


def _unit_pairs(value: object) -> list[tuple[str, object]]:
    match value:
        case {"name": list(names), "quantity": list(quantities), **others} if not others:
            if len(names) != len(quantities):
                raise BadRecord("units are not parallel", f"{len(names)} names, {len(quantities)} quantities")
            return [(str(name), quantity) for name, quantity in zip(names, quantities, strict=True)]
        case dict():
            return [(str(name), quantity) for name, quantity in value.items() if quantity is not None]
        case list():
            return [_unit_pair(item) for item in value]
        case _:
            raise BadRecord("units are not an object", f"they are a {type(value).__name__}")


def _unit_pair(item: object) -> tuple[str, object]:
    match item:
        case {"unit": str(name), "quantity": quantity} | {"name": str(name), "quantity": quantity}:
            return name, quantity
        case [str(name), quantity]:
            return name, quantity
        case _:
            raise BadRecord("units are not an object", "they are a list, but not of names and quantities")


def _pairs(value: object) -> list[tuple[str, str]]:
    match value:
        case {"key": list(keys), "value": list(values), **others} if not others:
            return zipped(keys, values)
        case dict():
            return [(str(key), _value_text(item)) for key, item in value.items() if item is not None]
        case list():
            return [_pair(item) for item in value]
        case _:
            raise BadRecord("metadata is not an object", f"it is a {type(value).__name__}")


def zipped(keys: list[object], values: list[object]) -> list[tuple[str, str]]:
    """Pairs of two parallel lists. Raises: BadRecord when they are not parallel."""
    if len(keys) != len(values):
        raise BadRecord("metadata keys and values differ in number", f"{len(keys)} keys, {len(values)} values")
    return [(_value_text(key), _value_text(item)) for key, item in zip(keys, values, strict=True)]


def _pair(item: object) -> tuple[str, str]:
    match item:
        case [key, value]:
            return _value_text(key), _value_text(value)
        case {"key": key, "value": value}:
            return _value_text(key), _value_text(value)
        case _:
            raise BadRecord("metadata is not an object", "it is a list, but not of pairs")


def _value_text(value: object) -> str:
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return as_text("metadata", value) or ""
