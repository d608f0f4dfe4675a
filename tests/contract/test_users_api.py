"""`/admin/users` over HTTP: shapes, filters, pages, rules, tenants."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.api_keys.rows import ApiKey
from api.organisations.rows import Organisation
from api.permissions import KeyKind
from api.users import service as users
from api.users.rows import OrganisationMember, User
from api.workspaces import service as workspaces
from api.workspaces.rows import Workspace, WorkspaceMember
from tests.factories.app import NOW, OWNER, Installation, auth, installed, serving

USERS = "/v1/admin/users"
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    with installed(tmp_path_factory.mktemp("users"), key_cache_s=0) as installation:
        yield installation


@pytest.fixture
def client(here: Installation) -> Generator[TestClient]:
    with serving(here, lambda: LATER) as running:
        running.headers.update(auth(here.key()))
        yield running


def error(answer: Any) -> tuple[int, str, str]:
    body = answer.json()
    assert body["success"] is False
    assert body["error"]["message"] == body["data"]["message"]
    return answer.status_code, body["data"]["errorCode"], body["data"]["message"]


def join(here: Installation, user_id: str, workspace: Workspace, role: str = "member") -> None:
    with here.database.transaction() as session:
        workspaces.add_member(session, workspace, user_id, role, now=NOW)


class TestReading:
    def test_a_person_has_exactly_these_fields(self, client: TestClient, here: Installation) -> None:
        user_id = here.member("ada@acme.example")
        workspace = here.workspace("Prod")
        join(here, user_id, workspace)
        wanted = {
            "object": "user",
            "id": user_id,
            "first_name": "",
            "last_name": "",
            "role": "member",
            "email": "ada@acme.example",
            "status": "active",
            "created_at": "2026-04-02T12:30:00.000Z",
            "last_updated_at": "2026-04-02T12:30:00.000Z",
            "workspace_ids": [workspace.slug],
        }
        assert client.get(f"{USERS}/{user_id}").json() == wanted
        assert client.get(f"{USERS}/{user_id.upper()}").json() == wanted
        answer = client.get(f"{USERS}?email=ADA@acme.example").json()
        assert answer == {"object": "list", "total": 1, "data": [wanted]}

    @pytest.mark.parametrize("path", ["/v1/users", "/v2/users", "/v2/admin/users", "/albus/v2/users"])
    def test_other_paths_are_the_same(self, client: TestClient, here: Installation, path: str) -> None:
        assert client.get(path).json() == client.get(USERS).json()
        assert client.get(f"{path}/{here.first.owner_user_id}").json()["role"] == "owner"

    def test_filters_by_role_and_email(self, client: TestClient, here: Installation) -> None:
        member = here.member("member@acme.example")
        assert [one["email"] for one in client.get(f"{USERS}?role=owner").json()["data"]] == [OWNER]
        assert [one["id"] for one in client.get(f"{USERS}?role=member&email=").json()["data"]] == [member]
        assert client.get(f"{USERS}?email=member").json()["total"] == 0
        assert error(client.get(f"{USERS}?role=boss")) == (
            400,
            "AB01",
            "role: 'boss' is not one of owner, admin, member",
        )

    def test_pages_are_stable_with_equal_times_and_in_both_spellings(
        self, client: TestClient, here: Installation
    ) -> None:
        for number in range(7):
            here.member(f"p{number}@acme.example")
        whole = [one["id"] for one in client.get(USERS).json()["data"]]
        assert whole == sorted(whole, reverse=True)
        for number, size in (("current_page", "page_size"), ("currentPage", "pageSize")):
            pages = [client.get(f"{USERS}?{number}={page}&{size}=3").json() for page in range(4)]
            assert [page["total"] for page in pages] == [8] * 4
            assert [one["id"] for page in pages for one in page["data"]] == whole
        assert error(client.get(f"{USERS}?page_size=1001"))[:2] == (400, "AB01")

    def test_archived_workspaces_are_not_named(self, client: TestClient, here: Installation) -> None:
        user_id, workspace = here.member("ada@acme.example"), here.workspace("Gone")
        join(here, user_id, workspace)
        with here.database.transaction() as session:
            session.get_one(Workspace, workspace.id).status = "archived"
        assert client.get(f"{USERS}/{user_id}").json()["workspace_ids"] == []


class TestTenants:
    def test_people_of_others_are_not_seen_nor_touched(self, client: TestClient, here: Installation) -> None:
        other = here.organisation("Other")
        stranger = here.member("x@other.example", other)
        assert client.get(USERS).json()["total"] == 1
        for call in (client.get, client.delete):
            assert error(call(f"{USERS}/{stranger}"))[:2] == (403, "AB03")
        assert error(client.put(f"{USERS}/{stranger}", json={"role": "admin"}))[:2] == (403, "AB03")

    def test_what_a_person_is_elsewhere_is_not_told(self, client: TestClient, here: Installation) -> None:
        other = here.organisation("Other")
        ada = here.member("ada@acme.example")
        with here.database.transaction() as session:
            users.join_organisation(session, session.get_one(User, ada), other, "admin", now=LATER)
            theirs = workspaces.create(session, organisation_id=other, name="Theirs", now=NOW)
            workspaces.add_member(session, theirs, ada, "admin", now=NOW)
        seen = client.get(f"{USERS}/{ada}").json()
        assert (seen["role"], seen["workspace_ids"]) == ("member", [])
        assert error(client.put(f"{USERS}/{ada}", json={"first_name": "Eve"}))[:2] == (403, "AB03")
        assert client.delete(f"{USERS}/{ada}").json() == {}
        with here.database.transaction(writes=False) as session:
            assert users.place_of(session, other, ada) is not None
            assert session.query(WorkspaceMember).filter_by(user_id=ada).count() == 1

    @pytest.mark.parametrize("user_id", ["absent", "%27%20OR%201=1", "00000000-0000-0000-0000-000000000000"])
    def test_nobody(self, client: TestClient, user_id: str) -> None:
        assert error(client.get(f"{USERS}/{user_id}"))[:2] == (404, "AB08")

    @pytest.mark.parametrize("path", ["/%00", "/a%0ab", "?email=%00", "?role=%0a%00", "/" + "x" * 256])
    def test_what_no_database_keeps_is_refused(self, client: TestClient, path: str) -> None:
        assert error(client.get(f"{USERS}{path}"))[:2] == (400, "AB01")


class TestChanging:
    def test_another_role(self, client: TestClient, here: Installation) -> None:
        user_id = here.member("ada@acme.example")
        answer = client.put(f"{USERS}/{user_id}", json={"role": "admin", "id": "x", "unknown": 1})
        assert (answer.status_code, answer.json()) == (200, {})
        seen = client.get(f"{USERS}/{user_id}").json()
        assert (seen["role"], seen["last_updated_at"]) == ("admin", "2026-04-02T12:31:00.000Z")

    def test_the_same_role_again_is_an_error(self, client: TestClient, here: Installation) -> None:
        user_id = here.member("ada@acme.example")
        refused = error(client.put(f"{USERS}/{user_id}", json={"role": "member"}))
        assert refused == (400, "AB01", "role: the user is 'member' already")

    def test_names(self, client: TestClient, here: Installation) -> None:
        user_id = here.member("ada@acme.example")
        assert client.put(f"{USERS}/{user_id}", json={"role": "member", "first_name": " Ada "}).json() == {}
        assert client.put(f"{USERS}/{user_id}", json={"last_name": "Löwe"}).json() == {}
        seen = client.get(f"{USERS}/{user_id}").json()
        assert (seen["first_name"], seen["last_name"]) == ("Ada", "Löwe")

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({}, "role: say what the user is to be; allowed: admin, member"),
            ({"role": None}, "role: say what the user is to be"),
            ({"role": "owner"}, "role: Input should be 'admin' or 'member'"),
            ({"role": 1}, "role: Input should be 'admin' or 'member'"),
            ({"role": "admin", "first_name": "a\u0000b"}, "first_name: must not contain control"),
            ({"role": "admin", "first_name": "x" * 256}, "first_name: String should have at most 255"),
            ([], "Input should be a valid"),
        ],
    )
    def test_what_is_wrong_is_told(self, client: TestClient, here: Installation, body: object, said: str) -> None:
        status, code, message = error(client.put(f"{USERS}/{here.member('a@acme.example')}", json=body))
        assert (status, code) == (400, "AB01")
        assert said in message

    def test_an_owner_keeps_the_role(self, client: TestClient, here: Installation) -> None:
        refused = error(client.put(f"{USERS}/{here.first.owner_user_id}", json={"role": "member"}))
        assert refused == (403, "AB03", "The role of an owner cannot be changed.")

    def test_people_from_scim_are_changed_there(self, client: TestClient, here: Installation) -> None:
        user_id = here.member("ada@acme.example")
        with here.database.transaction() as session:
            organisation = session.get_one(Organisation, here.first.organisation_id)
            organisation.settings = {"scim_organisation_provisioning": True}
        assert error(client.put(f"{USERS}/{user_id}", json={"role": "admin"}))[:2] == (403, "AB03")
        assert error(client.delete(f"{USERS}/{user_id}"))[:2] == (403, "AB03")
        assert client.get(f"{USERS}/{user_id}").status_code == 200


class TestLeaving:
    def test_who_leaves_loses_places_and_keys(self, client: TestClient, here: Installation) -> None:
        ada, bob = here.member("ada@acme.example"), here.member("bob@acme.example")
        workspace = here.workspace("Prod")
        for user_id in (ada, bob):
            join(here, user_id, workspace)
        scopes = ["analytics.view"]
        keys = [
            here.key(KeyKind.WORKSPACE_USER, workspace_id=workspace.id, user_id=user_id, scopes=scopes)
            for user_id in (ada, bob)
        ]
        probe = "/v1/pricing/unpriced?time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"
        assert [client.get(probe, headers=auth(key)).status_code for key in keys] == [200, 200]
        answer = client.request("DELETE", f"{USERS}/{ada}", json={"id": ada})
        assert (answer.status_code, answer.json()) == (200, {})
        assert [client.get(probe, headers=auth(key)).status_code for key in keys] == [401, 200]
        assert error(client.get(f"{USERS}/{ada}"))[:2] == (403, "AB03")
        assert client.get(USERS).json()["total"] == 2
        with here.database.transaction(writes=False) as session:
            assert [one.user_id for one in session.query(WorkspaceMember).filter_by(workspace_id=workspace.id)] == [bob]
            assert session.query(ApiKey).filter_by(user_id=ada).one().deleted_at == LATER

    def test_the_last_owner_stays(self, client: TestClient, here: Installation) -> None:
        refused = error(client.delete(f"{USERS}/{here.first.owner_user_id}"))
        assert refused == (409, "AB07", "The last owner of an organisation cannot be removed.")
        second = here.member("second@acme.example")
        with here.database.transaction() as session:
            session.query(OrganisationMember).filter_by(user_id=second).one().role = "owner"
        assert client.delete(f"{USERS}/{here.first.owner_user_id}").json() == {}
        assert error(client.delete(f"{USERS}/{second}"))[:2] == (409, "AB07")

    def test_who_left_may_come_back(self, client: TestClient, here: Installation) -> None:
        ada = here.member("ada@acme.example")
        client.delete(f"{USERS}/{ada}")
        assert here.member("ADA@acme.example") == ada
        assert client.get(f"{USERS}/{ada}").json()["workspace_ids"] == []
