"""The API as it runs in production: uvicorn in a process of its own, on a free loopback port."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.factories.databases import variables_of
from tests.factories.gateway import free_port

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT_S = 15


@dataclass(frozen=True)
class LiveServer:
    """A running server, its base URL, and the file its log lines go to."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> int:
        """Ask it to stop as an orchestrator does; the exit status. Fails when it hangs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End it and its workers at once, as a crash does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def live_server(
    home: Path, app: str = "api.app:from_environment", *, workers: int = 1, **environment: str
) -> Generator[LiveServer]:
    """A server over the installation in `home`; it answers `/health` when this yields and is gone afterwards."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "--factory", app),
        *("--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--workers", str(workers)),
    ]
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    variables = {
        **inherited,
        **variables_of(home),
        "GATELEDGER_HOME": str(home),
        "GATELEDGER_SPOOL_INTERVAL_S": "0.1",
        **environment,
    }
    log = home / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=output, stderr=output, start_new_session=True
        )
    server = LiveServer(f"http://127.0.0.1:{port}", log, process)
    try:
        _await_health(server)
        yield server
    finally:
        server.kill()


def _await_health(server: LiveServer, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if httpx.get(f"{server.url}/health", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the server did not come up:\n{server.log.read_text(errors='replace')[-3000:]}")
