"""`/admin/organisation` and `/organisations/{id}` on the wire (controlplane contract 7.4)."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import RSAKey

from api.feature_flags import Feature
from api.permissions import KeyKind
from api.security_settings.registry import CATEGORIES, SETTINGS
from api.workspaces.rows import Workspace
from tests.factories.app import Installation, auth, installed, serving

OWN = "/v1/admin/organisation"


CLEARED = dict.fromkeys(("settings", "security_settings", "workspace_overrides", "defaults", "auth_settings"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    with installed(tmp_path_factory.mktemp("organisations"), key_cache_s=0) as installation:
        yield installation


@pytest.fixture(scope="module")
def running(here: Installation) -> Generator[TestClient]:
    with serving(here) as client:
        client.headers.update(auth(here.admin_key))
        yield client


@pytest.fixture
def client(running: TestClient) -> Generator[TestClient]:
    """A client of an organisation that has set nothing yet."""
    yield running
    put(running, {**CLEARED, "name": "Acme"})


def put(client: TestClient, body: Any, status: int = 200, path: str = OWN) -> Any:
    answer = client.put(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(client: TestClient, body: Any) -> str:
    """The message of a 400, after which nothing has changed."""
    before = client.get(OWN).json()
    answer = put(client, body, 400)
    assert answer["data"]["errorCode"] == "AB01"
    assert client.get(OWN).json() == before
    return answer["data"]["message"]


def test_the_shape(client: TestClient, here: Installation) -> None:
    answer = client.get(OWN)
    assert answer.status_code == 200
    assert answer.json() == {
        "id": here.first.organisation_id,
        "object": "organisation",
        "name": "Acme",
        "status": "active",
        "settings": {
            "debug_log": 1,
            "user_api_key_count": -1,
            "user_api_key_ttl": 0,
            "user_api_key_max_ttl": 0,
            "user_key_metadata": 1,
            "user_key_metadata_override": 1,
            "enforce_debug_log_setting": 0,
            "managers_write_debug_log": 1,
            "getting_started_enabled": True,
            "scim_organisation_provisioning": False,
            "workspace_metadata_schema": None,
            "api_key_metadata_schema": None,
        },
        "security_settings": {setting.key: setting.default for setting in SETTINGS},
        "workspace_overrides": {category.value: False for category in CATEGORIES},
        "defaults": {"input_guardrails": None, "output_guardrails": None},
        "auth_settings": {"jwks_url": None, "jwks": None},
        "retention": {"logs_days": 90, "metrics_days": 365},
        "features": {feature.value: True for feature in Feature},
        "created_at": "2026-04-02T12:30:00.000Z",
        "last_updated_at": "2026-04-02T12:30:00.000Z",
    }


def test_it_has_two_paths_in_both_versions(client: TestClient, here: Installation) -> None:
    wanted = client.get(OWN).json()
    for path in (
        "/v2/admin/organisation",
        f"/v1/organisations/{here.first.organisation_id}",
        f"/v2/organisations/{here.first.organisation_id.upper()}",
        f"/albus/v2/organisations/{here.first.organisation_id}",
    ):
        assert client.get(path).json() == wanted
        assert put(client, {}, path=path) == wanted


def test_another_organisation_is_refused(client: TestClient, here: Installation) -> None:
    for other in (here.organisation("Other"), "absent", "%00"):
        for answer in (
            client.get(f"/v1/organisations/{other}"),
            client.put(f"/v1/organisations/{other}", json={"name": "Taken"}),
        ):
            assert answer.status_code in (400, 403)
            assert answer.json()["data"]["errorCode"] in ("AB01", "AB03")


def test_three_states(client: TestClient) -> None:
    sent = {
        "name": "  New name ",
        "settings": {"user_api_key_count": 5, "getting_started_enabled": False, "debug_log": False},
        "security_settings": {"membersViewAnalytics": False, "membersWriteConfigs": True},
        "workspace_overrides": {"analytics": True, "logs": True},
        "defaults": {"input_guardrails": ["pg-one-1", "pg-two-2", "pg-one-1"]},
        "id": "ignored",
        "status": "archived",
    }
    after = put(client, sent)
    assert after["name"] == "New name"
    assert after["status"] == "active"
    assert after["settings"]["user_api_key_count"] == 5
    assert after["settings"]["debug_log"] == 0
    assert after["settings"]["getting_started_enabled"] is False
    assert after["security_settings"]["membersViewAnalytics"] is False
    assert after["security_settings"]["membersWriteConfigs"] is True
    assert after["workspace_overrides"] == {
        category.value: category in ("analytics", "logs") for category in CATEGORIES
    }
    assert after["defaults"] == {"input_guardrails": ["pg-one-1", "pg-two-2"], "output_guardrails": None}
    assert client.get(OWN).json() == after
    # What is left out stays; null brings a default back.
    after = put(client, {"settings": {"user_api_key_count": None}, "security_settings": {"membersViewAnalytics": None}})
    assert after["settings"]["user_api_key_count"] == -1
    assert after["settings"]["debug_log"] == 0
    assert after["security_settings"]["membersViewAnalytics"] is True
    assert after["security_settings"]["membersWriteConfigs"] is True
    after = put(client, {"settings": None, "security_settings": None, "workspace_overrides": None, "defaults": None})
    assert after["settings"]["debug_log"] == 1
    assert after["security_settings"] == {setting.key: setting.default for setting in SETTINGS}
    assert not any(after["workspace_overrides"].values())
    assert after["defaults"] == {"input_guardrails": None, "output_guardrails": None}
    assert after["name"] == "New name"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": "a\x00b"}, "control characters"),
        ({"settings": []}, "settings"),
        ({"settings": {"debug": 1}}, "settings: unknown 'debug'; allowed: debug_log, "),
        ({"settings": {"debug_log": 2}}, "settings.debug_log: 0 or 1 or null, not 2"),
        ({"settings": {"user_api_key_count": -2}}, "a whole number from -1 to 1000000 (keys; -1 is unlimited)"),
        ({"settings": {"user_api_key_ttl": 9, "user_api_key_max_ttl": 8}}, "user_api_key_ttl (9 s) is more than"),
        ({"settings": {"workspace_metadata_schema": {"type": "string"}}}, "workspace_metadata_schema.type"),
        ({"security_settings": {"membersViewAll": True}}, "unknown 'membersViewAll'; allowed: managersViewLogs"),
        ({"security_settings": {"membersViewAllData": 1}}, "membersViewAllData: true, false or null, not 1"),
        ({"security_settings": {"membersWriteGuardrails": True}}, "membersWriteGuardrails: always false"),
        ({"workspace_overrides": {"all": True}}, "unknown 'all'; allowed: logs, analytics, data_visibility, prompts"),
        ({"defaults": {"metadata": {}}}, "unknown 'metadata'; allowed: input_guardrails, output_guardrails"),
        ({"defaults": {"input_guardrails": "pg-1"}}, "defaults.input_guardrails: a list"),
        ({"defaults": {"input_guardrails": [["x"]]}}, "defaults.input_guardrails: a list"),
        ({"defaults": {"input_guardrails": [f"pg-{i}" for i in range(101)]}}, "at most 100"),
        ({"auth_settings": {"jwks_url": "http://example.com/keys"}}, "https"),
        ({"auth_settings": {"jwks_url": "https://example.com/k", "jwks": {"keys": []}}}, "not both"),
        ({"auth_settings": {"jwks": {"keys": []}}}, "auth_settings.jwks"),
        ({"auth_settings": {"issuer": "x"}}, "unknown field 'issuer'"),
        ([], "must be a JSON object"),
        ({"name": "Kept back", "settings": {"debug_log": 2}}, "settings.debug_log"),
    ],
)
def test_a_wrong_body_changes_nothing_and_is_told_what_is_allowed(client: TestClient, body: Any, message: str) -> None:
    assert message in refused(client, body)


def test_tokens_are_verified_by_a_url_or_by_keys(client: TestClient) -> None:
    url = "https://login.example.com/keys"
    assert put(client, {"auth_settings": {"jwks_url": url}})["auth_settings"] == {"jwks_url": url, "jwks": None}
    key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
    keys = {"keys": [key.as_dict(private=False)]}
    assert put(client, {"auth_settings": {"jwks": keys}})["auth_settings"] == {"jwks_url": None, "jwks": keys}
    private = refused(client, {"auth_settings": {"jwks": {"keys": [key.as_dict(private=True)]}}})
    assert "private" in private
    assert put(client, {"auth_settings": None})["auth_settings"] == {"jwks_url": None, "jwks": None}


def test_a_metadata_schema_is_kept_as_it_was_sent(client: TestClient) -> None:
    schema = {"type": "object", "required": ["team"], "properties": {"team": {"type": "string", "enum": ["a", "b"]}}}
    after = put(client, {"settings": {"workspace_metadata_schema": schema}})
    assert after["settings"]["workspace_metadata_schema"] == schema


def test_switching_the_override_of_logs_off_discards_what_workspaces_set(
    client: TestClient, here: Installation
) -> None:
    with here.database.transaction() as session:
        row = session.get_one(Workspace, here.first.workspace_id)
        row.settings = {"debug_log": 0, "user_api_key_count": 3}
        row.security_settings = {"membersViewLogs": False, "membersWriteConfigs": True}
    put(client, {"workspace_overrides": {"logs": True, "configs": True}})
    put(client, {"workspace_overrides": {"logs": False, "configs": False}})
    with here.database.transaction() as session:
        row = session.get_one(Workspace, here.first.workspace_id)
        assert row.settings == {"user_api_key_count": 3}
        assert row.security_settings == {"membersWriteConfigs": True}


@pytest.mark.parametrize("kind", [KeyKind.WORKSPACE_SERVICE, KeyKind.WORKSPACE_USER])
def test_a_workspace_key_is_refused(client: TestClient, here: Installation, kind: KeyKind) -> None:
    user = here.first.owner_user_id if kind is KeyKind.WORKSPACE_USER else None
    key = here.key(kind, workspace_id=here.first.workspace_id, user_id=user)
    for answer in (client.get(OWN, headers=auth(key)), client.put(OWN, headers=auth(key), json={})):
        assert answer.status_code == 403
        assert answer.json()["data"]["errorCode"] == "AB03"


def test_reading_and_changing_are_two_scopes(client: TestClient, here: Installation) -> None:
    reader, writer = (here.key(scopes=[f"organisation_settings.{verb}"]) for verb in ("read", "update"))
    assert client.get(OWN, headers=auth(reader)).status_code == 200
    assert client.put(OWN, headers=auth(reader), json={}).status_code == 403
    assert client.get(OWN, headers=auth(writer)).status_code == 403
    assert client.put(OWN, headers=auth(writer), json={}).status_code == 200


def test_what_is_displayed_and_switched_off_here(tmp_path: Path) -> None:
    fields = {"log_retention_display": 30, "metrics_retention_display": 400, "scim_enabled": False}
    with installed(tmp_path, **fields) as here, serving(here) as client:
        answer = client.get(OWN, headers=auth(here.admin_key)).json()
    assert answer["retention"] == {"logs_days": 30, "metrics_days": 400}
    assert answer["features"] == {feature.value: feature is not Feature.SCIM for feature in Feature}
