"""A thread that keeps the warehouse tidy while the API runs, in whichever worker gets the lease."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self

from warehouse.engines.base import Engine
from warehouse.ingest.audit import forget_old
from warehouse.ingest.disk import lease

logger = logging.getLogger("api.maintenance")

STOP_WITHIN_S = 5.0
"""A kill leaves nothing half done, so nobody has to wait for it."""


class Maintenance:
    """Runs from `with` to its end: compacts, checkpoints, sweeps and forgets every `interval_s` seconds.

    Records that come one by one make many small files; without this a busy spool would slow every query down until
    the pipelines' own maintenance runs. What fails is logged and tried again.
    """

    def __init__(
        self,
        engine: Engine,
        lock: Path,
        interval_s: float,
        clock: Callable[[], datetime],
        audit_retention_days: int | None = None,
    ) -> None:
        self._engine, self._lock, self._interval_s, self._clock = engine, lock, interval_s, clock
        self._audit_retention_days = audit_retention_days
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self.once()
            except Exception:
                # A thread that dies would hide that nothing is tidied any more.
                logger.exception("maintaining the warehouse failed; it is tried again")

    def once(self) -> None:
        """Tidy up now, unless another worker is at it. Raises: WarehouseError, OSError."""
        with lease(self._lock) as is_mine:
            if is_mine:
                now = self._clock()
                forgotten = forget_old(self._engine, now, self._audit_retention_days)
                for done in (*forgotten, *self._engine.maintain(now)):
                    logger.info("maintenance: %s", done)
