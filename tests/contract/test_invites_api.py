"""Invites over HTTP: shapes, filters, one use of a token, mails."""

import re
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.api_keys.rows import ApiKey
from api.api_keys.service import hash_of
from api.invites.rows import Invite
from api.mail.settings import MailSettings
from api.users.rows import User
from api.workspaces.rows import Workspace
from tests.factories.app import NOW, Installation, installed, serving
from tests.factories.smtp_server import HOST, Post, smtp_server
from tests.factories.tenant import Tenant, new_tenant, refused

INVITES = "/v1/admin/users/invites"
FIELDS = {
    "object", "id", "email", "role", "created_at", "expires_at", "accepted_at", "status", "invited_by", "workspaces",
}  # fmt: skip
LINK = "https://ledger.example/invite/"
PATIENCE_S = 60

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


CLOCK = Clock()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Installation, TestClient, Post]]:
    with smtp_server() as (post, port):
        mail = MailSettings(
            switch="ON",
            host=HOST,
            port=port,
            sender="ledger@acme.example",
            control_plane_url="https://ledger.example/",
        )
        home = tmp_path_factory.mktemp("invites")
        with installed(home, key_cache_s=0, mail=mail) as here, serving(here, CLOCK) as client:
            yield here, client, post


@pytest.fixture
def tenant(app: tuple[Installation, TestClient, Post]) -> Generator[Tenant]:
    CLOCK.now = NOW
    yield new_tenant(*app[:2])
    CLOCK.now = NOW


def invited(tenant: Tenant, name: str = "new", **body: Any) -> dict[str, Any]:
    answer = tenant.call("POST", INVITES, {"email": tenant.email(name), "role": "member", "workspaces": [], **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def token_of(told: dict[str, Any]) -> str:
    link = told.get("invite_link") or told["inviteLink"]
    assert link.startswith(LINK)
    return link.removeprefix(LINK)


def accept(tenant: Tenant, token: str, body: Any = None) -> Any:
    sent = {} if body is None else {"json": body}
    return tenant.client.post(f"/v1/invites/{token}/accept", **sent)


class TestShapes:
    def test_a_new_invite_is_more_than_its_link(self, tenant: Tenant) -> None:
        workspace = tenant.workspace()
        told = invited(tenant, workspaces=[{"id": workspace.slug, "role": "ws-manager"}])
        assert set(told) == FIELDS | {"invite_link"}
        place = {"id": workspace.id, "workspace_id": workspace.id, "role": "manager"}
        seen = {name: told[name] for name in FIELDS - {"id"}}
        assert seen == {
            "object": "invite",
            "email": tenant.email("new"),
            "role": "member",
            "created_at": "2026-04-02T12:30:00.000Z",
            "expires_at": "2026-04-09T12:30:00.000Z",
            "accepted_at": None,
            "status": "pending",
            "invited_by": None,
            "workspaces": [place],
        }
        assert tenant.get(f"{INVITES}/{told['id']}") == {"id": told["id"], **seen}
        assert tenant.get(INVITES) == {"object": "list", "total": 1, "data": [{"id": told["id"], **seen}]}

    @pytest.mark.parametrize("path", ["/v1/users/invites", "/v2/users/invites", "/albus/v2/admin/users/invites"])
    def test_other_paths_are_the_same(self, tenant: Tenant, path: str) -> None:
        told = invited(tenant)
        assert tenant.get(path) == tenant.get(INVITES)
        assert tenant.get(f"{path}/{told['id']}")["id"] == told["id"]
        assert set(tenant.call("POST", f"{path}/{told['id']}/resend").json()) == {"inviteLink"}

    def test_what_is_optional_may_be_null_or_missing(self, tenant: Tenant) -> None:
        body = {"email": f" {tenant.email('NEW').upper()} ", "role": "admin"}
        told = tenant.call("POST", INVITES, {**body, "workspaces": None, "workspace_api_key_details": None}).json()
        assert (told["email"], told["role"], told["workspaces"]) == (tenant.email("new"), "admin", [])

    def test_the_one_behind_the_key_invites(self, tenant: Tenant) -> None:
        with tenant.here.database.transaction() as session:
            session.query(ApiKey).filter_by(key_hash=hash_of(tenant.admin_key)).one().created_by = tenant.owner_id
        assert invited(tenant)["invited_by"] == tenant.owner_id

    def test_there_is_no_put(self, tenant: Tenant) -> None:
        assert tenant.call("PUT", f"{INVITES}/{invited(tenant)['id']}", {"role": "admin"}).status_code == 405

    def test_the_token_is_not_kept(self, tenant: Tenant) -> None:
        token = token_of(invited(tenant))
        with tenant.here.database.transaction(writes=False) as session:
            row = session.query(Invite).filter_by(organisation_id=tenant.id).one()
            assert row.token_hash == hash_of(token)
            assert token not in str(vars(row))


class TestLists:
    def test_filters(self, tenant: Tenant) -> None:
        first, second, third = (invited(tenant, name) for name in ("a", "b", "c"))
        boss = invited(tenant, "boss", role="admin")
        tenant.call("DELETE", f"{INVITES}/{first['id']}")
        accept(tenant, token_of(second))

        def ids(query: str) -> set[str]:
            return {one["id"] for one in tenant.get(f"{INVITES}?{query}")["data"]}

        assert ids("status=cancelled") == {first["id"]}
        assert ids("status=accepted") == {second["id"]}
        assert ids("status=pending") == {third["id"], boss["id"]}
        assert ids("status=expired") == set()
        assert ids("role=admin") == {boss["id"]}
        assert ids(f"email={tenant.email('C')}&role=") == {third["id"]}
        CLOCK.now = NOW + timedelta(days=7)
        assert ids("status=expired") == {third["id"], boss["id"]}
        assert ids("status=pending") == set()
        assert tenant.get(f"{INVITES}/{third['id']}")["status"] == "expired"
        assert refused(tenant.call("GET", f"{INVITES}?status=gone")) == (
            400, "AB01", "status: 'gone' is not one of pending, cancelled, accepted, expired",
        )  # fmt: skip
        assert refused(tenant.call("GET", f"{INVITES}?role=owner"))[:2] == (400, "AB01")

    def test_pages(self, tenant: Tenant) -> None:
        for name in "abcde":
            invited(tenant, name)
        whole = [one["id"] for one in tenant.get(INVITES)["data"]]
        assert whole == sorted(whole, reverse=True)
        for number, size in (("current_page", "page_size"), ("currentPage", "pageSize")):
            pages = [tenant.get(f"{INVITES}?{number}={page}&{size}=2") for page in range(3)]
            assert [page["total"] for page in pages] == [5] * 3
            assert [one["id"] for page in pages for one in page["data"]] == whole


class TestAccepting:
    def test_who_says_yes_is_in_with_places_and_keys(self, tenant: Tenant) -> None:
        one, two = tenant.workspace("One"), tenant.workspace("Two")
        details = {"scopes": ["analytics.view"], "name": "First key", "metadata": {"team": "a"}}
        told = invited(
            tenant,
            workspaces=[{"id": one.id, "role": "admin"}, {"id": two.slug, "role": "member"}],
            workspace_api_key_details=details,
            first_name="Ada",
        )
        answer = accept(tenant, token_of(told), {"last_name": "Löwe"})
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        keys = body.pop("api_keys")
        user = tenant.get(f"/v1/admin/users?email={told['email']}")["data"][0]
        assert body == {
            "object": "accepted-invite",
            "id": told["id"],
            "user_id": user["id"],
            "organisation_id": tenant.id,
            "email": told["email"],
            "role": "member",
            "workspaces": body["workspaces"],
        }
        assert {(place["id"], place["role"]) for place in body["workspaces"]} == {(one.id, "admin"), (two.id, "member")}
        assert (user["first_name"], user["last_name"], user["role"]) == ("Ada", "Löwe", "member")
        assert set(user["workspace_ids"]) == {one.slug, two.slug}
        assert {key["workspace_id"] for key in keys} == {one.id, two.id}
        assert all(set(key) == {"object", "id", "key", "workspace_id"} for key in keys)
        assert all(tenant.works(key["key"]) for key in keys)
        with tenant.here.database.transaction(writes=False) as session:
            row = session.get_one(ApiKey, keys[0]["id"])
            assert (row.type, row.creation_mode, row.user_id) == ("workspace-user", "auto", user["id"])
            assert (row.name, row.scopes, row.defaults) == (
                "First key", ["analytics.view"], {"metadata": {"team": "a"}},
            )  # fmt: skip
        seen = tenant.get(f"{INVITES}/{told['id']}")
        assert (seen["status"], seen["accepted_at"]) == ("accepted", "2026-04-02T12:30:00.000Z")

    def test_the_audit_log_says_who_joined_and_keeps_no_token(self, tenant: Tenant) -> None:
        told = invited(tenant)
        tokens = [token_of(told)]
        tokens.append(token_of(tenant.call("POST", f"{INVITES}/{told['id']}/resend").json()))
        joined = accept(tenant, tokens[1]).json()
        path = "/v1/audit-logs?start_time=2026-01-01T00:00:00Z&end_time=2026-12-31T00:00:00Z"
        end = monotonic() + 30
        while (records := tenant.get(path)["records"]) == [] or len(records) < 3:
            assert monotonic() < end
            sleep(0.05)
        by_uri = {one["uri"].partition("?")[0].rpartition("/")[2]: one for one in records}
        assert set(by_uri) == {"invites", "resend", "accept"}
        said = by_uri["accept"]
        assert (said["user_type"], said["user_id"], said["resource_id"]) == ("user", joined["user_id"], told["id"])
        assert (said["resource_type"], said["action"]) == ("invites", "update")
        assert not [token for token in tokens if token in str(records)]

    def test_a_token_works_once(self, tenant: Tenant) -> None:
        token = token_of(invited(tenant))
        assert accept(tenant, token).status_code == 200
        assert refused(accept(tenant, token)) == (409, "AB07", "The invite is accepted and cannot be accepted.")

    def test_a_token_works_once_whoever_races(self, tenant: Tenant) -> None:
        token = token_of(invited(tenant))
        with ThreadPoolExecutor(6) as pool:
            status = sorted(answer.status_code for answer in pool.map(lambda _: accept(tenant, token), range(6)))
        assert status == [200, 409, 409, 409, 409, 409]
        assert tenant.get("/v1/admin/users")["total"] == 2

    def test_it_runs_out(self, tenant: Tenant) -> None:
        told = invited(tenant)
        CLOCK.now = NOW + timedelta(days=7)
        assert refused(accept(tenant, token_of(told)))[:2] == (409, "AB07")
        again = tenant.call("POST", f"{INVITES}/{told['id']}/resend").json()
        assert accept(tenant, token_of(told)).status_code == 404
        assert accept(tenant, token_of(again)).status_code == 200

    def test_it_is_taken_back(self, tenant: Tenant) -> None:
        told = invited(tenant)
        for _ in range(2):
            assert tenant.call("DELETE", f"{INVITES}/{told['id']}").json() == {}
        assert refused(accept(tenant, token_of(told))) == (
            409, "AB07", "The invite is cancelled and cannot be accepted.",
        )  # fmt: skip
        assert refused(tenant.call("POST", f"{INVITES}/{told['id']}/resend"))[:2] == (409, "AB07")
        assert tenant.get(f"{INVITES}/{told['id']}")["status"] == "cancelled"

    @pytest.mark.parametrize("token", ["absent", "gl_" + "x" * 43, "%27%20OR%201=1", "%00", "é"])
    def test_a_token_of_nothing(self, tenant: Tenant, token: str) -> None:
        assert refused(accept(tenant, token))[:2] == (404, "AB08")

    def test_who_came_in_otherwise_gets_a_clear_conflict(self, tenant: Tenant) -> None:
        told = invited(tenant)
        tenant.member("new")
        refusal = (409, "AB07", f"{told['email']} is a member of the organisation already.")
        assert refused(accept(tenant, token_of(told))) == refusal
        assert refused(tenant.call("POST", f"{INVITES}/{told['id']}/resend")) == refusal
        assert refused(tenant.call("POST", INVITES, {"email": told["email"], "role": "admin"})) == refusal
        assert tenant.get(f"{INVITES}/{told['id']}")["status"] == "pending"

    def test_an_archived_workspace_is_left_out(self, tenant: Tenant) -> None:
        gone, kept = tenant.workspace("Gone"), tenant.workspace("Kept")
        places = [{"id": gone.id, "role": "member"}, {"id": kept.id, "role": "member"}]
        told = invited(tenant, workspaces=places, workspace_api_key_details={"scopes": ["logs.view"]})
        with tenant.here.database.transaction() as session:
            session.get_one(Workspace, gone.id).status = "archived"
        body = accept(tenant, token_of(told)).json()
        assert [place["id"] for place in body["workspaces"]] == [kept.id]
        assert [key["workspace_id"] for key in body["api_keys"]] == [kept.id]

    def test_keys_keep_the_rules_of_the_workspace(self, tenant: Tenant) -> None:
        tenant.settings(settings={"user_api_key_max_ttl": 3600})
        workspace = tenant.workspace()
        told = invited(
            tenant,
            workspaces=[{"id": workspace.id, "role": "member"}],
            workspace_api_key_details={"scopes": ["logs.view"], "expiry": "2027-01-01T00:00:00Z"},
        )
        key = accept(tenant, token_of(told)).json()["api_keys"][0]
        with tenant.here.database.transaction(writes=False) as session:
            row = session.get_one(ApiKey, key["id"])
            assert (row.expires_at, row.expiry_enforced) == (NOW + timedelta(hours=1), True)

    def test_nobody_is_renamed_by_an_invite(self, tenant: Tenant) -> None:
        other = new_tenant(tenant.here, tenant.client)
        user_id = other.member("x")
        with tenant.here.database.transaction() as session:
            session.get_one(User, user_id).first_name = "Ada"
        told = invited(tenant, email=other.email("x"), first_name="Eve")
        assert accept(tenant, token_of(told), {"first_name": "Eve"}).json()["user_id"] == user_id
        assert other.get(f"/v1/admin/users/{user_id}")["first_name"] == "Ada"


class TestPage:
    def test_looking_accepts_nothing_and_the_button_does(self, tenant: Tenant) -> None:
        tenant.settings(name="A <b>& Co")
        workspace = tenant.workspace("Prod")
        told = invited(
            tenant,
            workspaces=[{"id": workspace.id, "role": "member"}],
            workspace_api_key_details={"scopes": ["analytics.view"]},
        )
        path = f"/invite/{token_of(told)}"
        for _ in range(2):
            page = tenant.client.get(path)
            assert page.status_code == 200
            assert page.headers["content-type"].startswith("text/html")
            assert page.headers["referrer-policy"] == "no-referrer"
            assert page.headers["cache-control"] == "no-store"
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert "Join A &lt;b&gt;&amp; Co" in page.text
            assert '<form method="post">' in page.text
        assert tenant.get(f"{INVITES}/{told['id']}")["status"] == "pending"
        page = tenant.client.post(path, content=b"", headers={"content-type": "application/x-www-form-urlencoded"})
        key = re.findall(r"gl_[0-9A-Za-z]{43}", page.text)
        assert len(key) == 1
        assert tenant.works(key[0])
        assert tenant.get(f"{INVITES}/{told['id']}")["status"] == "accepted"
        for again in (tenant.client.get(path), tenant.client.post(path)):
            assert again.status_code == 409
            assert "The invite is accepted" in again.text
            assert "<form" not in again.text

    def test_who_cannot_join_leaves_the_invite_as_it_is(self, tenant: Tenant) -> None:
        told = invited(tenant)
        tenant.member("new")
        page = tenant.client.post(f"/invite/{token_of(told)}")
        assert page.status_code == 409
        assert "is a member of the organisation already" in page.text
        assert tenant.get(f"{INVITES}/{told['id']}")["status"] == "pending"
        assert tenant.client.get("/invite/absent").status_code == 404
