"""Policies: made, found, listed, changed and archived."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from api.errors import Forbidden, InvalidRequest, NotFound, describe
from api.identifiers import is_id, new_id
from api.limits.forecast import days_left, first_of
from api.limits.machine import Rule, changed
from api.policies import conditions, entities, schedule
from api.policies.rows import ACTIVE, ARCHIVED, EXHAUSTED, Policy, PolicyEntity, PolicyKind
from api.policies.schemas import (
    NewRatePolicy,
    NewUsagePolicy,
    RatePolicyChanges,
    Unpriced,
    UsagePolicyChanges,
    UsageSettings,
)
from api.principal import Principal
from api.workspaces import administration as workspaces
from api.workspaces import service as all_workspaces

_SCHEDULE = ("periodic_reset", "periodic_reset_days", "next_usage_reset_at")
_NOT_NULL = ("credit_limit", "unit", "value", "unpriced", "conditions")


def create_usage(session: Session, caller: Principal, wanted: NewUsagePolicy, now: datetime) -> Policy:
    """A new usage policy, which counts from now. Raises: InvalidRequest, Forbidden (the workspace)."""
    row = draft(session, caller, wanted, now)
    row.counts_from = schedule.to_millisecond(now)
    schedule.write(row, {name: getattr(wanted, name) for name in _SCHEDULE}, now)
    session.add(row)
    session.flush()
    return row


def create_rate(session: Session, caller: Principal, wanted: NewRatePolicy, now: datetime) -> Policy:
    """A new rate policy. Raises: InvalidRequest, Forbidden (the workspace)."""
    row = draft(session, caller, wanted, now)
    session.add(row)
    session.flush()
    return row


def draft(session: Session, caller: Principal, wanted: NewUsagePolicy | NewRatePolicy, now: datetime) -> Policy:
    """A policy that is checked but not stored. Raises: InvalidRequest, Forbidden (the workspace)."""
    if isinstance(wanted, NewRatePolicy):
        row = _new(session, caller, wanted, PolicyKind.RATE, wanted.target, now)
        row.unit, row.value, row.target = wanted.unit.value, wanted.value, wanted.target
        return row
    row = _new(session, caller, wanted, PolicyKind.USAGE, None, now)
    row.credit_limit, row.alert_threshold = wanted.credit_limit, wanted.alert_threshold
    row.counts_upper_bound = wanted.unpriced is Unpriced.UPPER_BOUND
    return row


def find_any(session: Session, caller: Principal, policy_id: str) -> Policy:
    """The policy, of whichever kind. Raises: as `find`."""
    try:
        return find(session, caller, PolicyKind.USAGE, policy_id)
    except NotFound:
        return find(session, caller, PolicyKind.RATE, policy_id)


def find(
    session: Session,
    caller: Principal,
    kind: PolicyKind,
    policy_id: str,
    *,
    status: str | None = None,
    is_written: bool = False,
) -> Policy:
    """The policy, of this status where one is asked for.

    Raises: NotFound (also when it is another organisation's), Forbidden (it is in another workspace).
    """
    wanted = policy_id.strip().lower()
    row = session.get(Policy, wanted, with_for_update=is_written) if is_id(wanted) else None
    is_ours = row is not None and row.organisation_id == caller.organisation_id and row.kind == kind
    if row is None or not is_ours or status not in {None, row.status}:
        raise NotFound(f"There is no {status or ''} {kind} policy '{policy_id[:40]}'.".replace("  ", " "))
    if caller.workspace_id not in {None, row.workspace_id}:
        raise Forbidden
    return row


def listing(
    session: Session, caller: Principal, kind: PolicyKind, *, workspace: str | None, status: str, **filters: str | None
) -> Select[Policy]:
    """The policies that the caller reaches, the newest first. Raises: Forbidden (the workspace is elsewhere)."""
    found: list[ColumnElement[bool]] = [
        Policy.organisation_id == caller.organisation_id,
        Policy.kind == kind.value,
        Policy.status == status,
    ]
    if workspace is not None:
        place = all_workspaces.find(session, caller.organisation_id, workspace)
        if caller.workspace_id not in {None, place.id}:
            raise Forbidden
        found.append(Policy.workspace_id == place.id)
    elif caller.workspace_id is not None:
        found.append(Policy.workspace_id == caller.workspace_id)
    found += [getattr(Policy, name) == value for name, value in filters.items() if value is not None]
    return select(Policy).where(*found).order_by(Policy.created_at.desc(), Policy.id.desc())


def update_usage(
    session: Session, caller: Principal, policy_id: str, wanted: UsagePolicyChanges, now: datetime
) -> Policy:
    """The policy with its changes. Raises: NotFound, Forbidden, InvalidRequest."""
    row = find(session, caller, PolicyKind.USAGE, policy_id, is_written=True)
    _change(row, wanted, None)
    said, before = wanted.model_fields_set, _rule(row)
    given = {name: getattr(wanted, name) for name in said & UsageSettings.model_fields.keys()}
    if "periodic_reset" in said and wanted.periodic_reset is not None and "periodic_reset_days" not in said:
        given["periodic_reset_days"] = None
    if "periodic_reset_days" in said and wanted.periodic_reset_days is not None and "periodic_reset" not in said:
        given["periodic_reset"] = None
    settings = _checked({**_settings(row), **given, "type": row.type})
    row.credit_limit, row.alert_threshold = settings.credit_limit, settings.alert_threshold
    if wanted.unpriced is not None:
        row.counts_upper_bound = wanted.unpriced is Unpriced.UPPER_BOUND
    if said & set(_SCHEDULE):
        schedule.write(row, {name: given.get(name, getattr(row, name, None)) for name in _SCHEDULE}, now)
    _apply_rule(session, row, before, now)
    if wanted.reset_usage_for_value is not None:
        entities.reset(session, entities.of_value(session, row, wanted.reset_usage_for_value), now)
    row.last_updated_at = now
    session.flush()
    return row


def update_rate(
    session: Session, caller: Principal, policy_id: str, wanted: RatePolicyChanges, now: datetime
) -> Policy:
    """The policy with its changes. Raises: NotFound, Forbidden, InvalidRequest."""
    row = find(session, caller, PolicyKind.RATE, policy_id, is_written=True)
    _change(row, wanted, row.target)
    if wanted.unit is not None:
        row.unit = wanted.unit.value
    if wanted.value is not None:
        row.value = wanted.value
    row.last_updated_at = now
    session.flush()
    return row


def archive(session: Session, caller: Principal, kind: PolicyKind, policy_id: str, now: datetime) -> Policy:
    """The policy, which counts no longer. Raises: NotFound (archived ones too), Forbidden."""
    row = find(session, caller, kind, policy_id, status=ACTIVE, is_written=True)
    row.status, row.last_updated_at = ARCHIVED, now
    session.flush()
    return row


def rule_of(row: Policy) -> Rule:
    """What a usage policy allows each of its counters."""
    return _rule(row)


def _new(
    session: Session,
    caller: Principal,
    wanted: NewUsagePolicy | NewRatePolicy,
    kind: PolicyKind,
    target: str | None,
    now: datetime,
) -> Policy:
    return Policy(
        id=new_id(),
        organisation_id=caller.organisation_id,
        workspace_id=_workspace(session, caller, wanted),
        kind=kind.value,
        name=wanted.name or None,
        description=wanted.description,
        conditions=conditions.parse_conditions(wanted.conditions, target),
        group_by=conditions.parse_group_by(wanted.group_by, target),
        type=wanted.type,
        status=ACTIVE,
        created_by=caller.user_id or caller.key_id,
        created_at=now,
        last_updated_at=now,
    )


def _workspace(session: Session, caller: Principal, wanted: NewUsagePolicy | NewRatePolicy) -> str | None:
    if wanted.organisation_id not in {None, caller.organisation_id}:
        raise Forbidden
    reference = wanted.workspace_id or caller.workspace_id
    if reference is not None:
        return workspaces.find(session, caller, reference).id
    if wanted.organisation_id is None:
        raise InvalidRequest(
            "workspace_id: an organisation key must name the workspace, by slug or UUID; "
            "or organisation_id, for a policy of all workspaces"
        )
    return None


def _change(row: Policy, wanted: UsagePolicyChanges | RatePolicyChanges, target: str | None) -> None:
    """What both kinds share."""
    said = wanted.model_fields_set
    for name in _NOT_NULL:
        if name in said and getattr(wanted, name) is None:
            raise InvalidRequest(f"{name}: cannot be null; leave it out to keep it")
    fixed = {"type": wanted.type, "target": getattr(wanted, "target", None)}
    if wanted.group_by is not None:
        fixed["group_by"] = conditions.parse_group_by(wanted.group_by, target)
    for name, value in fixed.items():
        if value is not None and value != getattr(row, name):
            raise InvalidRequest(f"{name}: cannot be changed; archive this policy and make another one")
    if "name" in said:
        row.name = wanted.name or None
    if "description" in said:
        row.description = wanted.description
    if "conditions" in said:
        row.conditions = conditions.parse_conditions(wanted.conditions, target)
    if wanted.status is not None:
        row.status = wanted.status


def _settings(row: Policy) -> dict[str, Any]:
    return {
        "credit_limit": row.credit_limit,
        "alert_threshold": row.alert_threshold,
        "periodic_reset": row.periodic_reset,
        "periodic_reset_days": row.periodic_reset_days,
    }


def _checked(settings: dict[str, Any]) -> UsageSettings:
    try:
        return UsageSettings.model_validate(settings)
    except ValidationError as error:
        raise InvalidRequest(describe(error.errors(include_url=False, include_input=False))) from error


def _rule(row: Policy) -> Rule:
    if row.credit_limit is None:
        raise ValueError(f"policy {row.id} is no usage policy")
    return Rule(row.type, row.credit_limit, row.alert_threshold)  # type: ignore[arg-type]


def _apply_rule(session: Session, row: Policy, before: Rule, now: datetime) -> None:
    """Counters under another limit: some may alert anew, some are exhausted or active again."""
    after = _rule(row)
    if after == before:
        return
    written_at = entities.write_time(session, row.organisation_id, now)
    left: list[Decimal] = []
    for counter in session.scalars(select(PolicyEntity).where(PolicyEntity.policy_id == row.id)):
        entities.keep(counter, after, changed(before, after, entities.state_of(counter)))
        days = days_left(after.credit_limit, counter.current_usage, counter.usage_per_day)
        left += [] if days is None else [days]
        if counter.status == EXHAUSTED or session.is_modified(counter):
            counter.last_updated_at = written_at
    row.days_left = first_of(left)
