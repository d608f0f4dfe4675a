"""Grouped analytics of a caller."""

from sqlalchemy.orm import Session

from api.analytics import rendering
from api.analytics.parameters import GroupsRequest
from api.principal import Principal
from api.settings import ApiSettings
from api.tenancy import scope_of
from warehouse.engines.base import Engine, Limits
from warehouse.query.run import run_grouped


def grouped(
    session: Session, engine: Engine, settings: ApiSettings, principal: Principal, request: GroupsRequest
) -> bytes:
    """The answer to a grouped question over the caller's rows, as JSON.

    Raises: Forbidden, InvalidInput, WarehouseBusy, QueryTooLarge, WarehouseError.
    """
    scope = scope_of(session, principal, request.workspaces, settings.admin_key_scope)
    limits = Limits(timeout_s=settings.warehouse.query_timeout_s, memory_mb=settings.warehouse.query_memory_mb)
    answer = run_grouped(engine, request.within(scope), limits)
    return rendering.groups(answer.rows, request.asked, answer.total)
