"""What `gateledger doctor` looks at: every part in turn, each with what it says."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from typing import Literal
from urllib.parse import urlsplit

from api.cli.local import Local
from api.cli.serve import dagster_home
from api.mail.settings import MailSwitch
from api.mail.transport import NotDelivered, Transport
from api.shared_cache import reach
from warehouse.catalog.registry import DATASETS
from warehouse.errors import GateledgerError
from warehouse.query.checks import freshness

Status = Literal["ok", "missing", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    status: Status
    says: str


def examine(local: Local) -> Iterator[Finding]:
    """Every part in turn; a part that fails does not stop the others."""
    yield Finding("gateledger", "ok", f"{version('gateledger')} on Python {sys.version.split()[0]}")
    for what, look in (
        ("home", _home),
        ("database", _database),
        ("database TLS", _database_tls),
        ("organisation", _organisation),
        ("warehouse", _warehouse),
        ("rows", _rows),
        ("log store", _log_store),
        ("prices", _prices),
        ("Redis", _redis),
        ("mail", _mail),
        ("Dagster", _dagster),
        ("optional packages", _optional),
    ):
        yield _examined(what, look, local)


def _examined(what: str, look: Callable[[Local], tuple[Status, str]], local: Local) -> Finding:
    try:
        status, says = look(local)
    except (GateledgerError, OSError) as error:
        return Finding(what, "failed", str(error))
    return Finding(what, status, says)


def _home(local: Local) -> tuple[Status, str]:
    home = local.settings.home.absolute()
    if not home.exists():
        return "missing", f"{home} does not exist yet; `gateledger init` makes it (GATELEDGER_HOME names another place)"
    if not os.access(home, os.W_OK):
        return "failed", f"{home} cannot be written"
    return "ok", str(home)


def _database(local: Local) -> tuple[Status, str]:
    local.prepare_database()
    return "ok", f"{local.database.url.render_as_string(hide_password=True)} answers, its schema is current"


def _database_tls(local: Local) -> tuple[Status, str]:
    settings = local.settings.database
    if local.database.url.drivername == "sqlite":
        return "ok", "a file needs none"
    if settings.tls.mode is None:
        return "missing", "DB_SSL is not set; the URL and the driver decide whether TLS is spoken"
    return "ok", f"DB_SSL={settings.tls.mode}"


def _redis(local: Local) -> tuple[Status, str]:
    url = local.settings.redis.resolved_url()
    if url is None:
        return "missing", "REDIS_URL is not set; each worker remembers for itself, for less than a second"
    reach(url)
    return "ok", f"{_without_password(url)} answers"


def _mail(local: Local) -> tuple[Status, str]:
    settings = local.settings.mail
    if settings.switch is MailSwitch.OFF:
        return "missing", "SMTP_MAIL is not ON; invites and alerts are told by the API alone"
    try:
        Transport(settings).reach()
    except NotDelivered as error:
        return "failed", f"{settings.host}:{settings.port}: {error}"
    return "ok", f"{settings.host}:{settings.port} takes mail from {settings.sender}"


def _organisation(local: Local) -> tuple[Status, str]:
    try:
        owner = local.ownership()
    except GateledgerError as error:
        return "missing", str(error)
    return "ok", f"{owner.organisation_name} with {len(owner.known[owner.organisation_id])} workspaces"


def _warehouse(local: Local) -> tuple[Status, str]:
    problems = local.engine.check()
    if problems:
        return "failed", "; ".join(f"{problem.what} ({problem.remedy})" for problem in problems)
    url = _without_password(local.settings.warehouse.resolved_warehouse_url())
    return "ok", f"{local.engine.name} at {url}, {len(DATASETS)} tables"


def _rows(local: Local) -> tuple[Status, str]:
    found = freshness(local.engine, datetime.now(UTC))
    if found.last_request_at is None:
        return "missing", "no rows yet; `gateledger ingest` loads some, `gateledger sample` makes some up"
    return "ok", f"the newest request is of {found.last_request_at.isoformat(timespec='seconds')}"


def _log_store(local: Local) -> tuple[Status, str]:
    store = local.log_store()
    if store is None:
        return "missing", "LOG_STORE_URL is not set; the pipelines then have nothing to watch"
    store.check()
    return "ok", f"{store.url} answers"


def _prices(local: Local) -> tuple[Status, str]:
    book = local.book()
    summary = f"{sum(1 for _ in book.rows()):,} prices of {len(book.providers())} providers"
    if problems := book.problems():
        return "failed", f"{summary}; " + "; ".join(str(problem) for problem in problems[:5])
    return "ok", summary


def _dagster(local: Local) -> tuple[Status, str]:
    if find_spec("dagster_webserver") is None:
        return "failed", "the package dagster-webserver is not installed"
    return "ok", f"version {version('dagster')}, state in {dagster_home(local.settings.home.absolute())}"


def _optional(_local: Local) -> tuple[Status, str]:
    absent = [name for name in ("chdb",) if find_spec(name) is None]
    return ("missing", f"{', '.join(absent)}: needed for chdb:// warehouses only") if absent else ("ok", "chdb")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":***@") if parts.password else url
