"""Groups as JSON: exact money, UTC instants, one object per group. Source: dataplane contract 1.6, 2.4."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import orjson
import pyarrow as pa

ROW_OBJECT = "analytics-group"
OTHER, TOTALS, WORKSPACE_ID = "other", "totals", "workspace_id"
NO_NAMES: Mapping[str, str] = MappingProxyType({})
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


def groups(
    rows: pa.Table,
    asked: Sequence[str],
    total: int | None,
    *,
    other: pa.Table | None = None,
    totals: pa.Table | None = None,
    renamed: Mapping[str, str] = NO_NAMES,
    workspace_ids: Mapping[str, str] | None = None,
) -> bytes:
    """The envelope of a grouped answer. The first columns of `rows` are the dimensions, named as they were asked.

    `other` holds the rows of no listed group: a last line whose keys are null. `totals` holds all rows.
    `workspace_ids` by slug: each line gets the one of its first key.
    """
    names = [*asked, *(renamed.get(name, name) for name in rows.column_names[len(asked) :]), "object"]
    columns = [
        _values(column, blank=BLANK if index < len(asked) else None) for index, column in enumerate(rows.columns)
    ]
    columns.append([ROW_OBJECT] * rows.num_rows)
    if workspace_ids is not None:
        names.insert(len(asked), WORKSPACE_ID)
        columns.insert(len(asked), [workspace_ids.get(slug) for slug in columns[0]])
    data = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    if other is not None:
        data.append({**dict.fromkeys(asked), **_only_line(other, renamed), "object": ROW_OBJECT, OTHER: True})
    answer: dict[str, Any] = {"object": "list", "total": total, "data": data}
    if totals is not None:
        answer[TOTALS] = _only_line(totals, renamed)
    return orjson.dumps(answer)


def _only_line(rows: pa.Table, renamed: Mapping[str, str]) -> dict[str, Any]:
    names = [renamed.get(name, name) for name in rows.column_names]
    return {name: _values(column, blank=None)[0] for name, column in zip(names, rows.columns, strict=True)}


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
