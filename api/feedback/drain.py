"""A thread that makes the changes of feedbacks in the warehouse, whichever worker gets the lease."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self

from warehouse.engines.base import Engine
from warehouse.ingest.feedback_updates import FeedbackUpdater
from warehouse.ingest.spool import Spool

logger = logging.getLogger("api.feedback")

LONGEST_WAIT_S = 30.0
STOP_WITHIN_S = 10.0


class FeedbackDrain:
    """Runs from `with` to its end. What fails is told and tried again, ever more slowly; nothing is lost."""

    def __init__(
        self, spool: Spool, engine: Engine, quarantine: Path, interval_s: float, clock: Callable[[], datetime]
    ) -> None:
        self._spool, self._updater = spool, FeedbackUpdater(engine, quarantine)
        self._interval_s, self._clock = interval_s, clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feedback-drain", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        wait_s = self._interval_s
        while not self._stop.wait(wait_s):
            wait_s = self._interval_s if self._once() else min(wait_s * 2, LONGEST_WAIT_S)
        self._once()

    def _once(self) -> bool:
        """Whether it went well."""
        try:
            if self._spool.backlog()[0]:
                report = self._spool.drain(self._updater, self._clock())
                if report is not None and report.rejected:
                    logger.error("changes of feedbacks are in quarantine", extra={"rejected": report.rejected})
        except Exception:
            # A thread that dies would lose nothing but hide everything: whatever failed, it is told and tried again.
            logger.exception("changing feedbacks failed; it is tried again")
            return False
        return True
