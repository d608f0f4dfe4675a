"""One organisation of a shared app, for tests that write: each has its own, so that one app serves them all."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response

from api.organisations.rows import Organisation
from api.permissions import KeyKind
from api.users import service as users
from api.users.rows import User
from api.workspaces import service as workspaces
from api.workspaces.rows import Workspace
from tests.factories.app import NOW, Installation, auth

_NUMBERS = count(1)
TIME = "time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"
PROBE = f"/v1/pricing/unpriced?{TIME}"
"""A route that any key with analytics.view may call."""


@dataclass(frozen=True)
class Tenant:
    """An organisation with its own owner, default workspace and admin key; calls go out with that key."""

    here: Installation
    client: TestClient
    id: str
    number: int
    owner_id: str
    admin_key: str

    def email(self, name: str) -> str:
        """An address that no other tenant uses."""
        return f"{name}@t{self.number}.example"

    def member(self, name: str, role: str = "member") -> str:
        """The id of a new user in the organisation."""
        with self.here.database.transaction() as session:
            user = users.find_or_create(session, self.email(name), now=NOW)
            users.join_organisation(session, user, self.id, role, now=NOW)
            return user.id

    def workspace(self, name: str = "Prod", **fields: Any) -> Workspace:
        """A new workspace."""
        return self.here.workspace(name, self.id, **fields)

    def join(self, user_id: str, workspace: Workspace, role: str = "member") -> None:
        """Make a user a member of a workspace."""
        with self.here.database.transaction() as session:
            workspaces.add_member(session, workspace, user_id, role, now=NOW)

    def person(self, name: str, workspace: Workspace, role: str = "member") -> tuple[str, str]:
        """A new member of a workspace: the user's id, and a key with everything that a user's key can hold."""
        user_id = self.member(name)
        self.join(user_id, workspace, role)
        return user_id, self.user_key(user_id, workspace)

    def user_key(self, user_id: str, workspace: Workspace, scopes: Iterable[str] | None = None) -> str:
        """A raw key of the user in the workspace."""
        return self.here.key(
            KeyKind.WORKSPACE_USER, organisation_id=self.id, workspace_id=workspace.id, user_id=user_id, scopes=scopes
        )

    def service_key(self, workspace: Workspace, scopes: Iterable[str] | None = None) -> str:
        """A raw service key of the workspace."""
        return self.here.key(
            KeyKind.WORKSPACE_SERVICE, organisation_id=self.id, workspace_id=workspace.id, scopes=scopes
        )

    def key(self, scopes: Iterable[str]) -> str:
        """A raw organisation key with these scopes."""
        return self.here.key(organisation_id=self.id, scopes=scopes)

    def settings(self, **fields: Any) -> None:
        """Set columns of the organisation."""
        with self.here.database.transaction() as session:
            row = session.get_one(Organisation, self.id)
            for name, value in fields.items():
                setattr(row, name, value)

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Response:
        """The answer to a call with the admin key, or another one."""
        sent = {} if body is None else {"json": body}
        return self.client.request(method, path, headers=auth(key or self.admin_key), **sent)

    def get(self, path: str, *, key: str | None = None) -> Any:
        """The body of an answer that must be good."""
        answer = self.call("GET", path, key=key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def works(self, key: str) -> bool:
        """Whether a key counts."""
        return self.call("GET", PROBE, key=key).status_code == 200


def new_tenant(here: Installation, client: TestClient) -> Tenant:
    """A new organisation in a running app."""
    number = next(_NUMBERS)
    organisation_id = here.organisation(f"Tenant {number}")
    with here.database.transaction() as session:
        owner = users.find_or_create(session, f"owner@t{number}.example", now=NOW)
        users.join_organisation(session, owner, organisation_id, "owner", now=NOW)
        owner_id = session.get_one(User, owner.id).id
    return Tenant(here, client, organisation_id, number, owner_id, here.key(organisation_id=organisation_id))


def refused(answer: Response) -> tuple[int, str, str]:
    """Status, code and message of an error in the one shape."""
    body = answer.json()
    assert set(body) == {"success", "data", "error"}
    assert body["success"] is False
    assert body["error"] == {"message": body["data"]["message"], "code": body["data"]["errorCode"]}
    return answer.status_code, body["data"]["errorCode"], body["data"]["message"]
