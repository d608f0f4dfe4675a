"""`/api-keys` over HTTP: shapes, refusals, three states, usage, metadata, lists."""

from collections.abc import Generator
from decimal import Decimal
from typing import Any

import pytest

from api.api_keys.rows import ApiKey
from api.api_keys.service import mask_of
from api.feature_flags import Feature
from api.limits import service as limits
from api.limits.machine import State
from api.metadata_schema import API_KEY_SCHEMA
from api.workspaces.rows import Workspace
from tests.factories.api_keys import KEYS, World, error
from tests.factories.app import auth, installed, serving

ABSENT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("keys"), key_cache_s=60) as here, serving(here) as client:
        yield World(here, client)


class TestShapes:
    def test_the_raw_key_comes_once(self, world: World) -> None:
        made = world.made(name="Once")
        assert set(made) == {"id", "key", "object"}
        assert made["object"] == "api-key"
        assert world.works(made["key"])
        mask = mask_of(made["key"])
        assert world.read(made["id"])["key"] == mask
        assert mask in [item["key"] for item in world.listed().json()["data"]]
        assert made["key"] not in world.listed().text + world.get(made["id"]).text

    def test_a_key_without_anything(self, world: World) -> None:
        made = world.made()
        assert world.read(made["id"]) == {
            "id": made["id"],
            "key": mask_of(made["key"]),
            "name": "A key",
            "description": None,
            "type": "workspace-service",
            "organisation_id": world.here.first.organisation_id,
            "workspace_id": world.workspace,
            "user_id": None,
            "status": "active",
            "created_at": "2026-04-02T12:30:00.000Z",
            "last_updated_at": "2026-04-02T12:30:00.000Z",
            "creation_mode": "api",
            "rate_limits": None,
            "usage_limits": None,
            "reset_usage": None,
            "expires_at": None,
            "last_reset_at": None,
            "next_usage_reset_at": None,
            "alert_emails": None,
            "expiry_enforced": 0,
            "allow_config_override": None,
            "api_key_defaults_id": None,
            "scopes": ["completions.write"],
            "defaults": {"metadata": None, "config_id": None, "allow_config_override": True},
            "rotation_policy": None,
            "key_transition_expires_at": None,
            "object": "api-key",
        }

    def test_a_key_with_everything(self, world: World) -> None:
        user = world.here.colleague("everything@acme.example", world.workspace)
        made = world.made(
            "workspace/user",
            name=" Everything ",
            description="What it is for",
            workspace_id=world.here.first.workspace_slug,
            user_id=user,
            scopes=["logs.write", "completions.write", "logs.write"],
            usage_limits={"credit_limit": 10.5, "alert_threshold": 5, "periodic_reset": "monthly"},
            rate_limits=[{"type": "requests", "unit": "rpm", "value": 60}],
            defaults={"metadata": {"team": "search"}, "config_id": "pc-cencor-250449", "allow_config_override": False},
            alert_emails=["a@acme.example", "a@acme.example"],
            expires_at="2026-12-31T00:00:00+02:00",
            rotation_policy={"rotation_period": "monthly"},
        )
        found = world.read(made["id"])
        assert found["usage_limits"] == {
            "type": "cost",
            "credit_limit": 10.5,
            "alert_threshold": 5,
            "periodic_reset": "monthly",
            "periodic_reset_days": None,
            "next_usage_reset_at": "2026-05-01T00:00:00.000Z",
            "current_usage": 0,
            "is_threshold_alerts_sent": False,
            "is_exhausted_alerts_sent": False,
            "status": "active",
            "last_reset_at": None,
            "forecast": {"usage_per_day": None, "exhausts_at": None},
        }
        expected = {
            "name": "Everything",
            "description": "What it is for",
            "type": "workspace-user",
            "workspace_id": world.workspace,
            "user_id": user,
            "scopes": ["completions.write", "logs.write"],
            "rate_limits": [{"type": "requests", "unit": "rpm", "value": 60}],
            "allow_config_override": 0,
            "defaults": {
                "metadata": {"team": "search"},
                "config_id": "pc-cencor-250449",
                "allow_config_override": False,
            },
            "alert_emails": ["a@acme.example"],
            "expires_at": "2026-12-30T22:00:00.000Z",
            "next_usage_reset_at": "2026-05-01T00:00:00.000Z",
            "rotation_policy": {
                "rotation_period": "monthly",
                "next_rotation_at": "2026-05-01T00:00:00.000Z",
                "key_transition_period_ms": 1_800_000,
                "status": "ACTIVE",
            },
        }
        assert {name: found[name] for name in expected} == expected
        assert '"alert_threshold":5,' in world.get(made["id"]).text.replace(" ", "")  # whole numbers have no .0

    def test_what_clients_echo_is_ignored(self, world: World) -> None:
        made = world.made(**{"type": "workspace", "sub-type": "service", "unheard_of": {"a": 1}, "status": "expired"})
        assert world.read(made["id"])["status"] == "active"
        found = world.changed(made["id"], id="x", key_hash="0", type="organisation-service", user_id="u", name="Echo")
        assert (found["type"], found["user_id"], found["name"]) == ("workspace-service", None, "Echo")

    def test_the_native_prefix_is_served_too(self, world: World) -> None:
        made = world.made()
        for prefix in ("/v2", "/albus/v2"):
            path = f"{prefix}/api-keys/{made['id']}"
            assert world.client.get(path, headers=auth(world.here.admin_key)).json() == world.read(made["id"])

    def test_scopes_that_are_left_out(self, world: World) -> None:
        made = world.client.post(
            f"{KEYS}/workspace/service",
            json={"name": "Default", "workspace_id": world.workspace},
            headers=auth(world.here.admin_key),
        ).json()
        assert world.read(made["id"])["scopes"] == ["completions.write"]
        message = error(world.make("organisation/service", scopes=None), 400, "AB01")
        assert message.startswith("scopes: an organisation key needs")


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ({"name": ""}, "name:"),
            ({"name": "x" * 101}, "name:"),
            ({"name": "a\x00b"}, "control characters"),
            ({"name": None}, "name:"),
            ({"description": "x" * 1001}, "description:"),
            ({"scopes": ["everything"]}, "everything"),
            ({"scopes": ["audit_logs.list"]}, "audit_logs.list"),
            ({"scopes": "completions.write"}, "scopes:"),
            ({"usage_limits": {"credit_limit": 0}}, "usage_limits: credit_limit:"),
            ({"usage_limits": {"credit_limit": 5, "bogus": 1}}, "unknown field 'bogus'; allowed: type, credit_limit"),
            ({"usage_limits": [{"credit_limit": 5}]}, "usage_limits: must be an object"),
            ({"rate_limits": [{"type": "requests", "unit": "rpx", "value": 1}]}, "rate_limits[0]: unit:"),
            ({"expires_at": "2026-04-02T12:30:00Z"}, "expires_at: must be in the future"),
            ({"expires_at": "soon"}, "expires_at:"),
            ({"expires_at": "0001-01-01T00:00:00+14:00"}, "outside of the calendar"),
            ({"alert_emails": ["nobody"]}, "alert_emails.0:"),
            ({"alert_emails": ["a@b.example\r\nBcc: c@d.example"]}, "alert_emails.0:"),
            ({"defaults": {"metadata": {"a": 1}}}, "defaults.metadata.a:"),
            ({"defaults": {"metadata": {"a": "x" * 129}}}, "defaults.metadata.a:"),
            ({"defaults": {"allow_config_override": "yes"}}, "defaults.allow_config_override:"),
            ({"rotation_policy": {"rotation_period": "daily"}}, "rotation_policy.rotation_period:"),
            ({"rotation_policy": {"rotation_period": "weekly", "key_transition_period_ms": 60_000}}, "1800000"),
            (
                {"rotation_policy": {"rotation_period": "weekly", "key_transition_period_ms": 604_800_000}},
                "less than the period (7 days)",
            ),
            (
                {"rotation_policy": {"rotation_period": "weekly", "next_rotation_at": "2026-04-01T00:00:00Z"}},
                "must be in the future",
            ),
            ({"user_id": "someone"}, "has no user"),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_what_is_wrong_is_told(self, world: World, body: dict[str, Any], says: str) -> None:
        assert says in error(world.make(**body), 400, "AB01")

    def test_half_a_character(self, world: World) -> None:
        body = b'{"name": "a\\ud800b", "workspace_id": "%s"}' % world.workspace.encode()
        headers = {**auth(world.here.admin_key), "content-type": "application/json"}
        answer = world.client.post(f"{KEYS}/workspace/service", content=body, headers=headers)
        assert "name:" in error(answer, 400, "AB01")

    @pytest.mark.parametrize("kind", ["organisation/user", "workspace/admin", "team/service", "workspace/"])
    def test_kinds_that_are_none(self, world: World, kind: str) -> None:
        answer = world.make(kind)
        if kind == "workspace/":
            assert answer.status_code in {404, 405}
            return
        message = error(answer, 400, "AB01")
        assert "organisation/service, workspace/service, workspace/user" in message

    def test_an_organisation_key_names_the_workspace(self, world: World) -> None:
        answer = world.make(workspace_id=None)
        assert error(answer, 400, "AB01").startswith("workspace_id: an organisation key must name")
        error(world.make(workspace_id="absent"), 403, "AB03")
        elsewhere = world.here.workspace("Elsewhere", world.here.organisation("Elsewhere"))
        error(world.make(workspace_id=elsewhere.id), 403, "AB03")
        archived = world.here.workspace("Archived")
        with world.here.database.transaction() as session:
            session.get_one(Workspace, archived.id).status = "archived"
        error(world.make(workspace_id=archived.slug), 403, "AB03")
        error(world.make(organisation_id=ABSENT), 403, "AB03")
        said: dict[str, Any] = {"workspace_id": world.workspace, "scopes": ["logs.list"]}
        assert "has no workspace" in error(world.make("organisation/service", **said), 400, "AB01")

    def test_limits_where_there_are_none(self, tmp_path: Any) -> None:
        with installed(tmp_path, usage_limits_enabled=False) as here, serving(here) as client:
            world = World(here, client)
            message = error(world.make(usage_limits={"credit_limit": 5}), 403, "AB03")
            assert message == f"Usage limits are disabled by {Feature.USAGE_LIMITS.value}=OFF"
            assert world.made(usage_limits=None)

    def test_where_keys_are_not_managed(self, tmp_path: Any) -> None:
        with installed(tmp_path, api_access_enabled=False) as here, serving(here) as client:
            world = World(here, client)
            assert "API_ACCESS_ENABLED=OFF" in error(world.make(), 403, "AB03")
            assert world.works(here.admin_key)


class TestThreeStates:
    FULL: tuple[tuple[str, Any], ...] = (
        ("description", "text"),
        ("usage_limits", {"credit_limit": 10}),
        ("rate_limits", [{"type": "tokens", "unit": "rpd", "value": 5}]),
        ("alert_emails", ["a@b.example"]),
        ("expires_at", "2027-01-01T00:00:00.000Z"),
        ("rotation_policy", {"rotation_period": "weekly"}),
        ("defaults", {"metadata": {"a": "b"}, "config_id": "pc-x-123456", "allow_config_override": False}),
    )

    def test_what_is_left_out_stays(self, world: World) -> None:
        made = world.made(**dict(self.FULL))
        before = world.read(made["id"])
        after = world.changed(made["id"], name="Renamed")
        assert after == {**before, "name": "Renamed"}
        assert world.changed(made["id"]) == after

    @pytest.mark.parametrize("name", [name for name, _ in FULL])
    def test_null_clears(self, world: World, name: str) -> None:
        made = world.made(**dict(self.FULL))
        before, after = world.read(made["id"]), world.changed(made["id"], **{name: None})
        cleared = {"metadata": None, "config_id": None, "allow_config_override": True} if name == "defaults" else None
        assert after[name] == cleared
        touched = {name, "next_usage_reset_at"} | ({"allow_config_override"} if name == "defaults" else set())
        assert {key for key in before if before[key] != after[key]} <= touched

    def test_an_empty_list_clears_limits(self, world: World) -> None:
        made = world.made(**dict(self.FULL))
        after = world.changed(made["id"], usage_limits=[], rate_limits=[], alert_emails=[])
        assert (after["usage_limits"], after["rate_limits"], after["alert_emails"]) == (None, None, None)

    def test_within_defaults_too(self, world: World) -> None:
        made = world.made(**dict(self.FULL))
        after = world.changed(made["id"], defaults={"config_id": None})
        assert after["defaults"] == {"metadata": {"a": "b"}, "config_id": None, "allow_config_override": False}
        after = world.changed(made["id"], defaults={"allow_config_override": None, "metadata": {"c": "d"}})
        assert after["defaults"] == {"metadata": {"c": "d"}, "config_id": None, "allow_config_override": True}
        assert after["allow_config_override"] is None

    @pytest.mark.parametrize("name", ["name", "scopes"])
    def test_what_cannot_be_cleared(self, world: World, name: str) -> None:
        made = world.made()
        assert error(world.put(made["id"], **{name: None}), 400, "AB01").startswith(f"{name}: cannot be null")

    def test_a_refused_update_changes_nothing(self, world: World) -> None:
        made = world.made()
        before = world.read(made["id"])
        error(world.put(made["id"], name="New", usage_limits={"credit_limit": 0}), 400, "AB01")
        error(world.put(made["id"], name="New", scopes=["everything"]), 400, "AB01")
        assert world.read(made["id"]) == before


class TestUsage:
    def exhaust(self, world: World, key_id: str, used: float, status: str = "exhausted") -> None:
        with world.here.database.transaction() as session:
            session.get_one(ApiKey, key_id).status = status
            [limit] = limits.of(session, "api_key", key_id)
            limits.put(limit, State(Decimal(str(used)), is_threshold_alert_sent=True, is_exhausted_alert_sent=True))

    def test_an_exhausted_key_comes_back_with_a_higher_limit(self, world: World) -> None:
        made = world.made(usage_limits={"credit_limit": 10, "alert_threshold": 5})
        self.exhaust(world, made["id"], 10.25)
        assert world.read(made["id"])["status"] == "exhausted"
        after = world.changed(made["id"], usage_limits={"credit_limit": 10.1, "alert_threshold": 5})
        assert after["status"] == "exhausted"  # still more was used
        after = world.changed(made["id"], usage_limits={"credit_limit": 20, "alert_threshold": 5})
        assert after["status"] == "active"
        limits = after["usage_limits"]
        assert (limits["current_usage"], limits["is_exhausted_alerts_sent"]) == (10.25, False)

    def test_a_lower_limit_exhausts(self, world: World) -> None:
        made = world.made(usage_limits={"credit_limit": 10})
        self.exhaust(world, made["id"], 7, status="active")
        assert world.changed(made["id"], usage_limits={"credit_limit": 7})["status"] == "exhausted"
        assert world.changed(made["id"], usage_limits=None)["status"] == "active"

    def test_a_reset_starts_at_0(self, world: World) -> None:
        made = world.made(usage_limits={"credit_limit": 10})
        self.exhaust(world, made["id"], 12)
        assert world.changed(made["id"], reset_usage=False)["status"] == "exhausted"
        after = world.changed(made["id"], reset_usage=True)
        assert (after["status"], after["usage_limits"]["current_usage"]) == ("active", 0)
        assert after["last_reset_at"] == "2026-04-02T12:30:00.000Z"

    def test_nobody_writes_what_is_counted(self, world: World) -> None:
        limits = {"credit_limit": 10, "current_usage": 0, "is_threshold_alerts_sent": False}
        made = world.made(usage_limits=limits)
        self.exhaust(world, made["id"], 3, status="active")
        after = world.changed(made["id"], usage_limits={**limits, "status": "active"})
        assert after["usage_limits"]["current_usage"] == 3


class TestMetadataSchema:
    def test_defaults_are_filled_in_and_what_is_missing_is_told(self, tmp_path: Any) -> None:
        with installed(tmp_path) as here, serving(here) as client:
            world = World(here, client)
            before = world.made()
            schema = {
                "type": "object",
                "required": ["team"],
                "properties": {"team": {"type": "string", "enum": ["a", "b"]}, "env": {"default": "prod"}},
            }
            world.settings(**{API_KEY_SCHEMA: schema})
            made = world.made(defaults={"metadata": {"team": "a"}})
            assert world.read(made["id"])["defaults"]["metadata"] == {"team": "a", "env": "prod"}
            assert "'team' is a required property" in error(world.make(), 400, "AB01")
            assert "defaults.metadata.team" in error(world.make(defaults={"metadata": {"team": "c"}}), 400, "AB01")
            error(world.put(made["id"], defaults={"metadata": {"team": "c"}}), 400, "AB01")
            error(world.put(made["id"], defaults=None), 400, "AB01")
            # A key from before the schema can still be renamed.
            assert world.changed(before["id"], name="Old")["name"] == "Old"


class TestLists:
    def test_pages_in_both_spellings_with_equal_times(self, tmp_path: Any) -> None:
        with installed(tmp_path) as here, serving(here) as client:
            world = World(here, client)
            for number in range(7):
                world.made(name=f"Key {number}")
            everything = world.listed().json()
            assert (everything["object"], everything["total"]) == ("list", 8)
            ids = [item["id"] for item in everything["data"]]
            assert ids == sorted(ids, reverse=True)  # all were made at the same instant
            for size, page in (("page_size", "current_page"), ("pageSize", "currentPage")):
                pages = [world.listed(**{size: 3, page: number}).json() for number in range(4)]
                assert [item["id"] for one in pages for item in one["data"]] == ids
                assert {one["total"] for one in pages} == {8}

    def test_of_one_workspace_by_slug_or_uuid(self, world: World) -> None:
        other = world.here.workspace("Listed", slug="listed")
        made = world.made(workspace_id="listed")
        for reference in (other.id, "listed"):
            found = world.listed(workspace_id=reference).json()
            assert ([item["id"] for item in found["data"]], found["total"]) == ([made["id"]], 1)
        assert made["id"] not in [item["id"] for item in world.listed(workspace_id=world.workspace).json()["data"]]
        error(world.listed(workspace_id="absent"), 403, "AB03")

    def test_only_some(self, world: World) -> None:
        ids = [world.made()["id"] for _ in range(3)]
        found = world.listed(ids=f"{ids[0]},{ids[2].upper()},{ABSENT},nonsense").json()
        assert {item["id"] for item in found["data"]} == {ids[0], ids[2]}

    @pytest.mark.parametrize("query", [{"page_size": "x"}, {"current_page": -1}, {"page_size": 5000}])
    def test_pages_that_are_none(self, world: World, query: dict[str, Any]) -> None:
        error(world.listed(**query), 400, "AB01")
