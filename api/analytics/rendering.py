"""Groups as JSON: exact money, UTC instants, one object per group. Source: dataplane contract 1.6, 2.4."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

ROW_OBJECT = "analytics-group"
BLANK = ""
"""The key of a group without a value."""


def instant(value: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and `Z`. Source: controlplane contract 0.2."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def money(value: Decimal) -> orjson.Fragment:
    """A JSON number with every digit of the sum and no trailing zeros."""
    # Not `normalize()`: that rounds to the 28 digits of the decimal context.
    digits = format(value, "f")
    return orjson.Fragment(digits.rstrip("0").rstrip(".") if "." in digits else digits)


def groups(rows: pa.Table, asked: Sequence[str], total: int | None) -> bytes:
    """The envelope of a grouped answer. The first columns of `rows` are the dimensions, named as they were asked."""
    names = [*asked, *rows.column_names[len(asked) :], "object"]
    columns = [
        _values(column, blank=BLANK if index < len(asked) else None) for index, column in enumerate(rows.columns)
    ]
    columns.append([ROW_OBJECT] * rows.num_rows)
    data = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return orjson.dumps({"object": "list", "total": total, "data": data})


def _values(column: pa.ChunkedArray, blank: str | None) -> list[Any]:
    values = column.to_pylist()
    render = _renderer(column.type)
    if render is None and column.null_count == 0:
        return values
    return [blank if value is None else value if render is None else render(value) for value in values]


def _renderer(kind: pa.DataType) -> Callable[[Any], Any] | None:
    if pa.types.is_decimal(kind):
        return money
    if pa.types.is_timestamp(kind):
        return instant
    return None
