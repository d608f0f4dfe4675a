"""Who may do what with which key: kinds, workspaces, organisations, people, lifetimes."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from api.api_keys import administration, listing
from api.api_keys.schemas import KeyChanges, NewKeyBody
from api.errors import Forbidden
from api.organisations.rows import Organisation
from api.paging import Page
from api.permissions import KeyKind
from api.principal import Principal
from api.rights import RULES, effective_scopes
from api.security_settings.service import effective
from api.workspaces.rows import Workspace
from tests.factories.api_keys import KEYS, World, error
from tests.factories.app import NOW, auth, installed, serving

ORGANISATION, SERVICE, USER = KeyKind
KINDS = {ORGANISATION: "organisation_service", SERVICE: "workspace_service", USER: "workspace_user"}
VERBS = ("create", "read", "update", "delete", "list", "rotate")
EVERYTHING = Page(0, 1000)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("rights"), key_cache_s=0) as here, serving(here) as client:
        yield World(here, client)


@pytest.fixture(scope="module")
def one_of_each(world: World) -> dict[KeyKind, str]:
    """Ids of keys that may nothing."""
    user = world.here.colleague("each@acme.example", world.workspace)
    return {
        ORGANISATION: world.made("organisation/service", scopes=[])["id"],
        SERVICE: world.made("workspace/service", scopes=[])["id"],
        USER: world.made("workspace/user", scopes=[], user_id=user)["id"],
    }


@pytest.mark.parametrize("held", list(KeyKind))
def test_the_kind_of_the_key_decides_which_scope_counts(
    world: World, one_of_each: dict[KeyKind, str], held: KeyKind
) -> None:
    caller = world.here.key(scopes=[f"{KINDS[held]}_api_keys.{verb}" for verb in VERBS])
    for kind, key_id in one_of_each.items():
        expected = 200 if kind is held else 403
        assert world.get(key_id, caller).status_code == expected
        assert world.put(key_id, caller, name="x").status_code == expected
        path = kind.value.replace("-", "/")
        member = {"user_id": world.here.first.owner_user_id} if kind is USER else {}
        place = {} if kind is ORGANISATION else {"workspace_id": world.workspace}
        made = world.make(path, key=caller, scopes=[], **member, **place)
        assert made.status_code == expected
        if kind is held:
            assert world.client.post(f"{KEYS}/{made.json()['id']}/rotate", headers=auth(caller)).status_code == 200
            assert world.delete(made.json()["id"], caller).status_code == 200
    kinds = {item["type"] for item in world.listed(caller).json()["data"]}
    assert kinds == {held.value}


@pytest.mark.parametrize("verb", ["read", "update", "delete", "rotate", "list"])
def test_each_verb_is_a_right_of_its_own(world: World, one_of_each: dict[KeyKind, str], verb: str) -> None:
    caller = world.here.key(scopes=[f"workspace_service_api_keys.{one}" for one in VERBS if one != verb])
    key_id = one_of_each[SERVICE]
    answers = {
        "read": lambda: world.get(key_id, caller),
        "update": lambda: world.put(key_id, caller, name="x"),
        "delete": lambda: world.delete(key_id, caller),
        "list": lambda: world.listed(caller),
    }
    if verb in answers:
        error(answers[verb](), 403, "AB03")
    else:
        made = world.made(scopes=[])  # rotating is done with update as well
        assert world.client.post(f"{KEYS}/{made['id']}/rotate", headers=auth(caller)).status_code == 200


class TestWorkspaces:
    def test_a_workspace_key_is_pinned_to_its_workspace(self, world: World) -> None:
        other = world.here.workspace("Other", slug="other-place")
        there, here = world.made(workspace_id=other.id), world.made()
        caller = world.here.key(SERVICE, workspace_id=other.id)
        assert {item["workspace_id"] for item in world.listed(caller).json()["data"]} == {other.id}
        assert world.get(there["id"], caller).status_code == 200
        for answer in (
            world.get(here["id"], caller),
            world.put(here["id"], caller, name="x"),
            world.delete(here["id"], caller),
            world.client.post(f"{KEYS}/{here['id']}/rotate", headers=auth(caller)),
            world.listed(caller, workspace_id=world.workspace),
            world.make(key=caller, workspace_id=world.workspace),
        ):
            error(answer, 403, "AB03")
        made = world.make(key=caller).json()  # its own workspace needs no name
        assert world.read(made["id"])["workspace_id"] == other.id
        error(world.make("organisation/service", key=caller, scopes=["logs.list"]), 403, "AB03")

    def test_a_key_of_another_organisation(self, world: World) -> None:
        made = world.made()
        organisation_id = world.here.organisation("Globex")
        caller = world.here.key(organisation_id=organisation_id)
        for answer in (
            world.get(made["id"], caller),
            world.put(made["id"], caller, name="stolen"),
            world.delete(made["id"], caller),
            world.client.post(f"{KEYS}/{made['id']}/rotate", headers=auth(caller)),
        ):
            assert error(answer, 404, "AB08") == f"There is no API key '{made['id']}'."
        for answer in (
            world.listed(caller, workspace_id=world.workspace),
            world.make(key=caller, workspace_id=world.workspace),
            world.make(key=caller, workspace_id=world.here.first.workspace_slug),
            world.make(key=caller, organisation_id=world.here.first.organisation_id),
        ):
            error(answer, 403, "AB03")
        assert [item["organisation_id"] for item in world.listed(caller, ids=made["id"]).json()["data"]] == []
        assert {item["organisation_id"] for item in world.listed(caller).json()["data"]} == {organisation_id}
        assert world.read(made["id"])["name"] == "A key"


class TestGranting:
    def test_nobody_gives_what_it_does_not_hold(self, world: World) -> None:
        scopes = [*(f"workspace_service_api_keys.{verb}" for verb in VERBS), "logs.list"]
        for caller in (
            world.here.key(scopes=scopes),
            world.here.key(SERVICE, workspace_id=world.workspace, scopes=scopes),
        ):
            asked = {"key": caller, "workspace_id": world.workspace}
            assert world.make(**asked, scopes=["logs.list"]).status_code == 200
            message = error(world.make(**asked, scopes=["logs.list", "configs.delete"]), 403, "AB03")
            assert message.endswith("configs.delete")
            made = world.make(**asked, scopes=["logs.list"]).json()
            error(world.put(made["id"], caller, scopes=["logs.list", "configs.delete"]), 403, "AB03")

    def test_what_the_key_holds_already_may_stay(self, world: World) -> None:
        made = world.made(scopes=["configs.delete", "logs.list"])
        caller = world.here.key(scopes=["workspace_service_api_keys.update"])
        assert world.put(made["id"], caller, scopes=["configs.delete"]).status_code == 200

    def test_an_organisation_key_gives_what_only_workspace_keys_hold(self, world: World) -> None:
        caller = world.here.key(scopes=["workspace_service_api_keys.create"])
        asked = {"key": caller, "workspace_id": world.workspace}
        assert world.make(**asked, scopes=["completions.write", "mcp.invoke"]).status_code == 200
        error(world.make(**asked, scopes=["logs.write"]), 403, "AB03")

    def test_a_workspace_key_gives_inference_only_when_it_has_it(self, world: World) -> None:
        caller = world.here.key(SERVICE, workspace_id=world.workspace, scopes=["workspace_service_api_keys.create"])
        error(world.make(key=caller, scopes=["completions.write"]), 403, "AB03")

    def test_the_kind_is_a_ceiling_whatever_the_caller_holds(self, world: World) -> None:
        message = error(world.make(scopes=["audit_logs.list"]), 400, "AB01")
        assert "audit_logs.list" in message
        user = world.here.first.owner_user_id
        message = error(
            world.make("workspace/user", scopes=["workspace_user_api_keys.list"], user_id=user), 400, "AB01"
        )
        assert "workspace_user_api_keys.list" in message


class TestOnBehalf:
    def test_a_service_key_names_the_user(self, world: World) -> None:
        assert error(world.make("workspace/user"), 400, "AB01").startswith("user_id: a service key must name")

    def test_only_for_members_of_the_workspace(self, world: World) -> None:
        outside = world.here.member("outside@acme.example")
        elsewhere = world.here.workspace("Behalf")
        member = world.here.colleague("behalf@acme.example", elsewhere.id)
        foreign = world.here.member("foreign@globex.example", world.here.organisation("Behalf Globex"))
        for user in (outside, member, foreign, "absent"):
            message = error(world.make("workspace/user", user_id=user), 400, "AB01")
            assert message == "user_id: is not a member of this workspace; add the user first"
        assert world.make("workspace/user", user_id=member, workspace_id=elsewhere.id).status_code == 200

    def test_owners_and_admins_are_at_home_everywhere(self, world: World) -> None:
        admin = world.here.member("admin@acme.example", role="admin")
        elsewhere = world.here.workspace("Everywhere")
        for user in (admin, world.here.first.owner_user_id):
            assert world.make("workspace/user", user_id=user, workspace_id=elsewhere.id).status_code == 200

    def test_user_and_kind_never_change(self, world: World) -> None:
        user = world.here.colleague("constant@acme.example", world.workspace)
        made = world.made("workspace/user", user_id=user)
        after = world.changed(made["id"], user_id=world.here.first.owner_user_id, type="workspace-service")
        assert (after["user_id"], after["type"]) == (user, "workspace-user")


class TestPeople:
    """Sessions of people act by their role. Their keys cannot hold these scopes, so principals are made by hand."""

    def person(
        self, world: World, email: str, role: str, organisation_role: str = "member", **settings: bool
    ) -> Principal:
        user = world.here.colleague(email, world.workspace, role, organisation_role)
        with world.here.database.transaction(writes=False) as session:
            organisation = session.get_one(Organisation, world.here.first.organisation_id)
            counting = {**effective(organisation, session.get_one(Workspace, world.workspace)), **settings}
        held = {f"{KINDS[kind]}_api_keys.{verb}" for kind in (SERVICE, USER) for verb in VERBS} | {"logs.list"}
        scopes = {scope for scope in held if scope not in RULES or RULES[scope].allows(role, counting)}
        assert not effective_scopes(USER, {"workspace_user_api_keys.list"}, "member", role, counting)
        return Principal(
            kind=USER,
            key_id="a-session",
            organisation_id=world.here.first.organisation_id,
            scopes=frozenset(scopes | ({"completions.write"} if role else set())),
            workspace_id=world.workspace,
            workspace_slug=world.here.first.workspace_slug,
            user_id=user,
            organisation_role=organisation_role,
            workspace_role=role,
        )

    def body(self, **fields: Any) -> NewKeyBody:
        return NewKeyBody.model_validate({"name": "Mine", "scopes": ["logs.list"], **fields})

    def test_a_member_has_its_own_keys_and_sees_no_others(self, world: World) -> None:
        member = self.person(world, "member@acme.example", "member")
        other = world.here.colleague("neighbour@acme.example", world.workspace)
        theirs = world.made("workspace/user", user_id=other, scopes=[])["id"]
        service = world.made(scopes=[])["id"]
        with world.here.database.transaction() as session:
            mine = administration.create(session, member, USER, self.body(), NOW).row
            assert mine.user_id == member.user_id  # nobody else needs to be named
            rows, total = listing.listed(session, member, EVERYTHING, None, [])
            assert ([row.id for row in rows], total) == ([mine.id], 1)
            assert administration.find(session, member, mine.id, "read") is mine
            administration.rotate(session, member, mine.id, None, NOW)
            administration.delete(session, member, mine.id, None, NOW)
            for key_id in (theirs, service, mine.id):
                for act in ("read", "update", "delete"):
                    with pytest.raises(Forbidden):
                        administration.find(session, member, key_id, act)
            for kind, wanted in ((USER, self.body(user_id=other)), (SERVICE, self.body())):
                with pytest.raises(Forbidden):
                    administration.create(session, member, kind, wanted, NOW)

    @pytest.mark.parametrize(("role", "organisation_role"), [("manager", "member"), ("admin", "member"), ("", "admin")])
    def test_who_leads_handles_the_keys_of_others(self, world: World, role: str, organisation_role: str) -> None:
        leader = self.person(world, f"{role}-{organisation_role}@acme.example", role or "admin", organisation_role)
        other = world.here.colleague(f"led-by-{role}@acme.example", world.workspace)
        with world.here.database.transaction() as session:
            made = administration.create(session, leader, USER, self.body(user_id=other), NOW).row
            assert made.user_id == other
            assert administration.create(session, leader, SERVICE, self.body(), NOW).row.user_id is None
            administration.update(session, leader, made.id, KeyChanges(name="Theirs"), NOW)
            found = listing.listed(session, leader, EVERYTHING, None, [])[0]
            assert {KeyKind(row.type) for row in found} == {SERVICE, USER}
            assert {row.workspace_id for row in found} == {world.workspace}

    @pytest.mark.parametrize(
        ("above", "organisation_role"), [("admin", "member"), ("member", "admin"), ("member", "owner")]
    )
    def test_nobody_gets_a_key_that_acts_with_a_higher_role(
        self, world: World, above: str, organisation_role: str
    ) -> None:
        name = f"{above}-{organisation_role}"
        manager = self.person(world, f"below-{name}@acme.example", "manager")
        boss = world.here.colleague(f"above-{name}@acme.example", world.workspace, above, organisation_role)
        peer = world.here.colleague(f"peer-{name}@acme.example", world.workspace, "manager")
        theirs = world.made("workspace/user", user_id=boss, scopes=["logs.list"])["id"]
        with world.here.database.transaction() as session:
            with pytest.raises(Forbidden, match="role is above yours"):
                administration.create(session, manager, USER, self.body(user_id=boss), NOW)
            with pytest.raises(Forbidden, match="role is above yours"):
                administration.rotate(session, manager, theirs, None, NOW)
            assert administration.create(session, manager, USER, self.body(user_id=peer), NOW).row.user_id == peer

    def test_settings_take_it_away(self, world: World) -> None:
        manager = self.person(world, "careful@acme.example", "manager", managersWriteApiKeys=False)
        member = self.person(world, "blind@acme.example", "member", membersViewApiKeys=False)
        world.made("workspace/service", scopes=["logs.list"])
        with world.here.database.transaction() as session:
            for caller, kind in ((manager, USER), (manager, SERVICE)):
                with pytest.raises(Forbidden):
                    administration.create(session, caller, kind, self.body(), NOW)
            assert listing.listed(session, manager, EVERYTHING, None, [])[1] > 0
            assert listing.listed(session, member, EVERYTHING, None, []) == ((), 0)


class TestLifetimes:
    @pytest.fixture
    def own(self, tmp_path: Any) -> Generator[World]:
        with installed(tmp_path, key_cache_s=0) as here, serving(here) as client:
            yield World(here, client)

    def make(self, world: World, user: str | None = None, **body: Any) -> Any:
        return world.make("workspace/user", user_id=user or world.here.first.owner_user_id, **body)

    def test_so_many_keys_per_user_and_workspace(self, own: World) -> None:
        own.settings(user_api_key_count=2)
        other = own.here.colleague("other@acme.example", own.workspace)
        elsewhere = own.here.workspace("Elsewhere")
        first = self.make(own).json()
        assert self.make(own).status_code == 200
        message = error(self.make(own), 400, "AB01")
        assert message == "This user has 2 keys in the workspace; user_api_key_count allows 2"
        assert self.make(own, other).status_code == 200
        assert self.make(own, workspace_id=elsewhere.id).status_code == 200
        assert own.make().status_code == 200  # service keys are not counted
        own.delete(first["id"])
        assert self.make(own, expires_at="2026-04-02T12:30:01Z").status_code == 200
        error(self.make(own), 400, "AB01")
        own.settings(user_api_key_count=0)
        error(self.make(own, other), 400, "AB01")
        own.settings(user_api_key_count=-1)
        assert self.make(own).status_code == 200

    def test_an_end_that_nobody_named(self, own: World) -> None:
        own.settings(user_api_key_ttl=3600)
        for body in ({}, {"expires_at": None}):
            found = own.read(self.make(own, **body).json()["id"])
            assert (found["expires_at"], found["expiry_enforced"]) == ("2026-04-02T13:30:00.000Z", 1)
        found = own.read(self.make(own, expires_at="2027-01-01T00:00:00Z").json()["id"])
        assert (found["expires_at"], found["expiry_enforced"]) == ("2027-01-01T00:00:00.000Z", 0)
        assert own.read(own.made()["id"])["expires_at"] is None  # service keys live on

    def test_an_end_that_is_too_late(self, own: World) -> None:
        before = self.make(own).json()["id"]
        own.settings(user_api_key_max_ttl=7200)
        found = own.read(self.make(own).json()["id"])
        assert (found["expires_at"], found["expiry_enforced"]) == ("2026-04-02T14:30:00.000Z", 1)
        message = error(self.make(own, expires_at="2026-04-02T14:30:00.001Z"), 400, "AB01")
        assert "at most 7200 seconds" in message
        assert "2026-04-02T14:30:00.000Z" in message
        assert self.make(own, expires_at="2026-04-02T14:30:00Z").status_code == 200
        for key_id in (found["id"], before):
            error(own.put(key_id, expires_at=None), 400, "AB01")
            error(own.put(key_id, expires_at="2026-04-03T00:00:00Z"), 400, "AB01")
            assert own.changed(key_id, expires_at="2026-04-02T14:00:00Z")["expiry_enforced"] == 0
            assert own.changed(key_id, name="Still")["name"] == "Still"
        own.settings(user_api_key_ttl=60)
        assert own.read(self.make(own).json()["id"])["expires_at"] == "2026-04-02T12:31:00.000Z"

    def test_a_workspace_overrides_where_it_may(self, own: World) -> None:
        own.settings(user_api_key_count=5)
        with own.here.database.transaction() as session:
            session.get_one(Workspace, own.workspace).settings = {"user_api_key_count": 0}
        assert self.make(own).status_code == 200
        with own.here.database.transaction() as session:
            organisation = session.get_one(Organisation, own.here.first.organisation_id)
            organisation.workspace_overrides = {"api_keys": True}
        error(self.make(own), 400, "AB01")

    def test_at_once_from_two_sides(self, own: World) -> None:
        own.settings(user_api_key_count=1)
        with ThreadPoolExecutor(4) as pool:
            statuses = sorted(pool.map(lambda _: self.make(own).status_code, range(4)))
        assert statuses == [200, 400, 400, 400]


def test_a_key_past_its_end_is_told_as_expired_before_anybody_wrote_it_down(world: World) -> None:
    made = world.made(expires_at=(NOW + timedelta(seconds=1)).isoformat())
    with serving(world.here, lambda: NOW + timedelta(seconds=1)) as client:
        later = World(world.here, client)
        assert later.read(made["id"])["status"] == "expired"
        assert not later.works(made["key"])
