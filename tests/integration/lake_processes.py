"""Starts the workers of the lake's tests as processes, and watches what a reader sees meanwhile."""

import json
import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.integration import lake_worker as worker
from warehouse.engines.duckdb import DuckDBEngine

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.integration.lake_worker"])


class Reader(Thread):
    """Asks for the totals again and again; keeps what must never be seen."""

    def __init__(self, engine: DuckDBEngine, allowed: set[int]) -> None:
        super().__init__(daemon=True)
        self.engine, self.allowed, self.stopped = engine, allowed, Event()
        self.wrong: list[Any] = []
        self.answers = 0

    def run(self) -> None:
        before = 0
        while not self.stopped.is_set():
            try:
                [row] = self.engine.query(worker.totals()).to_pylist()
            except Exception as error:  # noqa: BLE001 - any failure of a query is a finding
                self.wrong.append(error)
                return
            if row["n"] != row["ids"] or row["n"] < before or row["n"] not in self.allowed:
                self.wrong.append((before, row))
            before = row["n"]
            self.answers += 1
            self.stopped.wait(0.02)

    def stop(self) -> None:
        self.stopped.set()
        self.join()
        assert not self.wrong
        assert self.answers > 0


def start(target: Any, *arguments: Any, **named: Any) -> BaseProcess:
    process = FORK.Process(target=target, args=arguments, kwargs=named, daemon=True)
    process.start()
    return process


def acknowledged(said: Path) -> int:
    """How many batches a loader has acknowledged, in order."""
    if not said.exists():
        return 0
    return max(
        (json.loads(line)["batch"] + 1 for line in said.read_text().splitlines() if line.endswith("}")), default=0
    )


def total(engine: DuckDBEngine) -> dict[str, Any]:
    [row] = engine.query(worker.totals()).to_pylist()
    return row
