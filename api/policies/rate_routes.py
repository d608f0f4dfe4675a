"""`/policies/rate-limits`. Source: controlplane contract 6, dataplane contract 7.4."""

from api.dependencies import Caller, Db, Now, Parts, Trail
from api.limits.schemas import RateUnit
from api.listing import AdminPage, Filter, one_of
from api.paging import ListAnswer
from api.policies import rate_counters, rendering, service
from api.policies.conditions import LLM, TOOLS
from api.policies.routes import (
    ABSENT,
    ENTITY_STATUSES,
    STATUSES,
    EntityId,
    EntityPage,
    EntityStatus,
    Id,
    Search,
    Status,
    permitted,
    policies,
)
from api.policies.rows import ACTIVE, PolicyKind
from api.policies.schemas import (
    UNITS,
    Done,
    EntityReset,
    NewRatePolicy,
    RateEntityAnswer,
    RatePolicyAnswer,
    RatePolicyChanges,
    Success,
)
from api.routing import Router

router = Router("policies")

RATE_TYPES = ("requests", "tokens")
TARGETS = (LLM, TOOLS)


@router.post(
    "/policies/rate-limits",
    operation_id="create_rate_limits_policy",
    summary="Make a rate policy",
    response_model=RatePolicyAnswer,
    **permitted("create"),
)
def create_policy(wanted: NewRatePolicy, caller: Caller, session: Db, now: Now, trail: Trail) -> RatePolicyAnswer:
    """So many requests or tokens in a span of time, for each combination of values."""
    row = service.create_rate(session, caller, wanted, now)
    if row.workspace_id is not None:
        trail.workspace(row.workspace_id)
    return rendering.rate_policy(row)


@router.get(
    "/policies/rate-limits",
    operation_id="list_rate_limits_policies",
    summary="Rate policies, the newest first",
    response_model=ListAnswer[RatePolicyAnswer],
    **permitted("list"),
)
def list_policies(
    caller: Caller,
    session: Db,
    page: AdminPage,
    workspace_id: Filter = None,
    status: Status = None,
    type: Filter = None,  # noqa: A002
    unit: Filter = None,
    target: Filter = None,
) -> ListAnswer[RatePolicyAnswer]:
    """Those of the caller's workspace, or of all workspaces for an organisation key."""
    units: tuple[RateUnit, ...] = UNITS
    query = service.listing(
        session,
        caller,
        PolicyKind.RATE,
        workspace=workspace_id or None,
        status=one_of("status", status, STATUSES) or ACTIVE,
        type=one_of("type", type, RATE_TYPES),
        unit=one_of("unit", unit, units),
        target=one_of("target", target, TARGETS),
    )
    rows, total = policies(session, query, page)
    return ListAnswer(object="list", total=total, data=[rendering.rate_policy(row) for row in rows])


@router.get(
    "/policies/rate-limits/{id}",
    operation_id="get_rate_limits_policy",
    summary="One rate policy",
    response_model=RatePolicyAnswer,
    responses=ABSENT,
    **permitted("read"),
)
def get_policy(policy_id: Id, caller: Caller, session: Db, status: Status = None) -> RatePolicyAnswer:
    """A rate policy."""
    wanted = one_of("status", status, STATUSES) or ACTIVE
    return rendering.rate_policy(service.find(session, caller, PolicyKind.RATE, policy_id, status=wanted))


@router.put(
    "/policies/rate-limits/{id}",
    operation_id="update_rate_limits_policy",
    summary="Change a rate policy",
    response_model=RatePolicyAnswer,
    responses=ABSENT,
    **permitted("update"),
)
def update_policy(policy_id: Id, wanted: RatePolicyChanges, caller: Caller, session: Db, now: Now) -> RatePolicyAnswer:
    """What is left out stays."""
    return rendering.rate_policy(service.update_rate(session, caller, policy_id, wanted, now))


@router.delete(
    "/policies/rate-limits/{id}",
    operation_id="delete_rate_limits_policy",
    summary="Archive a rate policy",
    response_model=Done,
    responses=ABSENT,
    **permitted("delete"),
)
def delete_policy(policy_id: Id, caller: Caller, session: Db, now: Now) -> Done:
    """It limits nothing any more, and can still be read with `status=archived`."""
    service.archive(session, caller, PolicyKind.RATE, policy_id, now)
    return Done()


@router.get(
    "/policies/rate-limits/{id}/entities",
    operation_id="list_rate_limits_policy_entities",
    summary="The counters of a rate policy",
    response_model=ListAnswer[RateEntityAnswer],
    responses=ABSENT,
    **permitted("read"),
)
def list_entities(
    policy_id: Id,
    caller: Caller,
    session: Db,
    parts: Parts,
    page: EntityPage,
    now: Now,
    status: EntityStatus = None,
    search: Search = None,
) -> ListAnswer[RateEntityAnswer]:
    """What is taken of the present window. With Redis of all workers; without it of the worker that answers."""
    policy = service.find(session, caller, PolicyKind.RATE, policy_id)
    wanted = one_of("status", status, ENTITY_STATUSES)
    found = rate_counters.listed(parts.policies.holdings, policy, now, status=wanted, search=search)
    shown = found[page.offset : page.offset + page.size]
    return ListAnswer(object="list", total=len(found), data=[rendering.rate_entity(one, policy) for one in shown])


@router.put(
    "/policies/rate-limits/{id}/entities/{entity_id}/reset",
    operation_id="reset_rate_limits_policy_entity",
    summary="Set a counter of a rate to 0",
    response_model=Success,
    responses=ABSENT,
    **permitted("update"),
)
def reset_entity(policy_id: Id, entity_id: EntityId, caller: Caller, session: Db, parts: Parts, now: Now) -> Success:
    """Nothing is taken of its present window. With Redis for all workers; without it for the worker that answers."""
    policy = service.find(session, caller, PolicyKind.RATE, policy_id)
    rate_counters.reset(parts.policies.holdings, policy, entity_id, now)
    return Success(success=True)


@router.post(
    "/policies/rate-limits/{id}/entities/reset",
    operation_id="reset_rate_limits_policy_entity_by_body",
    summary="Set a counter of a rate to 0, named in the body",
    response_model=Success,
    responses=ABSENT,
    **permitted("update"),
)
def reset_entity_by_body(
    policy_id: Id, wanted: EntityReset, caller: Caller, session: Db, parts: Parts, now: Now
) -> Success:
    """The same, as another client writes it."""
    return reset_entity(policy_id, wanted.entity_id, caller, session, parts, now)
