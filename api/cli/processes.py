"""Servers as child processes: started in groups of their own, stopped together, nothing left running."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

GRACE_S = 20.0
POLL_S = 0.2


@dataclass
class Server:
    """One child with its whole process group."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    quiet: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start the child in a session of its own, so that Ctrl-C reaches only us and we stop it in order."""
        sink = subprocess.DEVNULL if self.quiet else None
        self._process = subprocess.Popen(
            self.command,
            env=dict(self.environment),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )

    def ended(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll() if self._process else None

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; nothing when it is gone."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def wait(self, deadline: float) -> bool:
        """True once the child itself has ended; False when the deadline (monotonic seconds) passed first."""
        while self.ended() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def run_together(servers: Sequence[Server]) -> int:
    """Run servers until one ends or a signal asks to stop; then stop all. The exit code of the first that failed."""
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for server in servers:
            server.start()
        while not stopping and all(server.ended() is None for server in servers):
            time.sleep(POLL_S)
        failed = next((code for server in servers if (code := server.ended())), 0)
        return 0 if stopping else failed
    finally:
        stop_all(servers)
        for number, handler in previous.items():
            signal.signal(number, handler)


def stop_all(servers: Sequence[Server]) -> None:
    """Ask every group to end, wait, and kill what is left of it."""
    for server in reversed(servers):
        server.signal(signal.SIGINT)
    deadline = time.monotonic() + GRACE_S
    for server in servers:
        server.wait(deadline)
        server.signal(signal.SIGKILL)
