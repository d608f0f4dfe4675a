"""A whole API on a folder of its own: real database, real lake, real keys."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy.engine import URL

from api.alerts.settings import AlertSettings
from api.api_keys import service as api_keys
from api.app import create_app
from api.database_settings import DatabaseSettings, DatabaseTls
from api.db import Database
from api.mail.settings import MailSettings, MailSwitch
from api.migrations import upgrade
from api.operations.settings import OperationsSettings
from api.organisations import service as organisations
from api.organisations.service import Bootstrap, bootstrap
from api.permissions import KeyKind, scopes_of
from api.redis_settings import RedisSettings
from api.settings import ApiSettings
from api.users import service as users
from api.workspaces import service as workspaces
from api.workspaces.rows import Workspace
from tests.factories import databases
from warehouse.catalog.model import Dataset
from warehouse.engines.base import Batch
from warehouse.engines.open import open_engine
from warehouse.settings import WarehouseSettings
from warehouse.storage.migrate import migrate

NOW = datetime(2026, 4, 2, 12, 30, tzinfo=UTC)
OWNER = "owner@acme.example"


@dataclass(frozen=True)
class Installation:
    """An initialised installation; its methods make what a test needs, through the services."""

    settings: ApiSettings
    database: Database
    first: Bootstrap

    @property
    def admin_key(self) -> str:
        """The raw key of the first organisation's owner."""
        assert self.first.api_key is not None
        return self.first.api_key

    def organisation(self, name: str, organisation_id: str | None = None, *, with_workspace: bool = True) -> str:
        """The id of a new organisation, with a default workspace unless told otherwise."""
        with self.database.transaction() as session:
            made = organisations.create(session, name=name, now=NOW, organisation_id=organisation_id)
            if with_workspace:
                workspaces.create(session, organisation_id=made.id, name="Shared", now=NOW, is_default=True)
            return made.id

    def workspace(self, name: str, organisation_id: str | None = None, **fields: Any) -> Workspace:
        """A new workspace, of the first organisation unless told otherwise."""
        with self.database.transaction() as session:
            owner = organisation_id or self.first.organisation_id
            return workspaces.create(session, organisation_id=owner, name=name, now=NOW, **fields)

    def member(self, email: str, organisation_id: str | None = None, role: str = "member") -> str:
        """The id of a user who is in the organisation, and in none of its workspaces."""
        with self.database.transaction() as session:
            user = users.find_or_create(session, email, now=NOW)
            users.join_organisation(session, user, organisation_id or self.first.organisation_id, role, now=NOW)
            return user.id

    def colleague(self, email: str, workspace_id: str, role: str = "member", organisation_role: str = "member") -> str:
        """The id of a user who has a place in a workspace."""
        with self.database.transaction() as session:
            workspace = session.get_one(Workspace, workspace_id)
            user = users.find_or_create(session, email, now=NOW)
            users.join_organisation(session, user, workspace.organisation_id, organisation_role, now=NOW)
            workspaces.add_member(session, workspace, user.id, role, now=NOW)
            return user.id

    def key(
        self,
        kind: KeyKind = KeyKind.ORGANISATION_SERVICE,
        *,
        organisation_id: str | None = None,
        workspace_id: str | None = None,
        user_id: str | None = None,
        scopes: Iterable[str] | None = None,
        expires_in: timedelta | None = None,
    ) -> str:
        """A new raw key, with every scope of its kind unless told otherwise."""
        wanted = api_keys.NewKey(
            kind=kind,
            name="A key",
            organisation_id=organisation_id or self.first.organisation_id,
            workspace_id=workspace_id,
            user_id=user_id,
            scopes=scopes_of(kind) if scopes is None else scopes,
            expires_at=NOW + expires_in if expires_in else None,
        )
        with self.database.transaction() as session:
            return api_keys.create(session, wanted, now=NOW).raw


_NO_LIMIT = OperationsSettings(refusal_limit=0)
"""Tests try many wrong keys from one address."""


def settings_in(home: Path, **fields: Any) -> ApiSettings:
    """Settings that read nothing from the environment of the test run."""
    warehouse = WarehouseSettings(home=home, warehouse_url=None, clickhouse_host=None, log_store_url=None)
    database = database_settings(None)
    parts = {"database": database, "redis": RedisSettings(url=None), "mail": MailSettings(switch=MailSwitch.OFF)}
    alerts = AlertSettings(webhook_url=None, webhook_secret=None, slack_url=None)
    own = {"operations": _NO_LIMIT, "spool_interval_s": 0.05, "alerts": alerts, "secret_key": None}
    return ApiSettings(warehouse=warehouse, **{**parts, **own, **fields})


def database_settings(url: SecretStr | None) -> DatabaseSettings:
    """Settings of a database by its URL, and nothing from the environment."""
    tls = DatabaseTls(mode=None, authority=None, certificate=None, key=None)
    return DatabaseSettings(url=url, host=None, pool_size=None, tls=tls)


@contextmanager
def installed(home: Path, **fields: Any) -> Generator[Installation]:
    """An installation in `home` with its first organisation, on the database of this test run."""
    home.mkdir(parents=True, exist_ok=True)
    with _initialised(home) as (url, first):
        named = None if url is None else SecretStr(url.render_as_string(hide_password=False))
        settings = settings_in(home, **{"database": database_settings(named), **fields})
        lake = home / "lake"
        if settings.warehouse.resolved_warehouse_url() == str(lake.absolute()) and not lake.exists():
            copytree(_empty_lake(), lake)
        database = Database(settings.resolved_database_url())
        try:
            yield Installation(settings, database, first)
        finally:
            database.close()


@contextmanager
def _initialised(home: Path) -> Generator[tuple[URL | None, Bootstrap]]:
    if databases.chosen() == "sqlite":
        content, first = _sqlite_file()
        (home / "gateledger.db").write_bytes(content)
        yield None, first
        return
    with databases.POOL.initialised(OWNER, NOW) as (url, first):
        databases.URL_OF_HOME[home] = url
        yield url, first


@cache
def _sqlite_file() -> tuple[bytes, Bootstrap]:
    """A database after `init`, made once: copying its file is much faster than making it for each test."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "gateledger.db"
        database = Database(f"sqlite:///{path}")
        upgrade(database)
        with database.transaction() as session:
            first = bootstrap(session, organisation="Acme", owner_email=OWNER, now=NOW, new_key=False)
        database.close()
        return path.read_bytes(), first


@cache
def _empty_lake() -> Path:
    """A lake with its tables and no rows, made once: copying it is much faster than making it for each test."""
    folder = databases.OPENED.enter_context(TemporaryDirectory())
    with closing(open_engine(settings_in(Path(folder)).warehouse)) as engine:
        migrate(engine)
    return Path(folder) / "lake"


@contextmanager
def serving(installation: Installation, clock: Callable[[], datetime] = lambda: NOW) -> Generator[TestClient]:
    """A client of the running app."""
    with TestClient(create_app(installation.settings, clock=clock)) as client:
        yield client


def store(client: TestClient, dataset: Dataset, rows: pa.Table, batch: str = "test") -> None:
    """Put rows straight into the warehouse of a running app."""
    client.app.state.services.engine.append(dataset, rows, Batch(batch))  # type: ignore[attr-defined]


def auth(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"x-portkey-api-key": key}
