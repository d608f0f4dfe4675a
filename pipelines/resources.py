"""What assets work with: the same parts as the command line, opened from the environment once per run."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from pydantic import PrivateAttr

from api.alerts.listing import overdue
from api.api_keys.upkeep import Upkeep
from api.cli.local import Local
from api.exports.running import Due, Outcome
from api.limits.counting import Refreshed
from api.limits.listing import Shown
from warehouse.catalog.rated import RATED
from warehouse.engines.base import Engine, Window
from warehouse.errors import ConfigurationError
from warehouse.ingest.audit import forget_old
from warehouse.ingest.daily import DailyLogs, DayInventory
from warehouse.ingest.load import LoadReport
from warehouse.pricing.book import PriceBook
from warehouse.reprice.rows import Selection
from warehouse.reprice.run import RepriceReport
from warehouse.rollups import build_rollups

OVERDUE = timedelta(seconds=30)
"""A message that is due for longer than this is sent by no server."""
EXPORTS = "exports"
"""The pool of runs that write exports: one at a time leaves the machine to questions."""
LOOKBACK = timedelta(days=35)
"""The last weeks: what most questions are about."""
WRITES = "warehouse_writes"
"""The pool of every run that writes to the warehouse (dagster.yaml gives pools one slot)."""


@dataclass(frozen=True, slots=True)
class UnpricedLimits:
    """Shares from 0 to 1."""

    requests: float
    tokens: float


class Ledger(dg.ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """Warehouse, prices and log store by the environment (GATELEDGER_HOME, WAREHOUSE_URL, LOG_STORE_URL, …)."""

    _local: Local = PrivateAttr(default_factory=Local)

    def engine(self) -> Engine:
        """The warehouse, at the newest schema."""
        return self._local.engine

    def book(self) -> PriceBook:
        """The price book in force with all that was known before; what is new is recorded."""
        return self._local.dated_book()

    def reprice(self, selection: Selection, *, is_dry: bool, say: Callable[[str], None]) -> RepriceReport:
        """Price stored requests again and correct those whose cost differs; `say` hears of each day."""
        return self._local.reprice(selection, is_dry=is_dry, on_day=lambda day, rows: say(f"{day}: {rows} requests"))

    def keep_up_keys(self) -> Upkeep:
        """Expire and rotate the API keys that are due, and store what the audit log says of it."""
        return self._local.keep_up_keys()

    def send_messages(self) -> Counter[str]:
        """Send the alerts and mails that are due: how many, by what became of them."""
        return self._local.send_messages()

    def overdue_messages(self) -> int:
        """How many messages wait for somebody who sends them."""
        with self._local.session() as session:
            return overdue(session, self.now(), OVERDUE)

    def refresh_limits(self) -> Refreshed:
        """Start the limits anew that are due, and count all of them until now."""
        return self._local.refresh_limits()

    def reset_limits(self, reference: str) -> list[Shown]:
        """Usage of an entity, or of one limit, starts at 0 now."""
        return self._local.reset_limits(reference)

    def due_exports(self) -> list[Due]:
        """The exports that were started and that nobody is at; none where exports are switched off."""
        return self._local.exports.due() if self._local.settings.data_exports_enabled else []

    def write_export(self, export_id: str, say: Callable[[str], None]) -> Outcome:
        """Write an export to its end; `say` hears of each part."""

        def progress(written: int, total: int) -> None:
            say(f"{written} of {total} rows are written")

        return self._local.exports.run(export_id, progress)

    def unpriced_limits(self) -> UnpricedLimits:
        """The shares without a cost above which the check alerts."""
        settings = self._local.settings.warehouse
        return UnpricedLimits(settings.unpriced_requests_limit, settings.unpriced_tokens_limit)

    def rate_requests(self) -> int:
        """Bring the rated requests of the last weeks up to date with the feedback on them; how many days were not."""
        return build_rollups(self.engine(), Window(self.now() - LOOKBACK, self.now()), [RATED])[RATED.name]

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.now(UTC)

    def forget_old_audit_records(self) -> list[str]:
        """Delete the audit records that are older than GATELEDGER_AUDIT_RETENTION_DAYS; says what went."""
        days = self._local.settings.operations.audit_retention_days
        return forget_old(self.engine(), self.now(), days)

    def watches(self) -> bool:
        """True when a log store is configured."""
        return self._local.log_store_url() is not None

    def inventory(self, day: date) -> DayInventory:
        """What the log store holds for a day."""
        return self._logs().inventory(day)

    def load_day(self, day: date, say: Callable[[str], None]) -> LoadReport:
        """Load what is new for a day; `say` hears of the progress."""

        def progress(done: object) -> None:
            say(str(done))

        return self._logs().load(self._local.loader(), day, self.now(), progress)

    def _logs(self) -> DailyLogs:
        store = self._local.log_store()
        if store is None:
            raise ConfigurationError(
                "LOG_STORE_URL is not set: a folder, s3://, gs:// or az:// URL of the gateway's log store"
            )
        settings = self._local.settings.warehouse
        return DailyLogs(store, self.engine(), self._local.ownership(), settings.log_store_file_path_format)
