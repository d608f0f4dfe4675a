"""`/logs/exports` over HTTP: shapes, transitions, aliases, whose rows, and the files against plain Python."""

import csv
import io
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from api.analytics.rendering import instant
from api.exports.payloads import Payloads
from api.exports.running import ExportRunner, Outcome
from api.organisations.rows import Organisation
from api.permissions import KeyKind
from tests.factories import rows
from tests.factories.app import NOW, Installation, auth, installed, serving, store
from warehouse.catalog.generations import GENERATIONS
from warehouse.exports.fields import ALIASES, BODIES, FIELDS, METADATA, source_of
from warehouse.query.export import money_text

PLAIN = [name for name in FIELDS if name not in BODIES]


@dataclass
class World:
    """An organisation with 400 requests in two workspaces."""

    here: Installation
    client: TestClient
    table: list[dict[str, Any]]
    clock: dict[str, datetime] = field(default_factory=dict)

    def call(self, method: str, path: str = "", content: Any = None, *, key: str = "", status: int = 200) -> Any:
        url = f"/v1/logs/exports{path}"
        answer = self.client.request(method, url, json=content, headers=auth(key or self.here.admin_key))
        assert answer.status_code == status, answer.text
        return answer.json()

    def made(self, key: str = "", **content: Any) -> str:
        body = {"filters": {}, "requested_data": ["id"], **content}
        return self.call("POST", "", body, key=key)["id"]

    def run(self, export_id: str) -> Outcome:
        return self.runner().run(export_id)

    def runner(self) -> ExportRunner:
        parts = self.client.app.state.services  # type: ignore[attr-defined]
        payloads = Payloads(parts.logs)
        return ExportRunner(parts.settings, parts.database, parts.engine, parts.exports, payloads, parts.clock)

    def file(self, key: str = "", **content: Any) -> bytes:
        export_id = self.made(key, **content)
        self.call("POST", f"/{export_id}/start", {"exportId": export_id}, key=key)
        assert self.run(export_id) is Outcome.SUCCESS
        return self.download(export_id, key).content

    def download(self, export_id: str, key: str = "") -> Any:
        told = self.call("GET", f"/{export_id}/download", key=key)
        assert told["signed_url"] == told["url"]
        found = self.client.get(told["signed_url"])
        assert found.status_code == 200, found.text
        assert int(found.headers["content-length"]) == len(found.content)
        return found

    def ids(self, key: str = "", **content: Any) -> list[str]:
        return [json.loads(line)["id"] for line in self.file(key, **content).splitlines()]

    def expected(self, keeps: Callable[[dict[str, Any]], object] = lambda _: True) -> list[str]:
        return [row["id"] for row in self.table if keeps(row)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("exports"), key_cache_s=0) as here:
        clock = {"now": NOW}
        with serving(here, clock=lambda: clock["now"]) as client:
            here.workspace("Prod", slug="prod")
            table = rows.generations(71, 400)
            place = table.schema.get_field_index("organisation_id")
            owner = pa.array([here.first.organisation_id] * table.num_rows)
            table = table.set_column(place, table.schema.field(place), owner)
            store(client, GENERATIONS, table)
            found = sorted(table.to_pylist(), key=lambda row: (row["created_at"], row["id"]))
            yield World(here, client, found, clock)


def jsonl(value: Any, name: str, row: dict[str, Any]) -> Any:
    """What plain Python expects of a field."""
    if source_of(name) == METADATA:
        return dict(zip(row["metadata.key"] or (), row["metadata.value"] or (), strict=True))
    if isinstance(value, datetime):
        return instant(value.replace(tzinfo=UTC))
    return value


def oracle(world: World, names: list[str]) -> list[dict[str, Any]]:
    return [{name: jsonl(row.get(source_of(name)), name, row) for name in names} for row in world.table]


def test_jsonl_is_what_plain_python_says(world: World) -> None:
    names = [*PLAIN, *ALIASES]
    lines = world.file(requested_data=names).splitlines()
    assert [json.loads(line, parse_float=Decimal) for line in lines] == [
        {name: Decimal(money_text(value)) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in oracle(world, names)
    ]
    assert list(json.loads(lines[0])) == names


def test_csv_is_what_plain_python_says(world: World) -> None:
    found = list(csv.DictReader(io.StringIO(world.file(requested_data=PLAIN, format="csv").decode(), newline="")))

    def text(value: Any) -> str:
        match value:
            case None:
                return ""
            case bool():
                return str(value).lower()
            case Decimal():
                return money_text(value)
            case dict():
                return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            case _:
                return str(value)

    assert found == [{name: text(value) for name, value in row.items()} for row in oracle(world, PLAIN)]


def test_parquet_is_what_plain_python_says(world: World) -> None:
    frame = pl.read_parquet(io.BytesIO(world.file(requested_data=PLAIN, format="parquet")))
    assert frame.columns == PLAIN
    found = frame.to_dicts()
    for row in found:
        row["metadata"] = json.loads(row["metadata"])
        row["created_at"] = instant(row["created_at"])
    assert found == oracle(world, PLAIN)
    assert frame.schema["cost"] == pl.Decimal(18, 12)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_file_of_nothing_is_a_file(world: World, form: str) -> None:
    content = world.file(filters={"ai_model": "no-such-model"}, requested_data=["id", "cost"], format=form)
    if form == "parquet":
        assert pl.read_parquet(io.BytesIO(content)).shape == (0, 2)
    else:
        assert content == {"jsonl": b"", "csv": b"id,cost\r\n"}[form]


@pytest.mark.parametrize(
    ("filters", "keeps"),
    [
        ({"ai_model": "gpt-4o"}, lambda row: row["ai_model"] == "gpt-4o"),
        ({"ai_model": ["gpt-4o", "other"]}, lambda row: row["ai_model"] == "gpt-4o"),
        (
            {"ai_org_model": "openai__gpt-4o, x__y"},
            lambda row: (row["ai_org"], row["ai_model"]) == ("openai", "gpt-4o"),
        ),
        ({"cost_min": 1, "costMax": "5"}, lambda row: row["cost"] is not None and 1 <= row["cost"] <= 5),
        ({"status_code": [200, "429"]}, lambda row: row["response_status_code"] in (200, 429)),
        ({"workspace_slug": "prod"}, lambda row: row["workspace_slug"] == "prod"),
        (
            {"created_at": {"gte": "2026-03-28", "lte": "2026-03-28T11:59:59.999Z"}},
            lambda row: "2026-03-28T00" <= row["created_at"].isoformat() < "2026-03-28T12",
        ),
        (
            {"time_of_generation_min": "2026-03-28", "time_of_generation_max": "2026-03-29", "order_by": "cost"},
            lambda row: "2026-03-28" <= row["created_at"].isoformat() < "2026-03-30",
        ),
    ],
)
def test_filters_mean_what_they_mean_in_analytics(world: World, filters: Any, keeps: Any) -> None:
    assert world.ids(filters=filters) == world.expected(keeps)


def test_a_page_of_rows_is_that_page_and_no_page_is_all(world: World) -> None:
    everything = world.expected()
    assert world.ids() == everything
    assert world.ids(filters={"page_size": 150}) == everything[:150]
    assert world.ids(filters={"pageSize": "150", "currentPage": 2}) == everything[300:]
    assert world.ids(filters={"current_page": 1}) == []
    answer = world.call("POST", "", {"filters": {"page_size": 150, "current_page": 2}, "requested_data": ["id"]})
    assert answer["total"] == 100


def test_an_export_goes_its_way(world: World) -> None:
    body = {"filters": {}, "requestedData": ["id", "ai_provider"], "description": "all", "other": 1}
    answer = world.call("POST", "", body)
    export_id = answer["id"]
    assert answer == {"id": str(UUID(export_id)), "total": 400, "object": "export"}
    item = world.call("GET", f"/{export_id}")
    assert item == {
        "id": export_id,
        "organisation_id": world.here.first.organisation_id,
        "workspace_id": None,
        "filters": {},
        "requested_data": ["id", "ai_provider"],
        "format": "jsonl",
        "status": "draft",
        "description": "all",
        "created_at": "2026-04-02T12:30:00.000Z",
        "last_updated_at": "2026-04-02T12:30:00.000Z",
        "started_at": None,
        "finished_at": None,
        "created_by": item["created_by"],
        "total_records": 400,
        "written_records": 0,
        "file_bytes": None,
        "error": None,
        "object": "export",
    }
    refused = {"cancel": ("POST", "cancelled"), "download": ("GET", "downloaded")}
    for verb, (method, said) in refused.items():
        assert said in world.call(method, f"/{export_id}/{verb}", status=400)["data"]["message"]
    changed = {"filters": {"ai_model": "gpt-4o"}, "exportId": export_id}
    assert world.call("PUT", f"/{export_id}", changed)["total"] == len(
        world.expected(lambda row: row["ai_model"] == "gpt-4o")
    )
    assert world.call("POST", f"/{export_id}/start") == {
        "message": "Export started successfully", "object": "export"
    }  # fmt: skip
    for method, path in (("POST", "start"), ("GET", "download")):
        assert world.call(method, f"/{export_id}/{path}", status=400)["data"]["errorCode"] == "AB01"
    assert world.call("PUT", f"/{export_id}", {"filters": {}}, status=400)["data"]["errorCode"] == "AB01"
    assert world.call("POST", f"/{export_id}/cancel") == {
        "message": "Export cancelled successfully", "object": "export"
    }  # fmt: skip
    assert world.call("GET", f"/{export_id}")["status"] == "stopped"
    assert world.run(export_id) is Outcome.NOT_DUE
    world.call("POST", f"/{export_id}/start", {})
    assert world.run(export_id) is Outcome.SUCCESS
    done = world.call("GET", f"/{export_id}")
    assert (done["status"], done["written_records"]) == ("success", done["total_records"])
    assert world.call("POST", f"/{export_id}/start", status=400)["data"]["errorCode"] == "AB01"
    listed = world.call("GET", "?workspace_id=&page_size=1")
    assert (listed["object"], listed["data"][0]["object"], len(listed["data"])) == ("list", "export", 1)
    assert listed["total"] >= 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"requested_data": ["id"]}, "filters"),
        ({"filters": {}}, "requested_data"),
        ({"filters": {}, "requested_data": []}, "requested_data"),
        ({"filters": {}, "requested_data": ["secret"]}, "Allowed"),
        ({"filters": {"colour": "red"}, "requested_data": ["id"]}, "filters.colour is unknown; allowed"),
        ({"filters": {"cost_min": "x"}, "requested_data": ["id"]}, "cost_min"),
        ({"filters": {"created_at": "2026"}, "requested_data": ["id"]}, "created_at"),
        ({"filters": {"page_size": -1}, "requested_data": ["id"]}, "page_size"),
        ({"filters": {}, "requested_data": ["id"], "format": "xls"}, "format"),
    ],
)
def test_what_is_wrong_is_named(world: World, body: Any, told: str) -> None:
    answer = world.call("POST", "", body, status=400)
    assert answer["data"]["errorCode"] == "AB01"
    assert told in answer["data"]["message"]


def test_a_url_of_another_or_of_yesterday_opens_nothing(world: World) -> None:
    export_id = world.made()
    world.call("POST", f"/{export_id}/start")
    world.run(export_id)
    url = world.call("GET", f"/{export_id}/download")["url"]
    other = world.made()
    for wrong in (
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.replace(export_id, other),
        url.replace("run=1", "run=2"),
    ):
        assert world.client.get(wrong).status_code == 403
    world.clock["now"] = NOW + timedelta(hours=1)
    try:
        assert "expired" in world.client.get(url).json()["data"]["message"]
    finally:
        world.clock["now"] = NOW
    assert world.client.get(url).status_code == 200


def test_workspaces_do_not_see_each_other(world: World) -> None:
    prod = world.here.workspace("Another")
    mine = world.here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=world.here.first.workspace_id)
    other = world.here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=prod.id)
    export_id = world.made(mine, workspace_id=prod.id, filters={"workspace_slug": "prod"})
    item = world.call("GET", f"/{export_id}", key=mine)
    assert item["workspace_id"] == world.here.first.workspace_id
    for method, path in (("GET", ""), ("PUT", ""), ("POST", "/start"), ("POST", "/cancel"), ("GET", "/download")):
        body = {"filters": {}} if method == "PUT" else None
        assert world.call(method, f"/{export_id}{path}", body, key=other, status=404)["data"]["errorCode"] == "AB08"
    assert world.call("GET", "", key=other)["data"] == []
    elsewhere = world.here.organisation("Elsewhere")
    strange = world.here.key(organisation_id=elsewhere)
    assert world.call("GET", f"/{export_id}", key=strange, status=404)["data"]["errorCode"] == "AB08"
    assert world.call("GET", f"/{uuid4()}", status=404)["data"]["errorCode"] == "AB08"
    body = {"filters": {}, "requested_data": ["id"], "workspace_id": "nowhere"}
    assert world.call("POST", "", body, status=403)["data"]["errorCode"] == "AB03"


def test_field_restrictions_name_what_may_be_asked(world: World) -> None:
    answer = world.call("GET", "/field-restrictions")
    assert answer["allowed_fields"] == list(FIELDS)
    assert answer["restricted_fields"] == []


def test_a_held_back_member_exports_its_own_rows_and_sees_its_own_exports(tmp_path_factory: Any) -> None:
    with installed(tmp_path_factory.mktemp("own"), key_cache_s=0) as here, serving(here) as client:
        place = here.first.workspace_id
        with here.database.transaction() as session:
            found = session.get_one(Organisation, here.first.organisation_id)
            found.security_settings = {"membersViewAllData": False}
        user = here.colleague("member@acme.example", place)
        key = here.key(KeyKind.WORKSPACE_USER, workspace_id=place, user_id=user)
        boss = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=place)
        slug = client.get("/v1/admin/workspaces", headers=auth(here.admin_key)).json()["data"][0]["slug"]
        table = rows.generations(72, 60)
        for name, values in (
            ("organisation_id", [here.first.organisation_id] * 60),
            ("workspace_slug", [slug] * 60),
            ("user_id", [user if n % 3 == 0 else None for n in range(60)]),
            ("api_key_id", [None] * 60),
        ):
            column = table.schema.get_field_index(name)
            table = table.set_column(column, table.schema.field(column), pa.array(values, pa.string()))
        store(client, GENERATIONS, table)
        world = World(here, client, sorted(table.to_pylist(), key=lambda row: (row["created_at"], row["id"])))
        assert world.ids(key) == world.expected(lambda row: row["user_id"] == user)
        assert world.ids(boss) == world.expected()
        assert world.call("GET", "", key=key)["total"] == 1
        assert world.call("GET", "", key=boss)["total"] == 2
        # What somebody else started for a member holds more than the member may see.
        export_id = world.made(key)
        world.call("POST", f"/{export_id}/start", key=boss)
        assert world.run(export_id) is Outcome.SUCCESS
        assert world.call("GET", f"/{export_id}/download", key=key, status=403)["data"]["errorCode"] == "AB03"
        assert len(world.download(export_id, boss).content.splitlines()) == 60
