"""What a caller may do: the catalogue of scopes, who can hold each, and what a route asks for.

One grammar: `<resource>.<verb>`. Source: controlplane contract 1.1, 1.3.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from warehouse.errors import UnknownName


class KeyKind(StrEnum):
    """The three kinds of API keys."""

    ORGANISATION_SERVICE = "organisation-service"
    WORKSPACE_SERVICE = "workspace-service"
    WORKSPACE_USER = "workspace-user"


_A, _S, _U = KeyKind.ORGANISATION_SERVICE, KeyKind.WORKSPACE_SERVICE, KeyKind.WORKSPACE_USER
_CRUD = "create read update delete list"
_ADMIN, _SERVICE, _WORKSPACE, _ALL = (_A,), (_A, _S), (_S, _U), (_A, _S, _U)

_CATALOGUE: tuple[tuple[str, str, tuple[KeyKind, ...]], ...] = (
    ("organisation_users", _CRUD, _ADMIN),
    ("organisation_service_api_keys", f"{_CRUD} rotate", _ADMIN),
    ("organisation_settings", "read update", _ADMIN),
    ("organisation_guardrails", _CRUD, _ADMIN),
    ("organisation_exclusions", "list update", _ADMIN),
    ("negotiated_prices", "create update list", _ADMIN),
    ("price_reservations", "create update list", _ADMIN),
    ("audit_logs", "list", _ADMIN),
    ("plugins", "create update list", _ADMIN),
    ("deployments", _CRUD, _ADMIN),
    ("secret_references", _CRUD, _ADMIN),
    ("workspaces", "create delete", _ADMIN),
    ("workspaces", "read update list", _ALL),
    ("workspace_service_api_keys", f"{_CRUD} rotate", _SERVICE),
    ("workspace_user_api_keys", f"{_CRUD} rotate", _SERVICE),
    ("workspace_users", _CRUD, _ALL),
    ("prompts", f"{_CRUD} publish", _ALL),
    ("prompts", "render", _WORKSPACE),
    ("configs", _CRUD, _ALL),
    ("guardrails", _CRUD, _ALL),
    ("guardrails", "invoke", _WORKSPACE),
    ("providers", _CRUD, _ALL),
    ("virtual_keys", f"{_CRUD} duplicate copy", _ALL),
    ("policies", _CRUD, _ALL),
    ("organisation_integrations", "create read update delete", _ADMIN),
    ("organisation_integrations", "list", _ALL),
    ("organisation_mcp_integrations", "create read update delete", _ADMIN),
    ("organisation_mcp_integrations", "list", _ALL),
    ("organisation_agent_integrations", "create read update delete", _ADMIN),
    ("organisation_agent_integrations", "list", _ALL),
    ("workspace_integrations", _CRUD, _ALL),
    ("workspace_mcp_integrations", _CRUD, _ALL),
    ("workspace_agent_integrations", _CRUD, _ALL),
    ("mcp_servers", _CRUD, _ALL),
    ("agent_servers", _CRUD, _ALL),
    ("mcp", "invoke", _WORKSPACE),
    ("agents", "invoke", _WORKSPACE),
    ("completions", "write", _WORKSPACE),
    ("logs", "export list view write", _ALL),
    ("analytics", "view", _ALL),
)


def _holders() -> dict[str, frozenset[KeyKind]]:
    holders: dict[str, frozenset[KeyKind]] = {}
    for resource, verbs, kinds in _CATALOGUE:
        for verb in verbs.split():
            scope = f"{resource}.{verb}"
            if scope in holders:
                raise ValueError(f"scope {scope} is listed twice")
            holders[scope] = frozenset(kinds)
    return holders


HOLDERS: dict[str, frozenset[KeyKind]] = _holders()
"""Every scope → the kinds of keys that can hold it."""

GATEWAY_SCOPES = frozenset({"completions.read", "logs.read", "feedbacks.read", "feedbacks.write"})
"""Scopes that a route may accept but no key is given: they come in tokens."""


@cache
def scopes_of(kind: KeyKind) -> frozenset[str]:
    """Every scope that a key of this kind can hold."""
    return frozenset(scope for scope, kinds in HOLDERS.items() if kind in kinds)


def checked_scopes(scopes: Iterable[str], kind: KeyKind) -> frozenset[str]:
    """The scopes, when each exists and a key of this kind can hold it. Raises: UnknownName."""
    allowed = sorted(scopes_of(kind))
    wanted = frozenset(scopes)
    for scope in sorted(wanted):
        if scope not in allowed:
            raise UnknownName(f"scope of a {kind.value} key", scope, allowed)
    return wanted


@dataclass(frozen=True, slots=True)
class Permission:
    """What a route asks of its caller: one of `alternatives`, each a set of scopes that must all be held.

    No alternatives means that anybody may call it.
    """

    alternatives: tuple[frozenset[str], ...]
    kinds: frozenset[KeyKind] = frozenset(KeyKind)

    def __post_init__(self) -> None:
        for scope in frozenset[str]().union(*self.alternatives):
            if scope not in HOLDERS and scope not in GATEWAY_SCOPES:
                raise UnknownName("scope", scope, sorted(HOLDERS))

    def __or__(self, other: "Permission") -> "Permission":
        return Permission((*self.alternatives, *other.alternatives), self.kinds & other.kinds)

    @property
    def public(self) -> bool:
        """True when no key is needed."""
        return not self.alternatives

    def allows(self, kind: KeyKind, scopes: frozenset[str]) -> bool:
        """Whether a caller of this kind with these scopes passes."""
        return self.public or (kind in self.kinds and any(needed <= scopes for needed in self.alternatives))

    def described(self) -> dict[str, Any]:
        """For the OpenAPI document: the alternatives and, where not all may, the kinds."""
        if self.public:
            return {"public": True}
        described: dict[str, Any] = {"any_of": [sorted(needed) for needed in self.alternatives]}
        if self.kinds != frozenset(KeyKind):
            described["kinds"] = sorted(kind.value for kind in self.kinds)
        return described


def needs(*scopes: str, kinds: Iterable[KeyKind] = KeyKind) -> Permission:
    """All of these scopes; combine alternatives with `|`."""
    if not scopes:
        raise ValueError("name at least one scope, or use PUBLIC")
    return Permission((frozenset(scopes),), frozenset(kinds))


PUBLIC = Permission(())
