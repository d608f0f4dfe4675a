"""`/admin/users` over HTTP: shapes, filters, pages, rules, tenants."""

from collections.abc import Generator
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from api.api_keys.rows import ApiKey
from api.users import service as users
from api.users.rows import OrganisationMember, User
from api.workspaces import service as workspaces
from api.workspaces.rows import Workspace, WorkspaceMember
from tests.factories.app import NOW, Installation, installed, serving
from tests.factories.tenant import Tenant, new_tenant, refused

USERS = "/v1/admin/users"
LATER = NOW + timedelta(minutes=1)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Installation, TestClient]]:
    with installed(tmp_path_factory.mktemp("users"), key_cache_s=0) as here, serving(here, lambda: LATER) as client:
        yield here, client


@pytest.fixture
def tenant(app: tuple[Installation, TestClient]) -> Tenant:
    return new_tenant(*app)


class TestReading:
    def test_a_person_has_exactly_these_fields(self, tenant: Tenant) -> None:
        user_id = tenant.member("ada")
        workspace = tenant.workspace("Prod")
        tenant.join(user_id, workspace)
        wanted = {
            "object": "user",
            "id": user_id,
            "first_name": "",
            "last_name": "",
            "role": "member",
            "email": tenant.email("ada"),
            "status": "active",
            "created_at": "2026-04-02T12:30:00.000Z",
            "last_updated_at": "2026-04-02T12:30:00.000Z",
            "workspace_ids": [workspace.slug],
        }
        assert tenant.get(f"{USERS}/{user_id}") == wanted
        assert tenant.get(f"{USERS}/{user_id.upper()}") == wanted
        answer = tenant.get(f"{USERS}?email={tenant.email('ADA')}")
        assert answer == {"object": "list", "total": 1, "data": [wanted]}

    @pytest.mark.parametrize("path", ["/v1/users", "/v2/users", "/v2/admin/users", "/albus/v2/users"])
    def test_other_paths_are_the_same(self, tenant: Tenant, path: str) -> None:
        assert tenant.get(path) == tenant.get(USERS)
        assert tenant.get(f"{path}/{tenant.owner_id}")["role"] == "owner"

    def test_filters_by_role_and_email(self, tenant: Tenant) -> None:
        member = tenant.member("member")
        assert [one["email"] for one in tenant.get(f"{USERS}?role=owner")["data"]] == [
            f"owner@t{tenant.number}.example"
        ]
        assert [one["id"] for one in tenant.get(f"{USERS}?role=member&email=")["data"]] == [member]
        assert tenant.get(f"{USERS}?email=member")["total"] == 0
        assert refused(tenant.call("GET", f"{USERS}?role=boss")) == (
            400,
            "AB01",
            "role: 'boss' is not one of owner, admin, member",
        )

    def test_pages_are_stable_with_equal_times_and_in_both_spellings(self, tenant: Tenant) -> None:
        for number in range(7):
            tenant.member(f"p{number}")
        whole = [one["id"] for one in tenant.get(USERS)["data"]]
        assert whole == sorted(whole, reverse=True)
        for number, size in (("current_page", "page_size"), ("currentPage", "pageSize")):
            pages = [tenant.get(f"{USERS}?{number}={page}&{size}=3") for page in range(4)]
            assert [page["total"] for page in pages] == [8] * 4
            assert [one["id"] for page in pages for one in page["data"]] == whole
        assert refused(tenant.call("GET", f"{USERS}?page_size=1001"))[:2] == (400, "AB01")

    def test_archived_workspaces_are_not_named(self, tenant: Tenant) -> None:
        user_id, workspace = tenant.member("ada"), tenant.workspace("Gone")
        tenant.join(user_id, workspace)
        with tenant.here.database.transaction() as session:
            session.get_one(Workspace, workspace.id).status = "archived"
        assert tenant.get(f"{USERS}/{user_id}")["workspace_ids"] == []


class TestTenants:
    def test_people_of_others_are_not_seen_nor_touched(self, tenant: Tenant) -> None:
        stranger = new_tenant(tenant.here, tenant.client).member("x")
        assert tenant.get(USERS)["total"] == 1
        for method in ("GET", "DELETE"):
            assert refused(tenant.call(method, f"{USERS}/{stranger}"))[:2] == (404, "AB08")
        assert refused(tenant.call("PUT", f"{USERS}/{stranger}", {"role": "admin"}))[:2] == (404, "AB08")

    def test_what_a_person_is_elsewhere_is_not_told(self, tenant: Tenant) -> None:
        other = new_tenant(tenant.here, tenant.client).id
        ada = tenant.member("ada")
        with tenant.here.database.transaction() as session:
            users.join_organisation(session, session.get_one(User, ada), other, "admin", now=LATER)
            theirs = workspaces.create(session, organisation_id=other, name="Theirs", now=NOW)
            workspaces.add_member(session, theirs, ada, "admin", now=NOW)
        seen = tenant.get(f"{USERS}/{ada}")
        assert (seen["role"], seen["workspace_ids"]) == ("member", [])
        assert refused(tenant.call("PUT", f"{USERS}/{ada}", {"first_name": "Eve"}))[:2] == (403, "AB03")
        assert tenant.call("DELETE", f"{USERS}/{ada}").json() == {}
        with tenant.here.database.transaction(writes=False) as session:
            assert users.place_of(session, other, ada) is not None
            assert session.query(WorkspaceMember).filter_by(user_id=ada).count() == 1

    @pytest.mark.parametrize("user_id", ["absent", "%27%20OR%201=1", "00000000-0000-0000-0000-000000000000"])
    def test_nobody(self, tenant: Tenant, user_id: str) -> None:
        assert refused(tenant.call("GET", f"{USERS}/{user_id}"))[:2] == (404, "AB08")

    @pytest.mark.parametrize("path", ["/%00", "/a%0ab", "?email=%00", "?role=%0a%00", "/" + "x" * 256])
    def test_what_no_database_keeps_is_refused(self, tenant: Tenant, path: str) -> None:
        assert refused(tenant.call("GET", f"{USERS}{path}"))[:2] == (400, "AB01")


class TestChanging:
    def test_another_role(self, tenant: Tenant) -> None:
        user_id = tenant.member("ada")
        answer = tenant.call("PUT", f"{USERS}/{user_id}", {"role": "admin", "id": "x", "unknown": 1})
        assert (answer.status_code, answer.json()) == (200, {})
        seen = tenant.get(f"{USERS}/{user_id}")
        assert (seen["role"], seen["last_updated_at"]) == ("admin", "2026-04-02T12:31:00.000Z")

    def test_the_same_role_again_is_an_error(self, tenant: Tenant) -> None:
        user_id = tenant.member("ada")
        refusal = refused(tenant.call("PUT", f"{USERS}/{user_id}", {"role": "member"}))
        assert refusal == (400, "AB01", "role: the user is 'member' already")

    def test_names(self, tenant: Tenant) -> None:
        user_id = tenant.member("ada")
        assert tenant.call("PUT", f"{USERS}/{user_id}", {"role": "member", "first_name": " Ada "}).json() == {}
        assert tenant.call("PUT", f"{USERS}/{user_id}", {"last_name": "Löwe"}).json() == {}
        seen = tenant.get(f"{USERS}/{user_id}")
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
            ([], "The body must be a JSON object."),
        ],
    )
    def test_what_is_wrong_is_told(self, tenant: Tenant, body: object, said: str) -> None:
        status, code, message = refused(tenant.call("PUT", f"{USERS}/{tenant.member('a')}", body))
        assert (status, code) == (400, "AB01")
        assert said in message

    def test_an_owner_keeps_the_role(self, tenant: Tenant) -> None:
        refusal = refused(tenant.call("PUT", f"{USERS}/{tenant.owner_id}", {"role": "member"}))
        assert refusal == (403, "AB03", "The role of an owner cannot be changed.")

    def test_people_from_scim_are_changed_there(self, tenant: Tenant) -> None:
        user_id = tenant.member("ada")
        tenant.settings(settings={"scim_organisation_provisioning": True})
        assert refused(tenant.call("PUT", f"{USERS}/{user_id}", {"role": "admin"}))[:2] == (403, "AB03")
        assert refused(tenant.call("DELETE", f"{USERS}/{user_id}"))[:2] == (403, "AB03")
        assert tenant.call("GET", f"{USERS}/{user_id}").status_code == 200


class TestLeaving:
    def test_who_leaves_loses_places_and_keys(self, tenant: Tenant) -> None:
        ada, bob = tenant.member("ada"), tenant.member("bob")
        workspace = tenant.workspace("Prod")
        for user_id in (ada, bob):
            tenant.join(user_id, workspace)
        keys = [tenant.user_key(user_id, workspace) for user_id in (ada, bob)]
        assert [tenant.works(key) for key in keys] == [True, True]
        answer = tenant.call("DELETE", f"{USERS}/{ada}", {"id": ada})
        assert (answer.status_code, answer.json()) == (200, {})
        assert [tenant.works(key) for key in keys] == [False, True]
        assert refused(tenant.call("GET", f"{USERS}/{ada}"))[:2] == (404, "AB08")
        assert tenant.get(USERS)["total"] == 2
        with tenant.here.database.transaction(writes=False) as session:
            assert [one.user_id for one in session.query(WorkspaceMember).filter_by(workspace_id=workspace.id)] == [bob]
            assert session.query(ApiKey).filter_by(user_id=ada).one().deleted_at == LATER

    def test_the_last_owner_stays(self, tenant: Tenant) -> None:
        refusal = refused(tenant.call("DELETE", f"{USERS}/{tenant.owner_id}"))
        assert refusal == (409, "AB07", "The last owner of an organisation cannot be removed.")
        second = tenant.member("second")
        with tenant.here.database.transaction() as session:
            session.query(OrganisationMember).filter_by(user_id=second).one().role = "owner"
        assert tenant.call("DELETE", f"{USERS}/{tenant.owner_id}").json() == {}
        assert refused(tenant.call("DELETE", f"{USERS}/{second}"))[:2] == (409, "AB07")

    def test_who_left_may_come_back(self, tenant: Tenant) -> None:
        ada = tenant.member("ada")
        tenant.call("DELETE", f"{USERS}/{ada}")
        assert tenant.member("ADA") == ada
        assert tenant.get(f"{USERS}/{ada}")["workspace_ids"] == []
