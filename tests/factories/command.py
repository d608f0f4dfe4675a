"""The command `gateledger` as an operator runs it, in a process of its own with a home of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
WIDTH = {"COLUMNS": "200"}
_OURS = ("GATELEDGER_", "WAREHOUSE_", "CLICKHOUSE_", "LOG_STORE", "DATABASE_", "MODEL_CONFIGS_", "DAGSTER_")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: bytes
    stderr: bytes


@dataclass
class Command:
    """Runs `gateledger` in a folder. `is_warm`: by a process that has its modules imported already, 2 s sooner."""

    home: Path
    cwd: Path
    is_warm: bool = True
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        own = {"GATELEDGER_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        self.environment = {**inherited, **WIDTH, **own, **self.environment}

    def __call__(self, *arguments: str, exits: int = 0, stdin: bytes = b"") -> Ran:
        run = _warm if self.is_warm else _cold
        ran = run(arguments, self.cwd, self.environment, stdin)
        assert ran.returncode == exits, (ran.stdout.decode(), ran.stderr.decode())
        return ran

    def json(self, *arguments: str, exits: int = 0, stdin: bytes = b"") -> Any:
        """The answer of a command that is asked for JSON."""
        out = self(*arguments, "--json", exits=exits, stdin=stdin).stdout
        assert out.count(b"\n") == 1, "one JSON object and nothing else"
        return json.loads(out)


def _cold(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], stdin: bytes) -> Ran:
    command = [sys.executable, "-m", "api.cli", *arguments]
    ran = subprocess.run(command, cwd=cwd, env=environment, input=stdin, capture_output=True, timeout=120, check=False)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def _warm(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], stdin: bytes) -> Ran:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("stdin", "stdout", "stderr")}
        files["stdin"].write_bytes(stdin)
        asked = {name: str(path) for name, path in files.items()}
        asked |= {"arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)}
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return Ran(status, files["stdout"].read_bytes(), files["stderr"].read_bytes())


@cache
def _server() -> "subprocess.Popen[str]":
    """One for the test process; it ends when its standard input does."""
    command = [sys.executable, str(Path(__file__).with_name("warm_command.py"))]
    environment = {**os.environ, **WIDTH, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
