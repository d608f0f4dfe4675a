"""`POST /analytics/query`: whose rows, which shape, which limits."""

import io
import json
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from api.permissions import KeyKind
from tests.factories.app import Installation, auth, installed, serving, store
from tests.factories.rows import as_feedbacks, as_generations
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS

PATH = "/v1/analytics/query"
START = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = 1500


@dataclass(frozen=True)
class World:
    """Two organisations with rows of the same shape."""

    here: Installation
    client: TestClient
    other_key: str
    workspace_key: str
    side: str

    def ask(self, sql: str, key: str | None = None, **fields: Any) -> Any:
        return self.client.post(PATH, headers=auth(key or self.here.admin_key), json={"sql": sql, **fields})

    def data(self, sql: str, key: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        answer = self.ask(sql, key, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("sql")) as here, serving(here) as client:
        other = here.organisation("Other")
        side = here.workspace("Side")
        records = [
            {
                "organisation_id": owner,
                "workspace_slug": side.slug if number % 3 == 0 else "shared",
                "id": f"{mark}-{number}",
                "created_at": START + timedelta(minutes=number),
                "ai_model": f"{mark}-model-{number % 4}",
                "trace_id": f"trace-{number % 50}",
                "cost": Decimal(number).scaleb(-3),
                "is_success": number % 5 > 0,
                "metadata.key": ["team"],
                "metadata.value": [mark],
            }
            for owner, mark in ((here.first.organisation_id, "own"), (other, "foreign"))
            for number in range(ROWS)
        ]
        store(client, GENERATIONS, as_generations(records))
        given = [{**record, "value": 3, "weight": 1.0} for record in records[::100]]
        store(client, FEEDBACKS, as_feedbacks([{k: v for k, v in each.items() if k in FED} for each in given]), "f")
        yield World(
            here,
            client,
            here.key(organisation_id=other),
            here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=side.id),
            side.slug,
        )


FED = {"organisation_id", "workspace_slug", "id", "created_at", "trace_id", "value", "weight"}


def test_an_answer_has_columns_rows_and_what_it_took(world: World) -> None:
    sql = "SELECT ai_model AS Model, count(*) AS n, sum(cost) AS cost, max(created_at) AS last FROM generations GROUP BY 1 ORDER BY 1 LIMIT 1"
    answer = world.ask(sql).json()
    assert answer.pop("elapsed_ms") > 0
    total = sum((Decimal(number).scaleb(-3) for number in range(0, ROWS, 4)), Decimal(0))
    assert answer == {
        "object": "list",
        "columns": [
            {"name": "Model", "type": "VARCHAR"},
            {"name": "n", "type": "BIGINT"},
            {"name": "cost", "type": "DECIMAL"},
            {"name": "last", "type": "TIMESTAMP"},
        ],
        "data": [{"Model": "own-model-0", "n": ROWS // 4, "cost": float(total), "last": "2026-03-02T00:56:00.000Z"}],
        "row_count": 1,
        "truncated": False,
    }


def test_only_the_callers_rows_are_there(world: World) -> None:
    count = "SELECT count(*) AS n, count_if(contains(id, 'foreign')) AS foreign_rows FROM generations"
    assert world.data(count) == [{"n": ROWS, "foreign_rows": 0}]
    assert world.data(count, world.other_key) == [{"n": ROWS, "foreign_rows": ROWS}]
    assert world.data(count, world.workspace_key) == [{"n": ROWS // 3, "foreign_rows": 0}]
    joined = "SELECT count(*) AS n FROM generations g JOIN feedbacks f USING (trace_id) WHERE f.id LIKE 'foreign%'"
    assert world.data(joined) == [{"n": 0}]


def test_a_workspace_and_a_time_narrow_the_views(world: World) -> None:
    count = "SELECT count(*) AS n, min(created_at) AS first FROM generations"
    narrowed = world.data(count, workspace_slug=world.side, time_of_generation_min="2026-03-01T01:00:00Z")
    assert narrowed == [{"n": ROWS // 3 - 20, "first": "2026-03-01T01:00:00.000Z"}]
    assert world.data(count, time_of_generation_max="2026-03-01T00:09:00Z")[0]["n"] == 10
    assert world.ask(count, workspace_slug="absent").status_code == 403
    assert world.ask(count, time_of_generation_min="2026-03-02", time_of_generation_max="2026-03-01").status_code == 400
    assert world.ask(count, time_of_generation_min="soon").status_code == 400


def test_parameters_are_bound(world: World) -> None:
    sql = "SELECT count(*) AS n FROM generations WHERE ai_model IN (:models) AND cost >= :least AND is_success = :ok"
    found = world.data(sql, parameters={"models": ["own-model-1", "x' OR 1=1 --"], "least": 0.5, "ok": True})
    assert found == [{"n": sum(1 for n in range(ROWS) if n % 4 == 1 and n >= 500 and n % 5)}]
    assert world.ask(sql, parameters={"models": ["a"]}).status_code == 400


def test_rows_are_limited_and_it_says_so(world: World) -> None:
    default = world.ask("SELECT id FROM generations").json()
    assert (default["row_count"], default["truncated"]) == (1000, True)
    asked = world.ask("SELECT id FROM generations ORDER BY created_at", limit=2).json()
    assert ([row["id"] for row in asked["data"]], asked["truncated"]) == (["own-0", "own-1"], True)
    whole = world.ask("SELECT id FROM generations LIMIT 2", limit=2).json()
    assert (whole["row_count"], whole["truncated"]) == (2, False)


def test_rows_as_files(world: World) -> None:
    sql = 'SELECT id, cost, created_at, "metadata.key" AS keys FROM generations ORDER BY created_at'
    answers = {wanted: world.ask(sql, format=wanted, limit=2) for wanted in ("csv", "ndjson", "parquet")}
    for answer in answers.values():
        assert (answer.headers["x-gateledger-row-count"], answer.headers["x-gateledger-truncated"]) == ("2", "true")
    assert answers["csv"].text.splitlines()[2] == 'own-1,0.001,2026-03-01T00:01:00.000Z,"[""team""]"'
    first, second = (json.loads(line) for line in answers["ndjson"].text.splitlines())
    assert (first["id"], second["cost"]) == ("own-0", 0.001)
    assert pq.read_table(io.BytesIO(answers["parquet"].content))["id"].to_pylist() == ["own-0", "own-1"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"sql": "SELECT * FROM prices"}, "generations, feedbacks"),
        ({"sql": "SELECT * FROM read_csv('/etc/passwd')"}, "no table function"),
        ({"sql": "SELECT 1; SELECT 2"}, "exactly one"),
        ({"sql": "DROP TABLE generations"}, "not allowed"),
        ({"sql": "SELECT sum(ai_model) FROM generations"}, "sum"),
        ({"sql": "SELECT created_at - created_at AS d FROM generations"}, "CAST"),
        ({"sql": "SELECT 9223372036854775807 + 1 FROM generations"}, "range"),
        ({"sql": "SELECT '\ud800'"}, "unicode"),
        ({"sql": "SELECT 1", "limit": 100_001}, "limit"),
        ({"sql": "SELECT 1", "limit": 0}, "limit"),
        ({"sql": "SELECT 1", "timeout_s": 61}, "timeout_s"),
        ({"sql": "SELECT 1", "format": "xml"}, "format"),
        ({"sql": "SELECT 1", "parameters": {"a b": 1}}, "parameters"),
        ({"sql": "SELECT 1", "parameters": {"a": {"b": 1}}}, "parameters"),
        ({"sql": ""}, "sql"),
        ({}, "sql"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_a_400_that_says_so(world: World, body: dict[str, Any], told: str) -> None:
    answer = world.client.post(
        PATH, headers=auth(world.here.admin_key) | {"content-type": "application/json"}, content=json.dumps(body)
    )
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] == "AB01"
    assert told.lower() in error["message"].lower()
    assert "fn__" not in error["message"]
    assert str(world.here.settings.home) not in error["message"]


PATIENCE_S = 60
BOMB = "SELECT count(*) AS n FROM generations a, generations b, generations c, generations d WHERE a.cost + b.cost + c.cost + d.cost > 5"


def test_a_bomb_stops_in_time_and_the_service_goes_on(world: World) -> None:
    answers: list[Any] = []
    bomb = Thread(target=lambda: answers.append(world.ask(BOMB, timeout_s=1.5)))
    bomb.start()
    assert world.data("SELECT count(*) AS n FROM generations") == [{"n": ROWS}]
    bomb.join(PATIENCE_S)
    assert not bomb.is_alive()
    assert answers[0].status_code == 400
    assert "took longer than 1.5 s" in answers[0].json()["error"]["message"]
    assert world.data("SELECT count(*) AS n FROM generations") == [{"n": ROWS}]


def test_what_may_be_named_is_told(world: World) -> None:
    told = world.client.get(f"{PATH}/schema", headers=auth(world.here.admin_key)).json()
    views = {view["name"]: {column["name"] for column in view["columns"]} for view in told["views"]}
    assert views.keys() == {"generations", "feedbacks"}
    assert {"cost", "ai_model", "metadata.key"} <= views["generations"]
    assert "batch_id" not in views["generations"]
    assert {"sum", "row_number", "date_trunc"} <= {function["name"] for function in told["functions"]}
    assert told["limits"]["rows"] == 100_000
    assert told["engine"] == "duckdb"
    assert {"what", "duckdb", "clickhouse", "example"} == told["differences"][0].keys()
    for view, columns in views.items():
        assert (
            world.ask(f"SELECT {', '.join(f'{chr(34)}{name}{chr(34)}' for name in columns)} FROM {view}").status_code
            == 200
        )


def test_a_key_without_the_scope_is_refused(world: World) -> None:
    key = world.here.key(scopes=["logs.write"])
    assert world.ask("SELECT 1", key).status_code == 403
    assert world.client.get(f"{PATH}/schema", headers=auth(key)).status_code == 403
    assert world.client.post(PATH, json={"sql": "SELECT 1"}).status_code == 401
