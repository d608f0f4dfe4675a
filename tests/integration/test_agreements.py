"""An agreement from its entry to the costs: at the load, at a re-pricing, in what there is to price, in the check."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlglot import exp
from typer.testing import CliRunner

from api.cli.app import cli
from api.cli.local import Local
from api.pricing.schemas import NewNegotiatedPrice, NewReservation
from api.pricing.service import Author, negotiate, reserve
from pipelines.checks import unpriced_rows
from pipelines.resources import Ledger
from tests.factories.prices import default, entry
from warehouse.catalog.generations import GENERATIONS
from warehouse.reprice.rows import Selection

NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW - timedelta(days=30)
ACME = {"default": default(), "m": entry(request_token=1, response_token=2), "dear": entry(request_token=9)}
HALF = {"pricing_adjustments": {"multiplier": {"default": 0.5}}}


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    for name in ("WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "LOG_STORE_URL", "LOG_STORE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "acme.json").write_text(json.dumps(ACME))
    monkeypatch.setenv("GATELEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODEL_CONFIGS_PRICING_LOCAL_PATH", str(tmp_path / "prices"))
    local = Local()
    local.initialise("Acme", "owner@example.com", new_key=False)
    yield local
    local.close()


def agree(local: Local, wanted: NewNegotiatedPrice | NewReservation) -> str:
    author = Author(local.ownership().organisation_id, "key", NOW)
    with local.session(writes=True) as session:
        make = reserve if isinstance(wanted, NewReservation) else negotiate
        return make(session, wanted, author).id


def price_of(slug: str, **more: Any) -> NewNegotiatedPrice:
    whose = {"type": "virtual_key", "slug": slug}
    return NewNegotiatedPrice.model_validate({"applies_to": whose, "effective_from": START, **more})


def ingest(tmp_path: Path, *records: dict[str, Any]) -> None:
    base = {"created_at": NOW.isoformat(), "ai_org": "acme", "ai_model": "m", "req_units": 10, "res_units": 1,
            "response_status_code": 200}  # fmt: skip
    file = tmp_path / "rows.ndjson"
    file.write_text("".join(json.dumps(base | record) + "\n" for record in records))
    assert CliRunner().invoke(cli, ["ingest", str(file), "--strict"], catch_exceptions=False).exit_code == 0


def stored(local: Local) -> dict[str, dict[str, Any]]:
    rows = local.engine.query(exp.select(exp.Star()).from_(exp.to_table(GENERATIONS.name))).to_pylist()
    return {row["id"]: row for row in rows}


def unpriced(*arguments: str) -> dict[str, Any]:
    ran = CliRunner().invoke(cli, ["prices", "unpriced", *arguments, "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout, parse_float=Decimal)


def test_what_is_agreed_prices_what_is_loaded_and_later_what_is_stored(local: Local, tmp_path: Path) -> None:
    half = agree(local, price_of("vk-half", **HALF))
    reservation = agree(local, NewReservation.model_validate({
        "applies_to": {"type": "virtual_key", "slug": "vk-ptu"}, "name": "PTU", "amount_cents": 5, "per": "day",
        "effective_from": START,
    }))  # fmt: skip
    ptu = {"virtual_key": "vk-ptu", "execution_mode": "provisioned"}
    ingest(
        tmp_path,
        {"id": "list"},
        {"id": "half", "virtual_key": "vk-half"},
        {"id": "ptu", **ptu},
        {"id": "own", "virtual_key": "vk-own", "ai_model": "my-model"},
        {"id": "lost", "ai_org": "nowhere", "req_units": 1},
    )
    rows = stored(local)
    assert {name: row["cost"] for name, row in rows.items()} == {
        "list": 12, "half": 6, "ptu": 0, "own": None, "lost": None,
    }  # fmt: skip
    assert rows["half"]["price_id"].endswith(f"+negotiated/{half}")
    assert (rows["ptu"]["cost_source"], rows["ptu"]["price_id"]) == ("ptu", f"reservation/{reservation}")
    assert (rows["ptu"]["req_units"], rows["ptu"]["total_units"]) == (10, 11)
    assert (rows["own"]["cost_low"], rows["own"]["cost_high"]) == (10, 92)
    assert rows["lost"]["cost_low"] == 0 < rows["lost"]["cost_high"]

    found = unpriced()
    names = {(one["ai_org"], one["ai_model"], one["unpriced_reason"]) for one in found["data"]}
    assert names == {("acme", "my-model", "unknown_model"), ("nowhere", "m", "unknown_provider")}
    assert unpriced("--limit", "1")["total"] == 2

    agree(local, price_of("vk-own", model="my-model", is_custom=True, base_model_slug="m"))
    report = local.reprice(Selection(START, NOW + timedelta(days=1)))
    assert report is not None
    rows = stored(local)
    assert (rows["own"]["cost"], rows["own"]["cost_low"], rows["own"]["cost_high"]) == (12, 12, 12)
    assert [row["cost"] for row in (rows["list"], rows["half"], rows["ptu"])] == [12, 6, 0]
    assert [one["ai_org"] for one in unpriced()["data"]] == ["nowhere"]


def test_the_check_alerts_by_requests_and_by_tokens(
    local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(tmp_path, {"id": "big", "req_units": 997, "res_units": 1}, {"id": "lost", "ai_model": "?|", "req_units": 1})

    def check(requests: float, tokens: float) -> dg.AssetCheckResult:
        monkeypatch.setenv("GATELEDGER_UNPRICED_REQUESTS_LIMIT", str(requests))
        monkeypatch.setenv("GATELEDGER_UNPRICED_TOKENS_LIMIT", str(tokens))
        return unpriced_rows(ledger=Ledger())  # type: ignore[return-value]

    assert check(0.5, 0.002).passed
    assert not check(0.49, 0.002).passed
    assert not check(0.5, 0.001).passed
    found = check(0, 0)
    metadata = {name: value.value for name, value in found.metadata.items()}
    assert (metadata["share"], metadata["share of tokens"], metadata["unpriced tokens"]) == (0.5, 0.002, 2)
    assert "| acme | ?\\| | unknown_model | 1 | 2 | 11.00 |" in metadata["worst models"]
