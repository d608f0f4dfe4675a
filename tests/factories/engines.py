"""Engines for tests, each with an empty warehouse: the lake, ClickHouse over the wire, chDB in process.

`with lake_engine(tmp_path) as engine: …`. A part that is not installed raises `PartMissing`.
"""

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx

from tests.factories.gateway import PartMissing
from warehouse.catalog.registry import DATASETS
from warehouse.engines.base import Engine
from warehouse.engines.clickhouse import ClickHouseEngine
from warehouse.engines.duckdb import DuckDBEngine

SERVER = Path(__file__).with_name("clickhouse_http.py")
USER, PASSWORD = "default", "p@ss/wörd"


@dataclass(frozen=True)
class ClickHouseServer:
    """A running HTTP server; `url(database)` is a warehouse URL."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path

    def url(self, database: str = "default", *, password: str = "p%40ss%2Fw%C3%B6rd") -> str:
        return f"clickhouse://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def run(self, sql: str, query_id: str = "") -> str:
        """The answer to a statement, as tab-separated text: what an operator's own tool would see."""
        named = {"query_id": query_id} if query_id else {}
        url = f"http://127.0.0.1:{self.port}/"
        answer = httpx.post(url, params=named, content=sql, auth=(USER, PASSWORD.encode()), timeout=60, verify=False)
        if answer.is_error:
            raise RuntimeError(answer.text)
        return answer.text

    @contextmanager
    def running(self, sql: str, query_id: str) -> Iterator[None]:
        """A statement that is under way under this query id; the end waits for its end."""
        caller = Thread(target=self._run_when_free, args=(sql, query_id))
        caller.start()
        while not self.run_ids_hold(query_id):
            time.sleep(0.005)
        try:
            yield
        finally:
            caller.join()

    def _run_when_free(self, sql: str, query_id: str) -> None:
        while True:
            try:
                self.run(sql, query_id)
            except RuntimeError as error:
                if "already running" not in str(error):
                    raise
            else:
                return

    def run_ids_hold(self, query_id: str) -> bool:
        """Whether a statement of this id is under way."""
        try:
            self.run("SELECT 1", query_id)
        except RuntimeError as error:
            return "already running" in str(error)
        return False

    def new_database(self) -> str:
        name = f"test_{uuid4().hex}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def kill(self) -> None:
        """Ends the server as a power cut would, without a word."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def start_server(folder: Path) -> ClickHouseServer:
    """A server of its own over `folder`, which keeps its data. Raises: PartMissing."""
    if find_spec("chdb") is None:
        raise PartMissing("chdb is not installed")
    command = [sys.executable, str(SERVER), str(folder), "--user", USER, "--password", PASSWORD]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    if not said:
        raise RuntimeError(f"the ClickHouse server ended with {process.wait()}")
    return ClickHouseServer(process, int(said), folder)


_shared: list[ClickHouseServer] = []


def shared_server() -> ClickHouseServer:
    """The server that this test process shares; every engine on it has a database of its own. Raises: PartMissing."""
    if _shared and _shared[0].process.poll() is None:
        return _shared[0]
    folder = tempfile.TemporaryDirectory(prefix="gateledger-clickhouse-", ignore_cleanup_errors=True)
    server = start_server(Path(folder.name))
    _shared[:] = [server]
    atexit.register(folder.cleanup)
    atexit.register(server.stop)  # runs before the clean-up
    return server


@contextmanager
def clickhouse_wire_engine(folder: Path, *, created: bool = True, **options: Any) -> Iterator[ClickHouseEngine]:
    """ClickHouse through the HTTP client; `folder` is not used, since the server is shared. Raises: PartMissing."""
    server = shared_server()
    database = server.new_database()
    engine = ClickHouseEngine.connect(server.url(database), **options)
    try:
        if created:
            engine.create(DATASETS.values())
        yield engine
    finally:
        engine.close()
        server.run(f"DROP DATABASE {database} SYNC")


@contextmanager
def chdb_engine(
    folder: Path, *, created: bool = True, database: str | None = None, **options: Any
) -> Iterator[ClickHouseEngine]:
    """chDB in this process. Raises: PartMissing.

    A process can hold one folder open at a time, so all share one and each has a database of its own in it.
    """
    if find_spec("chdb") is None:
        raise PartMissing("chdb is not installed")
    import chdb

    database = database or f"test_{uuid4().hex}"
    root = _chdb_folder()
    connection = chdb.connect(root)
    connection.query(f"CREATE DATABASE IF NOT EXISTS {database}")
    connection.close()
    engine = ClickHouseEngine.connect(f"chdb://{root}?database={database}", **options)
    try:
        if created:
            engine.create(DATASETS.values())
        yield engine
    finally:
        engine.close()


@cache
def _chdb_folder() -> str:
    folder = tempfile.TemporaryDirectory(prefix="gateledger-chdb-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return folder.name


@contextmanager
def lake_engine(folder: Path, *, created: bool = True, **options: Any) -> Iterator[DuckDBEngine]:
    """The lake in `folder`."""
    engine = DuckDBEngine(
        str(folder / "lake"), **{"threads": 1, "concurrency": 2, "queue": 8, "memory_mb": 512, **options}
    )
    try:
        if created:
            engine.create(DATASETS.values())
        yield engine
    finally:
        engine.close()


OPENERS: Mapping[str, Callable[..., AbstractContextManager[Engine]]] = {
    "lake": lake_engine,
    "clickhouse": clickhouse_wire_engine,
    "chdb": chdb_engine,
}
"""For `pytest.mark.parametrize`: name of each kind of engine → what opens one."""
