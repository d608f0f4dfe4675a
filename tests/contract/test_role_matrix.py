"""Every route × every role × the security settings: whoever may by the matrix passes, everybody else gets AB03.

A workspace-user key acts as its user, so the keys here hold every scope and the user's place decides.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import pytest
from fastapi.testclient import TestClient

from api.app import ROUTERS
from api.organisations.rows import Organisation
from api.permissions import KeyKind, scopes_of
from api.routing import Declared
from tests.factories.app import Installation, auth, installed, serving
from tests.factories.rights import ALL_OFF, ALL_ON, DEFAULTS, allowed

GUARDED = [route for router in ROUTERS for route in router.declared if not route.permission.public]
EVERY_SCOPE = scopes_of(KeyKind.WORKSPACE_USER)
TIME = {"time_of_generation_min": "2026-01-01", "time_of_generation_max": "2026-02-01"}


@dataclass(frozen=True)
class Person:
    """Somebody's place: role in the organisation, role in the workspace."""

    organisation_role: str
    workspace_role: str | None = None

    def scopes(self, settings: Mapping[str, bool]) -> frozenset[str]:
        """What its key with every scope may do, by the matrix."""
        if self.organisation_role == "owner":
            return EVERY_SCOPE
        if self.organisation_role == "admin":
            metadata = settings["organisationAdminsViewLogMetadata"]
            bodies = settings["organisationAdminsViewLogs"]
            lost = {"logs.list": not metadata, "logs.export": not (metadata and bodies)}
            return EVERY_SCOPE - {scope for scope, is_lost in lost.items() if is_lost}
        if self.workspace_role is None:
            return frozenset()
        role = self.workspace_role
        return frozenset(scope for scope in EVERY_SCOPE if role == "admin" or allowed(scope, role, dict(settings)))

    def sees_logs(self, settings: Mapping[str, bool]) -> bool:
        """Whether it sees anything of a log: what was asked and answered, or the facts about it."""
        if self.organisation_role == "owner" or self.workspace_role == "admin":
            return True
        who = "organisationAdmins" if self.organisation_role == "admin" else f"{self.workspace_role}s"
        return settings[f"{who}ViewLogs"] or settings[f"{who}ViewLogMetadata"]

    def passes(self, route: Declared, settings: Mapping[str, bool]) -> bool:
        """Whether the gate of a route lets it through."""
        own = self.scopes(settings)
        kinds = route.permission.kinds
        if route.path.startswith("/v1/logs/groups/") and "analytics.view" not in own:
            return False  # analytics by another name: a right to logs opens it for a key, not for a role
        if own and route.path in ONE_LOG and not self.sees_logs(settings):
            return False  # a right to write logs opens one for a key, not for a role that may see none
        return KeyKind.WORKSPACE_USER in kinds and any(needed <= own for needed in route.permission.alternatives)


ONE_LOG = ("/v1/logs/{id}", "/v1/generations/{id}")
OWNER, ADMIN, OUTSIDER = Person("owner"), Person("admin"), Person("member")
WORKSPACE_ADMIN, MANAGER, MEMBER = (Person("member", role) for role in ("admin", "manager", "member"))
PEOPLE = (OWNER, ADMIN, OUTSIDER, WORKSPACE_ADMIN, MANAGER, MEMBER)


@dataclass(frozen=True)
class World:
    """A running app and a key of each person."""

    here: Installation
    client: TestClient
    keys: Mapping[Person, str]

    def set(self, settings: Mapping[str, bool]) -> None:
        with self.here.database.transaction() as session:
            session.get_one(Organisation, self.here.first.organisation_id).security_settings = dict(settings)

    def status(self, route: Declared, person: Person) -> int:
        first = self.here.first
        places = {"groupBy": "model", "workspace_id": first.workspace_id, "type": "workspace", "sub_type": "user"}
        if route.path.startswith("/v1/organisations/"):
            places["id"] = first.organisation_id
        path = "/".join(
            places.get(part[1:-1].partition(":")[0], "absent") if part.startswith("{") else part
            for part in route.path.split("/")
        )
        answer = self.client.request(route.method, path, params=TIME, headers=auth(self.keys[person]))
        if answer.status_code == 403:
            assert answer.json()["data"]["errorCode"] == "AB03"
        return answer.status_code

    def surprises(self, person: Person, settings: Mapping[str, bool], routes: list[Declared]) -> list[str]:
        """Routes that do not do what the matrix says."""
        found: list[str] = []
        for route in routes:
            status, wanted = self.status(route, person), person.passes(route, settings)
            if status in (401, 405) or status >= 500 or (status != 403) is not wanted:
                found.append(f"{route.method} {route.path}: {status}, {'may' if wanted else 'may not'}")
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("roles"), key_cache_s=0) as here, serving(here) as client:
        keys: dict[Person, str] = {}
        workspace = here.first.workspace_id
        for number, person in enumerate(PEOPLE):
            email = f"person-{number}@acme.example"
            if person.workspace_role is None:
                user = here.member(email, role=person.organisation_role)
            else:
                user = here.colleague(email, workspace, person.workspace_role, person.organisation_role)
            keys[person] = here.key(KeyKind.WORKSPACE_USER, workspace_id=workspace, user_id=user)
        yield World(here, client, keys)


NOBODY_IS_HELD_BACK = [(OWNER, ALL_OFF), (WORKSPACE_ADMIN, ALL_OFF), (ADMIN, ALL_ON), (ADMIN, ALL_OFF)]
HELD_BACK = [(person, settings) for person in (MANAGER, MEMBER) for settings in (DEFAULTS, ALL_ON, ALL_OFF)]
NAMES = {id(DEFAULTS): "defaults", id(ALL_ON): "all on", id(ALL_OFF): "all off"}


@pytest.mark.parametrize(
    ("person", "settings"),
    [*NOBODY_IS_HELD_BACK, *HELD_BACK, (OUTSIDER, ALL_ON)],
    ids=lambda value: NAMES.get(id(value)) or f"{value.organisation_role}-{value.workspace_role}",
)
def test_every_route(world: World, person: Person, settings: dict[str, bool]) -> None:
    world.set(settings)
    assert world.surprises(person, settings, GUARDED) == []


@pytest.mark.parametrize("key", DEFAULTS)
def test_each_setting_takes_effect_at_once_on_all_its_routes(world: World, key: str) -> None:
    off = {**ALL_ON, key: False}
    for person in (ADMIN, MANAGER, MEMBER):
        decided = [route for route in GUARDED if person.passes(route, ALL_ON) != person.passes(route, off)]
        if decided:
            world.set(ALL_ON)
            assert world.surprises(person, ALL_ON, decided) == []
            world.set(off)
            assert world.surprises(person, off, decided) == []


def test_a_service_key_is_held_back_by_no_setting(world: World) -> None:
    first = world.here.first
    service = Person("service")
    keys = {**world.keys, service: world.here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=first.workspace_id)}
    with_key = World(world.here, world.client, keys)
    world.set(ALL_OFF)
    for route in GUARDED:
        may = any(needed <= scopes_of(KeyKind.WORKSPACE_SERVICE) for needed in route.permission.alternatives)
        assert (with_key.status(route, service) != 403) is may, route.path
