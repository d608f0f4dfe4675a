"""The command line as an operator uses it: from nothing to a number, and every wrong turn explained."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.factories.command import Command


@pytest.fixture
def cli(tmp_path: Path) -> Command:
    return Command(tmp_path / "home", tmp_path)


def test_from_nothing_to_a_number(cli: Command, tmp_path: Path) -> None:
    cli.is_warm = False
    first = cli.json("init", "--organisation", "Acme", "--owner-email", "o@acme.example")
    assert set(first) == {"organisation_id", "workspace_id", "workspace_slug", "owner_user_id", "api_key"}
    assert re.fullmatch(r"gl_[0-9A-Za-z]{43}", first["api_key"])
    again = cli("init", "--json")
    assert json.loads(again.stdout) == first | {"api_key": None}
    assert b"nothing was changed" in again.stderr
    assert cli.json("init", "--new-key")["api_key"] not in (None, first["api_key"])

    cli.is_warm = True
    sample = cli.json("sample", "--rows", "500", "--days", "2", "--seed", "3", "--to", "logs", "--until", "2026-02-03")
    assert sample["rows"] == 500
    loaded = cli.json("ingest", "logs")
    assert (loaded["received"], loaded["stored"], loaded["duplicates"], loaded["rejected"]) == (500, 500, 0, 0)
    assert set(loaded) >= {"unpriced", "batches", "seconds"}
    repeated = cli.json("ingest", "logs")
    assert (repeated["received"], repeated["stored"], repeated["duplicates"]) == (500, 0, 500)

    by_model = cli.json("query", "--by", "model", "--columns", "cost,total_tokens")
    assert by_model["total"] == len(by_model["data"])
    assert sum(row["requests"] for row in by_model["data"]) == 500
    costs = [row["cost"] for row in by_model["data"] if row["cost"] is not None]
    assert sum(costs) > 0
    day = cli.json("query", "--by", "workspace", "--since", "2026-02-02", "--until", "2026-02-02")
    assert 0 < sum(row["requests"] for row in day["data"]) < 500

    cli("query", "--by", "model,ai_service", "--columns", "cost", "--format", "parquet", "-o", "answer.parquet")
    answer = pq.read_table(tmp_path / "answer.parquet")
    assert sum(cost for cost in answer["cost"].to_pylist() if cost is not None) == sum(
        Decimal(str(row["cost"]))
        for row in json.loads(json_text(cli), parse_float=Decimal)["data"]
        if row["cost"] is not None
    )
    table = cli("query", "--by", "model", "--limit", "3").stdout.decode()
    assert "requests" in table


def json_text(cli: Command) -> bytes:
    return cli("query", "--by", "model,ai_service", "--columns", "cost", "--json").stdout


def test_rejects_are_counted_kept_and_can_be_loaded_again(cli: Command, tmp_path: Path) -> None:
    cli.json("init")
    good = {
        "id": "a",
        "created_at": "2026-02-02T10:00:00Z",
        "ai_org": "openai",
        "ai_model": "gpt-4o",
        "req_units": 10,
        "res_units": 5,
    }
    lines = [json.dumps(good), "{not json", json.dumps(good | {"id": "b", "workspace_slug": "ws-later"})]
    (tmp_path / "rows.ndjson").write_text("\n".join(lines))
    loaded = cli.json("ingest", "rows.ndjson")
    assert (loaded["received"], loaded["stored"], loaded["rejected"]) == (3, 1, 2)
    assert sum(loaded["reasons"].values()) == 2
    kept = [json.loads(line) for line in Path(loaded["quarantine"]).read_text().splitlines()]
    assert len(kept) == 2
    assert any("{not json" in json.dumps(entry) for entry in kept)
    cli("ingest", "rows.ndjson", "--strict", exits=1)

    cli.json("workspaces", "create", "Later", "--slug", "ws-later")
    healed = cli.json("ingest", loaded["quarantine"])
    assert (healed["received"], healed["stored"], healed["rejected"]) == (2, 1, 1)


def test_a_trace_is_loaded_by_naming_its_columns(cli: Command) -> None:
    cli.json("init")
    trace = b"TIMESTAMP,In,Out\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:03.9799600,4808,10\n"
    mapped = [
        "--map",
        "created_at=TIMESTAMP,req_units=In",
        "--map",
        "res_units=Out",
        "--set",
        "ai_org=openai,ai_model=gpt-4o",
    ]
    loaded = cli.json("ingest", "-", *mapped, stdin=trace)
    assert (loaded["received"], loaded["stored"], loaded["unpriced"]) == (2, 2, 0)
    (row,) = cli.json("query", "--by", "model", "--columns", "cost,total_tokens")["data"]
    assert row["total_tokens"] == 2 * 4818
    # 4808 × 0.00025 + 10 × 0.001 cents, twice.
    assert Decimal(str(row["cost"])) == Decimal("2.424")
    assert cli.json("ingest", "-", *mapped, stdin=trace)["stored"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["query", "--by", "modle"], r"modle.*Did you mean model"),
        (["query", "--by", "model", "--columns", "costs"], r"costs.*Did you mean cost"),
        (["query", "--by", "model", "--filter", "cost_min"], r"NAME=VALUE"),
        (["query", "--by", "model", "--since", "yesterday"], r"yesterday.*ISO 8601"),
        (["ingest", "missing.ndjson"], r"missing\.ndjson.*does not exist"),
        (["ingest", "-", "--format", "metric"], r"metric.*Did you mean metrics"),
        (["ingest", "-", "--map", "created=TIMESTAMP"], r"created.*created_at"),
        (["sample", "--rows", "1", "--to", "x", "--until", "noon"], r"noon.*ISO 8601"),
    ],
)
def test_a_wrong_word_is_named_with_what_is_allowed(cli: Command, arguments: list[str], says: str) -> None:
    cli.json("init")
    ran = cli(*arguments, "--json", exits=1, stdin=b"")
    assert re.search(says, json.loads(ran.stdout)["error"])
    assert b"Traceback" not in ran.stderr


def test_before_init_every_command_says_what_to_do(cli: Command) -> None:
    for arguments in (["ingest", "-"], ["query", "--by", "model"], ["workspaces", "list"]):
        assert b"gateledger init" in cli(*arguments, exits=1, stdin=b"").stderr


def test_the_doctor_sees_what_is_missing(cli: Command) -> None:
    before = {finding["what"]: finding["status"] for finding in cli.json("doctor")["findings"]}
    assert before["organisation"] == "missing"
    assert before["prices"] == before["database TLS"] == "ok"
    assert before["mail"] == before["Redis"] == "missing"
    cli.json("init")
    after = {finding["what"]: finding for finding in cli.json("doctor")["findings"]}
    assert after["organisation"]["status"] == "ok"
    assert after["log store"]["status"] == "missing"


def test_a_wrong_setting_is_named(cli: Command) -> None:
    cli.environment["WAREHOUSE_URL"] = "mongodb://somewhere"
    assert "clickhouse" in cli.json("init", exits=1)["error"]
    cli.environment["WAREHOUSE_URL"] = ""
    cli.environment["GATELEDGER_QUERY_THREADS"] = "many"
    assert "GATELEDGER_QUERY_THREADS" in cli.json("init", exits=1)["error"]


def test_help_teaches(cli: Command) -> None:
    cli.is_warm = False
    shown = cli("--help").stdout.decode()
    for command in ("init", "sample", "ingest", "query", "serve", "pipelines", "up", "doctor", "workspaces"):
        assert command in shown
