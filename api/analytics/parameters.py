"""The query string of an analytics request → a question. Every name comes from the catalog; there is no second list.

Source: dataplane contract 1.2 (what SDKs really send), 1.4, 1.5, 2.4.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import cast

import orjson
from starlette.datastructures import QueryParams

from api.analytics import instants
from api.errors import InvalidRequest
from api.paging import Page, parse_page
from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Filter, Kind, Operator
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, FilterValue, GroupedQuery, Order, dimension_of

COUNT = GENERATIONS.count.name
MOST_DIMENSIONS = 6
PROVIDER_MODEL_SEPARATOR = "__"
KNOWN_AT = "as_known_at"

_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_TRUE, _FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})
_BY_COLUMN = {dimension.column: dimension.name for dimension in GENERATIONS.dimensions}
"""A group-by may also be named by its column, for example `ai_model` for `model`."""


@dataclass(frozen=True, slots=True)
class GroupsRequest:
    """What a caller asks for, not yet bound to whose rows it may see."""

    since: datetime
    until: datetime
    asked: tuple[str, ...]
    """The group-bys as the caller named them: the fields of the answer."""
    by: tuple[str, ...]
    measures: tuple[str, ...]
    conditions: tuple[Condition, ...]
    order: tuple[Order, ...]
    page: Page
    include_total: bool
    workspaces: tuple[str, ...]
    as_known_at: datetime | None = None

    def within(self, scope: TenantScope) -> GroupedQuery:
        """The question over the rows of `scope`. Raises: InvalidInput, UnknownName."""
        return GroupedQuery(
            scope=scope,
            since=self.since,
            until=self.until,
            by=self.by,
            measures=self.measures,
            conditions=self.conditions,
            order=self.order,
            limit=self.page.size,
            offset=self.page.offset,
            include_total=self.include_total,
            as_known_at=self.as_known_at,
        )


def parse_groups(group_by: str, query: QueryParams) -> GroupsRequest:
    """The question in the path and the query string; keys it does not know are ignored.

    Raises: InvalidRequest, UnknownName.
    """
    asked = tuple(dict.fromkeys((group_by, *listed(query, "group_by"))))
    if len(asked) > MOST_DIMENSIONS:
        raise InvalidRequest(f"group_by: at most {MOST_DIMENSIONS} dimensions at once, not {len(asked)}")
    by = (registry.dimension(GENERATIONS, group_by).name, *(_dimension(name) for name in asked[1:]))
    since, until = instants.parse_range(query.get(instants.MIN), query.get(instants.MAX), query.get(instants.ZONE))
    return GroupsRequest(
        since=since,
        until=until,
        asked=asked,
        by=by,
        measures=_measures(listed(query, "columns")),
        conditions=tuple(_conditions(query)),
        order=_order(query, dict(zip(asked, by, strict=True))),
        page=parse_page(query.get("current_page"), query.get("page_size")),
        include_total=_flag(query, "include_total", default=True),
        workspaces=listed(query, "workspace_slug"),
        as_known_at=_known_at(query),
    )


def check_known(as_known_at: datetime | None, now: datetime) -> None:
    """Nothing, when what is asked for can be known already. Raises: InvalidRequest for an instant to come."""
    if as_known_at is not None and as_known_at > now:
        raise InvalidRequest(f"{KNOWN_AT}: {as_known_at.isoformat()} has not come yet; what is known then is not known")


def _known_at(query: QueryParams) -> datetime | None:
    text = query.get(KNOWN_AT, "").strip()
    return instants.parse_instant(KNOWN_AT, text) if text else None


def listed(query: QueryParams, name: str) -> tuple[str, ...]:
    """The values of a comma-separated parameter, also when it is given several times; blanks don't count."""
    items = (item.strip() for value in query.getlist(name) for item in value.split(","))
    return tuple(dict.fromkeys(item for item in items if item))


def _dimension(name: str) -> str:
    known = _BY_COLUMN.get(name, name)
    dimension_of(GENERATIONS, known)
    return known


def _measures(columns: Iterable[str]) -> tuple[str, ...]:
    measures = tuple(dict.fromkeys((COUNT, *columns)))
    for name in measures:
        registry.measure(GENERATIONS, name)
    return measures


def _order(query: QueryParams, dimensions: dict[str, str]) -> tuple[Order, ...]:
    by = query.get("order_by", "").strip()
    direction = query.get("order_by_type", "").strip().lower() or "desc"
    if direction not in ("asc", "desc"):
        raise InvalidRequest(f"order_by_type: '{direction[:40]}' is unknown; allowed: asc, desc")
    if not by:
        return (Order(COUNT, direction),)
    if by in dimensions:
        by = dimension_of(GENERATIONS, dimensions[by]).key
    return (Order(by, direction),)


def _flag(query: QueryParams, name: str, *, default: bool) -> bool:
    text = query.get(name, "").strip().lower()
    if not text:
        return default
    if text not in _TRUE | _FALSE:
        raise InvalidRequest(f"{name}: '{text[:40]}' is not true or false")
    return text in _TRUE


def _conditions(query: QueryParams) -> Iterator[Condition]:
    bounds: dict[str, Decimal | int | float] = {}
    for filter_ in GENERATIONS.filters:
        value = _filter_value(filter_, query)
        if value is None:
            continue
        if isinstance(value, Decimal | int | float):
            bounds[filter_.name] = value
        yield Condition(filter_.name, value)
    for name, least in bounds.items():
        other = f"{name.removesuffix('_min')}_max"
        if name.endswith("_min") and other in bounds and least > bounds[other]:
            raise InvalidRequest(f"{name} ({least}) is more than {other} ({bounds[other]})")


def _filter_value(filter_: Filter, query: QueryParams) -> FilterValue | None:
    name = filter_.name
    if filter_.operator in (Operator.AT_LEAST, Operator.AT_MOST):
        text = query.get(name, "").strip()
        return _number(filter_, text) if text else None
    if filter_.operator is Operator.ALL_PAIRS:
        return tuple(pair for text in query.getlist(name) for pair in _metadata(name, text)) or None
    items = listed(query, name)
    if filter_.operator is Operator.MODEL_OF_PROVIDER:
        return tuple(_provider_model(name, item) for item in items) or None
    if filter_.kind is Kind.INTEGER:
        return tuple(_whole(name, item) for item in items) or None
    return items or None


def _number(filter_: Filter, text: str) -> int | float | Decimal:
    if filter_.kind is Kind.INTEGER:
        return _whole(filter_.name, text)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise InvalidRequest(f"{filter_.name}: '{text[:40]}' is not a number") from None
    if not number.is_finite():
        raise InvalidRequest(f"{filter_.name}: '{text[:40]}' is not a number")
    return number if filter_.kind is Kind.MONEY else float(number)


def _whole(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise InvalidRequest(f"{name}: '{text[:40]}' is not a whole number")
    return int(text)


def _metadata(name: str, text: str) -> Iterator[tuple[str, str]]:
    if not text.strip():
        return
    try:
        pairs = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidRequest(f'{name}: not JSON; send an object such as {{"team":"search"}}') from None
    if not isinstance(pairs, dict):
        raise InvalidRequest(f'{name}: not a JSON object such as {{"team":"search"}}')
    for key, value in cast("dict[str, object]", pairs).items():
        if not isinstance(value, str | int | float):
            raise InvalidRequest(
                f"{name}.{key}: a text, a number or true/false, not {orjson.dumps(value).decode()[:40]}"
            )
        yield key, value if isinstance(value, str) else orjson.dumps(value).decode()


def _provider_model(name: str, item: str) -> tuple[str, str]:
    provider, separator, model = item.partition(PROVIDER_MODEL_SEPARATOR)
    if not (provider and separator and model):
        raise InvalidRequest(f"{name}: '{item[:80]}' is not provider__model, for example openai__gpt-4o")
    return provider, model
