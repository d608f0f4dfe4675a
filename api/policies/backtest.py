"""What a policy would have stopped: a policy as it would be made, or one that is there, over past rows."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, Field, StrictInt, ValidationError
from sqlalchemy.orm import Session

from api.analytics.rendering import instant
from api.errors import InvalidRequest, describe
from api.limits.resets import MONDAY, next_reset
from api.limits.schemas import Moment, plain
from api.policies import conditions, service
from api.policies.evaluation import MILLISECONDS, MONDAY_MS
from api.policies.plans import workspaces_of
from api.policies.rows import Policy, PolicyKind
from api.policies.schemas import NewRatePolicy, NewUsagePolicy
from api.principal import Principal
from api.settings import AdminKeyScope
from api.tenancy import scope_of
from warehouse.engines.base import Engine
from warehouse.query.policy_backtest import Backtest, backtest
from warehouse.query.policy_terms import value_key

LONGEST = timedelta(days=400)
MOST_COUNTERS = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CENTS_DIGITS = 2


class BacktestRequest(BaseModel):
    """A policy, and the time to try it on."""

    policy: dict[str, Any] | None = Field(default=None, description="As it would be made: of usage, or of rate.")
    policy_id: str | None = Field(default=None, max_length=100, description="Or one that is there.")
    time_of_generation_min: Moment
    time_of_generation_max: Moment
    page_size: Annotated[StrictInt, Field(ge=0, le=1000)] = 100
    current_page: Annotated[StrictInt, Field(ge=0, le=10**9)] = 0


class BacktestCounter(BaseModel):
    """What would have been stopped of one counter. Units: USD, tokens, requests."""

    value_key: str
    requests: int
    tokens: int
    cost: int | float | None
    unpriced_requests: int
    blocked_requests: int
    saved_tokens: int
    saved_cost: int | float
    first_blocked_at: str | None
    last_blocked_at: str | None
    blocked_periods: int = Field(description="Periods, or windows of a rate, in which anything was stopped.")


class BacktestAnswer(BaseModel):
    """What would have been stopped; the sums are over all counters, the most stopped ones come first."""

    total: int = Field(description="Counters in all.")
    is_complete: bool = Field(description=f"False: only the {MOST_COUNTERS} most stopped counters are in the sums.")
    requests: int
    blocked_requests: int
    saved_tokens: int
    saved_cost: int | float
    data: list[BacktestCounter]
    object: Literal["policy_backtest"] = "policy_backtest"


def run(session: Session, engine: Engine, caller: Principal, wanted: BacktestRequest, now: datetime) -> BacktestAnswer:
    """The answer, over the rows that the caller may see.

    Raises: InvalidRequest, Forbidden, NotFound, WarehouseError.
    """
    since, until = wanted.time_of_generation_min, wanted.time_of_generation_max
    if since > until or until - since > LONGEST:
        raise InvalidRequest(f"time_of_generation_max: must be after the min, by at most {LONGEST.days} days")
    row = _row(session, caller, wanted, now)
    references = [row.workspace_id] if row.workspace_id is not None else []
    scope = scope_of(session, caller, references, AdminKeyScope.ORGANISATION)
    selection = conditions.selection_of(row.conditions, row.group_by)
    is_cost, is_usage = row.type == "cost", row.kind == PolicyKind.USAGE
    limit = (row.credit_limit or Decimal(0)) if is_usage else Decimal(row.value or 0)
    asked = Backtest(
        scope=scope,
        selection=selection,
        measure=row.type,  # type: ignore[arg-type]
        limit=limit.scaleb(_CENTS_DIGITS) if is_cost else limit,
        since=since,
        until=until,
        resets=_resets(row, since, until) if is_usage else (),
        window_ms=0 if is_usage else MILLISECONDS[row.unit or ""],
        origin=_EPOCH + timedelta(milliseconds=MONDAY_MS if row.unit == "rpw" else 0),
        counts_upper_bound=row.counts_upper_bound,
    )
    try:
        found = backtest(engine, asked, workspaces_of(session, caller.organisation_id), MOST_COUNTERS)
    except KeyError as error:
        raise InvalidRequest(f"policy.conditions: rows do not say {error}") from error
    return _answer(found, row.group_by, wanted)


def _row(session: Session, caller: Principal, wanted: BacktestRequest, now: datetime) -> Policy:
    """The policy, which is not stored when it is only tried."""
    if (wanted.policy is None) == (wanted.policy_id is None):
        raise InvalidRequest("policy, policy_id: give one of them")
    if wanted.policy_id is not None:
        return service.find_any(session, caller, wanted.policy_id)
    try:
        policy = (NewRatePolicy if "unit" in (wanted.policy or {}) else NewUsagePolicy).model_validate(wanted.policy)
    except ValidationError as error:
        raise InvalidRequest(f"policy: {describe(error.errors(include_url=False, include_input=False))}") from error
    if policy.workspace_id is None and policy.organisation_id is None:
        policy.organisation_id = caller.organisation_id  # whoever only tries need not say for which workspace
    row = service.draft(session, caller, policy, now)
    if isinstance(policy, NewUsagePolicy):
        row.periodic_reset, row.periodic_reset_days = policy.periodic_reset, policy.periodic_reset_days
    return row


def _resets(row: Policy, since: datetime, until: datetime) -> list[datetime]:
    limit = {"periodic_reset": row.periodic_reset, "periodic_reset_days": row.periodic_reset_days}
    found: list[datetime] = []
    ahead = next_reset(limit, started_at=since, after=since, weekday=MONDAY)
    while ahead is not None and ahead <= until:
        found.append(ahead)
        ahead = next_reset(limit, started_at=since, after=ahead, weekday=MONDAY)
    return found


def _answer(found: pa.Table, group_by: list[str], wanted: BacktestRequest) -> BacktestAnswer:
    lines = found.to_pylist()
    start = wanted.current_page * wanted.page_size
    saved = sum((line["blocked_cost_cents"] or Decimal(0) for line in lines), Decimal(0))
    total = lines[0]["total"] if lines else 0
    return BacktestAnswer(
        object="policy_backtest",
        total=total,
        is_complete=total <= len(lines),
        requests=sum(line["requests"] for line in lines),
        blocked_requests=sum(line["blocked_requests"] for line in lines),
        saved_tokens=sum(line["blocked_tokens"] for line in lines),
        saved_cost=_usd(saved),
        data=[_counter(line, group_by) for line in lines[start : start + wanted.page_size]],
    )


def _counter(line: dict[str, Any], group_by: list[str]) -> BacktestCounter:
    first, last = line["first_blocked_at"], line["last_blocked_at"]
    return BacktestCounter(
        value_key=value_key(group_by, [line[f"g{index}"] for index in range(len(group_by))]),
        requests=line["requests"],
        tokens=line["tokens"],
        cost=None if line["cost_cents"] is None else _usd(line["cost_cents"]),
        unpriced_requests=line["unpriced_requests"],
        blocked_requests=line["blocked_requests"],
        saved_tokens=line["blocked_tokens"],
        saved_cost=_usd(line["blocked_cost_cents"] or Decimal(0)),
        first_blocked_at=None if first is None else instant(first),
        last_blocked_at=None if last is None else instant(last),
        blocked_periods=line["blocked_periods"],
    )


def _usd(cents: Decimal) -> int | float:
    return plain(cents.scaleb(-_CENTS_DIGITS))
