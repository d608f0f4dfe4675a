"""A few queries at a time, a bounded queue behind them, and a deadline for each."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import BoundedSemaphore, Event, Lock, Thread

from warehouse.errors import WarehouseBusy

_AGAIN_S = 0.05


class Turns:
    """Lets `at_once` callers in, lets `queue` more wait, and refuses the rest."""

    def __init__(self, at_once: int, queue: int) -> None:
        self._free = BoundedSemaphore(at_once)
        self._queue, self._waiting, self._counting = queue, 0, Lock()

    @contextmanager
    def turn(self, wait_s: float) -> Generator[None]:
        """Holds one place. Raises: WarehouseBusy when the queue is full or the wait took too long."""
        if not self._free.acquire(blocking=False):
            self._wait(wait_s)
        try:
            yield
        finally:
            self._free.release()

    def _wait(self, wait_s: float) -> None:
        with self._counting:
            if self._waiting >= self._queue:
                raise WarehouseBusy
            self._waiting += 1
        try:
            if not self._free.acquire(timeout=wait_s):
                raise WarehouseBusy
        finally:
            with self._counting:
                self._waiting -= 1


@contextmanager
def deadline(after_s: float, interrupt: Callable[[], None], over: Event) -> Generator[None]:
    """Sets `over` and calls `interrupt` again and again once the time is up; never after the block has ended.

    Again and again, because an interrupt between two steps of a query is lost.
    """
    done = Event()

    def watch() -> None:
        if done.wait(after_s):
            return
        over.set()
        while not done.is_set():
            interrupt()
            done.wait(_AGAIN_S)

    watcher = Thread(target=watch, name="query-deadline", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
