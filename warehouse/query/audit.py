"""Audit records of one organisation: which, in which order, and how many there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.catalog.functions import call, column
from warehouse.engines.base import Engine, Limits, Window, scan
from warehouse.query.conditions import is_one_of, within_scope, within_windows
from warehouse.query.scope import TenantScope

_COUNT = "rows"


@dataclass(frozen=True, slots=True)
class AuditQuestion:
    """Records of `scope` within `window`, each of `conditions` met by one of its values, the newest first.

    A condition names the columns of which one has to hold one of the values.
    """

    scope: TenantScope
    window: Window
    limit: int
    offset: int = 0
    conditions: Mapping[tuple[str, ...], tuple[str | int, ...]] = field(default_factory=dict[Any, Any])

    def __post_init__(self) -> None:
        unknown = {name for names in self.conditions for name in names if not AUDIT_LOGS.has_column(name)}
        if unknown:
            raise ValueError(f"audit records have no {', '.join(sorted(unknown))}")


@dataclass(frozen=True, slots=True)
class AuditAnswer:
    """One page of records by column, and how many there are on all pages."""

    rows: list[dict[str, Any]]
    total: int


def find_records(engine: Engine, question: AuditQuestion, limits: Limits = Limits()) -> AuditAnswer:
    """The records asked for. Raises: QueryTooLarge, WarehouseBusy, WarehouseError."""
    counted = exp.select(call("GL_COUNT").as_(_COUNT)).from_(scan(AUDIT_LOGS.name))
    [found] = engine.query(counted.where(_wanted(question)), question.window, limits).to_pylist()
    total = int(found[_COUNT])
    if question.offset >= total or not question.limit:
        return AuditAnswer([], total)
    newest = [exp.Ordered(this=column(name), desc=True) for name in (AUDIT_LOGS.time_column, "id")]
    page = (
        exp.select(*(column(each.name) for each in AUDIT_LOGS.columns))
        .from_(scan(AUDIT_LOGS.name))
        .where(_wanted(question))
        .order_by(*newest)
        .limit(question.limit)
        .offset(question.offset)
    )
    return AuditAnswer(engine.query(page, question.window, limits).to_pylist(), total)


def _wanted(question: AuditQuestion) -> exp.Expr:
    """True for the records asked for; the tenant always comes first."""
    met = [exp.or_(*(is_one_of(name, values) for name in names)) for names, values in question.conditions.items()]
    within = within_windows(AUDIT_LOGS.time_column, (question.window,))
    return exp.and_(within_scope(question.scope), within, *met)
