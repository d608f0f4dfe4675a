"""The real OSS gateway in front of a fake provider, its log hook on our API: each answered request becomes one row."""

import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.factories.fake_provider import FakeProvider, fake_provider, tokens_of
from tests.factories.gateway import CALLER_KEY, PROVIDER_KEY, Gateway, free_port, gateway, process
from tests.factories.parts import needed

ROOT = Path(__file__).resolve().parents[2]
OURS = ("GATELEDGER_", "WAREHOUSE_", "CLICKHOUSE_", "LOG_STORE", "DATABASE_", "MODEL_CONFIGS_")
BASE = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | {"PYTHONPATH": str(ROOT)}
WAIT_S = 40


@dataclass(frozen=True)
class Call:
    """One request to the gateway, and what its row must say."""

    path: str
    provider: str
    model: str
    prompt: str
    stream: bool = False
    way: str = "single"
    """How the gateway is to route it: single, retry or fallback."""

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": self.prompt}]}
        if self.provider == "anthropic":
            body["max_tokens"] = 64
        return body | ({"stream": True} if self.stream else {})

    def config(self, running: Gateway, url: str) -> dict[str, Any]:
        if self.way == "retry":
            return running.config(self.provider, url, retry={"attempts": 3, "on_status_codes": [500]})
        if self.way == "fallback":
            broken = {"messages": [{"role": "user", "content": "fail-500 always"}]}
            targets = [running.config("openai", url, override_params=broken), running.config(self.provider, url)]
            return {"strategy": {"mode": "fallback"}, "targets": targets}
        return running.config(self.provider, url)


def calls() -> list[Call]:
    """200 requests: chats, streams, Anthropic in both dialects, cached and reasoning tokens, retries and fallbacks."""
    extras = ("", " cached", " cached written", " think", " cached think")
    chat, messages = "chat/completions", "messages"
    made = [Call(chat, "openai", "gpt-4o-mini", f"plain {'x' * at}{extras[at % 5]}") for at in range(90)]
    made += [Call(chat, "openai", "gpt-4o", f"stream {at}", stream=True) for at in range(20)]
    made += [Call(chat, "anthropic", "claude-sonnet-4-5", f"as chat {'y' * at}{extras[at % 3]}") for at in range(40)]
    made += [Call(messages, "anthropic", "claude-haiku-4-5", f"native {'z' * at}{extras[at % 3]}") for at in range(30)]
    made += [Call(messages, "anthropic", "claude-opus-4-1", f"stream {at}", stream=True) for at in range(10)]
    made += [Call(chat, "openai", "gpt-4.1", f"flaky {at}", way="retry") for at in range(5)]
    made += [Call(chat, "anthropic", "claude-sonnet-4-0", f"fallback {at}", way="fallback") for at in range(5)]
    return made


FAILURES = [Call("chat/completions", "openai", "gpt-4o-mini", f"fail-{status} x") for status in (400, 401, 429, 500)]


@contextmanager
def api(home: Path) -> Iterator[tuple[str, str]]:
    """(base URL, API key) of `gateledger serve` on a new home."""
    environment = {**BASE, "GATELEDGER_HOME": str(home)}
    command = [sys.executable, "-m", "api.cli"]
    made = subprocess.run(
        [*command, "init", "--json"], env=environment, cwd=home, capture_output=True, timeout=120, check=True
    )
    port = free_port()
    with process([*command, "serve", "--port", str(port)], port, home / "serve.log", environment):
        yield f"http://127.0.0.1:{port}/v1", json.loads(made.stdout)["api_key"]


def answers(client: httpx.Client, key: str) -> dict[str, dict[str, Any]]:
    """Model → its numbers, as the analytics API gives them."""
    now = datetime.now(UTC)
    answer = client.get(
        "analytics/groups/model",
        headers={"x-portkey-api-key": key},
        params={
            "time_of_generation_min": (now - timedelta(hours=2)).isoformat(),
            "time_of_generation_max": (now + timedelta(hours=1)).isoformat(),
            "columns": "requests,total_tokens,avg_input_tokens,avg_output_tokens,success_rate,cost",
            "page_size": 100,
        },
    )
    assert answer.status_code == 200, answer.text
    return {row["model"]: row for row in answer.json()["data"]}


def await_rows(client: httpx.Client, key: str, wanted: int) -> dict[str, dict[str, Any]]:
    deadline = time.monotonic() + WAIT_S
    while True:
        found = answers(client, key)
        if sum(row["requests"] for row in found.values()) >= wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.25)


def send(running: Gateway, provider: FakeProvider, call: Call) -> int:
    labels = json.dumps({"_user": "ada", "team": "core"})
    headers = {"x-portkey-metadata": labels, "x-portkey-trace-id": f"trace-of-{call.prompt.strip()}"}
    return running.post(call.path, call.config(running, provider.url), call.body, headers).status_code


@pytest.mark.slow
def test_each_answered_request_becomes_one_row_with_its_tokens(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with api(home) as (base, key), fake_provider() as provider:
        hook = f"{base}/ingest/hook"
        starting = needed(gateway(tmp_path, hook, {"x-portkey-api-key": key}))
        with starting as running, ThreadPoolExecutor(8) as senders:
            statuses = Counter(senders.map(lambda call: send(running, provider, call), calls()))
            assert statuses == {200: 200}
            # The gateway calls its hook for answers with status 200 only.
            failed = Counter(senders.map(lambda call: send(running, provider, call), FAILURES))
            assert failed == {400: 1, 401: 1, 429: 1, 500: 1}
        with httpx.Client(base_url=base, timeout=30) as client:
            found = await_rows(client, key, 200)
            check(found)
            time.sleep(1)
            assert answers(client, key) == found, "nothing comes twice"
    assert_no_secret(home, key)


def check(found: dict[str, dict[str, Any]]) -> None:
    expected: dict[str, list[Call]] = defaultdict(list)
    for call in calls():
        expected[call.model].append(call)
    assert {model: row["requests"] for model, row in found.items()} == {
        model: len(made) for model, made in expected.items()
    }
    for model, made in expected.items():
        row = found[model]
        # A streamed answer reaches the hook without its body: its tokens are not known.
        known = [tokens_of(call.prompt) for call in made if not call.stream]
        tokens_in, tokens_out = sum(tokens.prompt for tokens in known), sum(tokens.output for tokens in known)
        assert row["total_tokens"] == tokens_in + tokens_out, model
        assert row["avg_input_tokens"] * len(made) == pytest.approx(tokens_in), model
        assert row["avg_output_tokens"] * len(made) == pytest.approx(tokens_out), model
        assert row["success_rate"] == 100
        assert (row["cost"] is not None) == bool(known), model


def assert_no_secret(home: Path, key: str) -> None:
    """Neither the caller's nor the provider's key, nor our own, lies in any file of the installation."""
    secrets = [secret.encode() for secret in (CALLER_KEY, PROVIDER_KEY, key)]
    leaks = [
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets)
    ]
    assert leaks == []
