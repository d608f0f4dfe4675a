"""Keys made, changed, renewed and taken away by a caller who may. Source: controlplane contract 3."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from api.api_keys import rotation, service
from api.api_keys.contents import checked_limits, conforming_defaults, merged_defaults
from api.api_keys.lifetime import EXPIRED, UserKeyRules, require_room
from api.api_keys.people import owner_of_new, place_of, require_not_above
from api.api_keys.rights import leads, reaches, require
from api.api_keys.rows import ApiKey
from api.api_keys.schemas import KeyChanges, NewKeyBody
from api.errors import Forbidden, InvalidRequest, NotFound
from api.identifiers import is_id
from api.limits import service as limits
from api.limits.service import Entity
from api.organisations.rows import Organisation
from api.permissions import KeyKind, checked_scopes
from api.principal import Principal
from api.rights import require_grantable
from api.security_settings.service import effective_settings
from api.workspaces import service as workspaces
from api.workspaces.rows import Workspace

ACTIVE, EXHAUSTED = "active", "exhausted"
DEFAULT_SCOPES = ("completions.write",)


def create(session: Session, caller: Principal, kind: KeyKind, wanted: NewKeyBody, now: datetime) -> service.IssuedKey:
    """A new key, as the caller may grant it. Raises: InvalidRequest, UnknownName (a scope), Forbidden."""
    require(caller, kind, "create")
    if wanted.organisation_id not in {None, caller.organisation_id}:
        raise Forbidden
    if kind is not KeyKind.WORKSPACE_USER and not leads(caller):
        raise Forbidden
    organisation = session.get_one(Organisation, caller.organisation_id)
    workspace = None if kind is KeyKind.ORGANISATION_SERVICE else _workspace(session, caller, wanted.workspace_id)
    user_id = wanted.user_id
    if workspace is not None and kind is KeyKind.WORKSPACE_USER:
        user_id = owner_of_new(session, caller, workspace.id, user_id)
    scopes = _granted(caller, kind, _scopes_of(wanted, kind), ())
    expires_at, is_enforced = wanted.expires_at, False
    if workspace is not None and kind is KeyKind.WORKSPACE_USER and user_id is not None:
        rules = UserKeyRules.of(effective_settings(organisation, workspace))
        expires_at, is_enforced = rules.end_of_new(expires_at, now)
        require_room(session, workspace.id, user_id, rules, now)
    issued = service.create(
        session,
        service.NewKey(
            kind=kind,
            name=wanted.name,
            organisation_id=caller.organisation_id,
            scopes=scopes,
            workspace_id=workspace.id if workspace else wanted.workspace_id,
            user_id=user_id,
            description=wanted.description,
            expires_at=expires_at,
            created_by=caller.user_id or caller.key_id,
        ),
        now=now,
    )
    issued.row.expiry_enforced = is_enforced
    _write_contents(session, organisation, issued.row, wanted, now, is_new=True)
    session.flush()
    return issued


def find(session: Session, caller: Principal, key_id: str, *verbs: str, is_written: bool = False) -> ApiKey:
    """The key, when the caller may do one of the verbs with it.

    Raises: NotFound (also when it is another organisation's), Forbidden (it is in another workspace, gone, or of a
    kind that the caller may not handle).
    """
    wanted = key_id.strip().lower()
    row = session.get(ApiKey, wanted, with_for_update=is_written) if is_id(wanted) else None
    if row is None or row.organisation_id != caller.organisation_id:
        raise NotFound(f"There is no API key '{key_id[:40]}'.")
    if not reaches(caller, row):
        raise Forbidden
    require(caller, KeyKind(row.type), *verbs)
    return row


def update(session: Session, caller: Principal, key_id: str, wanted: KeyChanges, now: datetime) -> ApiKey:
    """The key with its changes. Raises: NotFound, Forbidden, InvalidRequest, UnknownName (a scope)."""
    row = find(session, caller, key_id, "update", is_written=True)
    kind, said = KeyKind(row.type), wanted.model_fields_set
    _in_workspace(session, caller, row, wanted.workspace_id)
    for name in ("name", "scopes"):
        if name in said and getattr(wanted, name) is None:
            raise InvalidRequest(f"{name}: cannot be null; leave it out to keep it")
    organisation = session.get_one(Organisation, row.organisation_id)
    if wanted.name is not None:
        row.name = wanted.name
    if "description" in said:
        row.description = wanted.description
    if wanted.scopes is not None:
        row.scopes = sorted(_granted(caller, kind, wanted.scopes, row.scopes))
    if "expires_at" in said:
        _set_end(session, organisation, row, wanted.expires_at, now)
    _write_contents(session, organisation, row, wanted, now)
    if wanted.reset_usage:
        reset_usage(session, row, now)
    if said:
        row.last_updated_at = now
    session.flush()
    return row


def delete(session: Session, caller: Principal, key_id: str, workspace: str | None, now: datetime) -> ApiKey:
    """The key, which counts no longer and vanishes from lists. Raises: NotFound, Forbidden."""
    row = find(session, caller, key_id, "delete", is_written=True)
    _in_workspace(session, caller, row, workspace)
    row.deleted_at = row.last_updated_at = now
    row.previous_key_hash = row.previous_key_expires_at = None
    limits.forget(session, "api_key", [row.id])
    return row


def rotate(
    session: Session, caller: Principal, key_id: str, transition_ms: int | None, now: datetime
) -> rotation.RotatedKey:
    """The key with a new secret. Raises: NotFound, Forbidden, Conflict, InvalidRequest.

    Who gets the secret gets what the key may do, so the caller must be able to grant all of it.
    """
    row = find(session, caller, key_id, "rotate", "update", is_written=True)
    require_grantable(caller, KeyKind(row.type), row.scopes)
    if row.user_id is not None and row.workspace_id is not None:
        place = place_of(session, row.organisation_id, row.workspace_id, row.user_id)
        require_not_above(caller, row.user_id, place)
    if row.status == EXPIRED or (row.expires_at is not None and row.expires_at <= now):
        raise InvalidRequest("The key has expired; give it a later expires_at first.")
    rotated = rotation.rotate(row, transition_ms, now)
    session.flush()
    return rotated


def reset_usage(session: Session, row: ApiKey, now: datetime) -> None:
    """Usage starts at 0 again, and an exhausted key counts again."""
    row.last_reset_at = now
    limits.reset_usage(session, entity_of(row), now)
    if row.status == EXHAUSTED:
        row.status = ACTIVE


def entity_of(row: ApiKey) -> Entity:
    """The key as something that has limits."""
    return Entity("api_key", row.id, row.organisation_id, row.workspace_id)


def _workspace(session: Session, caller: Principal, reference: str | None) -> Workspace:
    if reference is None and caller.workspace_id is None:
        raise InvalidRequest("workspace_id: an organisation key must name the workspace, by slug or UUID")
    found = workspaces.find(session, caller.organisation_id, reference or caller.workspace_id or "")
    if caller.workspace_id not in {None, found.id} or found.status != ACTIVE:
        raise Forbidden
    return found


def _in_workspace(session: Session, caller: Principal, row: ApiKey, reference: str | None) -> None:
    if reference is not None and workspaces.find(session, caller.organisation_id, reference).id != row.workspace_id:
        raise Forbidden


def _scopes_of(wanted: NewKeyBody, kind: KeyKind) -> Iterable[str]:
    if wanted.scopes is not None:
        return wanted.scopes
    if kind is KeyKind.ORGANISATION_SERVICE:
        raise InvalidRequest("scopes: an organisation key needs a list of scopes")
    return DEFAULT_SCOPES


def _granted(caller: Principal, kind: KeyKind, scopes: Iterable[str], held: Iterable[str]) -> frozenset[str]:
    wanted = checked_scopes(scopes, kind)
    require_grantable(caller, kind, wanted - frozenset(held))
    return wanted


def _set_end(session: Session, organisation: Organisation, row: ApiKey, wanted: datetime | None, now: datetime) -> None:
    if wanted is not None and wanted <= now:
        raise InvalidRequest("expires_at: must be in the future")
    if row.type == KeyKind.WORKSPACE_USER and row.workspace_id is not None:
        workspace = session.get_one(Workspace, row.workspace_id)
        UserKeyRules.of(effective_settings(organisation, workspace)).checked(wanted, row.created_at)
    row.expires_at, row.expiry_enforced = wanted, False
    if row.status == EXPIRED:
        row.status = EXHAUSTED if limits.is_exhausted(limits.of(session, "api_key", row.id)) else ACTIVE


def _write_contents(
    session: Session,
    organisation: Organisation,
    row: ApiKey,
    wanted: KeyChanges | NewKeyBody,
    now: datetime,
    *,
    is_new: bool = False,
) -> None:
    said = wanted.model_fields_set
    if "defaults" in said or is_new:
        merged = merged_defaults(row.defaults, wanted.defaults)
        row.defaults = conforming_defaults(organisation, merged)
    if "alert_emails" in said:
        row.alert_emails = list(dict.fromkeys(wanted.alert_emails or ())) or None
    if "rotation_policy" in said:
        row.rotation_policy = rotation.stored_policy(wanted.rotation_policy, now)
    usage, rates = checked_limits(wanted, now)
    if "rate_limits" in said:
        row.rate_limits = rates
    if "usage_limits" in said:
        _set_usage_limit(session, row, usage, now)


def _set_usage_limit(session: Session, row: ApiKey, wanted: dict[str, Any] | None, now: datetime) -> None:
    written = limits.write(session, entity_of(row), () if wanted is None else (wanted,), now)
    if row.status in {ACTIVE, EXHAUSTED}:
        row.status = EXHAUSTED if limits.is_exhausted(written) else ACTIVE
