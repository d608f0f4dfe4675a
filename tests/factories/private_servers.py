"""MariaDB, PostgreSQL and Redis of the tests' own: in a short folder, on loopback, without durability, gone at the end.

The test processes of one run share a server: whoever comes first starts it, whoever leaves last stops it.
"""

import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.factories.gateway import PartMissing

STOP_TIMEOUT_S = 10
USER, PASSWORD = "gateledger", "database-secret-of-the-tests"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers on `port` of 127.0.0.1; its files are in `folder`."""

    port: int
    folder: Path
    pid: int

    def stop(self) -> None:
        """End it as an operator does, and at last by force."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, signal_number)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while time.monotonic() < deadline and _runs(self.pid):
                time.sleep(0.02)


Start = Callable[[Path], Server]


@contextmanager
def alone(start: Start) -> Iterator[Server]:
    """A server for one test or one process. Raises: PartMissing."""
    folder = Path(tempfile.mkdtemp(prefix="gl-", dir="/tmp"))
    try:
        server = start(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def shared(name: str, start: Start) -> Iterator[Server]:
    """A server for all processes of this test run. Raises: PartMissing."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}"
    folder = Path("/tmp") / f"gl-{name}-{run[:12]}"
    with _state(folder) as state:
        if not state or not _runs(state["pid"]):
            # What a run that was killed left under the same name is of no use.
            inner = folder / "s"
            shutil.rmtree(inner, ignore_errors=True)
            inner.mkdir()
            state.update({**asdict(start(inner)), "folder": str(inner), "users": 0})
        state["users"] += 1
        server = Server(port=state["port"], folder=Path(state["folder"]), pid=state["pid"])
    try:
        yield server
    finally:
        with _state(folder) as state:
            state["users"] -= 1
            if state["users"] == 0:
                state.clear()
                server.stop()
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _state(folder: Path) -> Iterator[dict]:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    lock_path = folder.with_suffix(".lock")
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / "state.json"
        state = json.loads(path.read_text()) if path.exists() else {}
        try:
            yield state
        finally:
            if state:
                path.write_text(json.dumps(state, default=str))
            else:
                lock_path.unlink(missing_ok=True)


def launch(command: list[str], log: Path, user: str | None = None) -> int:
    """The process id of a server in a session of its own. It outlives this process until somebody stops it."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, user=user)
    process.returncode = 0  # another test process may be the one that stops it
    return process.pid


def awaited(answers: Callable[[], object], pid: int, log: Path, timeout_s: float = 30) -> None:
    """Nothing, once `answers` does not raise any more. Raises: AssertionError with the end of the log."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            answers()
        except Exception as error:
            if time.monotonic() > deadline or not _runs(pid):
                tail = log.read_text(errors="replace")[-1500:]
                raise AssertionError(f"the server did not come up: {error}\n{tail}") from error
            time.sleep(0.05)
        else:
            return


def found(program: str, *folders: str) -> str:
    """The path of a server's program. Raises: PartMissing."""
    path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
    if path is None:
        raise PartMissing(f"{program} is not installed")
    return path


def server_user(name: str) -> str | None:
    """Whom the server runs as: some refuse to be root. None: as we are."""
    if os.getuid() != 0:
        return None
    try:
        pwd.getpwnam(name)
    except KeyError as error:
        raise PartMissing(f"there is no user {name} to run it as") from error
    return name


def given_to(user: str | None, *paths: Path) -> None:
    """The files belong to the server's user."""
    for path in paths:
        if user is not None:
            shutil.chown(path, user)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        if sys.platform == "linux":
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return state != "Z"
