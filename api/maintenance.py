"""A thread that keeps the warehouse tidy while the API runs, in whichever worker gets the lease."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self

from warehouse.engines.base import Engine
from warehouse.ingest.disk import lease

logger = logging.getLogger("api.maintenance")

STOP_WITHIN_S = 30.0


class Maintenance:
    """Runs from `with` to its end: compacts, checkpoints and sweeps every `interval_s` seconds.

    Records that come one by one make many small files; without this a busy spool would slow every query down until
    the pipelines' own maintenance runs. What fails is logged and tried again.
    """

    def __init__(self, engine: Engine, lock: Path, interval_s: float, clock: Callable[[], datetime]) -> None:
        self._engine, self._lock, self._interval_s, self._clock = engine, lock, interval_s, clock
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
                for done in self._engine.maintain(self._clock()):
                    logger.info("maintenance: %s", done)
