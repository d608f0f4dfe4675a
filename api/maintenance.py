"""What keeps the warehouse tidy while the API runs, in whichever worker gets the lease."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from api.background import Background
from warehouse.engines.base import Engine
from warehouse.ingest.audit import forget_old
from warehouse.storage.disk import lease

logger = logging.getLogger("api.maintenance")

STOP_WITHIN_S = 5.0
"""A kill leaves nothing half done, so nobody has to wait for it."""


class Maintenance:
    """Compacts, checkpoints, sweeps and forgets what is old.

    Records that come one by one make many small files; without this a busy spool would slow every query down until
    the pipelines' own maintenance runs.
    """

    def __init__(
        self,
        engine: Engine,
        lock: Path,
        clock: Callable[[], datetime],
        audit_retention_days: int | None = None,
    ) -> None:
        self._engine, self._lock, self._clock = engine, lock, clock
        self._audit_retention_days = audit_retention_days

    def every(self, interval_s: float) -> Background:
        """The thread that does it."""
        return Background("maintenance", self.once, interval_s, logger, at_the_end=False, stop_within_s=STOP_WITHIN_S)

    def once(self) -> None:
        """Tidy up now, unless another worker is at it. Raises: WarehouseError, OSError."""
        with lease(self._lock) as is_mine:
            if is_mine:
                now = self._clock()
                forgotten = forget_old(self._engine, now, self._audit_retention_days)
                for done in (*forgotten, *self._engine.maintain(now)):
                    logger.info("maintenance: %s", done)
