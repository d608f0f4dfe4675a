"""Roles, security settings and scopes together give what the matrix of the contract says (1.6, 7.1, 7.3)."""

from itertools import product

import pytest

from api.errors import Forbidden
from api.permissions import HOLDERS, KeyKind, scopes_of
from api.principal import Principal, looks_like_jwt
from api.rights import (
    EVERYTHING,
    RULES,
    Visibility,
    effective_scopes,
    require_assignable,
    require_grantable,
    role_at_least,
    visibility,
)
from api.security_settings.registry import CATEGORIES, SETTINGS
from tests.factories.rights import ALL_OFF, ALL_ON, DEFAULTS, WRITES, allowed, variants

USER, SERVICE, ADMIN_KEY = KeyKind.WORKSPACE_USER, KeyKind.WORKSPACE_SERVICE, KeyKind.ORGANISATION_SERVICE
EVERY_SCOPE = scopes_of(USER)


@pytest.mark.parametrize("role", ["member", "manager"])
def test_members_and_managers_may_what_the_matrix_says(role: str) -> None:
    for settings in variants():
        found = effective_scopes(USER, EVERY_SCOPE, "member", role, settings)
        assert found == {scope for scope in EVERY_SCOPE if allowed(scope, role, settings)}


def test_a_key_never_does_more_than_its_scopes_say() -> None:
    for scope, role in product(sorted(HOLDERS), ("admin", "manager", "member")):
        for kind, organisation_role in product(KeyKind, ("owner", "admin", "member")):
            found = effective_scopes(kind, [scope], organisation_role, role, ALL_ON)
            assert found <= {scope} & scopes_of(kind)


def test_by_default_members_read_and_managers_write() -> None:
    member = effective_scopes(USER, EVERY_SCOPE, "member", "member", DEFAULTS)
    manager = effective_scopes(USER, EVERY_SCOPE, "member", "manager", DEFAULTS)
    for resource in ("prompts", "configs", "guardrails", "providers", "virtual_keys"):
        assert {f"{resource}.read", f"{resource}.list"} <= member
        assert not {f"{resource}.{verb}" for verb in WRITES} & member
        assert {f"{resource}.{verb}" for verb in WRITES} <= manager
    assert {"analytics.view", "logs.list", "logs.view", "logs.export", "completions.write", "logs.write"} <= member
    assert "workspace_users.create" in manager - member
    assert manager == EVERY_SCOPE


@pytest.mark.parametrize("settings", [DEFAULTS, ALL_ON, ALL_OFF])
def test_settings_hold_back_neither_owners_nor_workspace_admins_nor_service_keys(settings: dict[str, bool]) -> None:
    assert effective_scopes(USER, EVERY_SCOPE, "owner", None, settings) == EVERY_SCOPE
    assert effective_scopes(USER, EVERY_SCOPE, "owner", "member", settings) == EVERY_SCOPE
    assert effective_scopes(USER, EVERY_SCOPE, "member", "admin", settings) == EVERY_SCOPE
    for kind in (SERVICE, ADMIN_KEY):
        assert effective_scopes(kind, HOLDERS, None, None, settings) == scopes_of(kind)
        assert visibility(kind, None, None, settings) == EVERYTHING
    assert visibility(USER, "owner", "member", settings) == EVERYTHING
    assert visibility(USER, "member", "admin", settings) == EVERYTHING


def test_organisation_admins_lose_logs_alone() -> None:
    off = {**ALL_ON, "organisationAdminsViewLogMetadata": False}
    assert EVERY_SCOPE - effective_scopes(USER, EVERY_SCOPE, "admin", None, off) == {"logs.list", "logs.export"}
    assert visibility(USER, "admin", "member", off) == Visibility(log_metadata=False)
    off = {**ALL_ON, "organisationAdminsViewLogs": False}
    assert EVERY_SCOPE - effective_scopes(USER, EVERY_SCOPE, "admin", None, off) == {"logs.export"}
    assert visibility(USER, "admin", None, off) == Visibility(log_bodies=False)
    others = {**ALL_OFF, "organisationAdminsViewLogMetadata": True, "organisationAdminsViewLogs": True}
    assert effective_scopes(USER, EVERY_SCOPE, "admin", "member", others) == EVERY_SCOPE


@pytest.mark.parametrize(
    ("organisation_role", "workspace_role"), [("member", None), (None, "admin"), ("guest", "admin")]
)
def test_who_has_no_place_may_nothing(organisation_role: str | None, workspace_role: str | None) -> None:
    assert effective_scopes(USER, EVERY_SCOPE, organisation_role, workspace_role, ALL_ON) == frozenset()


def test_an_unknown_workspace_role_may_what_no_rule_is_about() -> None:
    assert effective_scopes(USER, EVERY_SCOPE, "member", "visitor", ALL_ON) == EVERY_SCOPE - RULES.keys()


@pytest.mark.parametrize("role", ["member", "manager"])
def test_visibility_of_members_and_managers(role: str) -> None:
    lost = {
        "ViewAllData": Visibility(all_data=False),
        "ViewLogs": Visibility(log_bodies=False),
        "ViewLogMetadata": Visibility(log_metadata=False, analytics=False),
        "ViewAnalytics": Visibility(analytics=False),
    }
    for key, seen in lost.items():
        assert visibility(USER, "member", role, {**ALL_ON, f"{role}s{key}": False}) == seen
        other = "manager" if role == "member" else "member"
        assert visibility(USER, "member", role, {**ALL_ON, f"{other}s{key}": False}) == EVERYTHING


def test_the_registry_is_the_contracts() -> None:
    off = {"membersWritePrompts", "membersWriteConfigs", "membersWriteVirtualKeys", "membersWriteGuardrails"}
    assert {key for key, default in DEFAULTS.items() if not default} == off
    assert len(DEFAULTS) == len(SETTINGS) == 35
    assert {setting.category for setting in SETTINGS} == set(CATEGORIES)
    assert {setting.key for setting in SETTINGS if setting.fixed} == {"membersWriteGuardrails"}
    used = {name for rule in RULES.values() for side in (rule.members, rule.managers) for each in side for name in each}
    unused = set(DEFAULTS) - used
    assert unused == {
        "membersViewAllData",
        "managersViewAllData",
        "organisationAdminsViewLogs",
        "organisationAdminsViewLogMetadata",
    }


@pytest.mark.parametrize(
    ("role", "includes"),
    [
        ("owner", ["owner", "admin", "manager", "member"]),
        ("admin", ["admin", "manager", "member"]),
        ("manager", ["manager", "member"]),
        ("member", ["member"]),
        (None, []),
        ("guest", []),
    ],
)
def test_a_role_includes_those_below(role: str | None, includes: list[str]) -> None:
    assert [other for other in ("owner", "admin", "manager", "member") if role_at_least(role, other)] == includes


def principal(kind: KeyKind, scopes: set[str], **fields: str | None) -> Principal:
    return Principal(kind, "k", "o", frozenset(scopes), **fields)  # type: ignore[arg-type]


class TestGranting:
    """A caller gives what it holds."""

    def test_what_it_holds(self) -> None:
        caller = principal(SERVICE, {"workspace_user_api_keys.create", "logs.list"})
        require_grantable(caller, USER, ["logs.list"])
        with pytest.raises(Forbidden, match=r"do not hold: analytics.view, configs.read$"):
            require_grantable(caller, USER, ["logs.list", "configs.read", "analytics.view"])

    def test_an_organisation_key_gives_inference_by_its_right_to_make_keys(self) -> None:
        caller = principal(ADMIN_KEY, {"workspace_user_api_keys.create", "logs.write"})
        require_grantable(caller, USER, ["completions.write", "prompts.render", "logs.write"])
        with pytest.raises(Forbidden, match=r"analytics\.view"):
            require_grantable(caller, USER, ["completions.write", "analytics.view"])
        with pytest.raises(Forbidden, match=r"completions\.write"):
            require_grantable(caller, SERVICE, ["completions.write"])  # it makes no keys of that kind
        with pytest.raises(Forbidden, match=r"completions\.write"):
            require_grantable(principal(ADMIN_KEY, {"logs.write"}), USER, ["completions.write"])

    def test_a_workspace_key_gives_no_inference_that_it_lacks(self) -> None:
        caller = principal(SERVICE, {"workspace_user_api_keys.create"})
        with pytest.raises(Forbidden, match=r"completions\.write"):
            require_grantable(caller, USER, ["completions.write"])

    def test_admin_scopes_only_from_those_who_hold_them(self) -> None:
        caller = principal(ADMIN_KEY, {"organisation_service_api_keys.create", "audit_logs.list"})
        require_grantable(caller, ADMIN_KEY, ["audit_logs.list"])
        with pytest.raises(Forbidden, match=r"workspaces\.delete"):
            require_grantable(caller, ADMIN_KEY, ["audit_logs.list", "workspaces.delete"])


def test_roles_are_given_by_who_holds_them() -> None:
    manager = principal(USER, set(), user_id="u", organisation_role="member", workspace_role="manager")
    require_assignable(manager, "manager")
    require_assignable(manager, "member")
    with pytest.raises(Forbidden, match="manager cannot give the role 'admin'"):
        require_assignable(manager, "admin")
    for caller in (
        principal(USER, set(), user_id="u", organisation_role="admin", workspace_role="member"),
        principal(SERVICE, set()),
        principal(ADMIN_KEY, set()),
    ):
        require_assignable(caller, "admin")


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln-_A", True),
        ("a.b.c", True),
        ("a.b.", True),
        ("a.b", False),
        ("a.b.c.d", False),
        ("a..c", False),
        ("a.b.c\n", False),
        ("a.b c.d", False),
        ("é.b.c", False),
        ("gl_" + "x" * 43, False),
    ],
)
def test_what_looks_like_a_token(credential: str, expected: bool) -> None:
    assert looks_like_jwt(credential) is expected
