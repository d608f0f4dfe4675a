"""A wrong price put right at the command line: what differs is shown, corrected once, and the old report stays."""

import json
from pathlib import Path
from typing import Any

from tests.factories.command import Command
from tests.factories.prices import default, entry

DAY = "2026-02-02"


def write_prices(folder: Path, rate: float, **dates: str) -> None:
    models = {name: {**entry(request_token=rate, response_token=rate), **dates} for name in ("m-1", "m-2")}
    folder.mkdir(exist_ok=True)
    (folder / "acme.json").write_text(json.dumps({"default": default(), **models}))


def record(number: int, model: str) -> str:
    row = {
        "id": f"r-{number}",
        "created_at": f"{DAY}T10:00:0{number}Z",
        "ai_org": "acme",
        "ai_model": model,
        "req_units": 1000,
        "res_units": 10,
        "response_status_code": 200,
    }
    return json.dumps(row)


def cost(cli: Command, *more: str) -> dict[str, Any]:
    rows = cli.json("query", "--by", "model", "--columns", "cost", *more)["data"]
    return {row["model"]: row["cost"] for row in rows}


def test_a_wrong_price_is_put_right(tmp_path: Path) -> None:
    cli, prices = Command(tmp_path / "home", tmp_path), tmp_path / "prices"
    cli.environment["MODEL_CONFIGS_PRICING_LOCAL_PATH"] = str(prices)
    write_prices(prices, 0.5)
    cli("init")
    lines = [record(number, model) for number, model in enumerate(("m-1", "m-1", "m-2", "m-3"))]
    cli("ingest", "-", stdin="\n".join(lines).encode())
    first = {"m-1": 1010.0, "m-2": 505.0, "m-3": None}
    assert cost(cli) == first

    write_prices(prices, 0.25)
    kept = cli.json("reprice", "--dry-run")
    assert kept["is_dry"]
    assert {one["model"] for one in kept["differences"]} <= {"m-3"}, "a change without dates is not of the past"

    write_prices(prices, 0.25, effective_from="2026-02-01")
    shown = cli.json("reprice", "--dry-run", "--provider", "ACME", "--model", "m-1")
    assert [(one["model"], one["rows"], one["difference"]) for one in shown["differences"]] == [
        ("m-1", 2, "-505.000000000000")
    ]
    assert cost(cli) == first
    done = cli.json("reprice", "--since", DAY, "--until", DAY)
    # The request without a price has new bounds: the provider's cheapest price is another one.
    assert (done["corrections"], done["rows"], done["overtaken"]) == (4, 4, 0)
    assert {one["model"]: one["difference"] for one in done["differences"]}["m-3"].strip("0.") == ""
    assert (done["old_cost"], done["new_cost"]) == ("1515.000000000000", "757.500000000000")
    assert cost(cli) == {"m-1": 505.0, "m-2": 252.5, "m-3": None}
    assert cli.json("reprice")["corrections"] == 0

    before = done["corrected_at"].replace("+00:00", "Z")
    at = json.dumps(before)[1:-1]
    assert cost(cli, "--as-known-at", at) == cost(cli)
    past = cli.json("prices", "history", "acme", "m-1")
    assert past["versions"] >= 2
    rates = [(row["unit"], row["rate"], (row["effective_from"] or "")[:10]) for row in past["data"]]
    assert rates[:2] == [("request_token", "0.5", ""), ("response_token", "0.5", "")]
    assert rates[-1] == ("response_token", "0.25", "2026-02-01")
    loaded_at = past["data"][0]["known_from"]
    assert cost(cli, "--as-known-at", "2026-01-01") == {}
    assert b"has not come yet" in cli("query", "--by", "model", "--as-known-at", "2999-01-01", exits=1).stderr
    text = cli("reprice", "--dry-run").stdout.decode()
    assert "would be corrected" in text
    assert cli.json("prices", "history", "acme", "m-1", "--known-at", loaded_at)["versions"] == 1
