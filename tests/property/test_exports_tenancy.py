"""Whatever is asked for, an export holds its starter's own rows and all of them, and nobody else reads the file."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.exports.payloads import Payloads
from api.exports.running import ExportRunner, Outcome
from api.permissions import KeyKind
from tests.factories import rows
from tests.factories.app import auth, installed, serving, store
from warehouse.catalog.generations import GENERATIONS

Row = dict[str, Any]
quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
SLUGS = ("default", "prod")
ORGANISATIONS = rows.ORGANISATIONS[:2]
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"workspace_slug": "prod"},
    {"workspace_slug": "default,prod"},
    {"status_code": "200"},
    {"total_units_min": 500},
    {"created_at": {"gte": "2026-03-03", "lte": "2026-03-06"}},
)


@dataclass(frozen=True)
class Key:
    raw: str
    organisation: str
    slug: str | None = None
    user: str | None = None

    def owns(self, row: Row) -> bool:
        """The rule of the contract, written down a second time."""
        return (
            row["organisation_id"] == self.organisation
            and self.slug in (None, row["workspace_slug"])
            and self.user in (None, row["user_id"])
        )


@dataclass(frozen=True)
class World:
    client: TestClient
    keys: tuple[Key, ...]
    table: list[Row]

    def call(self, key: Key, method: str, path: str, content: Any = None) -> Any:
        return self.client.request(method, f"/v1/logs/exports{path}", json=content, headers=auth(key.raw))

    def exported(self, key: Key, filters: dict[str, Any]) -> tuple[str, list[str]]:
        """The export and the ids in its file."""
        body = {"filters": filters, "requested_data": ["id", "workspace_slug", "user_id"]}
        made = self.call(key, "POST", "", body)
        assert made.status_code == 200, made.text
        export_id = made.json()["id"]
        assert self.call(key, "POST", f"/{export_id}/start").status_code == 200
        parts = self.client.app.state.services  # type: ignore[attr-defined]
        runner = ExportRunner(
            parts.settings, parts.database, parts.engine, parts.exports, Payloads(parts.logs), parts.clock
        )
        assert runner.run(export_id) is Outcome.SUCCESS
        content = self.client.get(self.call(key, "GET", f"/{export_id}/download").json()["signed_url"]).content
        found = [json.loads(line)["id"] for line in content.splitlines()]
        assert made.json()["total"] == len(found)
        return export_id, found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """Two organisations with the same slugs; of each workspace a service key and a member who sees only its own."""
    keys: list[Key] = []
    with installed(tmp_path_factory.mktemp("exports-tenancy"), key_cache_s=0) as here, serving(here) as client:
        for number, organisation in enumerate(ORGANISATIONS):
            here.organisation(organisation, organisation, with_workspace=False)
            admin = here.key(organisation_id=organisation)
            keys.append(Key(admin, organisation))
            for slug in SLUGS:
                made = here.workspace(slug, organisation, slug=slug, is_default=slug == "default")
                raw = here.key(KeyKind.WORKSPACE_SERVICE, organisation_id=organisation, workspace_id=made.id)
                keys.append(Key(raw, organisation, slug))
                user = here.colleague(f"{slug}-{number}@example.com", made.id)
                own = here.key(KeyKind.WORKSPACE_USER, organisation_id=organisation, workspace_id=made.id, user_id=user)
                keys.append(Key(own, organisation, slug, user))
            off = {"security_settings": {"membersViewAllData": False}}
            assert client.put("/v1/admin/organisation", json=off, headers=auth(admin)).status_code == 200
        users = [key.user for key in keys if key.user]
        random = Random(41)
        records = rows.generations(40, 400).to_pylist()
        for record in records:
            record["user_id"] = random.choice((None, *users))
        store(client, GENERATIONS, pa.Table.from_pylist(records, schema=rows.generations(40, 1).schema))
        yield World(client, tuple(keys), sorted(records, key=lambda row: (row["created_at"], row["id"])))


def keeps(filters: dict[str, Any], row: Row) -> bool:
    """What the filters say, in plain Python."""
    match filters:
        case {"workspace_slug": str(slugs)}:
            return row["workspace_slug"] in slugs.split(",")
        case {"status_code": str(code)}:
            return str(row["response_status_code"]) == code
        case {"total_units_min": int(least)}:
            return (row["total_units"] or 0) >= least
        case {"created_at": _}:
            return "2026-03-03" <= row["created_at"].isoformat() < "2026-03-07"
        case _:
            return True


@given(st.randoms(use_true_random=False))
@quick
def test_an_export_is_its_starters_own_rows(world: World, random: Random) -> None:
    key, filters = random.choice(world.keys), random.choice(FILTERS)
    if key.slug is not None and "workspace_slug" in filters:
        filters = {}
    export_id, found = world.exported(key, filters)
    assert found == [row["id"] for row in world.table if key.owns(row) and keeps(filters, row)]
    for other in world.keys:
        if other is key:
            continue
        answer = world.call(other, "GET", f"/{export_id}/download")
        sees_more = other.user is None and other.organisation == key.organisation and other.slug in (None, key.slug)
        # An export of the whole organisation is none of a workspace's; one of another tenant is absent.
        assert answer.status_code == (200 if sees_more else 404), (key, other, answer.text)
