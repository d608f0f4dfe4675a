"""`/policies/usage-limits`. Source: controlplane contract 6, dataplane contract 7.4."""

from typing import Annotated, Any

from fastapi import Path, Query
from sqlalchemy import Select
from sqlalchemy.orm import Session

from api.dependencies import Caller, Db, Now, Trail
from api.errors import ErrorAnswer
from api.feature_flags import Feature
from api.listing import AdminPage, Filter, one_of, page_of
from api.paging import ListAnswer, Page, paged
from api.permissions import Permission, needs
from api.policies import entities, rendering, service
from api.policies.rows import ACTIVE, ARCHIVED, EXHAUSTED, Policy, PolicyKind
from api.policies.schemas import (
    Done,
    EntityAnswer,
    EntityReset,
    NewUsagePolicy,
    Success,
    UsagePolicyAnswer,
    UsagePolicyChanges,
    UsagePolicyDetail,
)
from api.routing import Router

router = Router("policies")

STATUSES = (ACTIVE, ARCHIVED)
ENTITY_STATUSES = (ACTIVE, EXHAUSTED)
USAGE_TYPES = ("cost", "tokens", "requests")
ABSENT: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "AB08: there is no such policy, or counter of it."}
}
Id = Annotated[str, Path(alias="id", max_length=100, description="Id of the policy.")]
EntityId = Annotated[str, Path(max_length=100, description="Id of the counter.")]
Status = Annotated[str | None, Query(description="active (default) or archived.")]
EntityStatus = Annotated[str | None, Query(description="active or exhausted.")]
Search = Annotated[str | None, Query(max_length=1000, description="A part of the value key.")]
EntityPage = Annotated[Page, paged(default=100, largest=100)]


def permitted(verb: str) -> dict[str, Any]:
    """What every route of policies has: the right that it needs, and the switch that ends it."""
    permission: Permission = needs(f"policies.{verb}")
    # What was not said of a policy (no `excludes`, no counters) is not in the answer, so that it can be sent back.
    return {"permission": permission, "feature": Feature.POLICY, "response_model_exclude_unset": True}


def policies(session: Session, query: Select[Policy], page: Page) -> tuple[list[Policy], int]:
    """One page of policies, and how many there are."""
    rows, total = page_of(session, query, page)
    return [row[0] for row in rows], total


@router.post(
    "/policies/usage-limits",
    operation_id="create_usage_limits_policy",
    summary="Make a usage policy",
    response_model=UsagePolicyAnswer,
    **permitted("create"),
)
def create_policy(wanted: NewUsagePolicy, caller: Caller, session: Db, now: Now, trail: Trail) -> UsagePolicyAnswer:
    """A budget for each combination of values. Rows count from now on."""
    row = service.create_usage(session, caller, wanted, now)
    if row.workspace_id is not None:
        trail.workspace(row.workspace_id)
    return rendering.usage_policy(row, now)


@router.get(
    "/policies/usage-limits",
    operation_id="list_usage_limits_policies",
    summary="Usage policies, the newest first",
    response_model=ListAnswer[UsagePolicyAnswer],
    **permitted("list"),
)
def list_policies(
    caller: Caller,
    session: Db,
    page: AdminPage,
    now: Now,
    workspace_id: Filter = None,
    status: Status = None,
    type: Filter = None,  # noqa: A002
) -> ListAnswer[UsagePolicyAnswer]:
    """Those of the caller's workspace, or of all workspaces for an organisation key."""
    query = service.listing(
        session,
        caller,
        PolicyKind.USAGE,
        workspace=workspace_id or None,
        status=one_of("status", status, STATUSES) or ACTIVE,
        type=one_of("type", type, USAGE_TYPES),
    )
    rows, total = policies(session, query, page)
    return ListAnswer(object="list", total=total, data=[rendering.usage_policy(row, now) for row in rows])


@router.get(
    "/policies/usage-limits/{id}",
    operation_id="get_usage_limits_policy",
    summary="One usage policy",
    response_model=UsagePolicyDetail,
    responses=ABSENT,
    **permitted("read"),
)
def get_policy(
    policy_id: Id,
    caller: Caller,
    session: Db,
    now: Now,
    status: Status = None,
    include_usage: Annotated[bool, Query(description="Also what is used of every counter.")] = False,  # noqa: FBT002
) -> UsagePolicyDetail:
    """With `include_usage`: what is used of each of its counters."""
    wanted = one_of("status", status, STATUSES) or ACTIVE
    row = service.find(session, caller, PolicyKind.USAGE, policy_id, status=wanted)
    return rendering.usage_detail(row, entities.of_policy(session, row) if include_usage else None, now)


@router.put(
    "/policies/usage-limits/{id}",
    operation_id="update_usage_limits_policy",
    summary="Change a usage policy",
    response_model=UsagePolicyAnswer,
    responses=ABSENT,
    **permitted("update"),
)
def update_policy(
    policy_id: Id, wanted: UsagePolicyChanges, caller: Caller, session: Db, now: Now
) -> UsagePolicyAnswer:
    """What is left out stays, null clears. `reset_usage_for_value` sets one counter to 0."""
    return rendering.usage_policy(service.update_usage(session, caller, policy_id, wanted, now), now)


@router.delete(
    "/policies/usage-limits/{id}",
    operation_id="delete_usage_limits_policy",
    summary="Archive a usage policy",
    response_model=Done,
    responses=ABSENT,
    **permitted("delete"),
)
def delete_policy(policy_id: Id, caller: Caller, session: Db, now: Now) -> Done:
    """It counts and limits nothing any more, and can still be read with `status=archived`."""
    service.archive(session, caller, PolicyKind.USAGE, policy_id, now)
    return Done()


@router.get(
    "/policies/usage-limits/{id}/entities",
    operation_id="list_usage_limits_policy_entities",
    summary="The counters of a usage policy",
    response_model=ListAnswer[EntityAnswer],
    responses=ABSENT,
    **permitted("read"),
)
def list_entities(
    policy_id: Id,
    caller: Caller,
    session: Db,
    page: EntityPage,
    now: Now,
    status: EntityStatus = None,
    search: Search = None,
) -> ListAnswer[EntityAnswer]:
    """One for each combination of values that a matching request had."""
    policy = service.find(session, caller, PolicyKind.USAGE, policy_id)
    query = entities.listing(policy, status=one_of("status", status, ENTITY_STATUSES), search=search)
    rows, total = page_of(session, query, page)
    return ListAnswer(object="list", total=total, data=[rendering.entity(row[0], policy, now) for row in rows])


@router.put(
    "/policies/usage-limits/{id}/entities/{entity_id}/reset",
    operation_id="reset_usage_limits_policy_entity",
    summary="Set a counter to 0",
    response_model=Success,
    responses=ABSENT,
    **permitted("update"),
)
def reset_entity(policy_id: Id, entity_id: EntityId, caller: Caller, session: Db, now: Now) -> Success:
    """Rows count for it from now on; an exhausted one is active again."""
    policy = service.find(session, caller, PolicyKind.USAGE, policy_id)
    entities.reset(session, entities.find(session, policy, entity_id), now)
    return Success(success=True)


@router.post(
    "/policies/usage-limits/{id}/entities/reset",
    operation_id="reset_usage_limits_policy_entity_by_body",
    summary="Set a counter to 0, named in the body",
    response_model=Success,
    responses=ABSENT,
    **permitted("update"),
)
def reset_entity_by_body(policy_id: Id, wanted: EntityReset, caller: Caller, session: Db, now: Now) -> Success:
    """The same, as another client writes it."""
    return reset_entity(policy_id, wanted.entity_id, caller, session, now)
