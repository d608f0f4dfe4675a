"""The real OSS gateway (npm `@portkey-ai/gateway`) on loopback, with its log hook, and the npm packages tests use.

The gateway cannot be told to bind loopback only, so it is kept short-lived and is given no secret.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

PROVIDER_KEY, CALLER_KEY = "provider-key-that-is-never-stored", "caller-key-that-is-never-stored"
NODE_ROOT = Path(__file__).resolve().parent.parent / ".node"
"""Holds the committed package.json and package-lock.json; node_modules beside them is git-ignored."""


class PartMissing(Exception):
    """An external part a test needs is not here; the message says which and why."""


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def node_modules() -> Path:
    """The installed npm packages of the lock file; installs them at first use. Raises: PartMissing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise PartMissing("node and npm are not installed")
    modules = NODE_ROOT / "node_modules"
    done = modules / ".installed"
    wanted = (NODE_ROOT / "package-lock.json").read_text()
    with (NODE_ROOT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done.exists() and done.read_text() == wanted):
            command = ["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
            result = subprocess.run(command, cwd=NODE_ROOT, capture_output=True, text=True, timeout=240, check=False)
            if result.returncode:
                raise PartMissing(f"npm ci failed: {result.stderr.strip()[-400:]}")
            done.write_text(wanted)
    return modules


@contextmanager
def process(
    command: list[str], ready_port: int, log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on `ready_port` of loopback; ended with its whole process group. Raises: PartMissing."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=log.parent, start_new_session=True
        )
    try:
        _await_port(server, ready_port, log)
        yield server
    finally:
        try:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=1)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        except ProcessLookupError:
            server.wait()


def _await_port(server: subprocess.Popen[bytes], port: int, log: Path, timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise PartMissing(f"{server.args!r} ended with {server.returncode}: {_end_of(log)}")
        with closing(socket.socket()) as sock:
            sock.settimeout(0.5)
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise PartMissing(f"{server.args!r} did not listen on {port} within {timeout_s} s: {_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-600:]


class Gateway:
    """A running gateway whose every request is posted to a log URL."""

    def __init__(self, port: int, log_url: str, log_headers: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._log_check = {
            "id": "default.log",
            "parameters": {"logURL": log_url, "headers": json.dumps(log_headers), "timeout": 15000},
        }
        self._client = httpx.Client(timeout=30)

    def config(self, provider: str, provider_url: str, **more: Any) -> dict[str, Any]:
        """A gateway config that sends requests to `provider_url` and logs them."""
        return {
            "provider": provider,
            "api_key": PROVIDER_KEY,
            "custom_host": provider_url,
            "after_request_hooks": [{"type": "guardrail", "id": "log", "checks": [self._log_check]}],
            **more,
        }

    def post(
        self, path: str, config: dict[str, Any], body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """The gateway's answer, read to its end (streams too)."""
        all_headers = {
            "x-portkey-config": json.dumps(config),
            "authorization": f"Bearer {CALLER_KEY}",
            **(headers or {}),
        }
        return self._client.post(f"{self.url}/{path}", json=body, headers=all_headers)

    def close(self) -> None:
        self._client.close()


@contextmanager
def gateway(folder: Path, log_url: str, log_headers: dict[str, str] | None = None) -> Iterator[Gateway]:
    """A running gateway on a free port. Raises: PartMissing."""
    script = node_modules() / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    port = free_port()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    command = ["node", str(script), "--headless", f"--port={port}"]
    with process(command, port, folder / "gateway.log", env):
        running = Gateway(port, log_url, log_headers or {})
        try:
            yield running
        finally:
            running.close()
