"""Prices and capabilities over HTTP: what a gateway reads, and one gateledger as the proxy of another."""

import json
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.factories.app import Installation, auth, installed, serving
from tests.factories.prices import TEXT_FORMULA, default, entry
from tests.factories.server import live_server
from warehouse.pricing.sources import open_book

DIGITS = "0.000123456789012345678901"
LOCAL = {
    "default": default(),
    "anthropic/claude-opus-4.6": entry(request_token=1, response_token=2),
    "anthropic.claude-v2:1": entry(request_token=3, response_token=4),
    "claude-3-haiku@20240307": entry(request_token=5, response_token=6),
    "no-price": {"pricing_config": None},
    "own-formula": entry(
        request_token=1, config={"calculate": {"request": {"value": "1"}, "response": {"value": "1"}}}
    ),
    "dated": entry(request_token=9) | {"effective_from": "2026-04-03", "periods": [entry(request_token=8)]},
    "broken": entry(nonsense=1),
}
GENERAL = {
    "name": "acme",
    "description": "Models of Acme",
    "default": {
        "params": [{"key": "max_tokens", "maxValue": 4096, "defaultValue": 256}, {"key": "top_k", "maxValue": 100}],
        "messages": {"options": ["system", "user"]},
        "type": {"primary": "chat", "supported": ["tools"]},
    },
    "small": {"params": [{"key": "max_tokens", "maxValue": 8192}], "removeParams": ["top_k"]},
    "bare": {"type": "image"},
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    folder = tmp_path_factory.mktemp("configs")
    write(folder)
    with installed(folder / "home") as installation:
        warehouse = installation.settings.warehouse
        warehouse.model_configs_pricing_local_path = folder / "pricing"
        warehouse.model_configs_capabilities_local_path = folder / "general"
        yield installation


def write(folder: Path) -> None:
    for kind, files in {"pricing": {"acme": LOCAL}, "general": {"acme": GENERAL, "open-ai": GENERAL}}.items():
        (folder / kind).mkdir()
        for name, content in files.items():
            text = json.dumps(content).replace(
                '"request_token": {"price": 5}', f'"request_token": {{"price": {DIGITS}}}'
            )
            (folder / kind / f"{name}.json").write_text(text)


@pytest.fixture(scope="module")
def client(here: Installation) -> Generator[TestClient]:
    with serving(here) as running:
        yield running


def read(client: TestClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.content, parse_float=Decimal)


@pytest.mark.parametrize(
    ("model", "request_token"),
    [
        ("anthropic/claude-opus-4.6", 1),
        ("anthropic%2Fclaude-opus-4.6", 1),
        ("anthropic.claude-v2:1", 3),
        ("anthropic.claude-v2%3A1", 3),
        ("claude-3-haiku@20240307", Decimal(DIGITS)),
        ("Claude-3-Haiku@20240307", Decimal(DIGITS)),
        ("acme/claude-3-haiku@20240307", Decimal(DIGITS)),
    ],
)
def test_a_model_by_any_name_a_request_may_hold(client: TestClient, model: str, request_token: Decimal) -> None:
    for prefix in ("/model-configs", "/v1/model-configs", "/albus/v1/model-configs", "/v2/utils/model-configs",
                   "/albus/v2/utils/model-configs", "/v1/utils/model-configs"):  # fmt: skip
        config = read(client, f"{prefix}/pricing/acme/{model}")
        assert config["pay_as_you_go"]["request_token"]["price"] == request_token
        assert config["calculate"] == TEXT_FORMULA, "the provider's default is merged in"


def test_a_models_own_formula_replaces_the_default_whole(client: TestClient) -> None:
    config = read(client, "/model-configs/pricing/acme/own-formula")
    assert config["calculate"] == {"request": {"value": "1"}, "response": {"value": "1"}}
    assert config["pay_as_you_go"] == {"request_token": {"price": 1}, "response_token": {"price": 0}}


def test_the_price_in_force_is_given(client: TestClient) -> None:
    """The clock says 2026-04-02; the newest price starts a day later."""
    assert read(client, "/model-configs/pricing/acme/dated")["pay_as_you_go"]["request_token"]["price"] == 8


@pytest.mark.parametrize(
    "path",
    [
        "/model-configs/pricing/acme/absent",
        "/model-configs/pricing/acme/no-price",
        "/model-configs/pricing/acme/broken",
        "/model-configs/pricing/nobody/gpt-4o",
        "/model-configs/general/acme/absent",
        "/v2/utils/model-configs/pricing/acme.json/absent",
        "/model-configs/pricing/..%2Facme/small",
    ],
)
def test_what_is_not_there_is_said_in_the_contracts_shape(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Model not found"})


@pytest.mark.parametrize("path", ["/pricing/nobody.json", "/general/nobody", "/pricing/..%2f..%2fetc.json"])
def test_an_unknown_provider(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json() in ({"error": "Provider not found"}, {"error": "Model not found"}) or "data" in answer.json()


@pytest.mark.parametrize("name", ["acme", "acme.json", "ACME"])
@pytest.mark.parametrize("prefix", ["", "/model-configs", "/v2/utils/model-configs", "/albus/v2/utils/model-configs"])
def test_whole_files(client: TestClient, prefix: str, name: str) -> None:
    file = read(client, f"{prefix}/pricing/{name}")
    assert set(file) == set(LOCAL) - {"broken"}
    assert file["claude-3-haiku@20240307"]["pricing_config"]["pay_as_you_go"]["request_token"]["price"] == Decimal(
        DIGITS
    )
    assert read(client, f"{prefix}/general/{name}")["small"] == GENERAL["small"]


def test_shipped_files_are_served_to_the_last_digit(client: TestClient) -> None:
    for provider in ("openai", "anthropic", "groq"):
        shipped = open_book(None)
        file = read(client, f"/pricing/{provider}.json")
        for row in shipped.rows(provider):
            if row.pricing.config is not None:
                table = file[row.model]["pricing_config"]["pay_as_you_go"] if not row.effective_to else None
                for name, price in row.pricing.config.pay_as_you_go.tokens.items() if table else ():
                    *path, last = name.split(".")
                    found = table[path[0]][last] if path else table[name]
                    assert Decimal(found["price"]) == price


def test_capabilities_inherit_from_the_default(client: TestClient) -> None:
    small = read(client, "/model-configs/general/acme/small")
    assert small["params"] == [{"key": "max_tokens", "maxValue": 8192, "defaultValue": 256}]
    assert small["type"] == {"primary": "chat", "supported": ["tools"]}
    assert small["messages"] == {"options": ["system", "user"]}
    assert read(client, "/model-configs/general/acme/bare")["type"] == {"primary": "image", "supported": []}


@pytest.mark.parametrize("name", ["openai", "open-ai", "openai.json", "open-ai.json"])
def test_openai_has_two_names(client: TestClient, name: str) -> None:
    file = read(client, f"/general/{name}")
    assert file["description"] == "Models of Acme"
    assert file["gpt-4o"]["context_window"] == 128_000
    assert read(client, f"/v2/utils/model-configs/general/{name}/small")["params"][0]["maxValue"] == 8192


def test_an_answer_can_be_kept(client: TestClient) -> None:
    for path in ("/pricing/acme.json", "/model-configs/pricing/acme/dated", "/general/acme"):
        first = client.get(path)
        assert first.headers["cache-control"] == "public, max-age=300"
        again = client.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers={"if-none-match": '"other"'}).status_code == 200


def test_no_key_is_needed_and_a_wrong_one_does_not_hurt(client: TestClient) -> None:
    assert client.get("/pricing/acme.json", headers=auth("nonsense")).status_code == 200


def test_one_gateledger_is_the_proxy_of_another(tmp_path: Path) -> None:
    """Live: the second server prices by the first one's files, and goes on when the first one is gone."""
    write(tmp_path)
    with installed(tmp_path / "one"), installed(tmp_path / "two") as second:
        local = {"MODEL_CONFIGS_PRICING_LOCAL_PATH": str(tmp_path / "pricing")}
        with live_server(tmp_path / "one", **local) as one:
            proxy = {"MODEL_CONFIGS_PROXY_FETCH_ENABLED": "ON", "MODEL_CONFIGS_PROXY_URL": one.url}
            with live_server(tmp_path / "two", **proxy) as two:
                path = "/model-configs/pricing/acme/claude-3-haiku@20240307"
                assert httpx.get(two.url + path).content == httpx.get(one.url + path).content
                assert (
                    httpx.get(f"{two.url}/pricing/acme.json").content
                    == httpx.get(f"{one.url}/pricing/acme.json").content
                )
                ingest(two.url, second.admin_key, "first")
                one.stop()
                assert httpx.get(f"{two.url}/pricing/acme.json").status_code == 200
                ingest(two.url, second.admin_key, "second")
                assert cost_of(two.url, second.admin_key, requests=2) == Decimal(2 * (10 * 1 + 5 * 2))


def ingest(url: str, key: str, row_id: str) -> None:
    row = {
        "id": row_id, "created_at": "2026-04-02 12:00:00", "ai_org": "acme", "ai_model": "anthropic/claude-opus-4.6",
        "is_success": True, "response_status_code": 200, "req_units": 10, "res_units": 5, "total_units": 15,
    }  # fmt: skip
    answer = httpx.post(f"{url}/v1/ingest/generations", json=[row], headers=auth(key))
    assert answer.status_code == 200, answer.text


def cost_of(url: str, key: str, requests: int) -> Decimal:
    """The cost of all rows, once so many are there."""
    time = "time_of_generation_min=2026-04-01&time_of_generation_max=2026-04-03"
    for _ in range(200):
        answer = httpx.get(f"{url}/v1/analytics/groups/model?{time}&columns=cost", headers=auth(key))
        groups = json.loads(answer.content, parse_float=Decimal)["data"]
        if groups and groups[0]["requests"] == requests:
            return Decimal(groups[0]["cost"])
        httpx.get(f"{url}/health")
    raise AssertionError(f"the rows did not come: {answer.text}")
