"""The parameters of analytics as the OpenAPI document says them, derived from the catalog."""

from typing import Any

from api.analytics import instants
from api.analytics.graph_parameters import COMPARE, GRANULARITY, GRANULARITY_NAMES, PREVIOUS
from api.analytics.graphs import Graph
from api.analytics.listings import METADATA_KEY, Listing
from api.analytics.selection import KNOWN_AT
from api.paging import DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE
from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Filter, Kind, Operator, Unit
from warehouse.query.calendar import GRANULARITIES, MOST_BUCKETS
from warehouse.query.spec import COMPARISONS

JSON_TYPES: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.FLOAT: {"type": "number"},
    Kind.MONEY: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.INSTANT: {"type": "string", "format": "date-time"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.TEXT_LIST: {"type": "array", "items": {"type": "string"}},
}
_NOT_EXPLODED = {"style": "form", "explode": False}
_LIST: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_FLAG: dict[str, Any] = {"type": "boolean", "default": False}

Parameters = list[dict[str, Any]]


def group_parameters() -> Parameters:
    """Every parameter of a grouped request."""
    group_bys = [dimension.name for dimension in GENERATIONS.dimensions]
    path = _parameter("groupBy", "What the groups are.", {"type": "string", "enum": group_bys}, where="path")
    return [path, *_selection(), *_grouping()]


def listing_parameters(listing: Listing) -> Parameters:
    """Every parameter of a listing."""
    named = METADATA_KEY in listing.path
    key = _parameter(METADATA_KEY, "Metadata key, percent-encoded.", {"type": "string", "minLength": 1}, where="path")
    return [*([key] if named else []), *_selection(), *_grouping()]


def graph_parameters(graph: Graph) -> Parameters:
    """Every parameter of a graph."""
    spans = "; ".join(f"{each.name}: {each.description}" for each in GRANULARITIES)
    granularity = _parameter(
        GRANULARITY,
        f"Width of the buckets, by default by the span. {spans} At most {MOST_BUCKETS:,} points.",
        {"type": "string", "enum": list(GRANULARITY_NAMES)},
    )
    return [*_selection(), *([] if graph.key else [granularity]), _COMPARE]


def summary_parameters() -> Parameters:
    """Every parameter of a summary."""
    return [*_selection(), _COMPARE]


def _selection() -> Parameters:
    """What chooses the rows."""
    zone = {"type": "string", "examples": ["Asia/Kolkata"]}
    return [
        *_time_parameters(),
        _parameter(
            instants.ZONE,
            "IANA time zone of times and dates without an offset, and of buckets of time; it wins over the offset of "
            f"{instants.MIN}.",
            zone,
        ),
        _parameter("workspace_slug", "Workspaces by slug or UUID, comma-separated. Ignored for workspace keys.", _LIST),
        _parameter(
            KNOWN_AT,
            "Answer as it was at this instant: without what was loaded or corrected later. A date alone is its end.",
            {"type": "string", "examples": ["2026-02-23T14:20:31+05:30", "2026-02-23"]},
        ),
        *(_filter_parameter(filter_) for filter_ in GENERATIONS.filters),
    ]


def _grouping() -> Parameters:
    """What makes groups of the rows, chooses groups and orders them."""
    group_bys = [dimension.name for dimension in GENERATIONS.dimensions]
    measures = [measure.name for measure in registry.public_measures(GENERATIONS)]
    having = {**_LIST, "examples": [["cost>=100", "requests>10"]]}
    whole = {"type": "integer", "minimum": 0}
    return [
        _parameter(
            "columns",
            f"What to answer of each group beside {GENERATIONS.count.name}, comma-separated.",
            {"type": "array", "items": {"type": "string", "enum": measures}},
        ),
        _parameter("group_by", f"More dimensions: {', '.join(group_bys)} or metadata.<key>, comma-separated.", _LIST),
        _parameter(
            "having",
            f"Only groups whose columns compare so; a column, one of {' '.join(COMPARISONS)} and a number, "
            "comma-separated; all must hold. Money in cents.",
            having,
        ),
        _parameter("order_by", "A group-by or a column of the answer.", {"type": "string"}),
        _parameter("order_by_type", "Direction.", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
        _parameter("top", "Only the first groups of the order.", {**whole, "minimum": 1, "maximum": LARGEST_PAGE_SIZE}),
        _parameter(
            "other", "With top: one more line for all rows that are in no listed group; its keys are null.", _FLAG
        ),
        _parameter("totals", "Whether to answer all rows as one group, whatever having and pages leave out.", _FLAG),
        _parameter("include_total", "Whether to count all groups.", {"type": "boolean", "default": True}),
        _parameter("current_page", "Page, from 0.", {**whole, "default": 0}),
        _parameter(
            "page_size", "Groups of a page.", {**whole, "maximum": LARGEST_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}
        ),
    ]


def _time_parameters() -> list[dict[str, Any]]:
    schema = {"type": "string", "examples": ["2026-02-23T14:20:31+05:30", "2026-02-23"]}
    return [
        _parameter(instants.MIN, "First instant, included; a date alone is its start.", schema, required=True),
        _parameter(instants.MAX, "Last instant, included; a date alone is its end.", schema, required=True),
    ]


def _filter_parameter(filter_: Filter) -> dict[str, Any]:
    description = with_unit(filter_.description, filter_.unit)
    if filter_.operator in (Operator.AT_LEAST, Operator.AT_MOST):
        schema = dict(JSON_TYPES[filter_.kind])
        schema |= {} if filter_.minimum is None else {"minimum": filter_.minimum}
        schema |= {} if filter_.maximum is None else {"maximum": filter_.maximum}
        return _parameter(filter_.name, description, schema)
    if filter_.operator is Operator.ALL_PAIRS:
        return _parameter(filter_.name, description, {"type": "string", "examples": ['{"team":"search"}']})
    items = {**JSON_TYPES[filter_.kind], **({"enum": list(filter_.allowed)} if filter_.allowed else {})}
    return _parameter(filter_.name, description, {"type": "array", "items": items})


def _parameter(
    name: str, description: str, schema: dict[str, Any], *, where: str = "query", required: bool = False
) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "in": where, "description": description, "schema": schema}
    if required or where == "path":
        described["required"] = True
    if schema.get("type") == "array":
        described |= _NOT_EXPLODED
    return described


def with_unit(description: str, unit: Unit) -> str:
    """The description, and the unit where there is one."""
    return f"{description} Unit: {unit.value}." if unit is not Unit.NONE else description


_COMPARE = _parameter(
    COMPARE,
    f"`{PREVIOUS}` also answers the equal span before, under `{PREVIOUS}`.",
    {"type": "string", "enum": [PREVIOUS]},
)
