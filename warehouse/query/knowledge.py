"""The request rows as they were known at an instant: without later loads, at the costs of before later corrections.

A row names the newest correction it bears. Where that came later, exactly one of the row's corrections replaced what
was known then: the one that came after the instant while the one before it did not. Its old values are the answer.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlglot import exp

from warehouse.catalog.functions import column
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.prices import CORRECTED, CORRECTIONS, OLD
from warehouse.engines.base import Window, scan
from warehouse.query.conditions import MILLISECOND, instant, to_millisecond, within_scope, within_windows
from warehouse.query.scope import TenantScope

_MADE_AT = "request_made_at"
_CORRECTED = frozenset(each.name for each in CORRECTED)


def known_rows(at: datetime, scope: TenantScope, windows: Sequence[Window], names: Collection[str]) -> exp.Select:
    """The columns `names` of the scope's requests within the windows, as they were known at `at` (its millisecond
    included)."""
    after = instant(to_millisecond(at) + MILLISECOND)
    revised = exp.GTE(this=column("repriced_at"), expression=after)
    old = [name for name in names if name in _CORRECTED]
    values = [
        exp.alias_(_before(name, revised) if name in _CORRECTED else column(name), name, quoted=True) for name in names
    ]
    loaded_at = exp.Coalesce(this=column("ingested_at"), expressions=[column("created_at")])
    rows = exp.select(*values, copy=False).from_(scan(GENERATIONS.name, *windows), copy=False)
    if old:
        same = exp.and_(column("id").eq(column("row_id")), column("created_at").eq(column(_MADE_AT)))
        replaced = _replaced(after, scope, windows, old).subquery("replaced", copy=False)
        rows = rows.join(replaced, on=same, join_type="left", copy=False)
    known = exp.LT(this=loaded_at, expression=after.copy())
    return rows.where(known, within_windows("created_at", windows), within_scope(scope), copy=False)


def _before(name: str, revised: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=revised.copy(), true=column(OLD + name))], default=column(name))


def _replaced(after: exp.Expr, scope: TenantScope, windows: Sequence[Window], names: Sequence[str]) -> exp.Select:
    """For each request that was corrected since: what the first of those corrections replaced.

    Distinct, as a re-pricing that another one overtook leaves a correction that says the same of what was before.
    """
    previous = column("was_corrected_at")
    first = exp.or_(exp.Is(this=previous, expression=exp.Null()), exp.LT(this=previous.copy(), expression=after.copy()))
    values = [exp.alias_(column("created_at"), _MADE_AT, quoted=True), *(column(OLD + name) for name in names)]
    tree = exp.select(column("row_id"), *values, copy=False).distinct(copy=False)
    tree = tree.from_(scan(CORRECTIONS.name, *windows), copy=False)
    later = exp.GTE(this=column("corrected_at"), expression=after.copy())
    # A correction does not say whose request it corrected; it is joined to requests of the scope alone.
    place = within_scope(scope.of_everybody())
    return tree.where(later, first, within_windows("created_at", windows), place, copy=False)
