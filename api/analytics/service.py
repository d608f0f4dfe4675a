"""Analytics of a caller: groups, graphs and summaries, as JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.analytics import drawing, rendering
from api.analytics.graph_parameters import PREVIOUS, GraphRequest, Periods, summary_query
from api.analytics.graphs import Summary
from api.analytics.listings import Listing
from api.analytics.parameters import GroupsRequest, ungrouped
from api.analytics.selection import Selection
from api.errors import Forbidden
from api.principal import Principal
from api.settings import ApiSettings
from api.tenancy import scope_of
from api.workspaces.rows import Workspace
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Engine, Limits
from warehouse.engines.open import limits_of
from warehouse.query.run import GroupedAnswer, run_grouped, run_series
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery, Groups


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and of what."""

    session: Session
    engine: Engine
    settings: ApiSettings
    principal: Principal

    def scope(self, references: tuple[str, ...]) -> TenantScope:
        """The rows of the workspaces that were named, as far as the caller may see them. Raises: Forbidden."""
        if not self.principal.visibility.analytics:
            raise Forbidden
        return scope_of(self.session, self.principal, references, self.settings.admin_key_scope)

    @property
    def limits(self) -> Limits:
        return limits_of(self.settings.warehouse)


def grouped(asking: Asking, request: GroupsRequest, listing: Listing | None = None) -> bytes:
    """The answer to a grouped question over the caller's rows.

    Raises: Forbidden, InvalidInput, WarehouseBusy, QueryTooLarge, WarehouseError.
    """
    query = request.within(asking.scope(request.workspaces))
    answer = run_grouped(asking.engine, query, asking.limits)
    totals = run_grouped(asking.engine, ungrouped(query), asking.limits) if request.totals else None
    return rendering.groups(
        answer.rows,
        request.asked,
        answer.total,
        other=_other(asking, query, answer) if request.other else None,
        totals=totals.rows if totals else None,
        renamed=listing.renamed if listing else {},
        workspace_ids=_workspace_ids(asking) if listing and listing.names_workspaces else None,
    )


def drawn(asking: Asking, request: GraphRequest) -> bytes:
    """A graph over the caller's rows.

    Raises: Forbidden, InvalidInput, WarehouseBusy, QueryTooLarge, WarehouseError.
    """
    scope = asking.scope(request.periods.current.workspaces)

    def of(selection: Selection) -> dict[str, Any]:
        answer = run_series(asking.engine, request.within(scope, selection), asking.limits)
        return drawing.graph(request.graph, answer)

    return _compared(request.periods, of)


def summed(asking: Asking, summary: Summary, periods: Periods) -> bytes:
    """A summary over the caller's rows.

    Raises: Forbidden, InvalidInput, WarehouseBusy, QueryTooLarge, WarehouseError.
    """
    scope = asking.scope(periods.current.workspaces)

    def of(selection: Selection) -> dict[str, Any]:
        answer = run_grouped(asking.engine, summary_query(summary, scope, selection), asking.limits)
        return drawing.summary(summary, GENERATIONS, answer)

    return _compared(periods, of)


def _compared(periods: Periods, of: Callable[[Selection], dict[str, Any]]) -> bytes:
    content = of(periods.current)
    if periods.previous is not None:
        content[PREVIOUS] = of(periods.previous)
    return orjson.dumps(content)


def _other(asking: Asking, query: GroupedQuery, answer: GroupedAnswer) -> Any:
    """The rows of no listed group as one group; None when every row is in one."""
    lines = answer.rows.select(query.key_names()).to_pylist()
    listed = Groups(query.by, tuple(tuple(line.values()) for line in lines))
    rest = run_grouped(asking.engine, ungrouped(query, without=listed), asking.limits).rows
    return rest if rest[GENERATIONS.count.name][0].as_py() else None


def _workspace_ids(asking: Asking) -> Mapping[str, str]:
    """The id of each workspace of the caller's organisation, by slug; archived ones too."""
    own = select(Workspace.slug, Workspace.id).where(Workspace.organisation_id == asking.principal.organisation_id)
    return {row.slug: row.id for row in asking.session.execute(own)}
