"""`/api-keys`. Source: controlplane contract 3."""

from typing import Annotated, Any

from fastapi import Path, Query, Request

from api.analytics.parameters import listed as values_of
from api.api_keys import administration, listing, rendering
from api.api_keys.rights import any_kind
from api.api_keys.rotation import described
from api.api_keys.rows import ApiKey
from api.api_keys.schemas import (
    ApiKeyAnswer,
    IssuedKeyAnswer,
    KeyChanges,
    NewKeyBody,
    RotatedKeyAnswer,
    Rotation,
    SelfAnswer,
)
from api.audit import Trail as AuditTrail
from api.dependencies import Caller, Db, Now, Parts, Trail
from api.errors import InvalidRequest
from api.feature_flags import Feature
from api.limits import service as limits
from api.listing import AdminPage, Filter
from api.paging import ListAnswer
from api.permissions import KeyKind, Permission
from api.routing import Router

router = Router("api-keys")

ANY_CALLER = Permission((frozenset(),))
"""A key asks about itself: that needs no scope."""
KINDS = tuple(kind.value.replace("-", "/") for kind in KeyKind)

Id = Annotated[str, Path(alias="id", max_length=100, description="Id of the key.")]


@router.get(
    "/api-keys/self",
    permission=ANY_CALLER,
    operation_id="api_key_self",
    summary="The calling key, as a gateway enforces it",
    response_model=SelfAnswer,
)
def itself(caller: Caller, session: Db, now: Now) -> SelfAnswer:
    """Limits, status, next reset, defaults and what the key may do now; of a token, what it brings."""
    return listing.itself(session, caller, now)


@router.get(
    "/api-keys",
    permission=any_kind("list"),
    feature=Feature.API_ACCESS,
    operation_id="list_api_keys",
    summary="Keys, the newest first",
    response_model=ListAnswer[ApiKeyAnswer],
)
def list_keys(
    request: Request,
    caller: Caller,
    session: Db,
    now: Now,
    page: AdminPage,
    workspace_id: Filter = None,
    ids: Annotated[str | None, Query(description="Only these, comma-separated.")] = None,  # noqa: ARG001
) -> ListAnswer[ApiKeyAnswer]:
    """The keys of the kinds that the caller may list, masked; a member of a workspace sees its own."""
    rows, total = listing.listed(session, caller, page, workspace_id or None, values_of(request.query_params, "ids"))
    held = limits.of_many(session, "api_key", [row.id for row in rows])
    return ListAnswer(total=total, data=[rendering.api_key(row, held[row.id], now) for row in rows])


# Before the route that makes keys: its path has two parts as well.
@router.post(
    "/api-keys/{id}/rotate",
    permission=any_kind("rotate", "update"),
    feature=Feature.API_ACCESS,
    operation_id="rotate_api_key",
    summary="Give a key a new secret",
    response_model=RotatedKeyAnswer,
)
def rotate_key(
    key_id: Id,
    caller: Caller,
    session: Db,
    now: Now,
    trail: Trail,
    wanted: Rotation | None = None,
) -> RotatedKeyAnswer:
    """The new secret: it is shown this once. The one before counts until `key_transition_expires_at`."""
    transition_ms = wanted.key_transition_period_ms if wanted is not None else None
    rotated = administration.rotate(session, caller, key_id, transition_ms, now)
    _note(trail, rotated.row)
    trail.reason = described(rotated, "manual")
    until = rendering.instant(rotated.transition_expires_at)
    return RotatedKeyAnswer(id=rotated.row.id, key=rotated.raw, key_transition_expires_at=until)


@router.post(
    "/api-keys/{type}/{sub_type}",
    permission=any_kind("create"),
    feature=Feature.API_ACCESS,
    operation_id="create_api_key",
    summary="Make a key",
    response_model=IssuedKeyAnswer,
)
def create_key(
    key_type: Annotated[str, Path(alias="type", max_length=100)],
    sub_type: Annotated[str, Path(max_length=100)],
    wanted: NewKeyBody,
    caller: Caller,
    session: Db,
    now: Now,
    parts: Parts,
    trail: Trail,
) -> IssuedKeyAnswer:
    """The raw key: it is shown this once."""
    kind = _kind(key_type, sub_type)
    parts.features.check_limits(wanted.usage_limits)
    issued = administration.create(session, caller, kind, wanted, now)
    _note(trail, issued.row)
    return IssuedKeyAnswer(id=issued.row.id, key=issued.raw)


@router.get(
    "/api-keys/{id}",
    permission=any_kind("read"),
    feature=Feature.API_ACCESS,
    operation_id="get_api_key",
    summary="One key",
    response_model=ApiKeyAnswer,
)
def get_key(key_id: Id, caller: Caller, session: Db, now: Now) -> ApiKeyAnswer:
    """The key, masked."""
    row = administration.find(session, caller, key_id, "read")
    return rendering.api_key(row, limits.of(session, "api_key", row.id), now)


@router.put(
    "/api-keys/{id}",
    permission=any_kind("update"),
    feature=Feature.API_ACCESS,
    operation_id="update_api_key",
    summary="Change a key",
    response_model=dict[str, Any],
)
def update_key(
    key_id: Id, wanted: KeyChanges, caller: Caller, session: Db, now: Now, parts: Parts, trail: Trail
) -> dict[str, Any]:
    """What is left out stays, null clears. Type, user and workspace of a key never change."""
    parts.features.check_limits(wanted.usage_limits)
    _note(trail, administration.update(session, caller, key_id, wanted, now))
    return {}


@router.delete(
    "/api-keys/{id}",
    permission=any_kind("delete"),
    feature=Feature.API_ACCESS,
    operation_id="delete_api_key",
    summary="Delete a key",
    response_model=dict[str, Any],
)
def delete_key(
    key_id: Id,
    caller: Caller,
    session: Db,
    now: Now,
    trail: Trail,
    workspace_id: Filter = None,
) -> dict[str, Any]:
    """It is refused at once, and vanishes from lists."""
    _note(trail, administration.delete(session, caller, key_id, workspace_id or None, now))
    return {}


def _note(trail: AuditTrail, row: ApiKey) -> None:
    """Where the key is, for the audit log; an organisation key calls from no workspace itself."""
    trail.resource(id_=row.id)
    if row.workspace_id is not None:
        trail.workspace(row.workspace_id)


def _kind(key_type: str, sub_type: str) -> KeyKind:
    name = f"{key_type}/{sub_type}"
    if name not in KINDS:
        raise InvalidRequest(f"There are no keys of the type '{name[:60]}'; allowed: {', '.join(KINDS)}")
    return KeyKind(f"{key_type}-{sub_type}")
