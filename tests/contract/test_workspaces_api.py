"""`/admin/workspaces` over HTTP: shapes, filters, three-state updates, refusals, tenants."""

from collections.abc import Generator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.limits import service as limits
from api.limits.machine import State
from api.metadata_schema import WORKSPACE_SCHEMA
from api.security_settings.registry import SETTINGS
from api.workspaces.rows import Workspace
from tests.factories.app import NOW, Installation, installed, serving
from tests.factories.tenant import Tenant, new_tenant, refused

WORKSPACES = "/v1/admin/workspaces"
LATER = NOW + timedelta(minutes=1)
LIST_FIELDS = {
    "object", "id", "slug", "name", "icon", "description", "created_at", "last_updated_at", "defaults", "is_default",
    "scim_source_id", "usage_limits", "rate_limits", "security_settings", "status",
}  # fmt: skip
DETAIL_FIELDS = LIST_FIELDS | {
    "settings", "organisation_id", "last_reset_at", "created_by", "creation_source", "users",
}  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Installation, TestClient]]:
    with (
        installed(tmp_path_factory.mktemp("workspaces"), key_cache_s=0) as here,
        serving(here, lambda: LATER) as client,
    ):
        yield here, client


@pytest.fixture
def tenant(app: tuple[Installation, TestClient]) -> Tenant:
    return new_tenant(*app)


def made(tenant: Tenant, **body: Any) -> dict[str, Any]:
    answer = tenant.call("POST", WORKSPACES, {"name": "Prod", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def changed(tenant: Tenant, workspace: str, **body: Any) -> dict[str, Any]:
    answer = tenant.call("PUT", f"{WORKSPACES}/{workspace}", body)
    assert answer.status_code == 200, answer.text
    seen = tenant.get(f"{WORKSPACES}/{workspace}")
    assert {**answer.json(), "users": seen["users"]} == seen
    return seen


class TestShapes:
    def test_a_new_workspace(self, tenant: Tenant) -> None:
        told = made(tenant, description="For all", object="x", unknown=1)
        assert set(told) == DETAIL_FIELDS
        assert told["slug"].startswith("ws-prod-")
        assert len(told["slug"]) == len("ws-prod-") + 6
        assert told["security_settings"] == {setting.key: setting.default for setting in SETTINGS}
        assert told["settings"] == {
            "debug_log": 1,
            "user_api_key_count": -1,
            "user_api_key_ttl": 0,
            "user_api_key_max_ttl": 0,
            "user_key_metadata": 1,
            "user_key_metadata_override": 1,
        }
        rest = {name: told[name] for name in DETAIL_FIELDS - {"id", "slug", "security_settings", "settings"}}
        assert rest.pop("created_by") is not None
        assert rest == {
            "object": "workspace",
            "name": "Prod",
            "icon": None,
            "description": "For all",
            "created_at": "2026-04-02T12:31:00.000Z",
            "last_updated_at": "2026-04-02T12:31:00.000Z",
            "defaults": None,
            "is_default": 0,
            "scim_source_id": None,
            "usage_limits": None,
            "rate_limits": None,
            "status": "active",
            "organisation_id": tenant.id,
            "last_reset_at": None,
            "creation_source": "api",
            "users": None,
        }
        assert tenant.get(f"{WORKSPACES}/{told['id']}") == {**told, "users": []}
        listed = tenant.get(WORKSPACES)
        assert (listed["object"], listed["total"]) == ("list", 2)
        assert listed["data"][0] == {name: told[name] for name in LIST_FIELDS}
        assert [one["is_default"] for one in listed["data"]] == [0, 1]

    @pytest.mark.parametrize(
        "path", ["/v1/workspaces", "/v2/workspaces", "/v2/admin/workspaces", "/albus/v2/workspaces"]
    )
    def test_other_paths_are_the_same(self, tenant: Tenant, path: str) -> None:
        told = tenant.call("POST", path, {"name": "Prod"}).json()
        assert tenant.get(f"{path}/{told['slug']}") == tenant.get(f"{WORKSPACES}/{told['id'].upper()}")
        assert tenant.get(path) == tenant.get(WORKSPACES)
        assert tenant.call("DELETE", f"{path}/{told['slug']}").json() == {}

    def test_limits_are_arrays_with_all_their_fields(self, tenant: Tenant) -> None:
        told = made(
            tenant,
            usage_limits=[{"credit_limit": 10, "alert_threshold": 7.5}, {"type": "tokens", "credit_limit": 1000}],
            rate_limits=[{"type": "requests", "unit": "rpm", "value": 5}],
        )
        assert told["rate_limits"] == [{"type": "requests", "unit": "rpm", "value": 5}]
        assert told["usage_limits"][0] == {
            "type": "cost",
            "credit_limit": 10,
            "alert_threshold": 7.5,
            "periodic_reset": None,
            "periodic_reset_days": None,
            "next_usage_reset_at": None,
            "current_usage": 0,
            "is_threshold_alerts_sent": False,
            "is_exhausted_alerts_sent": False,
            "status": "active",
            "last_reset_at": None,
            "forecast": {"usage_per_day": None, "exhausts_at": None},
        }
        assert [limit["type"] for limit in told["usage_limits"]] == ["cost", "tokens"]

    def test_given_slug_and_users(self, tenant: Tenant) -> None:
        ada = tenant.member("ada")
        told = made(tenant, slug="my-space", users=[ada, ada])
        assert told["slug"] == "my-space"
        users = tenant.get(f"{WORKSPACES}/my-space")["users"]
        assert [(one["id"], one["role"]) for one in users] == [(ada, "member")]
        again = tenant.call("POST", WORKSPACES, {"name": "Prod", "slug": "my-space"})
        assert refused(again) == (409, "AB07", "slug: a workspace 'my-space' exists already")

    def test_two_workspaces_may_have_one_name(self, tenant: Tenant) -> None:
        assert made(tenant)["slug"] != made(tenant)["slug"]


class TestLists:
    def test_names(self, tenant: Tenant) -> None:
        for name in ("Prod", "prod east", "100%_x"):
            made(tenant, name=name)
        made(tenant, name="Prod", icon="🚀")

        def names(query: str) -> list[str]:
            return sorted(one["name"] for one in tenant.get(f"{WORKSPACES}?{query}")["data"])

        assert names("name=Prod") == ["Prod", "🚀 Prod"]
        assert names("name=rod%20e") == ["prod east"]
        assert names("name=%25_") == ["100%_x"]
        assert names("name=rod_e") == []
        assert names("exact_name=Prod") == ["Prod", "🚀 Prod"]
        assert names("exact_name=%F0%9F%9A%80%20Prod") == ["🚀 Prod"]
        assert names("exact_name=prod") == []
        assert len(names("name=&exact_name=&status=")) == 5

    def test_pages_are_stable_with_equal_times(self, tenant: Tenant) -> None:
        for number in range(6):
            tenant.workspace(f"W{number}")
        whole = [one["id"] for one in tenant.get(WORKSPACES)["data"]]
        assert whole == sorted(whole, reverse=True)
        for number, size in (("current_page", "page_size"), ("currentPage", "pageSize")):
            pages = [tenant.get(f"{WORKSPACES}?{number}={page}&{size}=3") for page in range(4)]
            assert [page["total"] for page in pages] == [7] * 4
            assert [one["id"] for page in pages for one in page["data"]] == whole

    def test_status(self, tenant: Tenant) -> None:
        gone, kept = made(tenant, name="Gone"), made(tenant, name="Kept")
        tenant.call("DELETE", f"{WORKSPACES}/{gone['id']}")

        def of(status: str) -> set[str]:
            return {one["id"] for one in tenant.get(f"{WORKSPACES}?status={status}")["data"]} & {gone["id"], kept["id"]}

        assert of("") == of("active") == {kept["id"]}
        assert of("archived") == {gone["id"]}
        assert of("active,archived") == of("archived,%20active") == {gone["id"], kept["id"]}
        shown = tenant.get(f"{WORKSPACES}?status=archived")["data"][0]
        assert shown["status"] == "archived"
        assert refused(tenant.call("GET", f"{WORKSPACES}?status=gone")) == (
            400, "AB01", "status: 'gone' is not one of active, archived",
        )  # fmt: skip

    def test_archived_ones_are_for_admins_of_the_organisation(self, tenant: Tenant) -> None:
        workspace = tenant.workspace()
        for key in (tenant.service_key(workspace), tenant.person("ada", workspace, "admin")[1]):
            assert refused(tenant.call("GET", f"{WORKSPACES}?status=archived", key=key))[:2] == (403, "AB03")
        boss = tenant.member("boss", "admin")
        assert tenant.get(f"{WORKSPACES}?status=archived", key=tenant.user_key(boss, workspace))["total"] == 0

    def test_a_workspace_key_sees_its_own(self, tenant: Tenant) -> None:
        mine, other = tenant.workspace("Mine"), tenant.workspace("Other")
        key = tenant.service_key(mine)
        assert [one["id"] for one in tenant.get(WORKSPACES, key=key)["data"]] == [mine.id]
        assert tenant.get(f"{WORKSPACES}/{mine.slug}", key=key)["id"] == mine.id
        for method, body in (("GET", None), ("PUT", {"name": "x"})):
            assert refused(tenant.call(method, f"{WORKSPACES}/{other.id}", body, key=key))[:2] == (403, "AB03")


class TestNames:
    def test_an_icon_stands_before_the_name(self, tenant: Tenant) -> None:
        told = made(tenant, name="🚀 Prod", icon="🚀")
        assert (told["name"], told["icon"]) == ("🚀 Prod", "🚀")
        assert tenant.get(f"{WORKSPACES}/{told['id']}?name_format=plain")["name"] == "Prod"
        assert changed(tenant, told["id"], name="🚀 Prod")["name"] == "🚀 Prod"
        assert changed(tenant, told["id"], name="🚀 Prod", icon="🔥")["name"] == "🔥 Prod"
        assert changed(tenant, told["id"], icon="")["name"] == "Prod"
        assert changed(tenant, told["id"], icon=None)["icon"] is None

    @pytest.mark.parametrize("sent", ["Prod", "🚀 Prod"])
    def test_deleting_confirms_with_or_without_it(self, tenant: Tenant, sent: str) -> None:
        told = made(tenant, icon="🚀")
        body = {"workspace_id": told["id"], "name": sent}
        assert tenant.call("DELETE", f"{WORKSPACES}/{told['id']}", body).json() == {}


class TestDefaults:
    def test_guardrails_are_kept_once_in_order(self, tenant: Tenant) -> None:
        told = made(tenant, defaults={"input_guardrails": ["b", "a", "b"], "output_guardrails": [], "is_default": 1})
        assert told["defaults"] == {"metadata": None, "input_guardrails": ["b", "a"], "output_guardrails": None}

    def test_three_states(self, tenant: Tenant) -> None:
        told = made(tenant, defaults={"metadata": {"team": "a"}, "input_guardrails": ["g"]})
        kept = changed(tenant, told["id"], defaults={"output_guardrails": ["o"]})["defaults"]
        assert kept == {"metadata": {"team": "a"}, "input_guardrails": ["g"], "output_guardrails": ["o"]}
        kept = changed(tenant, told["id"], defaults={"metadata": {}, "input_guardrails": None})["defaults"]
        assert kept == {"metadata": {}, "input_guardrails": None, "output_guardrails": ["o"]}
        assert changed(tenant, told["id"], description="x")["defaults"] == kept
        assert changed(tenant, told["id"], defaults=None)["defaults"] is None

    def test_metadata_conforms_to_the_organisations_schema(self, tenant: Tenant) -> None:
        stage = {"type": "string", "enum": ["dev", "prod"], "default": "dev"}
        schema = {"type": "object", "required": ["team"], "properties": {"stage": stage}}
        tenant.settings(settings={WORKSPACE_SCHEMA: schema})
        assert refused(tenant.call("POST", WORKSPACES, {"name": "x"})) == (
            400, "AB01", "defaults.metadata: 'team' is a required property.",
        )  # fmt: skip
        told = made(tenant, defaults={"metadata": {"team": "a"}})
        assert told["defaults"]["metadata"] == {"team": "a", "stage": "dev"}
        wrong = {"defaults": {"metadata": {"team": "a", "stage": "test"}}}
        assert refused(tenant.call("PUT", f"{WORKSPACES}/{told['id']}", wrong))[:2] == (400, "AB01")
        assert tenant.get(f"{WORKSPACES}/{told['id']}")["defaults"]["metadata"]["stage"] == "dev"


def exhaust(tenant: Tenant, workspace_id: str) -> None:
    with tenant.here.database.transaction() as session:
        session.get_one(Workspace, workspace_id).status = "exhausted"
        [limit] = limits.of(session, "workspace", workspace_id)
        limits.put(limit, State(Decimal("12.5"), is_exhausted_alert_sent=True))


class TestLimits:
    def test_three_states(self, tenant: Tenant) -> None:
        limit = [{"type": "cost", "credit_limit": 10}]
        told = made(tenant, usage_limits=limit, rate_limits={"type": "tokens", "unit": "rpd", "value": 0})
        assert changed(tenant, told["id"], description="x")["usage_limits"] == told["usage_limits"]
        for cleared in (None, []):
            seen = changed(tenant, told["id"], usage_limits=cleared, rate_limits=cleared)
            assert (seen["usage_limits"], seen["rate_limits"]) == (None, None)
            changed(tenant, told["id"], usage_limits=limit)

    def test_usage_starts_anew(self, tenant: Tenant) -> None:
        told = made(tenant, usage_limits=[{"credit_limit": 10}])
        exhaust(tenant, told["id"])
        assert tenant.get(f"{WORKSPACES}/{told['id']}")["usage_limits"][0]["current_usage"] == 12.5
        seen = changed(tenant, told["id"], reset_usage=True)
        assert seen["usage_limits"][0]["current_usage"] == 0
        assert seen["usage_limits"][0]["is_exhausted_alerts_sent"] is False
        assert (seen["status"], seen["last_reset_at"]) == ("active", "2026-04-02T12:31:00.000Z")

    def test_a_higher_limit_makes_an_exhausted_workspace_active(self, tenant: Tenant) -> None:
        told = made(tenant, usage_limits=[{"credit_limit": 10}])
        exhaust(tenant, told["id"])
        assert changed(tenant, told["id"], usage_limits=[{"credit_limit": 11}])["status"] == "exhausted"
        seen = changed(tenant, told["id"], usage_limits=[{"credit_limit": 20}])
        assert (seen["status"], seen["usage_limits"][0]["current_usage"]) == ("active", 12.5)
        assert seen["usage_limits"][0]["is_exhausted_alerts_sent"] is False


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({}, "name: Field required"),
            ({"name": " "}, "name: String should have at least 1 character"),
            ({"name": "a\nb"}, "name: must not contain control characters"),
            ({"name": "a\u0000"}, "name: must not contain control characters"),
            ({"name": "x" * 256}, "name: String should have at most 255"),
            ({"name": "x", "slug": "a b"}, "slug: 'a b' is not"),
            ({"name": "x", "slug": "00000000-0000-0000-0000-000000000000"}, "slug: must not look like a UUID"),
            ({"name": "x", "icon": "i" * 65}, "icon: String should have at most 64"),
            ({"name": "x", "defaults": {"metadata": {"a": 1}}}, "defaults.metadata.a: Input should be a valid string"),
            ({"name": "x", "defaults": {"input_guardrails": "g"}}, "defaults.input_guardrails"),
            ({"name": "x", "defaults": []}, "defaults"),
            ({"name": "x", "usage_limits": {"credit_limit": 5}}, "usage_limits: must be an array"),
            ({"name": "x", "usage_limits": [{"credit_limit": 0}]}, "usage_limits[0]"),
            ({"name": "x", "usage_limits": [{"credit_limit": 5, "x": 1}]}, "unknown field 'x'"),
            ({"name": "x", "rate_limits": [{"type": "requests", "unit": "rps", "value": 1}]}, "rate_limits[0].unit"),
            ({"name": "x", "users": ["nobody"]}, "users: 'nobody' is not in the organisation"),
            ({"name": "x", "security_settings": {"nothing": True}}, "security_settings: unknown 'nothing'"),
            ({"name": "x", "settings": {"debug_log": 0}}, "section 'logs' is set by the organisation"),
        ],
    )
    def test_what_is_wrong_is_told_and_nothing_is_made(self, tenant: Tenant, body: dict[str, Any], said: str) -> None:
        status, code, message = refused(tenant.call("POST", WORKSPACES, body))
        assert (status, code) == (400, "AB01")
        assert said in message
        assert tenant.get(WORKSPACES)["total"] == 1

    def test_half_a_change_is_none(self, tenant: Tenant) -> None:
        told = made(tenant)
        body = {"name": "New", "settings": {"debug_log": 5}}
        assert refused(tenant.call("PUT", f"{WORKSPACES}/{told['id']}", body))[:2] == (400, "AB01")
        assert tenant.get(f"{WORKSPACES}/{told['id']}")["name"] == "Prod"

    def test_a_name_cannot_be_cleared(self, tenant: Tenant) -> None:
        told = made(tenant)
        refusal = refused(tenant.call("PUT", f"{WORKSPACES}/{told['id']}", {"name": None}))
        assert refusal == (400, "AB01", "name: cannot be null; leave it out to keep it")

    @pytest.mark.parametrize(
        "content",
        [
            b'{"name": "a\\ud800"}',
            b'{"name": "a", "settings": {"\\ud800": 1}}',
            b'{"name": "a", "security_settings": {"\\ud800": true}}',
            b'{"name": "a", "usage_limits": [{"\\ud800": 1}]}',
            b'{"name": "a", "usage_limits": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
            b"\xff",
            b"null",
        ],
    )
    def test_what_is_no_text_or_no_object(self, tenant: Tenant, content: bytes) -> None:
        headers = {"x-portkey-api-key": tenant.admin_key, "content-type": "application/json"}
        assert refused(tenant.client.post(WORKSPACES, content=content, headers=headers))[:2] == (400, "AB01")

    def test_others_workspaces(self, tenant: Tenant, app: tuple[Installation, TestClient]) -> None:
        theirs = new_tenant(*app).workspace("Theirs")
        for reference in (theirs.id, theirs.slug, "absent"):
            for method, body in (("GET", None), ("PUT", {"name": "x"}), ("DELETE", {"name": "Theirs"})):
                answer = tenant.call(method, f"{WORKSPACES}/{reference}", body)
                assert refused(answer)[:2] == (403, "AB03")
