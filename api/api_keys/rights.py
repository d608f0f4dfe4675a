"""Who may do what with which key. Source: controlplane contract 1.4, 1.6, 3.

A route lets everybody pass who may do it with one of the three kinds; here it is the kind of the key that counts.
"""

from sqlalchemy import ColumnElement, and_, true

from api.api_keys.rows import ApiKey
from api.errors import Forbidden
from api.permissions import KeyKind, Permission, needs
from api.principal import Principal

RESOURCES = {kind: f"{kind.value.replace('-', '_')}_api_keys" for kind in KeyKind}
WORKSPACE_LEADERS = ("admin", "manager")


def any_kind(*verbs: str) -> Permission:
    """One of the verbs, on one of the kinds of keys."""
    first, *others = [needs(f"{resource}.{verb}") for verb in verbs for resource in RESOURCES.values()]
    permission = first
    for other in others:
        permission |= other
    return permission


def holds(caller: Principal, kind: KeyKind, *verbs: str) -> bool:
    """Whether the caller may do one of the verbs with keys of this kind."""
    return any(f"{RESOURCES[kind]}.{verb}" in caller.scopes for verb in verbs)


def require(caller: Principal, kind: KeyKind, *verbs: str) -> None:
    """Nothing, when the caller may do one of the verbs with keys of this kind. Raises: Forbidden."""
    if not holds(caller, kind, *verbs):
        raise Forbidden


def leads(caller: Principal) -> bool:
    """Whether the caller may handle keys that are not its own: no person, or one who leads where it calls from."""
    return caller.user_id is None or caller.is_organisation_admin or caller.workspace_role in WORKSPACE_LEADERS


def reaches(caller: Principal, key: ApiKey) -> bool:
    """Whether the key is of the caller's organisation and workspace and, for a plain member, its own."""
    if key.organisation_id != caller.organisation_id or key.deleted_at is not None:
        return False
    if caller.workspace_id not in {None, key.workspace_id}:
        return False
    return leads(caller) or (key.type == KeyKind.WORKSPACE_USER and key.user_id == caller.user_id)


def visible(caller: Principal, *verbs: str) -> ColumnElement[bool]:
    """The rows that `reaches` and `holds` let through, as a condition."""
    kinds = [kind.value for kind in KeyKind if holds(caller, kind, *verbs)]
    conditions = [ApiKey.organisation_id == caller.organisation_id, ApiKey.deleted_at.is_(None)]
    conditions.append(true() if len(kinds) == len(KeyKind) else ApiKey.type.in_(kinds))
    if caller.workspace_id is not None:
        conditions.append(ApiKey.workspace_id == caller.workspace_id)
    if not leads(caller):
        conditions += [ApiKey.type == KeyKind.WORKSPACE_USER.value, ApiKey.user_id == caller.user_id]
    return and_(*conditions)
