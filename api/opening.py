"""How an entry point opens the database, and what other workers hear of its writes."""

import secrets
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from api.alerts import outbox
from api.db import Database
from api.exports.rows import DOWNLOADS
from api.mail.settings import MailSwitch
from api.migrations import upgrade
from api.organisations.rows import InstallationMark
from api.sealing import INFO as SEALER
from api.sealing import Sealer
from api.settings import ApiSettings

if TYPE_CHECKING:
    from api.shared_cache import SharedCache

_SIGNING_KEY = "shared_cache_key"
_SEALING_KEY = "sealing_key"


def open_database(settings: ApiSettings, opened: ExitStack) -> Database:
    """The database, not yet looked at; closed when `opened` is. Raises: ConfigurationError."""
    named = settings.database
    database = Database(settings.resolved_database_url(), tls=named.tls, pool_size=named.pool_size)
    opened.callback(database.close)
    return database


def ready_database(settings: ApiSettings, opened: ExitStack, now: datetime) -> "tuple[Database, SharedCache | None]":
    """The database at the newest schema, and what its workers share where Redis is configured.

    Every commit on it is told to the other workers. Raises: ConfigurationError.
    """
    database = open_database(settings, opened)
    upgrade(database)
    _kept_secret(database, DOWNLOADS, now)
    database.session_info[outbox.INFO] = outbox.Outgoing(
        mails=settings.mail.switch is MailSwitch.ON, operator_channels=settings.alerts.channels
    )
    own = [settings.secret_key.get_secret_value()] if settings.secret_key else []
    database.session_info[SEALER] = Sealer(*own, _kept_secret(database, _SEALING_KEY, now))
    url = settings.redis.resolved_url()
    if url is None:
        return database, None
    from api.shared_cache import SharedCache  # the client of Redis is an eighth of what the API imports

    shared = SharedCache(url, bytes.fromhex(_kept_secret(database, _SIGNING_KEY, now)))
    opened.callback(shared.close)
    database.watchers.append(shared)
    return database, shared


def _kept_secret(database: Database, name: str, now: datetime) -> str:
    """What all processes of this installation know and nobody else, as hex; made once, whoever races."""
    known = select(InstallationMark.value).where(InstallationMark.name == name)
    with database.transaction(writes=False) as session:
        found = session.scalar(known)
    if found is None:
        with database.transaction() as session:
            try:
                with session.begin_nested():
                    session.add(InstallationMark(name=name, value=secrets.token_hex(32), created_at=now))
            except IntegrityError:
                pass
            found = session.scalars(known).one()
    return found
