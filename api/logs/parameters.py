"""The query string of a list of logs → a question; and cursors, which name the row that a page ends with.

Source: dataplane contract 1.4, 1.5, 3.3.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import orjson
from starlette.datastructures import QueryParams

from api.analytics import instants
from api.analytics.rendering import instant
from api.analytics.selection import KNOWN_AT, Selection, chosen, flag, parse_selection
from api.errors import InvalidRequest
from api.paging import Page, parse_page
from warehouse.query.keyset import Direction, Value
from warehouse.query.logs import LONGEST_SEARCH, SORTABLE, LogQuestion
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Question

DEFAULT_SPAN = timedelta(days=30)
"""How far back a list goes that names no start."""
CURSOR, SEARCH = "cursor", "search"
DIRECTIONS = ("asc", "desc")
ORDER_ALIASES = {
    "timestamp": "created_at",
    "total_tokens": "total_units",
    "request_tokens": "req_units",
    "response_tokens": "res_units",
    "latency": "response_time",
    "status_code": "response_status_code",
    "ai_provider": "ai_org",
    "ai_service": "ai_org",
    "model": "ai_model",
}
_LONGEST_CURSOR = 4096


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a cursor says: which list it is of, and where the next page starts."""

    order_by: str
    direction: Direction
    since: datetime
    until: datetime
    position: tuple[Value, ...]

    def text(self) -> str:
        """The cursor as clients carry it."""
        told = [self.order_by, self.direction, instant(self.since), instant(self.until), *map(_told, self.position)]
        return base64.urlsafe_b64encode(orjson.dumps(told)).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A page of a list, not yet bound to whose rows the caller may see."""

    selection: Selection
    search: str
    order_by: str
    direction: Direction
    page: Page
    position: tuple[Value, ...] | None
    include_total: bool

    def within(self, scope: TenantScope) -> LogQuestion:
        """The question over the rows of `scope`. Raises: InvalidInput."""
        rows = Question(scope, self.selection.since, self.selection.until, conditions=self.selection.conditions)
        return LogQuestion(
            rows, self.search, self.order_by, self.direction, self.page.size, self.page.offset, self.position
        )

    def next_cursor(self, position: tuple[Value, ...] | None) -> str | None:
        """The cursor of the next page; None where there is none."""
        if position is None:
            return None
        return Cursor(self.order_by, self.direction, self.selection.since, self.selection.until, position).text()


def parse_list(
    query: QueryParams,
    now: datetime,
    *,
    sortable: Sequence[str] = SORTABLE,
    aliases: Mapping[str, str] = ORDER_ALIASES,
) -> ListRequest:
    """The page that a query string asks for; keys that it does not know are ignored.

    The order of a list without `order_by` is by the first of `sortable`, the newest first. Raises: InvalidRequest.
    """
    cursor = _cursor(query.get(CURSOR, "").strip())
    by = query.get("order_by", "").strip() or (cursor.order_by if cursor else sortable[0])
    by = aliases.get(by, by)
    if by not in sortable:
        raise InvalidRequest(f"order_by: '{by[:60]}' is unknown; allowed: {', '.join(sortable)}")
    named = chosen(query, "order_by_type", DIRECTIONS) or (cursor.direction if cursor else "desc")
    direction: Direction = "asc" if named == "asc" else "desc"
    if cursor and (cursor.order_by, cursor.direction) != (by, direction):
        raise InvalidRequest(f"cursor: it is of a list by {cursor.order_by} {cursor.direction}, not {by} {direction}")
    page = parse_page(
        query.get("current_page") or query.get("currentPage"), query.get("page_size") or query.get("pageSize")
    )
    if cursor and page.number:
        raise InvalidRequest("cursor: it says where the page starts; leave current_page out")
    search = query.get(SEARCH, "").strip()
    if len(search) > LONGEST_SEARCH:
        raise InvalidRequest(f"search: at most {LONGEST_SEARCH} characters, not {len(search)}")
    if query.get(KNOWN_AT, "").strip():
        raise InvalidRequest(f"{KNOWN_AT}: lists of single requests show them as they are known now")
    return ListRequest(
        selection=parse_selection(_timed(query, cursor, now)),
        search=search,
        order_by=by,
        direction=direction,
        page=page,
        position=cursor.position if cursor else None,
        include_total=flag(query, "include_total", default=True),
    )


def _timed(query: QueryParams, cursor: Cursor | None, now: datetime) -> QueryParams:
    """The query with a time: as it says, else as the cursor says, else the 30 days before its end, which is now."""
    items = [(name, value) for name, value in query.multi_items() if name not in (instants.MIN, instants.MAX)]
    since, until = query.get(instants.MIN, "").strip(), query.get(instants.MAX, "").strip()
    end = cursor.until if cursor else now
    until = until or instant(end)
    if not since:
        since = instant(cursor.since if cursor else _start_of(until))
    return QueryParams([*items, (instants.MIN, since), (instants.MAX, until)])


def _start_of(until: str) -> datetime:
    try:
        return instants.parse_instant(instants.MAX, until) - DEFAULT_SPAN
    except OverflowError:
        raise InvalidRequest(f"{instants.MAX}: '{until[:60]}' is too early") from None


def _told(value: Value) -> object:
    match value:
        case datetime():
            return {"t": instant(value)}
        case Decimal():
            return {"m": f"{value:f}"}
        case _:
            return value


def _cursor(text: str) -> Cursor | None:
    """What a cursor says; None for none. Raises: InvalidRequest for what is none of ours."""
    if not text:
        return None
    try:
        if len(text) > _LONGEST_CURSOR:
            raise ValueError(text[:20])
        told = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        by, direction, since, until, *position = cast("list[Any]", told)
        return Cursor(
            str(by),
            "asc" if direction == "asc" else "desc",
            _instant(since),
            _instant(until),
            tuple(_value(each) for each in position),
        )
    except (ValueError, TypeError, ArithmeticError, binascii.Error, AttributeError):
        raise InvalidRequest("cursor: it is not the next_cursor of an answer") from None


def _instant(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError(text)
    return value.astimezone(UTC)


def _value(told: object) -> Value:
    """Raises: ValueError, ArithmeticError for what no position holds."""
    match told:
        case {"t": str(text)}:
            return _instant(text)
        case {"m": str(text)}:
            number = Decimal(text)
            if not number.is_finite():
                raise ValueError(text)
            return number
        case None | str() | int() | float():
            return told
        case _:
            raise ValueError(str(told)[:20])
