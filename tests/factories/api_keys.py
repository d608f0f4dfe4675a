"""A running installation seen through `/api-keys`."""

from typing import Any

from fastapi.testclient import TestClient

from api.organisations.rows import Organisation
from tests.factories.app import Installation, auth

KEYS = "/v1/api-keys"


class World:
    """One installation, its running app, and a clock that a test can turn."""

    def __init__(self, here: Installation, client: TestClient) -> None:
        self.here, self.client = here, client
        self.workspace = here.first.workspace_id

    def make(self, kind: str = "workspace/service", *, key: str | None = None, **body: Any) -> Any:
        if kind != "organisation/service" and key is None:
            body.setdefault("workspace_id", self.workspace)
        sent = {"name": "A key", "scopes": ["completions.write"], **body}
        return self.client.post(f"{KEYS}/{kind}", json=sent, headers=auth(key or self.here.admin_key))

    def made(self, kind: str = "workspace/service", **body: Any) -> dict[str, Any]:
        answer = self.make(kind, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, key_id: str, key: str | None = None) -> Any:
        return self.client.get(f"{KEYS}/{key_id}", headers=auth(key or self.here.admin_key))

    def read(self, key_id: str) -> dict[str, Any]:
        answer = self.get(key_id)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def put(self, key_id: str, key: str | None = None, **body: Any) -> Any:
        return self.client.put(f"{KEYS}/{key_id}", json=body, headers=auth(key or self.here.admin_key))

    def changed(self, key_id: str, **body: Any) -> dict[str, Any]:
        answer = self.put(key_id, **body)
        assert (answer.status_code, answer.json()) == (200, {}), answer.text
        return self.read(key_id)

    def listed(self, key: str | None = None, **query: Any) -> Any:
        return self.client.get(KEYS, params=query, headers=auth(key or self.here.admin_key))

    def delete(self, key_id: str, key: str | None = None, **query: Any) -> Any:
        return self.client.delete(f"{KEYS}/{key_id}", params=query, headers=auth(key or self.here.admin_key))

    def works(self, raw: str) -> bool:
        return self.client.get(f"{KEYS}/self", headers=auth(raw)).status_code == 200

    def settings(self, **settings: Any) -> None:
        with self.here.database.transaction() as session:
            organisation = session.get_one(Organisation, self.here.first.organisation_id)
            organisation.settings = {**organisation.settings, **settings}


def error(answer: Any, status: int, code: str) -> str:
    body = answer.json()
    assert (answer.status_code, body["data"]["errorCode"]) == (status, code), answer.text
    return body["data"]["message"]
