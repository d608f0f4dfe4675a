"""What keeps the API from working, without telling a stranger why."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

from sqlalchemy import text

from api.db import Database
from api.migrations import lacks
from warehouse.engines.base import Engine
from warehouse.logstore.access import log_store_url
from warehouse.logstore.store import LogStore
from warehouse.settings import WarehouseSettings

logger = logging.getLogger("api.health")

OK, FAILED, NOT_CONFIGURED, STOPPING = "ok", "failed", "not configured", "stopping"
VERSION = version("gateledger")
Check = Callable[[], bool | None]
"""True: works. False: does not. None: there is nothing to check."""


class Health:
    """Runs the checks, at most once per `keep_s`: anybody may ask, and nobody shall load the stores by asking."""

    def __init__(
        self, checks: Mapping[str, Check], *, keep_s: float = 2.0, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._checks, self._keep_s, self._timer = dict(checks), keep_s, timer
        self._lock = threading.Lock()
        self._kept: tuple[float, dict[str, str]] | None = None

    def results(self) -> dict[str, str]:
        """Name of each part → ok, failed or not configured."""
        with self._lock:
            if self._kept is None or self._timer() - self._kept[0] >= self._keep_s:
                self._kept = (self._timer(), {name: _outcome(name, check) for name, check in self._checks.items()})
            return dict(self._kept[1])


def database_check(database: Database) -> Check:
    """Works when the database answers a query."""

    def answers() -> bool:
        with database.engine.connect() as connection:
            return connection.scalar(text("SELECT 1")) == 1

    return answers


def schema_check(database: Database) -> Check:
    """Works when the database has the schema of this release."""

    def is_newest() -> bool:
        missing = lacks(database)
        if missing:
            logger.warning("the database lacks migrations: %s", ", ".join(missing))
        return not missing

    return is_newest


def warehouse_check(engine: Engine) -> Check:
    """Works when the warehouse reports no problem; the problems go to the log."""

    def answers() -> bool:
        problems = engine.check()
        for problem in problems:
            logger.warning("warehouse: %s; %s", problem.what, problem.remedy)
        return not problems

    return answers


def log_store_check(settings: WarehouseSettings, environment: Mapping[str, str]) -> Check:
    """Works when the log store lists its first object; there may be none to check."""

    def answers() -> bool | None:
        url = settings.log_store_url.get_secret_value() if settings.log_store_url else log_store_url(environment)
        if url is None:
            return None
        LogStore.open(url, environment).check()
        return True

    return answers


def _outcome(name: str, check: Check) -> str:
    try:
        works = check()
    except Exception:
        # Whatever breaks a check is the answer to "does it work?", and the log says what it was.
        logger.exception("health check of %s failed", name)
        works = False
    return NOT_CONFIGURED if works is None else OK if works else FAILED
