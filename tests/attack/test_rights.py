"""Keys that no longer count, and callers who take more than they were given."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from api.api_keys.rows import ApiKey
from api.api_keys.service import hash_of
from api.organisations.rows import Organisation
from api.permissions import scopes_of
from api.users.rows import OrganisationMember
from api.workspaces.rows import WorkspaceMember
from tests.attack.targets import TIME, guarded
from tests.attack.world import World, tenant_in
from tests.factories.app import NOW
from tests.factories.tenant import Tenant


def set_on_key(world: World, raw: str, **fields: Any) -> None:
    with world.here.database.transaction() as session:
        session.execute(update(ApiKey).where(ApiKey.key_hash == hash_of(raw)).values(**fields))


def dead_keys(world: World, tenant: Tenant) -> Iterator[tuple[str, str]]:
    """(why it does not count, raw key) of keys that each counted a moment ago."""
    workspace, gone = tenant.workspace("Alive"), tenant.workspace("Archived")
    leaver, key_of_leaver = tenant.person("leaver", workspace, "admin")
    for why, fields in (
        ("expired", {"expires_at": NOW - timedelta(seconds=1)}),
        ("expires now", {"expires_at": NOW}),
        ("not active", {"status": "expired"}),
        ("deleted", {"deleted_at": NOW}),
    ):
        raw = tenant.service_key(workspace)
        set_on_key(world, raw, **fields)
        yield why, raw
    rotated = tenant.service_key(workspace)
    until = {"previous_key_hash": hash_of(rotated), "previous_key_expires_at": NOW, "key_hash": hash_of(rotated + "x")}
    set_on_key(world, rotated, **until)
    yield "rotated, and its transition is over", rotated
    stranded = tenant.service_key(gone)
    assert tenant.call("DELETE", f"/v1/admin/workspaces/{gone.id}", {"force_delete": True}).status_code == 200
    yield "its workspace is archived", stranded
    assert tenant.call("DELETE", f"/v1/admin/users/{leaver}").status_code == 200
    yield "its user left", key_of_leaver
    closed = tenant_in(world)
    with world.here.database.transaction() as session:
        session.get_one(Organisation, closed.id).status = "archived"
    yield "its organisation is archived", closed.admin_key


def test_keys_that_do_not_count_open_no_route(world: World) -> None:
    tenant = tenant_in(world)
    for why, raw in dead_keys(world, tenant):
        world.watched(raw)
        for target in guarded():
            answer = world.send(target.method, target.url(), key=raw, body=target.body())
            assert answer.status_code == 401, (why, target.name, answer.text)
            assert answer.json()["data"]["message"] == "Unauthorised Request"


def test_who_is_demoted_may_do_less_at_once(world: World) -> None:
    tenant = tenant_in(world)
    workspace = tenant.workspace("Ranks")
    user_id, raw = tenant.person("climber", workspace, "admin")
    path = f"/v1/workspaces/{workspace.id}"
    assert world.send("PUT", path, key=raw, body={"description": "mine"}).status_code == 200
    with world.here.database.transaction() as session:
        place = session.scalars(select(WorkspaceMember).where(WorkspaceMember.user_id == user_id)).one()
        place.role = "member"
    assert world.send("PUT", path, key=raw, body={"description": "still mine"}).status_code == 403
    with world.here.database.transaction() as session:
        session.delete(session.scalars(select(WorkspaceMember).where(WorkspaceMember.user_id == user_id)).one())
    assert world.send("GET", path, key=raw).status_code == 403
    with world.here.database.transaction() as session:
        session.scalars(
            select(OrganisationMember).where(OrganisationMember.user_id == user_id)
        ).one().status = "removed"
    assert world.send("GET", path, key=raw).status_code == 401


def test_no_route_lets_in_a_key_without_one_of_its_scopes(world: World) -> None:
    tenant = tenant_in(world)
    workspace = tenant.workspace("Scopes")
    for target in guarded():
        for needed in target.permission.alternatives:
            for missing in sorted(needed):
                for kind in sorted(target.permission.kinds):
                    # What else would open the route is taken away as well.
                    others = {scope for other in target.permission.alternatives if other != needed for scope in other}
                    held = scopes_of(kind) - {missing} - others
                    if len(needed) == 1 and kind.value != "organisation-service":
                        continue  # the matrix test has these
                    raw = (
                        tenant.key(held) if kind.value == "organisation-service"
                        else tenant.service_key(workspace, held) if kind.value == "workspace-service"
                        else tenant.user_key(tenant.owner_id, workspace, held)
                    )  # fmt: skip
                    answer = world.send(target.method, target.url(), key=raw, query=TIME, body=target.body())
                    assert answer.status_code == 403, (target.name, kind, missing, answer.text)


EXTRA = {
    "organisation_id": "stolen",
    "id": "11111111-1111-4111-8111-111111111111",
    "type": "organisation-service",
    "status": "archived",
    "created_at": "2001-01-01T00:00:00Z",
    "created_by": "root",
    "creation_mode": "auto",
    "key": "gl_stolen",
    "key_hash": "0" * 64,
    "key_mask": "x",
    "previous_key_hash": "0" * 64,
    "expiry_enforced": 0,
    "is_default": 1,
    "creation_source": "scim",
    "scim_source_id": "x",
    "archived_at": None,
    "deleted_at": None,
    "token": "stolen",
    "token_hash": "0" * 64,
    "accepted_at": "2001-01-01T00:00:00Z",
    "invited_by": "root",
    "last_reset_at": "2001-01-01T00:00:00Z",
    "organisation_role": "owner",
    "workspace_role": "admin",
    "user": {"role": "owner"},
    "current_usage": 0,
    "is_exhausted": False,
    "is_admin": True,
}
"""Columns and rights that no body offers."""
OURS = frozenset(EXTRA) - {"type", "token"}


def rows_of(world: World, tenant: Tenant) -> dict[str, dict[str, Any]]:
    """Id → every column of the tenant's rows that a body must not fill."""
    from api.tables import METADATA

    found: dict[str, dict[str, Any]] = {}
    with world.here.database.transaction(writes=False) as session:
        for table in METADATA.sorted_tables:
            for line in session.execute(select(table)).mappings():
                if tenant.id in (line.get("organisation_id"), line.get("id")):
                    found[f"{table.name}:{line['id']}"] = {name: line[name] for name in OURS & set(line)}
    return found


def test_a_body_fills_no_column_that_its_route_does_not_offer(world: World) -> None:
    tenant = tenant_in(world)
    workspace = tenant.workspace("Filled")
    user_id, _ = tenant.person("filler", workspace)
    key = tenant.call("POST", "/v1/api-keys/workspace/service", {"name": "k", "workspace_id": workspace.id}).json()[
        "id"
    ]
    own = {"workspace_id": workspace.id, "user_id": user_id}
    things = {"api-keys": {**own, "id": key}, "organisations": {"id": tenant.id}}
    before = rows_of(world, tenant)
    for target in guarded():
        if target.schema is None or target.method == "DELETE" or not isinstance(target.body(), dict):
            continue
        extra = {name: value for name, value in EXTRA.items() if name not in target.fields}
        # A rotation changes what it is there for.
        if not target.declared.path.endswith("/rotate"):
            url = target.url(things.get(target.tag, own))
            answer = world.send(target.method, url, key=tenant.admin_key, body={**target.body(), **extra})
            assert answer.status_code < 500, (target.name, answer.text)
    after = rows_of(world, tenant)
    assert {name: after[name] for name in before} == before
    for name, line in ((name, line) for name, line in after.items() if name not in before):
        taken = {column: value for column, value in line.items() if column in EXTRA and value == EXTRA[column]}
        assert not {column for column in taken if EXTRA[column] not in (None, False, 0)}, (name, taken)
        assert line.get("organisation_id") in (None, tenant.id)


class TestClimbing:
    """Nobody gets more than the own rights, whichever way."""

    @pytest.fixture
    def tenant(self, world: World) -> Tenant:
        return tenant_in(world)

    def refused(self, world: World, method: str, path: str, body: Any, key: str) -> None:
        answer = world.send(method, path, key=key, body=body)
        assert answer.status_code in (400, 403, 404), (method, path, body, answer.text)

    def test_a_manager_becomes_no_admin(self, world: World, tenant: Tenant) -> None:
        workspace = tenant.workspace("Climb")
        manager_id, raw = tenant.person("manager", workspace, "manager")
        admin_id, _ = tenant.person("chief", workspace, "admin")
        people = f"/v1/workspaces/{workspace.id}/users"
        self.refused(world, "PUT", f"{people}/{manager_id}", {"role": "admin"}, raw)
        self.refused(world, "PUT", f"{people}/{admin_id}", {"role": "member"}, raw)
        self.refused(world, "DELETE", f"{people}/{admin_id}", None, raw)
        self.refused(world, "POST", people, {"users": [{"id": tenant.member("new"), "role": "admin"}]}, raw)
        self.refused(world, "PUT", f"/v1/users/{manager_id}", {"role": "admin"}, raw)
        self.refused(world, "POST", "/v1/users/invites", {"email": "me2@climb.example", "role": "admin"}, raw)
        settings = {"managersWriteWsUsers": False, "managersViewAllData": False}
        self.refused(world, "PUT", f"/v1/workspaces/{workspace.id}", {"security_settings": settings}, raw)
        self.refused(world, "PUT", "/v1/admin/organisation", {"security_settings": settings}, raw)

    def test_a_member_makes_no_key_that_does_more(self, world: World, tenant: Tenant) -> None:
        workspace = tenant.workspace("Keys")
        member_id, raw = tenant.person("member", workspace)
        chief_id, _ = tenant.person("chief", workspace, "admin")
        for kind in ("workspace/service", "organisation/service", "workspace/user", "organisation/user"):
            for body in ({"user_id": chief_id}, {"user_id": tenant.owner_id}, {"scopes": ["workspaces.delete"]}):
                self.refused(world, "POST", f"/v1/api-keys/{kind}", {"name": "k", **body}, raw)
        assert member_id

    def test_a_key_widens_neither_itself_nor_others(self, world: World, tenant: Tenant) -> None:
        workspace = tenant.workspace("Wide")
        family = {f"workspace_service_api_keys.{verb}" for verb in ("create", "read", "update", "list", "rotate")}
        raw = tenant.service_key(workspace, family)
        own = world.send("GET", "/v1/api-keys/self", key=raw).json()["id"]
        self.refused(world, "PUT", f"/v1/api-keys/{own}", {"scopes": [*sorted(family), "configs.delete"]}, raw)
        strong = next(one["id"] for one in tenant.get(f"/v1/api-keys?workspace_id={workspace.id}")["data"])
        assert strong == own
        other = tenant.service_key(workspace, {"configs.delete"})
        other_id = world.send("GET", "/v1/api-keys/self", key=other).json()["id"]
        self.refused(world, "POST", f"/v1/api-keys/{other_id}/rotate", {}, raw)
        for kind, scopes in (("workspace/service", ["configs.delete"]), ("organisation/service", ["logs.list"])):
            self.refused(world, "POST", f"/v1/api-keys/{kind}", {"name": "k", "scopes": scopes}, raw)
        body = {"name": "k", "scopes": ["workspace_users.create"], "user_id": tenant.owner_id}
        self.refused(world, "POST", "/v1/api-keys/workspace/user", body, raw)

    def test_an_organisation_key_gives_no_scope_that_it_lacks(self, world: World, tenant: Tenant) -> None:
        workspace = tenant.workspace("Grant")
        raw = tenant.key(
            {"organisation_service_api_keys.create", "organisation_users.create", "organisation_users.update"}
        )
        body = {"name": "k", "scopes": ["organisation_users.delete"]}
        self.refused(world, "POST", "/v1/api-keys/organisation/service", body, raw)
        details = {"scopes": ["configs.delete"]}
        invited = {
            "email": tenant.email("guest"),
            "role": "member",
            "workspaces": [{"id": workspace.id, "role": "admin"}],
        }
        self.refused(world, "POST", "/v1/users/invites", {**invited, "workspace_api_key_details": details}, raw)
        self.refused(world, "POST", "/v1/users/invites", {**invited, "role": "owner"}, raw)
        self.refused(world, "PUT", f"/v1/users/{tenant.member('x')}", {"role": "owner"}, raw)
        self.refused(world, "PUT", f"/v1/users/{tenant.owner_id}", {"role": "member"}, raw)
