"""The filters of an export → the rows it is of. The same names as in analytics, as JSON. Source: dataplane 3.5."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from starlette.datastructures import QueryParams

from api.analytics import instants
from api.analytics.selection import Selection, listed, parse_selection
from api.errors import InvalidRequest
from warehouse.catalog.generations import GENERATIONS
from warehouse.exports.fields import Fields
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery
from warehouse.query.stream import RowsQuestion

CREATED_AT, MODEL, WORKSPACE = "created_at", "ai_model", "workspace_slug"
PAGE_SIZE, PAGE = "page_size", "current_page"
DEFAULT_PAGE_SIZE = 50_000
"""Of an export of a later page whose size is not said."""
_BEGINNING = "1970-01-01"
_BOUNDS = {"gte": instants.MIN, "gt": instants.MIN, "lte": instants.MAX, "lt": instants.MAX}
_WITHOUT_EFFECT = frozenset({"order_by", "order_by_type", "include_total", "columns"})
"""What clients send with every question; an export has an order of its own and holds all rows."""
_ALLOWED = (
    *(instants.MIN, instants.MAX, instants.ZONE, CREATED_AT, MODEL, WORKSPACE, PAGE_SIZE, PAGE),
    *(filter_.name for filter_ in GENERATIONS.filters),
)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows of an export, not yet bound to whose rows it may hold."""

    selection: Selection
    models: tuple[str, ...]
    first: int = 0
    """Rows that are left out at the beginning."""
    most: int | None = None

    def question(self, scope: TenantScope, fields: Fields, known_until: datetime) -> RowsQuestion:
        """The question over the rows of `scope`. Raises: InvalidInput, UnknownName."""
        rows = GroupedQuery(
            scope=scope,
            since=self.selection.since,
            until=self.selection.until,
            conditions=self.selection.conditions,
        )
        return RowsQuestion(rows, fields.columns, known_until, self.models)

    def of(self, rows: int) -> int:
        """How many of so many rows are asked for."""
        rest = max(rows - self.first, 0)
        return rest if self.most is None else min(rest, self.most)


def asked_of(filters: Mapping[str, Any], now: datetime, max_rows: int | None) -> Asked:
    """What the filters ask for; without a time, everything up to now. Raises: InvalidRequest, UnknownName."""
    query = QueryParams([*_parameters(filters, now)])
    size = _whole(query, PAGE_SIZE)
    page = _whole(query, PAGE) or 0
    if size is None and page:
        size = DEFAULT_PAGE_SIZE
    most = min((each for each in (size or None, max_rows) if each is not None), default=None)
    first = page * (size or 0)
    return Asked(parse_selection(query), listed(query, MODEL), first, most)


def _parameters(filters: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    """The filters as a query string has them."""
    told = {_HUMP.sub("_", name).lower(): value for name, value in filters.items() if value not in (None, "")}
    created_at = told.pop(CREATED_AT, None)
    if created_at is not None:
        told = {**_range(created_at), **told}
    for name, value in told.items():
        if name in _WITHOUT_EFFECT:
            continue
        if name not in _ALLOWED:
            raise InvalidRequest(f"filters.{name[:60]} is unknown; allowed: {', '.join(_ALLOWED)}")
        yield name, _text(name, value)
    if instants.MIN not in told:
        yield instants.MIN, _BEGINNING
    if instants.MAX not in told:
        yield instants.MAX, now.astimezone(UTC).isoformat()


def _range(value: object) -> dict[str, object]:
    if not isinstance(value, dict) or not value or not set(cast("dict[str, object]", value)) <= set(_BOUNDS):
        raise InvalidRequest(f"filters.{CREATED_AT}: an object with gte and lte is required")
    return {_BOUNDS[bound]: at for bound, at in cast("dict[str, object]", value).items()}


def _text(name: str, value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case list():
            return ",".join(_text(name, item) for item in cast("list[object]", value))
        case dict() if name == "metadata":
            return orjson.dumps(value).decode()
        case _:
            raise InvalidRequest(f"filters.{name}: a text, a number or a list of them is required")


def _whole(query: QueryParams, name: str) -> int | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise InvalidRequest(f"filters.{name}: '{text[:40]}' is not a whole number from 0")
    return int(text)
