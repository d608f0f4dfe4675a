"""A thread that moves what the spool holds into the warehouse, whichever worker gets the lease."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Self

from api.db import Database
from api.logs.objects import LogObjects
from api.pricing.service import overlay_of
from api.settings import ApiSettings
from api.workspaces.service import ownership_of
from warehouse.engines.base import Engine
from warehouse.ingest.keeping import KeepingLoader
from warehouse.ingest.load import Loader, LoadReport
from warehouse.ingest.spool import Spool
from warehouse.pricing.history import WarehouseHistory
from warehouse.pricing.negotiated import Overlay
from warehouse.pricing.sources import Sources

logger = logging.getLogger("api.ingest.drain")

LONGEST_WAIT_S = 30.0
LOADER_LIFETIME = timedelta(minutes=5)
"""After this the loader is made anew, so that it knows new prices; new agreements it knows at once."""
STOP_WITHIN_S = 10.0


class Drain:
    """Runs from `with` to its end. What fails is logged and tried again, ever more slowly; nothing is lost."""

    def __init__(
        self,
        settings: ApiSettings,
        spool: Spool,
        engine: Engine,
        database: Database,
        sources: Sources,
        logs: LogObjects,
        clock: Callable[[], datetime],
    ) -> None:
        self._logs = logs
        self._settings, self._spool, self._engine, self._database = settings, spool, engine, database
        self._sources, self._clock = sources, clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool-drain", daemon=True)
        self._loader: Loader | None = None
        self._overlay = Overlay()
        self._made_at: datetime | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(STOP_WITHIN_S)
        if self._thread.is_alive():
            logger.warning("the spool is still being drained; what is not loaded yet stays in the spool")

    def _run(self) -> None:
        wait_s = self._settings.spool_interval_s
        while not self._stop.wait(wait_s):
            wait_s = self._settings.spool_interval_s if self._once() else min(wait_s * 2, LONGEST_WAIT_S)
        self._once()

    def _once(self) -> bool:
        """Whether it went well."""
        try:
            if self._spool.backlog()[0]:
                now = self._clock()
                loader = KeepingLoader(self._loader_at(now), self._logs.opened)
                _tell(self._spool.drain(loader, now))
        except Exception:
            # A thread that dies would lose nothing but hide everything: whatever failed, it is told and tried again.
            logger.exception("loading the spool failed; it is tried again")
            self._loader = None
            return False
        return True

    def _loader_at(self, now: datetime) -> Loader:
        with self._database.transaction(writes=False) as session:
            overlay = overlay_of(session)
        is_old = self._made_at is None or now - self._made_at >= LOADER_LIFETIME
        if self._loader is None or is_old or overlay != self._overlay:
            warehouse = self._settings.warehouse
            with self._database.transaction(writes=False) as session:
                ownership = ownership_of(session)
            folder = self._settings.quarantine_folder
            book = self._sources.book().remembering(WarehouseHistory(self._engine, now))
            self._loader = Loader(self._engine, book, warehouse.cost_policy, ownership, folder, overlay)
            self._made_at, self._overlay = now, overlay
        return self._loader


def _tell(report: LoadReport | None) -> None:
    if report is None or not report.received:
        return
    counts = {
        "received": report.received,
        "stored": report.stored,
        "duplicates": report.duplicates,
        "rejected": report.rejected,
        "unpriced": report.unpriced,
        "reasons": dict(report.reasons),
    }
    logger.log(logging.WARNING if report.rejected else logging.INFO, "spool loaded", extra=counts)
