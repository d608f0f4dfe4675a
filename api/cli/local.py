"""The parts that a command works with, opened from the environment when first asked for."""

import atexit
import os
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, partial

from pydantic import ValidationError
from sqlalchemy import inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.alerts.ways import delivering
from api.api_keys.upkeep import Upkeep, keep_up
from api.audit import KIND, Audit
from api.client_address import Proxies
from api.db import Database
from api.errors import NotFound
from api.exports.payloads import Payloads
from api.exports.running import ExportRunner
from api.exports.storage import ExportStorage
from api.limits.counting import Refreshed
from api.limits.listing import Shown, reset_by_hand
from api.limits.upkeep import refresh_all
from api.logs.objects import LogObjects
from api.opening import open_database, ready_database
from api.organisations.service import Bootstrap, bootstrap
from api.policies import refresh as policies
from api.pricing.service import overlay_of
from api.settings import ApiSettings
from api.workspaces.service import ownership_of, slugs_of
from warehouse.engines.base import Engine
from warehouse.engines.open import open_engine
from warehouse.errors import ConfigurationError, WarehouseBusy
from warehouse.ingest.audit import AuditLoader
from warehouse.ingest.load import Loader
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.spool import Spool
from warehouse.logstore.access import log_store_url
from warehouse.logstore.store import LogStore
from warehouse.pricing.book import PriceBook
from warehouse.pricing.cost import price
from warehouse.pricing.history import WarehouseHistory
from warehouse.pricing.negotiated import Overlay
from warehouse.pricing.sources import Sources, open_sources
from warehouse.reprice.rows import Selection
from warehouse.reprice.run import RepriceReport, reprice
from warehouse.storage.disk import lease
from warehouse.storage.migrate import migrate


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SampleTenant:
    """Who a sample belongs to."""

    organisation_id: str
    organisation_name: str
    workspaces: tuple[str, ...]
    """Slugs, the default workspace first."""


class Local:
    """Settings, database, warehouse and loader of this environment. Opened when asked for, closed at exit or before."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        atexit.register(self._opened.close)

    def close(self) -> None:
        """Give back what was opened; what is asked for later is opened anew."""
        self._opened.close()
        for part in ("database", "engine", "sources", "exports"):
            self.__dict__.pop(part, None)

    @cached_property
    def settings(self) -> ApiSettings:
        """The settings of the environment. Raises: ConfigurationError that names the variable."""
        try:
            return ApiSettings()
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]).upper()
            raise ConfigurationError(f"{name}: {first['msg']} (it is {first.get('input')!r})") from None

    @cached_property
    def database(self) -> Database:
        """The relational database, at the newest schema."""
        return ready_database(self.settings, self._opened, datetime.now(UTC))[0]

    @cached_property
    def engine(self) -> Engine:
        """The warehouse, at the newest schema."""
        engine = open_engine(self.settings.warehouse)
        self._opened.callback(engine.close)
        migrate(engine)
        return engine

    @cached_property
    def sources(self) -> Sources:
        """The source chain of price and capability files."""
        sources = open_sources(self.settings.warehouse, lambda: datetime.now(UTC), os.environ)
        self._opened.callback(sources.close)
        return sources

    def book(self) -> PriceBook:
        """The price book in force."""
        return self.sources.book()

    def dated_book(self, *, records: bool = True) -> PriceBook:
        """The price book in force with all that was known before; what is new is recorded in the warehouse."""
        return self.book().remembering(WarehouseHistory(self.engine, datetime.now(UTC), records=records))

    def reprice(
        self, selection: Selection, *, is_dry: bool = False, on_day: Callable[[date, int], None] | None = None
    ) -> RepriceReport:
        """Price stored requests again by the prices known now. Raises: WarehouseBusy while another one runs."""
        with lease(self.settings.home / "reprice.lock") as is_mine:
            if not is_mine:
                raise WarehouseBusy(retry_after_s=60)
            book = self.dated_book(records=not is_dry)
            policy = self.settings.warehouse.cost_policy
            pricer = partial(price, book=book, policy=policy, overlay=self.overlay())
            return reprice(self.engine, pricer, selection, datetime.now(UTC), is_dry=is_dry, on_day=on_day)

    def keep_up_keys(self) -> Upkeep:
        """Expire and rotate the API keys that are due, and tell of it. Audit records are in the warehouse then."""
        with self.auditing() as audit:
            done = keep_up(self.database, audit, _utc_now())
            self._send(audit)
            return done

    def send_messages(self) -> Counter[str]:
        """Send the alerts and mails that are due: how many, by what became of them."""
        with self.auditing() as audit:
            return self._send(audit)

    def _send(self, audit: Audit) -> Counter[str]:
        with delivering(self.settings, self.database, audit, _utc_now) as delivery:
            return delivery.once()

    @contextmanager
    def auditing(self) -> Generator[Audit]:
        """The audit log; what was recorded is in the warehouse at the end."""
        settings = self.settings
        with closing(Spool(settings.audit_spool_folder, _utc_now, kinds=(KIND,))) as spool:
            yield Audit(spool, self.database, Proxies(), _utc_now, is_on=settings.audit_logs_enabled)
            # Perhaps no server drains this home; whoever does holds a lease.
            if spool.backlog()[0]:
                spool.drain(AuditLoader(self.engine, settings.quarantine_folder), _utc_now())

    def refresh_limits(self) -> Refreshed:
        """Usage limits and policies in the period they should be in, counted until now; what they crossed is told."""
        now = _utc_now()
        done = refresh_all(self.database, self.engine, now)
        policies.refresh_all(self.database, self.engine, now)
        return done

    def reset_limits(self, reference: str) -> list[Shown]:
        """Usage of an entity, or of one limit, starts at 0 now. Raises: NotFound."""
        with self.auditing() as audit, self.database.transaction() as session:
            return reset_by_hand(session, audit, reference, _utc_now())

    @cached_property
    def exports(self) -> ExportRunner:
        """What writes the exports that were started."""
        storage = ExportStorage(self.settings, os.environ)
        payloads = Payloads(LogObjects(self.settings.warehouse, os.environ))
        return ExportRunner(self.settings, self.database, self.engine, storage, payloads, _utc_now)

    @contextmanager
    def session(self, *, writes: bool = False) -> Generator[Session]:
        """One transaction. Raises: ConfigurationError when the database does not answer."""
        try:
            with self.database.transaction(writes=writes) as session:
                yield session
        except SQLAlchemyError as error:
            raise ConfigurationError(f"the database does not answer: {error}") from error

    def prepare(self) -> None:
        """Bring both schemas up to date before servers start, so that a wrong setting is told at once."""
        self.prepare_database()
        _ = self.engine

    def prepare_database(self) -> None:
        """Open the relational database and bring its schema up to date."""
        with self.session() as session:
            session.execute(select(1))

    def initialise(self, organisation: str, owner_email: str, *, new_key: bool) -> Bootstrap:
        """The first organisation, made once; and the warehouse's tables."""
        with self.session(writes=True) as session:
            made = bootstrap(
                session, organisation=organisation, owner_email=owner_email, now=datetime.now(UTC), new_key=new_key
            )
        _ = self.engine
        return made

    def ownership(self, workspace: str | None = None) -> Ownership:
        """Who owns records that name nobody. Raises: NotFound before `init`, Forbidden for an unknown workspace."""
        with self.session() as session:
            return ownership_of(session, workspace=workspace)

    def overlay(self) -> Overlay:
        """What organisations have agreed on prices, as it is known now."""
        with self.session() as session:
            return overlay_of(session)

    def loader(self, workspace: str | None = None) -> Loader:
        """What loads records into the warehouse, priced by the book in force."""
        settings = self.settings
        ownership = self.ownership(workspace)
        policy, folder = settings.warehouse.cost_policy, settings.quarantine_folder
        return Loader(self.engine, self.dated_book(), policy, ownership, folder, self.overlay())

    def log_store_url(self) -> str | None:
        """LOG_STORE_URL, else what the gateway's own LOG_STORE variables name, else None."""
        url = self.settings.warehouse.log_store_url
        return url.get_secret_value() if url else log_store_url(os.environ)

    def log_store(self) -> LogStore | None:
        """The log store, or None when none is configured."""
        url = self.log_store_url()
        return LogStore.open(url, os.environ) if url else None

    def sample_tenant(self) -> SampleTenant | None:
        """The first organisation and its workspaces, or None where `init` has not run (nothing is created)."""
        if not self.settings.database.is_named and not (self.settings.home / "gateledger.db").exists():
            return None
        with ExitStack() as opened:
            database = open_database(self.settings, opened)
            database.reach()
            if not inspect(database.engine).has_table("organisations"):
                return None
        try:
            ownership = self.ownership()
        except NotFound:
            return None
        slugs = ownership.known[ownership.organisation_id]
        first = (ownership.workspace_slug,)
        return SampleTenant(
            ownership.organisation_id, ownership.organisation_name, first + tuple(sorted(slugs - set(first)))
        )

    def workspace_slugs(self, references: tuple[str, ...]) -> frozenset[str]:
        """Slugs of workspaces named by slug or id. Raises: Forbidden for an unknown one."""
        owner = self.ownership()
        with self.session() as session:
            return slugs_of(session, owner.organisation_id, references)
