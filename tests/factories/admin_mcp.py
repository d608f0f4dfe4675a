"""The third-party admin client (npm `portkey-admin-mcp`), spoken to as an assistant does: MCP's JSON-RPC over stdio."""

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any

from tests.factories.gateway import PartMissing, node_modules

PROTOCOL = "2025-06-18"
ANSWER_TIMEOUT_S = 60


class ToolRefused(Exception):
    """A tool of the client answered with an error; the message is what an assistant would read."""


class AdminMcp:
    """A running client. Its tools are named as in its own list."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._to, self._errors = process, process.stdin, errors
        self._numbers = count(1)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def open(self) -> None:
        """Agree on the protocol. Raises: PartMissing when the client does not start."""
        self._ask(
            "initialize",
            {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}},
        )
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def tools(self) -> set[str]:
        """The names of all its tools."""
        return {tool["name"] for tool in self._ask("tools/list", {})["tools"]}

    def call(self, tool: str, **arguments: Any) -> Any:
        """The data that a tool answers. Raises: ToolRefused."""
        result = self._ask("tools/call", {"name": tool, "arguments": arguments})
        text = "\n".join(part["text"] for part in result["content"] if part["type"] == "text")
        if result.get("isError"):
            raise ToolRefused(text)
        answer = json.loads(text)
        assert answer["ok"] is True
        return answer["data"]

    def end(self) -> None:
        """Close what was opened; the process is gone by now."""
        self._reader.join(5)
        for pipe in (self._to, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        self._write({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
        while True:
            line = self._lines.get(timeout=ANSWER_TIMEOUT_S)
            if line is None:
                raise PartMissing(f"portkey-admin-mcp ended: {self._errors.read_text(errors='replace')[-600:]}")
            message = json.loads(line)
            if message.get("id") == number:
                break
        assert "error" not in message, message["error"]
        return message["result"]

    def _write(self, message: Mapping[str, Any]) -> None:
        self._to.write(json.dumps(message) + "\n")
        self._to.flush()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._lines.put(line)
        self._lines.put(None)


@contextmanager
def admin_mcp(folder: Path, base_url: str, key: str) -> Generator[AdminMcp]:
    """The client with a key for the API at `base_url`, ended with its process group. Raises: PartMissing."""
    script = node_modules() / "portkey-admin-mcp" / "build" / "index.js"
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PORTKEY_API_KEY": key,
        "PORTKEY_BASE_URL": base_url,
        # It refuses loopback and plain HTTP otherwise.
        "PORTKEY_ALLOW_PRIVATE_BASE_URL": "true",
        "PORTKEY_ALLOW_INSECURE_HTTP": "true",
    }
    errors = folder / "admin-mcp.log"
    with errors.open("wb") as output:
        process = subprocess.Popen(
            ["node", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            env=variables,
            cwd=folder,
            text=True,
            start_new_session=True,
        )
    client = AdminMcp(process, errors)
    try:
        client.open()
        yield client
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        client.end()
