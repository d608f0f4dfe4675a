"""Work beside the caller's: a batch is stored while the next one is made, a chunk read while the next is unpacked."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Self, TypeVar

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


class Beside:
    """Runs one task at a time beside the caller, in the order in which they were given.

    Only one is ever under way and none waits, so that no more than two batches take memory. What follows a task, and
    what it raises, happens in the caller's thread. Leaving the `with` waits for the task, whatever becomes of it.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "ingest-store")
        self._task: Future[None] | None = None
        self._after: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None:
                # What went wrong first is what is told; what is stored by now is stored.
                with suppress(Exception):
                    self.finish()
        finally:
            self._pool.shutdown(wait=True)

    def run(self, task: Callable[[], None], after: Callable[[], None] | None = None) -> None:
        """Start a task once the one before is over. Raises: what that one raised; the new one is not started then."""
        self.finish()
        self._task, self._after = self._pool.submit(task), after

    def finish_done(self) -> None:
        """Do what follows the task, where it is over. Raises: what it raised."""
        if self._task is not None and self._task.done():
            self.finish()

    def finish(self) -> None:
        """Returns once nothing is under way. Raises: what the task raised."""
        task, after = self._task, self._after
        self._task = self._after = None
        if task is not None:
            task.result()
            if after is not None:
                after()


def in_order(work: Callable[[_Item], _Made], items: Iterable[_Item], at_once: int) -> Iterator[_Made]:
    """What `work` makes of each item, in order; up to `at_once` items are worked on, one less while one is fetched.

    Raises: what `work` raised, at its item's place; what `items` raised, after everything that came before.
    """
    under_way: deque[Future[_Made]] = deque()
    with ThreadPoolExecutor(at_once, "ingest-chunk") as pool:
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                del item
                if len(under_way) >= at_once:
                    yield under_way.popleft().result()
        except Exception:
            while under_way:
                yield under_way.popleft().result()
            raise
        while under_way:
            yield under_way.popleft().result()
