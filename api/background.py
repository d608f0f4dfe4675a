"""A thread that does the same piece of work again and again beside the requests."""

import logging
import threading
from collections.abc import Callable
from typing import Self

LONGEST_WAIT_S = 30.0
"""After failures the work is tried ever more seldom, but never more seldom than this or than its own interval."""
STOP_WITHIN_S = 10.0


class Background:
    """Does `work` every `interval_s` seconds from `with` to its end.

    What fails is logged to `logger` as "`name` failed" and tried again, ever more slowly; a thread that died would
    hide that nothing is done any more. With `at_the_end` the work is done once more when it is time to stop. At most
    `stop_within_s` seconds are waited for work under way: it must lose nothing when the process ends there.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        interval_s: float,
        logger: logging.Logger,
        *,
        at_the_end: bool = True,
        stop_within_s: float = STOP_WITHIN_S,
    ) -> None:
        self._name, self._work, self._interval_s, self._logger = name, work, interval_s, logger
        self._at_the_end, self._stop_within_s = at_the_end, stop_within_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._stop_within_s)
        if self._thread.is_alive():
            self._logger.warning("%s is still under way; what it did not finish is done at the next start", self._name)

    def _run(self) -> None:
        wait_s = self._interval_s
        while not self._stop.wait(wait_s):
            wait_s = self._interval_s if self._is_done() else max(self._interval_s, min(wait_s * 2, LONGEST_WAIT_S))
        if self._at_the_end:
            self._is_done()

    def _is_done(self) -> bool:
        try:
            self._work()
        except Exception:
            self._logger.exception("%s failed; it is tried again", self._name)
            return False
        return True
