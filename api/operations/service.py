"""What keeps the service running, opened together."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from api.audit import KIND, Audit
from api.client_address import Proxies
from api.db import Database
from api.draining import draining
from api.operations.metrics import Metrics
from api.operations.refusals import Refusals
from api.operations.settings import SHARED_FOLDER
from api.operations.stopping import Stopping
from warehouse.engines.base import Engine
from warehouse.ingest.audit import AuditLoader
from warehouse.ingest.spool import Spool

if TYPE_CHECKING:
    from api.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Operations:
    """The audit log, the metrics, the count of refusals, whether the server stops, and which proxies are believed."""

    audit: Audit
    metrics: Metrics
    refusals: Refusals
    stopping: Stopping
    proxies: Proxies
    audit_spool: Spool


def open_operations(
    settings: "ApiSettings",
    stack: ExitStack,
    database: Database,
    engine: Engine,
    spool: Spool,
    clock: Callable[[], datetime],
    environment: Mapping[str, str],
) -> Operations:
    """The parts, running; `stack` closes them. Raises: ConfigurationError."""
    own = settings.operations
    shared = environment.get(SHARED_FOLDER)
    metrics = stack.enter_context(closing(Metrics(Path(shared) if shared else None)))
    proxies = Proxies(own.trusted_proxies)
    audit_spool = stack.enter_context(closing(Spool(settings.audit_spool_folder, clock, kinds=(KIND,))))
    loader = AuditLoader(engine, settings.quarantine_folder)
    stack.enter_context(draining("audit records", audit_spool, lambda _: loader, settings.spool_interval_s, clock))
    metrics.watch({"records": spool, "audit": audit_spool}, clock)
    engine.on_query = metrics.warehouse_seconds.observe
    return Operations(
        audit=Audit(audit_spool, database, proxies, clock, is_on=settings.audit_logs_enabled),
        metrics=metrics,
        refusals=Refusals(own.refusal_limit, own.refusal_window_s),
        stopping=Stopping(own.stop_delay_s),
        proxies=proxies,
        audit_spool=audit_spool,
    )
