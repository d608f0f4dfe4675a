"""The query string of a grouped request → a question. Every name comes from the catalog; there is no second list.

Source: dataplane contract 1.2 (what SDKs really send), 1.4, 2.3, 2.4.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from starlette.datastructures import QueryParams

from api.analytics.listings import Listing
from api.analytics.selection import Selection, chosen, flag, listed, parse_selection
from api.errors import InvalidRequest
from api.paging import LARGEST_PAGE_SIZE, Page, parse_page
from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.query.scope import TenantScope
from warehouse.query.spec import (
    COMPARISONS,
    NUMBERS,
    Condition,
    GroupedQuery,
    Groups,
    Having,
    Order,
    dimension_of,
)

COUNT = GENERATIONS.count.name
MOST_DIMENSIONS = 6
_MOST_DIGITS = 20
DIRECTIONS = ("asc", "desc")

_HAVING = re.compile(rf"\s*(\w+)\s*({'|'.join(COMPARISONS)})\s*([+-]?\d+(?:\.\d+)?)\s*", re.ASCII)
_BY_COLUMN = {dimension.column: dimension.name for dimension in GENERATIONS.dimensions}
"""A group-by may also be named by its column, for example `ai_model` for `model`."""


@dataclass(frozen=True, slots=True)
class GroupsRequest:
    """What a caller asks for, not yet bound to whose rows it may see."""

    selection: Selection
    asked: tuple[str, ...]
    """The group-bys as the caller named them: the fields of the answer."""
    by: tuple[str, ...]
    measures: tuple[str, ...]
    order: tuple[Order, ...]
    page: Page
    include_total: bool
    having: tuple[Having, ...] = ()
    totals: bool = False
    """Whether one more group holds all rows."""
    other: bool = False
    """Whether one more group holds the rows of no listed group."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return self.selection.conditions

    @property
    def workspaces(self) -> tuple[str, ...]:
        return self.selection.workspaces

    @property
    def as_known_at(self) -> datetime | None:
        return self.selection.as_known_at

    def within(self, scope: TenantScope) -> GroupedQuery:
        """The question over the rows of `scope`. Raises: InvalidInput, UnknownName."""
        return GroupedQuery(
            scope=scope,
            since=self.selection.since,
            until=self.selection.until,
            by=self.by,
            measures=self.measures,
            conditions=self.conditions,
            having=self.having,
            order=self.order,
            limit=self.page.size,
            offset=self.page.offset,
            include_total=self.include_total,
            as_known_at=self.as_known_at,
        )


def ungrouped(query: GroupedQuery, without: Groups | None = None) -> GroupedQuery:
    """The same rows as one group, whatever `having` leaves out; `without` the rows of some groups."""
    return replace(query, by=(), having=(), order=(), offset=0, include_total=False, outside=without)


def parse_groups(group_by: str, query: QueryParams) -> GroupsRequest:
    """The question in the path and the query string; keys it does not know are ignored.

    Raises: InvalidRequest, UnknownName.
    """
    return _parsed(registry.dimension(GENERATIONS, group_by).name, group_by, (), query)


def parse_listing(listing: Listing, metadata_key: str, query: QueryParams) -> GroupsRequest:
    """The question of a listing with a path of its own. Raises: InvalidRequest, UnknownName."""
    return _parsed(listing.dimension + metadata_key, listing.key, listing.columns, query)


def _parsed(first: str, named: str, columns: Iterable[str], query: QueryParams) -> GroupsRequest:
    asked = tuple(dict.fromkeys((named, *listed(query, "group_by"))))
    if len(asked) > MOST_DIMENSIONS:
        raise InvalidRequest(f"group_by: at most {MOST_DIMENSIONS} dimensions at once, not {len(asked)}")
    by = (first, *(_dimension(name) for name in asked[1:]))
    top = _top(query)
    other = flag(query, "other", default=False)
    if other and top is None:
        raise InvalidRequest("other: goes with top, for example top=10&other=true")
    return GroupsRequest(
        selection=parse_selection(query),
        asked=asked,
        by=by,
        measures=_measures((*columns, *listed(query, "columns"))),
        order=_order(query, dict(zip(asked, by, strict=True))),
        page=Page(0, top) if top else parse_page(query.get("current_page"), query.get("page_size")),
        include_total=flag(query, "include_total", default=True),
        having=tuple(_having(query)),
        totals=flag(query, "totals", default=False),
        other=other,
    )


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
    direction = chosen(query, "order_by_type", DIRECTIONS)
    toward = "asc" if direction == "asc" else "desc"
    if not by:
        return (Order(COUNT, toward),)
    if by in dimensions:
        by = dimension_of(GENERATIONS, dimensions[by]).key
    return (Order(by, toward),)


def _top(query: QueryParams) -> int | None:
    text = query.get("top", "").strip()
    if not text:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    if not is_number or not 1 <= int(text) <= LARGEST_PAGE_SIZE:
        raise InvalidRequest(f"top: '{text[:40]}' is not a whole number from 1 to {LARGEST_PAGE_SIZE}")
    if query.get("current_page", "").strip() not in ("", "0"):
        raise InvalidRequest("top: there is one page of it; leave current_page out")
    return int(text)


def _having(query: QueryParams) -> Iterator[Having]:
    numbers = {of.name: of for of in registry.public_measures(GENERATIONS) if of.kind in NUMBERS}
    for item in listed(query, "having"):
        read = _HAVING.fullmatch(item)
        if read is None:
            raise InvalidRequest(
                f"having: '{item[:60]}' is not a column, one of {' '.join(COMPARISONS)} and a number, "
                "for example cost>=100,requests>10"
            )
        name, comparison, number = read.groups()
        if name not in numbers:
            raise InvalidRequest(f"having: '{name[:60]}' is unknown; allowed: {', '.join(numbers)}")
        yield Having(name, next(each for each in COMPARISONS if each == comparison), Decimal(number))
