"""How many logs one worker takes for good and brings into the warehouse, beside an app that only fsyncs the same bytes.

The numbers of `make bench`: records per second that are durable when they are answered; the same of a bare app that
appends each body to a file and fsyncs it; records per second from the first request until the last record can be
queried, with its log object in the log store; and how long the oldest record waits while 2,000 a second come.
"""

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from api.permissions import KeyKind
from tests.factories.app import Installation, auth, installed
from tests.factories.server import LiveServer, live_server
from warehouse.catalog.functions import call
from warehouse.engines.open import open_engine
from warehouse.ingest.spool import Spool

pytestmark = [pytest.mark.bench, pytest.mark.slow]

AT_ONCE, CLIENTS, SECONDS = 500, 2, 10.0
LEAST_PER_S = 2000


def log(number: int) -> dict[str, object]:
    """A chat of common size, about 1.7 kB."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"question {number} " * 50}]}
    usage = {"prompt_tokens": 50, "completion_tokens": 70, "total_tokens": 120}
    answer = {"model": "gpt-4o", "choices": [{"message": {"content": "an answer " * 50}}], "usage": usage}
    return {
        "request": {"url": "https://api.openai.com/v1/chat/completions", "provider": "openai", "body": body},
        "response": {"status": 200, "body": answer, "response_time": 210},
        "metadata": {"_user": f"user-{number % 40}", "trace_id": f"trace-{number // 4}"},
    }


@dataclass(frozen=True)
class Sent:
    """What the clients sent together."""

    records: int
    began: float
    seconds: float

    @property
    def per_s(self) -> float:
        return self.records / self.seconds


def send(
    url: str,
    headers: dict[str, str],
    bodies: Sequence[bytes],
    seconds: float,
    per_s: float = 0,
    after_each: Callable[[], object] = lambda: None,
) -> Sent:
    """Every client sends one batch after the other until the time is over, at least one each; `per_s` in all, or
    as many as are taken.
    """
    counts = [0] * CLIENTS
    began = time.perf_counter()

    def run(client: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        while not counts[client] or time.perf_counter() - began < seconds:
            if per_s:
                due = began + counts[client] * CLIENTS * AT_ONCE / per_s
                time.sleep(max(due - time.perf_counter(), 0))
            connection.request("POST", "/v1/logs", bodies[counts[client] % len(bodies)], headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            counts[client] += 1
            after_each()
        connection.close()

    threads = [threading.Thread(target=run, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Sent(sum(counts) * AT_ONCE, began, time.perf_counter() - began)


def await_drained(server: LiveServer, home: Path) -> None:
    spool = Spool(home / "spool")
    while spool.backlog()[0]:
        assert server.process.poll() is None
        time.sleep(0.05)


def waiting_s(home: Path) -> float:
    """How old the oldest record is that the warehouse does not have yet."""
    oldest = Spool(home / "spool").oldest()
    return 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()


def stored(here: Installation) -> int:
    from sqlglot import exp

    engine = open_engine(here.settings.warehouse)
    try:
        return engine.query(exp.select(call("GL_COUNT").as_("rows")).from_("generations"))["rows"][0].as_py()
    finally:
        engine.close()


def test_logs_are_taken_and_loaded_faster_than_needed(tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    # Only `make bench` measures; elsewhere a batch or two show that all of it works.
    seconds = SECONDS if benchmark.enabled else 0.0
    bodies = [orjson.dumps([log(turn * AT_ONCE + index) for index in range(AT_ONCE)]) for turn in range(4)]
    with installed(tmp_path / "home") as here:
        home = here.settings.home
        key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)
        headers = {**auth(key), "Content-Type": "application/json"}
        file = {"FSYNCED_FILE": str(tmp_path / "fsynced")}
        with live_server(home, "tests.factories.fsyncing:app", **file) as server:
            bare = send(server.url, headers, bodies, seconds / 2)
        with live_server(home, GATELEDGER_SPOOL_INTERVAL_S="1") as server:
            taken = benchmark.pedantic(send, (server.url, headers, bodies, seconds))
            await_drained(server, home)
            whole = taken.records / (time.perf_counter() - taken.began)
            waits: list[float] = [0.0]
            paced = send(server.url, headers, bodies, seconds, LEAST_PER_S, lambda: waits.append(waiting_s(home)))
            await_drained(server, home)
            server.stop()
        assert stored(here) == taken.records + paced.records
    print(
        f"\nPOST /logs, {CLIENTS} clients, {AT_ONCE} logs of {len(bodies[0]) // AT_ONCE:,} bytes at once: "
        f"{taken.per_s:,.0f} records/s durable, {bare.per_s:,.0f} by a bare app that fsyncs the same bytes "
        f"(ratio {taken.per_s / bare.per_s:.2f}); {whole:,.0f} records/s until all can be queried; "
        f"at {paced.per_s:,.0f} records/s the oldest that is not loaded yet is at most {max(waits):.1f} s old"
    )
    told = {"taken_per_s": taken.per_s, "bare_per_s": bare.per_s, "loaded_per_s": whole, "wait_s": max(waits)}
    benchmark.extra_info.update(told)
    assert not benchmark.enabled or (taken.per_s >= LEAST_PER_S and whole >= LEAST_PER_S)
