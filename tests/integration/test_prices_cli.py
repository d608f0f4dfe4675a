"""`gateledger prices`: list, show, sources and diff, over real levels."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.app import cli
from tests.factories.model_files import model_file_host, price_file
from tests.factories.prices import default, entry
from warehouse.errors import InvalidInput
from warehouse.pricing import sources as chain
from warehouse.pricing.sources import FolderLevel

ACME = {
    "default": default(),
    "m": entry(request_token=0.00025, response_token=0.001, units={"web_search": 1, "default_steps": 28})
    | {
        "effective_from": "2026-03-01", "periods": [entry(request_token=0.0005, response_token=0.002)],
        "source": "Acme, pricing page", "as_of": "2026-05-01",
    },
    "band-lte-128k": entry(request_token=1, response_token=2),
    "band-gt-128k": entry(request_token=3, response_token=4),
    "picture": entry(image={"hd": {"1024x1024": 8}}),
    "broken": entry(nonsense=1),
}  # fmt: skip


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DATABASE_URL", "WAREHOUSE_URL", "LOG_STORE_URL", "LOG_STORE", "MODEL_CONFIGS_PROXY_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "acme.json").write_text(json.dumps(ACME))
    monkeypatch.setenv("GATELEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODEL_CONFIGS_PRICING_LOCAL_PATH", str(tmp_path / "prices"))


def run(*arguments: str) -> Any:
    ran = CliRunner().invoke(cli, ["prices", *arguments, "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout, parse_float=Decimal)


def text(*arguments: str) -> str:
    ran = CliRunner().invoke(cli, ["prices", *arguments], catch_exceptions=False, env={"COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_all_providers_are_listed() -> None:
    listed = {row["provider"]: row["models"] for row in run("list")["data"]}
    assert listed["acme"] == 4
    assert len(listed) > 60


def test_models_of_a_provider_with_their_prices() -> None:
    rows = run("list", "acme")["data"]
    assert [(row["model"], row["request_token"]) for row in rows if row["model"] == "m"] == [
        ("m", Decimal("0.0005")), ("m", Decimal("0.00025"))
    ]  # fmt: skip
    found = run("list", "--model", "GPT-4o-Mini")["data"]
    assert {row["provider"] for row in found} >= {"openai", "azure-openai"}
    assert all("gpt-4o-mini" in row["model"].lower() for row in found)
    assert "0.00025" in text("list", "acme")


def test_one_model_with_every_rate_and_time() -> None:
    old, new = run("show", "acme", "m")["data"]
    assert (old["effective_from"], old["effective_to"][:10]) == (None, "2026-03-01")
    assert new["effective_from"][:10] == "2026-03-01"
    assert new["source"] == "local: Acme, pricing page"
    assert new["as_of"] == "2026-05-01"
    assert new["price_id"].startswith("acme/m@2026-03-01#")
    rates = {rate["rate"]: (rate["cents"], rate["per"]) for rate in new["rates"]}
    assert rates["request_token"] == (Decimal("0.00025"), "token")
    assert rates["web_search"] == (1, "web_search")
    assert rates["defaults.default_steps"] == (28, "(a quantity, not a price)")
    assert "0.00025" in text("show", "acme", "m")


def test_tiers_images_and_other_names() -> None:
    assert [row["model"] for row in run("show", "acme", "band")["data"]] == ["band-lte-128k", "band-gt-128k"]
    (picture,) = run("show", "acme", "picture")["data"]
    assert picture["rates"] == [{"rate": "image.hd.1024x1024", "cents": 8, "per": "image"}]
    (shipped,) = run("show", "open-ai", "gpt-4o")["data"]
    assert {"batch.request_token", "request_token"} <= {rate["rate"] for rate in shipped["rates"]}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "acme", "absent"], "unknown_model"),
        (["show", "acme", "broken"], r"price_refused.*nonsense"),
        (["show", "nobody", "m"], "unknown_provider"),
        (["list", "nobody"], "No price file has the provider 'nobody'"),
        (["diff", "proxy"], "MODEL_CONFIGS_PROXY_URL"),
        (["diff", "absent-folder"], "is no folder and no level"),
    ],
)
def test_what_cannot_be_answered_says_why(arguments: list[str], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        CliRunner().invoke(cli, ["prices", *arguments], catch_exceptions=False)


def test_every_level_says_how_it_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # All the files of the package, read for each of three commands, would take most of the time of this test.
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "beta.json").write_text(price_file(1))
    monkeypatch.setattr(chain, "shipped_level", lambda kind="pricing": FolderLevel("shipped", tmp_path / "shipped"))
    with model_file_host() as host:
        monkeypatch.setenv("MODEL_CONFIGS_PROXY_FETCH_ENABLED", "ON")
        monkeypatch.setenv("MODEL_CONFIGS_PROXY_URL", host.url)
        host.files["pricing/acme.json"] = price_file(9, "m")
        answer = run("sources", "--provider", "acme")
        levels = {(row["files"], row["level"]): row for row in answer["data"]}
        assert [(*key, row["state"], row["models"]) for key, row in levels.items() if key[0] == "pricing"] == [
            ("pricing", "proxy", "answers", 1),
            ("pricing", "log-store", "off", None),
            ("pricing", "local", "answers", 4),
            ("pricing", "shipped", "answers", 0),
        ]
        assert levels["pricing", "proxy"]["last_success_at"]
        assert levels["general", "local"]["message"] == "set MODEL_CONFIGS_CAPABILITIES_LOCAL_PATH"
        assert any("nonsense" in problem for problem in answer["problems"])
        host.misbehave = "error"
        broken = run("sources", "--provider", "acme")
        assert broken["data"][0]["state"] == "fails"
        assert "status 500" in broken["data"][0]["message"]
        assert len([one for one in broken["problems"] if "status 500" in one]) == 1, "told once, not per provider"
        assert "status 500" in text("sources", "--provider", "acme")


def test_a_folder_against_what_is_in_force(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    changed = json.loads(json.dumps(ACME))
    changed["m"]["pricing_config"]["pay_as_you_go"]["request_token"]["price"] = 0.0003
    del changed["picture"]
    changed["added"] = entry(request_token=1)
    (folder / "acme.json").write_text(json.dumps(changed))
    rows = run("diff", "in-force", str(folder), "--provider", "acme")["data"]
    assert [(row["model"], row["rate"], row["old"], row["new"]) for row in rows] == [
        ("added", "", None, "known"),
        ("m", "pay_as_you_go.request_token", "0.00025", "0.0003"),
        ("picture", "", "known", None),
    ]
    assert run("diff", str(folder), str(folder))["data"] == []
    assert "0.0003" in text("diff", str(folder), "--provider", "acme")
