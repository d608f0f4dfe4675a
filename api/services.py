"""What a running API holds: opened once in the lifespan, read by routes through `api/dependencies.py`."""

import logging
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from api.alerts.delivery import Delivery
from api.alerts.listing import message_counts
from api.alerts.ways import delivering
from api.caching import Forgetting
from api.db import Database
from api.draining import draining
from api.exports.storage import ExportStorage
from api.feature_flags import Features
from api.health.service import Check, Health, database_check, log_store_check, schema_check, warehouse_check
from api.ingest.loaders import Loaders
from api.jwt.fetching import KeySets
from api.jwt.service import Tokens
from api.limits.upkeep import LimitUpkeep
from api.logs.objects import LogObjects
from api.maintenance import Maintenance
from api.opening import ready_database
from api.operations.service import Operations, open_operations
from api.policies.gate import PolicyGate
from api.policies.holdings import LocalHoldings
from api.principal import Gatekeeper
from api.settings import ApiSettings
from api.tenancy import Owners
from api.workspaces.places import INFO, Places
from warehouse.engines.base import Engine
from warehouse.engines.open import open_engine
from warehouse.ingest.feedback_updates import KIND as FEEDBACKS
from warehouse.ingest.feedback_updates import FeedbackUpdater
from warehouse.ingest.spool import Spool
from warehouse.pricing.sources import Sources, open_sources
from warehouse.storage.migrate import migrate

logger = logging.getLogger("api.services")


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that serve requests. `clock` is the only source of the present."""

    settings: ApiSettings
    clock: Callable[[], datetime]
    database: Database
    gatekeeper: Gatekeeper
    engine: Engine
    sources: Sources
    spool: Spool
    owners: Owners
    health: Health
    readiness: Health
    features: Features
    delivery: Delivery
    operations: Operations
    logs: LogObjects
    feedback_updates: Spool
    exports: ExportStorage
    policies: PolicyGate


@contextmanager
def running(
    settings: ApiSettings, clock: Callable[[], datetime], environment: Mapping[str, str]
) -> Generator[Services]:
    """The opened parts, their schemas up to date, the spool being drained; all closed again at the end."""
    with ExitStack() as stack:
        database, shared = ready_database(settings, stack, clock())
        tokens = Tokens(stack.enter_context(closing(KeySets(time.monotonic))))
        gatekeeper = Gatekeeper(database, ttl_s=settings.key_cache_s, shared=shared, tokens=tokens.principal_of_token)
        places = Places(database, ttl_s=settings.key_cache_s, shared=shared)
        database.session_info[INFO] = places
        engine = _warehouse(settings, stack)
        policies = _policy_gate(settings, stack, database, engine, clock)
        forgetting = Forgetting(gatekeeper.forget, places.forget, policies.snapshots.forget)
        database.watchers.append(forgetting)
        if shared is not None:
            stack.enter_context(shared.listening(forgetting.forget))
        sources = stack.enter_context(closing(open_sources(settings.warehouse, clock, environment)))
        spool = stack.enter_context(closing(Spool(settings.spool_folder, clock)))
        logs = LogObjects(settings.warehouse, environment)
        loaders, interval_s = Loaders(settings, engine, database, sources, logs), settings.spool_interval_s
        _take_in(stack, settings, spool, engine, database, loaders, clock)
        updates = stack.enter_context(closing(Spool(settings.feedback_spool_folder, clock, kinds=(FEEDBACKS,))))
        updater = FeedbackUpdater(engine, settings.quarantine_folder)
        stack.enter_context(draining("changes of feedbacks", updates, lambda _: updater, interval_s, clock))
        operations = open_operations(settings, stack, database, engine, spool, clock, environment)
        lock, retention_days = settings.home / "maintenance.lock", settings.operations.audit_retention_days
        stack.enter_context(Maintenance(engine, lock, clock, retention_days).every(settings.maintenance_interval_s))
        delivery = stack.enter_context(delivering(settings, database, operations.audit, clock))
        stack.enter_context(delivery.every(interval_s))
        operations.metrics.watch_messages(partial(message_counts, database))
        yield Services(
            settings=settings,
            clock=clock,
            database=database,
            gatekeeper=gatekeeper,
            engine=engine,
            sources=sources,
            spool=spool,
            owners=Owners(),
            health=Health(_checks(settings, database, engine, environment)),
            readiness=_readiness(database, engine),
            features=settings.features,
            delivery=delivery,
            operations=operations,
            logs=logs,
            feedback_updates=updates,
            exports=ExportStorage(settings, environment),
            policies=policies,
        )


def _policy_gate(
    settings: ApiSettings, stack: ExitStack, database: Database, engine: Engine, clock: Callable[[], datetime]
) -> PolicyGate:
    url = settings.redis.resolved_url()
    if url is None:
        holdings = LocalHoldings()
    else:
        from api.policies.redis_holdings import RedisHoldings

        holdings = stack.enter_context(closing(RedisHoldings(url)))
    gate = PolicyGate(database, engine, holdings, settings.home / "reservations.lock", clock)
    for thread in gate.threads():
        stack.enter_context(thread)
    return gate


def _warehouse(settings: ApiSettings, stack: ExitStack) -> Engine:
    """The warehouse, at the newest schema."""
    engine = stack.enter_context(closing(open_engine(settings.warehouse)))
    for done in migrate(engine):
        logger.info("warehouse schema: %s", done)
    return engine


def _take_in(
    stack: ExitStack,
    settings: ApiSettings,
    spool: Spool,
    engine: Engine,
    database: Database,
    loaders: Loaders,
    clock: Callable[[], datetime],
) -> None:
    """What was received becomes rows, and limits are counted after it."""
    interval_s, longest_s = settings.spool_interval_s, settings.limits_interval_s
    limits = LimitUpkeep(database, engine, settings.home / "limits.lock", clock, longest_s)
    stack.enter_context(limits.every(interval_s))
    hooks = {"on_failure": loaders.forget, "on_stored": limits.note}
    stack.enter_context(draining("records", spool, loaders.at, interval_s, clock, **hooks))


def _readiness(database: Database, engine: Engine) -> Health:
    """What a request cannot do without."""
    return Health(
        {
            "database": database_check(database),
            "warehouse": warehouse_check(engine),
            "migrations": schema_check(database),
        }
    )


def _checks(
    settings: ApiSettings, database: Database, engine: Engine, environment: Mapping[str, str]
) -> dict[str, Check]:
    return {
        "database": database_check(database),
        "warehouse": warehouse_check(engine),
        "log_store": log_store_check(settings.warehouse, environment),
    }
