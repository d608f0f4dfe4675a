"""`/policies/evaluate` and `/policies/settle`: what a gateway asks before and tells after a request.

Neither touches the database in the usual case, so that they can stand in the path of every request.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Response

from api.analytics.rendering import instant
from api.dependencies import Caller, Db, Now, Parts
from api.errors import Code, ErrorAnswer, Forbidden, NotFound, body_of
from api.feature_flags import Feature
from api.identifiers import new_id
from api.permissions import needs
from api.policies import backtest
from api.policies.backtest import BacktestAnswer, BacktestRequest
from api.policies.evaluate_schemas import Evaluation, Question, Settlement
from api.policies.evaluation import USAGE, Check, Estimate, check, refused
from api.policies.gate import micro
from api.policies.holdings import Taking
from api.policies.schemas import Success
from api.policies.snapshot import Snapshot
from api.principal import Principal
from api.routing import Router
from warehouse.ingest.fields import BadRecord, as_text
from warehouse.query.policy_terms import Facts

router = Router("policies")

ASKING = needs("completions.write") | needs("policies.read")
_OPTIONS: dict[str, Any] = {"permission": ASKING, "feature": Feature.POLICY, "audited": False}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    412: {"model": ErrorAnswer, "description": "AB09: a usage limit is used up; `limit` says which."},
    429: {"model": ErrorAnswer, "description": "AB06: a rate limit is used up; `Retry-After` says when to try again."},
}


@router.post(
    "/policies/evaluate",
    operation_id="evaluate_policies",
    summary="May this request go ahead?",
    response_model=Evaluation,
    responses=_REFUSALS,
    **_OPTIONS,
)
async def evaluate(wanted: Question, caller: Caller, parts: Parts, now: Now) -> Response:
    """Checks every usage and rate limit of key, workspace, virtual key and policies, and counts the request."""
    snapshot = await parts.policies.snapshot(caller.organisation_id)
    facts = facts_of(snapshot, caller, wanted)
    estimate = Estimate(micro(wanted.estimated_cost) if wanted.estimated_cost else 0, wanted.estimated_tokens or 0)
    found = check(snapshot, facts, wanted.target, estimate, now)
    reservation = new_id() if wanted.reserve and not wanted.dry_run else None
    until = now + timedelta(seconds=wanted.reserve_s)
    taking = Taking(
        claims=found.claims,
        ticks=found.ticks,
        now_ms=int(now.timestamp() * 1000),
        reservation=reservation,
        expires_ms=int(until.timestamp() * 1000),
        organisation_id=caller.organisation_id,
        log_id=wanted.log_id or "",
        is_trial=wanted.dry_run,
    )
    refusal = await parts.policies.holdings.take(taking)
    if refusal is not None:
        return _refusal(*refused(found, refusal))
    return _allowed(found, reservation, until)


@router.post(
    "/policies/settle",
    operation_id="settle_reservation",
    summary="What a reserved request really used",
    response_model=Success,
    responses={404: {"model": ErrorAnswer, "description": "AB08: there is no such reservation, or it is over."}},
    **_OPTIONS,
)
async def settle(wanted: Settlement, caller: Caller, parts: Parts) -> Success:
    """The reservation holds this amount instead, until the request's row is counted; 0 gives all of it back."""
    is_known = await parts.policies.settle(
        caller.organisation_id, wanted.reservation_id, wanted.cost, wanted.tokens, wanted.log_id or ""
    )
    if not is_known:
        raise NotFound("There is no such reservation, or it is over.")
    return Success(success=True)


@router.post(
    "/policies/backtest",
    permission=needs("policies.read", "analytics.view"),
    feature=Feature.POLICY,
    audited=False,
    operation_id="backtest_policy",
    summary="What would a policy have stopped?",
    response_model=BacktestAnswer,
    responses={404: {"model": ErrorAnswer, "description": "AB08: there is no such policy."}},
)
def try_policy(wanted: BacktestRequest, caller: Caller, session: Db, parts: Parts, now: Now) -> BacktestAnswer:
    """A policy over past rows: who would have been stopped, since when, and what that would have saved."""
    return backtest.run(session, parts.engine, caller, wanted, now)


def facts_of(snapshot: Snapshot, caller: Principal, wanted: Question) -> Facts:
    """The request as policies see it. Raises: Forbidden when it names a workspace or key that is not the caller's."""
    workspace_id = _workspace(snapshot, caller, wanted)
    key = wanted.api_key_id or (caller.key_id if caller.workspace_id is not None and caller.via == "key" else "")
    provider, virtual_key, model = wanted.provider or "", wanted.virtual_key or "", wanted.model or ""
    if model.startswith("@") and "/" in model:
        owner, _, model = model[1:].partition("/")
        provider, virtual_key = provider or owner, virtual_key or (owner if owner != provider else "")
    return Facts(
        organisation_id=caller.organisation_id,
        workspace_id=workspace_id,
        workspace_slug=snapshot.places.workspaces.get(workspace_id, ""),
        api_key=key,
        virtual_key=virtual_key,
        provider=provider,
        config=wanted.config or "",
        prompt=wanted.prompt or "",
        model=model,
        endpoint_type=wanted.endpoint_type or "",
        mcp_server=wanted.mcp_server or "",
        mcp_tool=wanted.mcp_tool or "",
        metadata={name: _text(value) for name, value in (wanted.metadata or {}).items()},
    )


def _workspace(snapshot: Snapshot, caller: Principal, wanted: Question) -> str:
    places, reference = snapshot.places, wanted.workspace_id
    of_key = places.keys.get(wanted.api_key_id) if wanted.api_key_id else None
    if reference is None:
        found = caller.workspace_id or of_key or ""
    else:
        found = reference.lower() if reference.lower() in places.workspaces else places.ids.get(reference, "")
        if not found:
            raise Forbidden
    is_elsewhere = caller.workspace_id not in {None, found}
    if is_elsewhere or (wanted.api_key_id in places.keys and of_key not in {None, found}):
        raise Forbidden
    if caller.workspace_id is not None and wanted.api_key_id in places.keys and of_key is None:
        raise Forbidden  # a key of the organisation is none of a workspace's
    return found


def _text(value: object) -> str:
    """A value of metadata as rows have it; blank where a row could not have it."""
    try:
        text = value if isinstance(value, str) else as_text("metadata", value) or ""
    except BadRecord:
        return ""
    return text.encode(errors="replace").decode()  # half of a surrogate pair is no text anywhere else


def _allowed(found: Check, reservation: str | None, until: datetime) -> Response:
    content = {
        "object": "policy_evaluation",
        "allowed": True,
        "reservation_id": reservation,
        "reserved_until": None if reservation is None else instant(until),
        "limits": found.all_described(),
    }
    return Response(orjson.dumps(content), media_type="application/json")


def _refusal(message: str, limit: dict[str, Any], retry_after_s: int | None) -> Response:
    is_usage = limit["kind"] == USAGE
    status = HTTPStatus.PRECONDITION_FAILED if is_usage else HTTPStatus.TOO_MANY_REQUESTS
    content = {**body_of(message, Code.EXHAUSTED if is_usage else Code.RATE_LIMITED), "allowed": False, "limit": limit}
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return Response(orjson.dumps(content), status, media_type="application/json", headers=headers)
