"""What every analytics request may say: which time, whose workspaces, which rows. Keys it does not know are ignored.

Source: dataplane contract 1.2 (what SDKs really send), 1.5.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import cast

import orjson
from starlette.datastructures import QueryParams

from api.analytics import instants
from api.errors import InvalidRequest
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Filter, Kind, Operator
from warehouse.errors import UnknownName
from warehouse.query.spec import Condition
from warehouse.query.values import FilterValue

PROVIDER_MODEL_SEPARATOR = "__"
KNOWN_AT = "as_known_at"

_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_TRUE, _FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that a caller asks about, not yet bound to whose rows it may see."""

    since: datetime
    until: datetime
    zone: tzinfo
    """What buckets of time follow: `tz`, else the offset of the start, else UTC."""
    conditions: tuple[Condition, ...]
    workspaces: tuple[str, ...]
    as_known_at: datetime | None = None


def parse_selection(query: QueryParams) -> Selection:
    """The rows that the query string asks about. Raises: InvalidRequest, UnknownName."""
    named = query.get(instants.ZONE)
    since, until = instants.parse_range(query.get(instants.MIN), query.get(instants.MAX), named)
    return Selection(
        since=since,
        until=until,
        zone=instants.zone_of(query.get(instants.MIN), named),
        conditions=tuple(_conditions(query)),
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


def flag(query: QueryParams, name: str, *, default: bool) -> bool:
    """A boolean in any case, as Python and JavaScript write it. Raises: InvalidRequest."""
    text = query.get(name, "").strip().lower()
    if not text:
        return default
    if text not in _TRUE | _FALSE:
        raise InvalidRequest(f"{name}: '{text[:40]}' is not true or false")
    return text in _TRUE


def chosen(query: QueryParams, name: str, allowed: tuple[str, ...]) -> str | None:
    """One of the allowed values, in any case; None when there is none. Raises: InvalidRequest with the allowed ones."""
    text = query.get(name, "").strip().lower()
    if text and text not in allowed:
        raise InvalidRequest(f"{name}: '{text[:40]}' is unknown; allowed: {', '.join(allowed)}")
    return text or None


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
    for item in items:
        if filter_.allowed and item.upper() not in {value.upper() for value in filter_.allowed}:
            raise UnknownName(f"value of {name}", item[:80], filter_.allowed)
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
