"""The query string of a graph or summary → questions. Source: dataplane contract 1.5, 1.7, 2.1, 2.2."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.datastructures import QueryParams

from api.analytics.graphs import SPEEDUP, Graph, Summary
from api.analytics.selection import Selection, chosen, parse_selection
from api.errors import InvalidRequest
from warehouse.catalog.generations import GENERATIONS
from warehouse.query.calendar import GRANULARITIES, Granularity, edges_of, granularity_for, granularity_named
from warehouse.query.conditions import MILLISECOND, to_millisecond
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery, SeriesQuery

GRANULARITY, COMPARE, PREVIOUS = "granularity", "compare", "previous"
GRANULARITY_NAMES = tuple(granularity.name for granularity in GRANULARITIES)


@dataclass(frozen=True, slots=True)
class Periods:
    """The time asked for and, where it is compared, the equal span before it."""

    current: Selection
    previous: Selection | None


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """A graph that a caller asks for, not yet bound to whose rows it may see."""

    graph: Graph
    periods: Periods
    granularity: Granularity

    def within(self, scope: TenantScope, selection: Selection) -> SeriesQuery:
        """The question about one period over the rows of `scope`. Raises: InvalidInput."""
        graph, on_rows = self.graph, self.graph.dataset is GENERATIONS
        since, until = selection.since, selection.until
        return SeriesQuery(
            scope=scope,
            since=since,
            until=until,
            by=(graph.dimension,) if graph.dimension else (),
            measures=graph.measures,
            conditions=selection.conditions if on_rows else (),
            # What is given on a trace is chosen by the requests of the trace.
            trace_conditions=() if on_rows else selection.conditions,
            edges=() if graph.key else edges_of(since, until, self.granularity, selection.zone),
            dataset=graph.dataset,
            as_known_at=selection.as_known_at,
        )


def parse_graph(graph: Graph, query: QueryParams) -> GraphRequest:
    """The graph that the query string asks for. Raises: InvalidRequest, UnknownName."""
    periods = parse_periods(query)
    current = periods.current
    name = chosen(query, GRANULARITY, GRANULARITY_NAMES)
    granularity = granularity_named(name) if name else granularity_for(current.since, current.until)
    return GraphRequest(graph, periods, granularity)


def parse_periods(query: QueryParams) -> Periods:
    """The rows asked about, and those before them for `compare=previous`. Raises: InvalidRequest, UnknownName."""
    current = parse_selection(query)
    return Periods(current, _before(current) if chosen(query, COMPARE, (PREVIOUS,)) else None)


def summary_query(summary: Summary, scope: TenantScope, selection: Selection) -> GroupedQuery:
    """The question behind a summary."""
    return GroupedQuery(
        scope=scope,
        since=selection.since,
        until=selection.until,
        by=(),
        measures=_measures(summary),
        conditions=selection.conditions,
        include_total=False,
        as_known_at=selection.as_known_at,
    )


def _measures(summary: Summary) -> tuple[str, ...]:
    named: Sequence[str] = [field.measure for field in summary.fields]
    hits = ["avg_hit_latency"] if any(field.name == SPEEDUP for field in summary.fields) else []
    return tuple(dict.fromkeys((GENERATIONS.count.name, *named, *hits)))


def _before(selection: Selection) -> Selection:
    """The span of the same length that ends where this one starts."""
    since, until = to_millisecond(selection.since), to_millisecond(selection.until)
    try:
        return replace(selection, since=since - (until - since) - MILLISECOND, until=since - MILLISECOND)
    except OverflowError:
        raise InvalidRequest(f"{COMPARE}: there is no time before the year 1 to compare with") from None
