"""What the OpenAPI document says of analytics, derived from the catalog."""

from typing import Any

from api.analytics import instants
from api.analytics.parameters import KNOWN_AT
from api.analytics.rendering import ROW_OBJECT
from api.paging import DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE
from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Filter, Kind, Operator, Unit

_JSON_TYPES: dict[Kind, dict[str, Any]] = {
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


def group_parameters() -> list[dict[str, Any]]:
    """Every parameter of a grouped request."""
    group_bys = [dimension.name for dimension in GENERATIONS.dimensions]
    measures = [measure.name for measure in registry.public_measures(GENERATIONS)]
    zone = {"type": "string", "examples": ["Asia/Kolkata"]}
    return [
        _parameter("groupBy", "What the groups are.", {"type": "string", "enum": group_bys}, where="path"),
        *_time_parameters(),
        _parameter(instants.ZONE, "IANA time zone of times and dates without an offset.", zone),
        _parameter("workspace_slug", "Workspaces by slug or UUID, comma-separated. Ignored for workspace keys.", _LIST),
        _parameter(
            "columns",
            f"What to answer of each group beside {GENERATIONS.count.name}, comma-separated.",
            {"type": "array", "items": {"type": "string", "enum": measures}},
        ),
        _parameter("group_by", f"More dimensions: {', '.join(group_bys)} or metadata.<key>, comma-separated.", _LIST),
        _parameter("order_by", "A group-by or a column of the answer.", {"type": "string"}),
        _parameter("order_by_type", "Direction.", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
        _parameter(
            KNOWN_AT,
            "Answer as it was at this instant: without what was loaded or corrected later. A date alone is its end.",
            {"type": "string", "examples": ["2026-02-23T14:20:31+05:30", "2026-02-23"]},
        ),
        _parameter("include_total", "Whether to count all groups.", {"type": "boolean", "default": True}),
        _parameter("current_page", "Page, from 0.", {"type": "integer", "minimum": 0, "default": 0}),
        _parameter(
            "page_size",
            "Groups of a page.",
            {"type": "integer", "minimum": 0, "maximum": LARGEST_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
        ),
        *(_filter_parameter(filter_) for filter_ in GENERATIONS.filters),
    ]


def groups_schema() -> dict[str, Any]:
    """The JSON schema of a grouped answer. A row has the dimensions and the columns asked for."""
    properties: dict[str, Any] = {
        dimension.key: {**_JSON_TYPES[dimension.kind], "description": f"{dimension.description} Blank: none."}
        for dimension in GENERATIONS.dimensions
    }
    for key in [dimension.key for dimension in GENERATIONS.dimensions if dimension.kind is not Kind.TEXT]:
        properties[key]["type"] = [properties[key]["type"], "string"]
    for measure in registry.public_measures(GENERATIONS):
        kind = _JSON_TYPES[measure.kind]
        properties[measure.name] = {
            **kind,
            "type": [kind["type"], "null"],
            "description": _with_unit(measure.description, measure.unit),
        }
    properties[GENERATIONS.count.name]["type"] = "integer"
    properties["object"] = {"type": "string", "const": ROW_OBJECT}
    row = {
        "type": "object",
        "required": [GENERATIONS.count.name, "object"],
        "properties": properties,
        "additionalProperties": {"type": "string", "description": "A dimension metadata.<key>."},
    }
    return {
        "type": "object",
        "required": ["object", "total", "data"],
        "properties": {
            "object": {"type": "string", "const": "list"},
            "total": {"type": ["integer", "null"], "description": "Groups on all pages; null when not asked."},
            "data": {"type": "array", "items": row},
        },
    }


_LIST: dict[str, Any] = {"type": "array", "items": {"type": "string"}}


def _time_parameters() -> list[dict[str, Any]]:
    schema = {"type": "string", "examples": ["2026-02-23T14:20:31+05:30", "2026-02-23"]}
    return [
        _parameter(instants.MIN, "First instant, included; a date alone is its start.", schema, required=True),
        _parameter(instants.MAX, "Last instant, included; a date alone is its end.", schema, required=True),
    ]


def _filter_parameter(filter_: Filter) -> dict[str, Any]:
    description = _with_unit(filter_.description, filter_.unit)
    if filter_.operator in (Operator.AT_LEAST, Operator.AT_MOST):
        schema = dict(_JSON_TYPES[filter_.kind])
        schema |= {} if filter_.minimum is None else {"minimum": filter_.minimum}
        schema |= {} if filter_.maximum is None else {"maximum": filter_.maximum}
        return _parameter(filter_.name, description, schema)
    if filter_.operator is Operator.ALL_PAIRS:
        return _parameter(filter_.name, description, {"type": "string", "examples": ['{"team":"search"}']})
    return _parameter(filter_.name, description, {"type": "array", "items": dict(_JSON_TYPES[filter_.kind])})


def _parameter(
    name: str, description: str, schema: dict[str, Any], *, where: str = "query", required: bool = False
) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "in": where, "description": description, "schema": schema}
    if required or where == "path":
        described["required"] = True
    if schema.get("type") == "array":
        described |= _NOT_EXPLODED
    return described


def _with_unit(description: str, unit: Unit) -> str:
    return f"{description} Unit: {unit.value}." if unit is not Unit.NONE else description
