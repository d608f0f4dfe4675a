"""What a caller may do: its key's scopes, its user's roles and the security settings, put together here only.

A workspace-user key acts as its user. Service keys have no user: their scopes are all there is to say.
Source: controlplane contract 1.6, 7.1, 7.3; dataplane contract 6.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.errors import Forbidden
from api.permissions import HOLDERS, KeyKind, scopes_of
from api.security_settings.registry import BY_KEY

if TYPE_CHECKING:
    from api.principal import Principal

OWNER, ADMIN, MANAGER, MEMBER = "owner", "admin", "manager", "member"
_RANK = {OWNER: 3, ADMIN: 2, MANAGER: 1, MEMBER: 0}

Alternatives = tuple[tuple[str, ...], ...]
"""Settings: all of one of the alternatives must be on. None at all: never."""
NEVER: Alternatives = ()
ALWAYS: Alternatives = ((),)


@dataclass(frozen=True, slots=True)
class Rule:
    """When members and managers of a workspace may use a scope that their key holds."""

    members: Alternatives
    managers: Alternatives

    def __post_init__(self) -> None:
        for name in (name for side in (self.members, self.managers) for needed in side for name in needed):
            if name not in BY_KEY:
                raise ValueError(f"there is no security setting {name}")

    def allows(self, role: str, settings: Mapping[str, bool]) -> bool:
        """Whether somebody of this workspace role may."""
        if role not in (MEMBER, MANAGER):
            return role == ADMIN
        alternatives = self.members if role == MEMBER else self.managers
        return any(all(settings[name] for name in needed) for needed in alternatives)


def _each(*alternatives: tuple[str, ...]) -> Rule:
    """The same settings for both roles, each with its own switch."""
    return Rule(
        tuple(tuple(f"members{name}" for name in needed) for needed in alternatives),
        tuple(tuple(f"managers{name}" for name in needed) for needed in alternatives),
    )


def _managers(setting: str) -> Rule:
    return Rule(NEVER, ((setting,),))


_READ, _WRITE = "read list", "create update delete"
_TABLE: tuple[tuple[str, str, Rule], ...] = (
    ("analytics", "view", _each(("ViewAnalytics", "ViewLogMetadata"))),
    ("logs", "list", _each(("ViewLogMetadata",))),
    # Whoever may see only one of them sees a log without its bodies, or its bodies alone: `Visibility`.
    ("logs", "view read", _each(("ViewLogMetadata",), ("ViewLogs",))),
    ("logs", "export", _each(("ViewLogMetadata", "ViewLogs"))),
    ("prompts", _READ, _each(("ViewPrompts",))),
    ("prompts", f"{_WRITE} publish", _each(("WritePrompts",))),
    ("configs", _READ, _each(("ViewConfigs",))),
    ("configs", _WRITE, _each(("WriteConfigs",))),
    ("guardrails", _READ, _each(("ViewGuardrails",))),
    ("guardrails", _WRITE, _each(("WriteGuardrails",))),
    ("providers", _READ, _each(("ViewVirtualKeys",))),
    ("providers", _WRITE, _each(("WriteVirtualKeys",))),
    ("virtual_keys", f"{_READ} copy", _each(("ViewVirtualKeys",))),
    ("virtual_keys", f"{_WRITE} duplicate", _each(("WriteVirtualKeys",))),
    ("workspace_user_api_keys", _READ, _each(("ViewApiKeys",))),
    ("workspace_user_api_keys", f"{_WRITE} rotate", _each(("WriteApiKeys",))),
    ("workspace_service_api_keys", _READ, _managers("managersViewApiKeys")),
    ("workspace_service_api_keys", f"{_WRITE} rotate", _managers("managersWriteApiKeys")),
    ("workspaces", "update", _managers("managersUpdateWs")),
    ("workspace_users", _WRITE, _managers("managersWriteWsUsers")),
    # Policies are budgets, and budgets belong to whoever may edit the workspace.
    ("policies", _WRITE, _managers("managersUpdateWs")),
    ("workspace_integrations", _WRITE, _managers("managersWriteWsIntegrations")),
    ("workspace_mcp_integrations", _WRITE, _managers("managersWriteWsMcpIntegrations")),
    ("workspace_agent_integrations", _WRITE, _managers("managersWriteWsMcpIntegrations")),
    ("mcp_servers", _WRITE, _managers("managersWriteMcpServers")),
    ("agent_servers", _WRITE, _managers("managersWriteMcpServers")),
)
RULES: dict[str, Rule] = {f"{resource}.{verb}": rule for resource, verbs, rule in _TABLE for verb in verbs.split()}
"""Scope → its rule; a scope without one is every role's. The matrix of controlplane contract 1.6."""

ORGANISATION_ADMINS = {
    "logs.list": ("organisationAdminsViewLogMetadata",),
    "logs.export": ("organisationAdminsViewLogMetadata", "organisationAdminsViewLogs"),
}
"""The only settings that hold organisation admins (not owners) back; what they see of one log is `Visibility`."""


@dataclass(frozen=True, slots=True)
class Visibility:
    """What a caller sees of the rows that its scopes open."""

    all_data: bool = True
    """False: only rows that its own user's keys made."""
    log_bodies: bool = True
    log_metadata: bool = True
    analytics: bool = True
    """False: no analytics by any of their routes, also those that a right to logs opens."""


EVERYTHING = Visibility()


def effective_scopes(
    kind: KeyKind,
    scopes: Iterable[str],
    organisation_role: str | None,
    workspace_role: str | None,
    security_settings: Mapping[str, bool],
) -> frozenset[str]:
    """The scopes of a key that count: what its kind can hold and, for a user's key, what the user may do now.

    A member of the organisation without a place in the workspace may do nothing.
    """
    held = frozenset(scopes) & scopes_of(kind)
    if kind is not KeyKind.WORKSPACE_USER or organisation_role == OWNER:
        return held
    if organisation_role == ADMIN:
        return frozenset(
            scope for scope in held if all(security_settings[name] for name in ORGANISATION_ADMINS.get(scope, ()))
        )
    if organisation_role != MEMBER or workspace_role is None:
        return frozenset()
    return frozenset(
        scope for scope in held if scope not in RULES or RULES[scope].allows(workspace_role, security_settings)
    )


def visibility(
    kind: KeyKind,
    organisation_role: str | None,
    workspace_role: str | None,
    security_settings: Mapping[str, bool],
) -> Visibility:
    """Which rows, and how much of a log. Owners and workspace admins see everything, and so do service keys."""
    if kind is not KeyKind.WORKSPACE_USER or organisation_role == OWNER:
        return EVERYTHING
    if organisation_role == ADMIN:
        return Visibility(
            all_data=True,
            log_bodies=security_settings["organisationAdminsViewLogs"],
            log_metadata=security_settings["organisationAdminsViewLogMetadata"],
        )
    if workspace_role == ADMIN:
        return EVERYTHING
    who = "managers" if workspace_role == MANAGER else "members"
    return Visibility(
        all_data=security_settings[f"{who}ViewAllData"],
        log_bodies=security_settings[f"{who}ViewLogs"],
        log_metadata=security_settings[f"{who}ViewLogMetadata"],
        analytics=security_settings[f"{who}ViewAnalytics"] and security_settings[f"{who}ViewLogMetadata"],
    )


def role_at_least(role: str | None, other: str) -> bool:
    """Whether a role includes another: owner, admin, manager, member. No role includes none."""
    return role is not None and _RANK.get(role, -1) >= _RANK[other]


def require_assignable(principal: "Principal", role: str) -> None:
    """Nothing, when the caller may give somebody this role. Raises: Forbidden.

    A role is given by who holds it or a higher one. A service key has no role: its scopes decide alone.
    """
    if principal.user_id is None or principal.is_organisation_admin:
        return
    if not role_at_least(principal.workspace_role, role):
        raise Forbidden(f"A workspace {principal.workspace_role} cannot give the role '{role}'")


def require_grantable(principal: "Principal", kind: KeyKind, scopes: Iterable[str]) -> None:
    """Nothing, when the caller may give a key of this kind these scopes. Raises: Forbidden, naming those it may not.

    A caller gives what it holds. What no key of its own kind can hold (inference, for an organisation key) it gives by
    the right to manage keys of that kind.
    """
    missing = frozenset(scopes) - principal.scopes
    family = f"{kind.value.replace('-', '_')}_api_keys"
    if (
        kind is not KeyKind.ORGANISATION_SERVICE
        and {f"{family}.{verb}" for verb in ("create", "update", "rotate")} & principal.scopes
    ):
        missing = frozenset(scope for scope in missing if principal.kind in HOLDERS.get(scope, frozenset(KeyKind)))
    if missing:
        raise Forbidden(f"You cannot grant scopes that you do not hold: {', '.join(sorted(missing))}")
