"""The parameters of lists of logs, spans and traces as the OpenAPI document says them, derived from the catalog."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.analytics import instants
from api.analytics.documented import summary_parameters
from api.analytics.graph_parameters import COMPARE
from api.analytics.selection import KNOWN_AT
from api.logs.parameters import CURSOR, DEFAULT_SPAN, DIRECTIONS, SEARCH
from api.paging import DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE
from warehouse.query.logs import LONGEST_SEARCH

_WHOLE = {"type": "integer", "minimum": 0}


def list_parameters(sortable: Sequence[str], aliases: Mapping[str, str], searched: str) -> list[dict[str, Any]]:
    """Every parameter of a list."""
    chosen = [_optional(each) for each in summary_parameters() if each["name"] not in (COMPARE, KNOWN_AT)]
    sizes = {**_WHOLE, "maximum": LARGEST_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}
    orders = {"type": "string", "enum": [*sortable, *aliases], "default": sortable[0]}
    search = {"type": "string", "maxLength": LONGEST_SEARCH}
    return [
        *chosen,
        _query(SEARCH, f"Only what holds this text, in any case: {searched}.", search),
        _query("order_by", "What to order by; what has no value comes last.", orders),
        _query("order_by_type", "Direction.", {"type": "string", "enum": list(DIRECTIONS), "default": "desc"}),
        _query(
            CURSOR,
            "The next_cursor of the page before: pages by cursor neither repeat nor skip anything while more arrives.",
            {"type": "string"},
        ),
        _query("current_page", "Page, from 0; not with cursor.", {**_WHOLE, "default": 0}),
        _query("page_size", "Lines of a page.", sizes),
        _query("include_total", "Whether to count all pages.", {"type": "boolean", "default": True}),
    ]


def path_parameter(name: str, description: str) -> dict[str, Any]:
    """A parameter in the path."""
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def _optional(parameter: dict[str, Any]) -> dict[str, Any]:
    if parameter["name"] == instants.MIN:
        told = f"{parameter['description']} By default {DEFAULT_SPAN.days} days before the end."
        return {**parameter, "required": False, "description": told}
    if parameter["name"] == instants.MAX:
        return {**parameter, "required": False, "description": f"{parameter['description']} By default now."}
    return parameter


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}
