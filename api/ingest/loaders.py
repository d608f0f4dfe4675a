"""The loader of records that the API received: it knows today's prices, agreements and workspaces."""

from datetime import datetime, timedelta

from api.db import Database
from api.logs.objects import LogObjects
from api.pricing.service import overlay_of
from api.settings import ApiSettings
from api.workspaces.service import ownership_of
from warehouse.engines.base import Engine
from warehouse.ingest.keeping import KeepingLoader
from warehouse.ingest.load import Loader
from warehouse.pricing.history import WarehouseHistory
from warehouse.pricing.negotiated import Overlay
from warehouse.pricing.sources import Sources

LIFETIME = timedelta(minutes=5)
"""After this the loader is made anew, so that it knows new prices; new agreements it knows at once."""


class Loaders:
    """Gives the loader to use now."""

    def __init__(
        self, settings: ApiSettings, engine: Engine, database: Database, sources: Sources, logs: LogObjects
    ) -> None:
        self._settings, self._engine, self._database = settings, engine, database
        self._sources, self._logs = sources, logs
        self._loader: Loader | None = None
        self._overlay = Overlay()
        self._made_at: datetime | None = None

    def at(self, now: datetime) -> KeepingLoader:
        """A loader that also keeps the payloads of logs. Raises: WarehouseError, SQLAlchemyError."""
        return KeepingLoader(self._loader_at(now), self._logs.opened)

    def forget(self) -> None:
        """The next loader is made anew: what this one had in mind is in doubt."""
        self._loader = None

    def _loader_at(self, now: datetime) -> Loader:
        with self._database.transaction(writes=False) as session:
            overlay = overlay_of(session)
        is_old = self._made_at is None or now - self._made_at >= LIFETIME
        if self._loader is None or is_old or overlay != self._overlay:
            warehouse = self._settings.warehouse
            with self._database.transaction(writes=False) as session:
                ownership = ownership_of(session)
            folder = self._settings.quarantine_folder
            book = self._sources.book().remembering(WarehouseHistory(self._engine, now))
            self._loader = Loader(self._engine, book, warehouse.cost_policy, ownership, folder, overlay)
            self._made_at, self._overlay = now, overlay
        return self._loader
