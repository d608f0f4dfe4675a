"""The answers of analytics as the OpenAPI document says them, derived from the catalog and the tables of graphs."""

from collections.abc import Mapping
from typing import Any

from api.analytics.documented import JSON_TYPES, with_unit
from api.analytics.drawing import GRAPH_OBJECT, SUMMARY_OBJECT
from api.analytics.graph_parameters import PREVIOUS
from api.analytics.graphs import SPEEDUP, Field, Graph, Stack, Summary
from api.analytics.listings import Listing
from api.analytics.rendering import NO_NAMES, OTHER, ROW_OBJECT, TOTALS, WORKSPACE_ID
from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset, Dimension, Kind, Unit

Schema = dict[str, Any]


def groups_schema() -> Schema:
    """The JSON schema of a grouped answer. A row has the dimensions and the columns asked for."""
    keys = {dimension.key: _key(dimension) for dimension in GENERATIONS.dimensions}
    return _list(keys, _measures(NO_NAMES), [GENERATIONS.count.name])


def listing_schema(listing: Listing) -> Schema:
    """The JSON schema of a listing: its own fields are always there."""
    key = {listing.key: {"type": ["string", "null"], "description": "Blank: none. Null: every other."}}
    keys = {dimension.key: _key(dimension) for dimension in GENERATIONS.dimensions} | key
    if listing.names_workspaces:
        keys[WORKSPACE_ID] = {"type": ["string", "null"], "description": "Null where the workspace is not known."}
    own = [listing.renamed.get(name, name) for name in listing.columns]
    return _list(keys, _measures(listing.renamed), [listing.key, GENERATIONS.count.name, *own])


def graph_schema(graph: Graph) -> Schema:
    """The JSON schema of a graph."""
    point: dict[str, Schema] = {}
    if graph.key:
        dimension = registry.dimension(graph.dataset, graph.dimension)
        point[graph.key] = _key(dimension)
    else:
        point["timestamp"] = {**JSON_TYPES[Kind.INSTANT], "description": "Start of the bucket. Unit: UTC."}
    for part in graph.points:
        point[part.name] = _stack(graph, part) if isinstance(part, Stack) else _number(graph.dataset, part)
    return _with_previous(
        {
            "object": {"type": "string", "const": GRAPH_OBJECT},
            "summary": _object({field.name: _number(graph.dataset, field) for field in graph.summary}),
            "data_points": {"type": "array", "items": _object(point)},
        }
    )


def summary_schema(summary: Summary) -> Schema:
    """The JSON schema of a summary."""
    numbers = {field.name: _number(GENERATIONS, field) for field in summary.fields}
    if SPEEDUP in numbers:
        numbers[SPEEDUP] = {
            "type": "number",
            "description": with_unit("How much less time a cache hit takes than all that is none.", Unit.PERCENT),
        }
    return _with_previous({"object": {"type": "string", "const": SUMMARY_OBJECT}, "summary": _object(numbers)})


def _with_previous(properties: dict[str, Schema]) -> Schema:
    shape = _object(properties)
    described = {**shape, "description": f"The equal span before; only with compare={PREVIOUS}."}
    return {**shape, "properties": {**properties, PREVIOUS: described}}


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _number(dataset: Dataset, field: Field) -> Schema:
    measure = registry.measure(dataset, field.measure)
    kind = JSON_TYPES[measure.kind]
    description = f"{measure.description} Summed from the first bucket on." if field.running else measure.description
    nullable = not field.running and measure.unit is Unit.CENTS
    described = {**kind, "description": with_unit(description, measure.unit)}
    return {**described, "type": [kind["type"], "null"]} if nullable else described


def _stack(graph: Graph, stack: Stack) -> Schema:
    key = _key(registry.dimension(graph.dataset, graph.dimension))
    return {
        "type": "array",
        "items": _object({stack.key: key, stack.count: _number(graph.dataset, Field(stack.count, stack.measure))}),
    }


def _key(dimension: Dimension) -> Schema:
    kind = JSON_TYPES[dimension.kind]
    return {
        **kind,
        "type": list(dict.fromkeys([kind["type"], "string", "null"])),
        "description": f"{dimension.description} Blank: none. Null: every other.",
    }


def _measures(renamed: Mapping[str, str]) -> dict[str, Schema]:
    properties: dict[str, Schema] = {}
    for measure in registry.public_measures(GENERATIONS):
        kind = JSON_TYPES[measure.kind]
        properties[renamed.get(measure.name, measure.name)] = {
            **kind,
            "type": [kind["type"], "null"],
            "description": with_unit(measure.description, measure.unit),
        }
    properties[GENERATIONS.count.name]["type"] = "integer"
    return properties


def _list(keys: dict[str, Schema], measures: dict[str, Schema], required: list[str]) -> Schema:
    marks = {
        "object": {"type": "string", "const": ROW_OBJECT},
        OTHER: {"type": "boolean", "const": True, "description": "Only on the line of every other row."},
    }
    row = {
        "type": "object",
        "required": [*required, "object"],
        "properties": {**keys, **measures, **marks},
        "additionalProperties": {"type": ["string", "null"], "description": "A dimension metadata.<key>."},
    }
    totals = {
        "type": "object",
        "required": [GENERATIONS.count.name],
        "properties": measures,
        "description": f"All rows as one group; only with {TOTALS}=true.",
    }
    return {
        "type": "object",
        "required": ["object", "total", "data"],
        "properties": {
            "object": {"type": "string", "const": "list"},
            "total": {"type": ["integer", "null"], "description": "Groups on all pages; null when not asked."},
            "data": {"type": "array", "items": row},
            TOTALS: totals,
        },
    }
