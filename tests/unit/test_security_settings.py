"""Which settings count in a workspace, and what may be set where (controlplane contract 7)."""

from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import Forbidden, InvalidRequest
from api.organisations.rows import Organisation
from api.security_settings import service, values
from api.security_settings.registry import BY_KEY, CATEGORIES, OPTIONS, SETTINGS, Category
from api.workspaces.rows import Workspace

NOW = datetime(2026, 4, 2, tzinfo=UTC)
STAMPS = {"created_at": NOW, "last_updated_at": NOW}


def organisation(**fields: Any) -> Organisation:
    empty: dict[str, Any] = {"settings": {}, "security_settings": {}, "workspace_overrides": {}}
    return Organisation(id="o", name="O", **{**empty, **STAMPS, **fields})


def workspace(**fields: Any) -> Workspace:
    return Workspace(id="w", organisation_id="o", slug="ws", name="W", **{**STAMPS, **fields})


def test_without_a_word_the_defaults_count() -> None:
    assert service.effective(organisation()) == {setting.key: setting.default for setting in SETTINGS}
    assert service.effective(organisation(), workspace()) == service.effective(organisation())
    assert service.effective_settings(organisation(), workspace()) == {
        "debug_log": 1,
        "user_api_key_count": -1,
        "user_api_key_ttl": 0,
        "user_api_key_max_ttl": 0,
        "user_key_metadata": 1,
        "user_key_metadata_override": 1,
    }
    assert service.organisation_settings(organisation()) == {option.key: option.default for option in OPTIONS}


switches = st.fixed_dictionaries({}, optional={setting.key: st.booleans() for setting in SETTINGS})
toggles = st.fixed_dictionaries({}, optional={category.value: st.booleans() for category in CATEGORIES})


@given(switches, toggles, switches)
def test_a_workspaces_value_counts_only_in_overridden_categories(
    of_organisation: dict[str, bool], overrides: dict[str, bool], own: dict[str, bool]
) -> None:
    found = service.effective(
        organisation(security_settings=of_organisation, workspace_overrides=overrides), workspace(security_settings=own)
    )
    for setting in SETTINGS:
        above = of_organisation.get(setting.key, setting.default)
        may = overrides.get(setting.category.value, False)
        assert found[setting.key] is (own.get(setting.key, above) if may else above)


def test_a_workspace_sets_only_what_is_its_own_to_set() -> None:
    overridden = organisation(workspace_overrides={"configs": True})
    place = workspace()
    service.change_workspace(overridden, place, {"security_settings": {"membersWriteConfigs": True}})
    assert place.security_settings == {"membersWriteConfigs": True}
    for setting in SETTINGS:
        if setting.category is Category.CONFIGS or setting.fixed:
            continue
        with pytest.raises(InvalidRequest, match=f"section '{setting.category}'"):
            service.change_workspace(overridden, place, {"security_settings": {setting.key: not setting.default}})
    assert place.security_settings == {"membersWriteConfigs": True}


def test_what_was_read_can_be_sent_back() -> None:
    above = organisation(security_settings={"membersViewLogs": False}, workspace_overrides={"configs": True})
    place = workspace(security_settings={"membersWriteConfigs": True})
    read = service.effective(above, place)
    service.change_workspace(
        above, place, {"security_settings": read, "settings": service.effective_settings(above, place)}
    )
    assert service.effective(above, place) == read
    assert set(place.security_settings or {}) == {
        key for key, setting in BY_KEY.items() if setting.category is Category.CONFIGS
    }
    assert place.settings is None


def test_null_takes_a_workspaces_value_back() -> None:
    above = organisation(workspace_overrides={"configs": True, "prompts": True})
    place = workspace(security_settings={"membersWriteConfigs": True, "membersWritePrompts": True})
    service.change_workspace(above, place, {"security_settings": {"membersWriteConfigs": None}})
    assert place.security_settings == {"membersWritePrompts": True}
    service.change_workspace(above, place, {"name": "other"})
    assert place.security_settings == {"membersWritePrompts": True}
    service.change_workspace(above, place, {"security_settings": None, "settings": None})
    assert place.security_settings is None


class TestOtherSettings:
    """`settings` of a workspace."""

    def test_they_follow_their_category(self) -> None:
        place = workspace()
        with pytest.raises(InvalidRequest, match="section 'api_keys'"):
            service.change_workspace(organisation(), place, {"settings": {"user_api_key_count": 3}})
        above = organisation(workspace_overrides={"api_keys": True, "logs": True})
        service.change_workspace(above, place, {"settings": {"user_api_key_count": 3, "debug_log": False}})
        assert place.settings == {"user_api_key_count": 3, "debug_log": 0}
        assert service.effective_settings(above, place)["user_api_key_count"] == 3
        assert service.effective_settings(organisation(), place)["user_api_key_count"] == -1

    def test_an_enforced_log_setting_is_the_organisations(self) -> None:
        above = organisation(settings={"enforce_debug_log_setting": 1}, workspace_overrides={"logs": True})
        place = workspace(settings={"debug_log": 0})
        assert service.effective_settings(above, place)["debug_log"] == 1
        with pytest.raises(InvalidRequest, match="debug_log"):
            service.change_workspace(above, place, {"settings": {"debug_log": 0}})

    def test_managers_may_be_kept_from_switching_logs(self) -> None:
        above = organisation(settings={"managers_write_debug_log": 0}, workspace_overrides={"logs": True})
        place = workspace()
        with pytest.raises(Forbidden, match="managers"):
            service.change_workspace(above, place, {"settings": {"debug_log": 0}}, workspace_role="manager")
        service.change_workspace(above, place, {"settings": {"debug_log": 1}}, workspace_role="manager")
        service.change_workspace(above, place, {"settings": {"debug_log": 0}}, workspace_role="admin")
        assert place.settings == {"debug_log": 0}

    def test_a_key_does_not_live_longer_by_default_than_it_may(self) -> None:
        above = organisation(workspace_overrides={"api_keys": True}, settings={"user_api_key_max_ttl": 60})
        place = workspace()
        with pytest.raises(InvalidRequest, match=r"user_api_key_ttl \(61 s\) is more than"):
            service.change_workspace(above, place, {"settings": {"user_api_key_ttl": 61}})
        assert place.settings is None
        service.change_workspace(above, place, {"settings": {"user_api_key_ttl": 61, "user_api_key_max_ttl": 0}})
        assert service.effective_settings(above, place)["user_api_key_ttl"] == 61

    def test_an_organisations_own_settings_are_no_workspaces(self) -> None:
        with pytest.raises(InvalidRequest, match="unknown 'getting_started_enabled'; allowed: debug_log"):
            service.change_workspace(organisation(), workspace(), {"settings": {"getting_started_enabled": False}})


@pytest.mark.parametrize(
    ("read", "wrong", "message"),
    [
        (values.security_settings, [], r"security_settings: an object or null, not \[\]"),
        (values.security_settings, {"x" * 99: True}, f"unknown '{'x' * 60}'; allowed: managersViewLogs, "),
        (values.security_settings, {"membersViewLogs": 1}, "membersViewLogs: true, false or null, not 1"),
        (values.security_settings, {"membersViewLogs": "true"}, "not 'true'"),
        (values.security_settings, {"membersWriteGuardrails": True}, "membersWriteGuardrails: always false"),
        (values.overrides, {"budgets": True}, "unknown 'budgets'; allowed: logs, analytics, data_visibility"),
        (values.overrides, {"logs": 0}, "workspace_overrides.logs: true, false or null, not 0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(read: Any, wrong: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read(wrong)


WHOLE = ("user_api_key_count", "user_api_key_ttl", "user_api_key_max_ttl")
SWITCHES = ("debug_log", "user_key_metadata", "user_key_metadata_override", "enforce_debug_log_setting")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *product(WHOLE, [1.5, "1", True, -2, 10**12, [], {}]),
        *product((*SWITCHES, "getting_started_enabled"), [2, -1, "1", "true", 0.5, [], {}]),
        *product(("workspace_metadata_schema",), [1, "x", [], {"type": "array"}, {"type": "object", "pattern": "x"}]),
    ],
)
def test_a_wrong_setting_is_refused_by_name(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match=rf"settings\.{name}"):
        values.options({name: wrong}, workspace=False)


def test_switches_are_written_as_the_contract_has_them() -> None:
    sent = {"debug_log": True, "user_key_metadata": 0, "getting_started_enabled": 0, "user_api_key_count": -1}
    kept = values.options(sent, workspace=False)
    assert [(name, value, type(value)) for name, value in kept.items()] == [
        ("debug_log", 1, int),
        ("user_key_metadata", 0, int),
        ("getting_started_enabled", False, bool),
        ("user_api_key_count", -1, int),
    ]
