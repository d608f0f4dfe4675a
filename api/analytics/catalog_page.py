"""`GET /analytics/catalog`: what can be asked, as the catalog says it."""

from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, Field

from api.analytics.graphs import GRAPHS, SUMMARIES
from warehouse.catalog import registry
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Filter, Measure, Ratio
from warehouse.query.calendar import GRANULARITIES


class DimensionEntry(BaseModel):
    """Something to group by: in the path, or in `group_by`."""

    name: str
    key: str = Field(description="Field of a group's line.")
    column: str
    kind: str
    description: str


class MeasureEntry(BaseModel):
    """A number of a group: in `columns`, `order_by` and `having`."""

    name: str
    kind: str
    unit: str
    description: str
    additive: bool = Field(description="Whether the numbers of groups may be added up.")
    beside: str | None = Field(description="The measure that says what a sum of money lacks; it always comes along.")


class FilterEntry(BaseModel):
    """A parameter that chooses requests."""

    name: str
    operator: str
    kind: str
    unit: str
    description: str
    minimum: float | None
    maximum: float | None
    allowed: list[str] | None


class GraphEntry(BaseModel):
    """A graph or a summary, and the measures of its fields."""

    path: str
    title: str
    measures: list[str]


class GranularityEntry(BaseModel):
    """A width of buckets. `up_to_s`: the longest span, in seconds, that gets it unasked."""

    name: str
    description: str
    up_to_s: float | None


class CatalogAnswer(BaseModel):
    """All of it."""

    object: Literal["analytics-catalog"] = "analytics-catalog"
    dimensions: list[DimensionEntry]
    measures: list[MeasureEntry]
    filters: list[FilterEntry]
    graphs: list[GraphEntry]
    summaries: list[GraphEntry]
    granularities: list[GranularityEntry]
    feedback_measures: list[MeasureEntry]


@lru_cache(1)
def content() -> CatalogAnswer:
    """The whole page."""
    longest = max(each.up_to for each in GRANULARITIES if each.up_to)
    return CatalogAnswer(
        dimensions=[
            DimensionEntry(name=of.name, key=of.key, column=of.column, kind=of.kind, description=of.description)
            for of in GENERATIONS.dimensions
        ],
        measures=[_measure(of) for of in registry.public_measures(GENERATIONS)],
        filters=[_filter(of) for of in GENERATIONS.filters],
        graphs=[GraphEntry(path=f"graphs/{of.path}", title=of.title, measures=list(of.measures)) for of in GRAPHS],
        summaries=[
            GraphEntry(path=f"summary/{of.path}", title=of.title, measures=[field.measure for field in of.fields])
            for of in SUMMARIES
        ],
        granularities=[
            GranularityEntry(
                name=of.name,
                description=of.description,
                up_to_s=of.up_to.total_seconds() if of.up_to and of.up_to != longest else None,
            )
            for of in GRANULARITIES
        ],
        feedback_measures=[_measure(of) for of in registry.public_measures(FEEDBACKS)],
    )


def _measure(of: Measure | Ratio) -> MeasureEntry:
    adds, beside = (of.additive, of.beside) if isinstance(of, Measure) else (False, "")
    return MeasureEntry(
        name=of.name, kind=of.kind, unit=of.unit, description=of.description, additive=adds, beside=beside or None
    )


def _filter(of: Filter) -> FilterEntry:
    return FilterEntry(
        name=of.name,
        operator=of.operator,
        kind=of.kind,
        unit=of.unit,
        description=of.description,
        minimum=of.minimum,
        maximum=of.maximum,
        allowed=list(of.allowed) or None,
    )
