"""SQLite, MariaDB and PostgreSQL: the same schema, the same text order, and nothing lost when a release is upgraded."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, Table, delete, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from api import db
from api.api_keys.rows import ApiKey
from api.api_keys.service import hash_of
from api.collations import convert_tables
from api.db import Database
from api.migrations import LOCK_NUMBER, _config, upgrade
from api.organisations.rows import Organisation
from api.pricing.rows import NegotiatedPriceVersion, ReservationVersion
from api.principal import resolve
from api.tables import METADATA
from api.users.rows import OrganisationMember, User
from api.workspaces.rows import Workspace, WorkspaceMember
from tests.factories.databases import KINDS, SERVERS

PREVIOUS = "0002"
MOMENT = datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)
NAIVE = MOMENT.replace(tzinfo=None)
"""As it lies in the database."""
NOW = datetime(2026, 11, 1, tzinfo=UTC)
KEY = "gl_a-key-of-the-previous-release"


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@contextmanager
def empty(kind: str, folder: Path) -> Iterator[Database]:
    url = f"sqlite:///{folder / 'gateledger.db'}" if kind == "sqlite" else SERVERS.new_database(kind)
    with closing(Database(url)) as made:
        yield made


@pytest.fixture
def database(kind: str, tmp_path: Path) -> Iterator[Database]:
    """An empty one."""
    with empty(kind, tmp_path) as made:
        yield made


def test_models_and_migrations_agree(database: Database) -> None:
    assert upgrade(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, METADATA) == []
        assert set(inspect(connection).get_table_names()) == {*METADATA.tables, "alembic_version"}
    assert not upgrade(database)


def test_many_processes_may_upgrade_at_once(database: Database) -> None:
    code = (
        "import os; from api.db import Database; from api.migrations import upgrade; "
        "print(upgrade(Database(os.environ['DATABASE_URL'])))"
    )
    url = database.url.render_as_string(hide_password=False)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={"DATABASE_URL": url, "PATH": "/usr/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        for _ in range(4)
    ]
    outcomes = [racer.communicate(timeout=100) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4, outcomes
    assert sorted(out.strip() for out, _ in outcomes) == [b"False"] * 3 + [b"True"]
    with database.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {*METADATA.tables, "alembic_version"}


def test_who_waits_for_a_long_upgrade_does_not_give_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual time-out of locks is over sooner than an upgrade on a busy machine; MariaDB's lock has its own."""
    monkeypatch.setitem(db._LOCK_WAITS, "postgresql", "SET SESSION lock_timeout = '1ms'")
    waits = text(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND NOT granted AND clock_timestamp() - query_start > '50ms'"
    )
    with empty("postgresql", tmp_path) as database, ThreadPoolExecutor(1) as thread:
        with database.engine.connect() as looking, database.engine.begin() as holder:
            looking = looking.execution_options(isolation_level="AUTOCOMMIT")
            holder.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
            upgrading = thread.submit(upgrade, database)
            while not upgrading.done() and not looking.scalar(waits):
                pass
        assert upgrading.result()


def test_references_that_a_dead_process_took_away_are_restored(tmp_path: Path) -> None:
    """MariaDB cannot undo a conversion that is cut short: the next start puts right what it left."""
    name = "fk_workspaces_organisation_id"
    with empty("mariadb", tmp_path) as database:
        with database.connection() as connection:
            as_the_previous_release(connection)
            connection.execute(text(f"ALTER TABLE workspaces DROP FOREIGN KEY {name}"))
        upgrade(database)
        with database.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
            assert [found["name"] for found in inspect(connection).get_foreign_keys("workspaces")] == [name]


class TestUpgradeWithData:
    @pytest.fixture(scope="class")
    @classmethod
    def upgraded(cls, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
        """A database that the previous release made and filled, at the newest schema."""
        with empty(kind, tmp_path_factory.mktemp("upgraded")) as database:
            with database.connection() as connection:
                as_the_previous_release(connection)
                fill(connection)
            assert upgrade(database)
            yield database

    def test_references_still_hold(self, upgraded: Database) -> None:
        with upgraded.engine.connect() as connection:
            found = inspect(connection).get_multi_foreign_keys()
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        wanted = {table.name: len(table.foreign_key_constraints) for table in METADATA.sorted_tables}
        assert {name: len(references) for (_, name), references in found.items() if name in wanted} == wanted
        with pytest.raises(IntegrityError), upgraded.transaction() as session:
            session.add(Workspace(**{**FIELDS, "id": "w9", "organisation_id": "absent", "slug": "s", "name": "s"}))

    def test_everything_is_as_it_was(self, upgraded: Database) -> None:
        with upgraded.transaction(writes=False) as session:
            assert session.get_one(User, "u1").email == "owner@acme.example"
            shared, other = session.get_one(Workspace, "w1"), session.get_one(Workspace, "w2")
            assert (shared.is_default, other.is_default) == (True, False)
            assert (shared.name, other.slug, other.description) == ("Übung 🚀", "WS-Prod", None)
            assert shared.created_at == MOMENT
            assert session.scalars(select(OrganisationMember.role)).all() == ["owner"]
            assert session.scalars(select(WorkspaceMember.role)).all() == ["admin"]
            key = session.get_one(ApiKey, "k1")
            assert (key.scopes, key.expires_at, key.deleted_at) == (["analytics.view", "logs.list"], None, None)
            price = session.get_one(NegotiatedPriceVersion, "p1")
            assert (price.is_custom, price.is_finetune, price.skip_ptu_cost_attribution) == (True, False, None)
            assert price.pricing_config == {"pay_as_you_go": {"request_token": {"price": 0.1}}}
            assert price.multiplier is None
            assert str(session.get_one(ReservationVersion, "r1").amount_cents) == "123456789.000000000001"

    def test_what_is_new_has_its_default(self, upgraded: Database) -> None:
        with upgraded.transaction(writes=False) as session:
            organisation = session.get_one(Organisation, "o1")
            assert (organisation.settings, organisation.security_settings, organisation.defaults) == ({}, {}, None)
            key = session.get_one(ApiKey, "k1")
            assert key.expiry_enforced is False
            assert (key.rate_limits, key.previous_key_hash) == (None, None)
            workspace = session.get_one(Workspace, "w1")
            assert (workspace.creation_source, workspace.archived_at, workspace.icon) == ("api", None, None)

    def test_its_keys_still_open(self, upgraded: Database) -> None:
        with upgraded.transaction(writes=False) as session:
            caller = resolve(session, hash_of(KEY), NOW)
            assert (caller.organisation_id, caller.workspace_slug) == ("o1", "WS-Prod")
            assert {"analytics.view", "logs.list"} <= caller.scopes

    def test_defaults_of_booleans_hold_for_writers_that_do_not_know_them(self, upgraded: Database) -> None:
        with upgraded.connection() as connection:
            found = MetaData()
            found.reflect(connection, only=["api_keys"])
            insert(connection, found.tables["api_keys"], key_row("k2", key_hash="another"))
            assert connection.scalar(text("SELECT count(*) FROM api_keys WHERE NOT expiry_enforced")) == 2
        with upgraded.transaction(writes=False) as session:
            assert session.get_one(ApiKey, "k2").expiry_enforced is False

    def test_text_is_told_apart_as_on_a_new_database(self, upgraded: Database) -> None:
        """MariaDB's tables were in a collation that takes 'WS-Prod' and 'ws-prod' for the same."""
        with upgraded.transaction() as session:
            session.add(workspace("w3", "ws-prod"))
        with upgraded.transaction(writes=False) as session:
            by_slug = {
                slug: session.scalars(select(Workspace.id).where(Workspace.slug == slug)).all() for slug in SLUGS
            }
        assert by_slug == {"WS-Prod": ["w2"], "ws-prod": ["w3"], "ws-shared": ["w1"]}


FIELDS = {"created_at": NOW, "last_updated_at": NOW}
SLUGS = ("WS-Prod", "ws-prod", "ws-shared")


class TestText:
    @pytest.fixture(scope="class")
    @classmethod
    def filled(cls, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
        with empty(kind, tmp_path_factory.mktemp("text")) as database:
            upgrade(database)
            yield database

    @pytest.fixture
    def session_on(self, filled: Database) -> Database:
        """A database with one organisation and nothing in it."""
        with filled.transaction() as session:
            session.execute(delete(Workspace))
            session.execute(delete(Organisation))
            session.add(Organisation(id="o1", name="Acme", **FIELDS))
        return filled

    def test_is_sorted_and_compared_by_code_points(self, session_on: Database) -> None:
        slugs = ["b", "B", "a", "A", "_", "-", "10", "9", "ä", "a ", "Z", "é", "🚀", "a-b", "ab", "a_b"]
        with session_on.transaction() as session:
            session.add_all([workspace(f"w{number}", slug) for number, slug in enumerate(slugs)])
        with session_on.transaction(writes=False) as session:
            assert session.scalars(select(Workspace.slug).order_by(Workspace.slug)).all() == sorted(slugs)
            for slug in slugs:
                assert session.scalars(select(Workspace.slug).where(Workspace.slug == slug)).all() == [slug]
            after = session.scalars(select(Workspace.slug).where(Workspace.slug > "Z"))
            assert set(after) == {slug for slug in slugs if slug > "Z"}

    def test_patterns_see_case_and_take_wildcards_as_they_are(self, session_on: Database) -> None:
        slugs = ["a_b", "axb", "A_b", "a%b", "a\\b"]
        with session_on.transaction() as session:
            session.add_all([workspace(f"w{number}", slug) for number, slug in enumerate(slugs)])
        with session_on.transaction(writes=False) as session:
            for prefix in ("a_", "A_", "a%", "a\\", "a"):
                found = session.scalars(
                    select(Workspace.slug).where(Workspace.slug.startswith(prefix, autoescape=True))
                )
                assert sorted(found) == sorted(slug for slug in slugs if slug.startswith(prefix))

    def test_the_same_twice_is_refused_and_the_transaction_goes_on(self, session_on: Database) -> None:
        with session_on.transaction() as session:
            session.add(workspace("w1", "same"))
            session.flush()
            with pytest.raises(IntegrityError), session.begin_nested():
                session.add(workspace("w2", "same"))
            session.add(workspace("w3", "Same"))
        with session_on.transaction(writes=False) as session:
            assert sorted(session.scalars(select(Workspace.id))) == ["w1", "w3"]

    def test_json_comes_back_as_it_was(self, session_on: Database) -> None:
        value = {"b": [1, 2.5, None, True], "a": {"ключ": "🚀 'quoted' \\ % \" \n"}, "": ""}
        with session_on.transaction() as session:
            session.get_one(Organisation, "o1").settings = value
        with session_on.transaction(writes=False) as session:
            found = session.get_one(Organisation, "o1").settings
            assert found == value
            assert list(found) == list(value)


def workspace(id_: str, slug: str) -> Workspace:
    return Workspace(id=id_, organisation_id="o1", slug=slug, name=slug, **FIELDS)


def as_the_previous_release(connection: Connection) -> None:
    """Its tables: on MariaDB and PostgreSQL in the collation of the database."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, PREVIOUS)
    if connection.dialect.name in {"mysql", "mariadb"}:
        convert_tables(connection, inspect(connection).get_table_names(), "utf8mb4_general_ci")


def key_row(id_: str, key_hash: str) -> dict[str, Any]:
    return {
        "id": id_,
        "organisation_id": "o1",
        "workspace_id": "w2",
        "type": "workspace-service",
        "name": "Old key",
        "key_hash": key_hash,
        "key_mask": "gl*****ase",
        "scopes": ["analytics.view", "logs.list"],
        "status": "active",
        "creation_mode": "api",
        "created_at": NAIVE,
        "last_updated_at": NAIVE,
    }


def insert(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """A row of a reflected table. MariaDB has no type of its own for JSON: there, such a column is text."""
    is_text = {column.name for column in table.columns if "JSON" not in repr(column.type)}
    made = {key: json.dumps(v) if isinstance(v, dict | list) and key in is_text else v for key, v in row.items()}
    connection.execute(table.insert(), made)


def fill(connection: Connection) -> None:
    """A row in every table, as the previous release writes them."""
    found = MetaData()
    found.reflect(connection)
    when = {"created_at": NAIVE, "last_updated_at": NAIVE}
    known = {"organisation_id": "o1", "version": 1, "known_from": NAIVE, "effective_from": NAIVE}
    rows: dict[str, list[dict[str, Any]]] = {
        "installation_marks": [{"name": "first_organisation", "value": "o1", "created_at": NAIVE}],
        "organisations": [{"id": "o1", "name": "Acme", "status": "active", **when}],
        "users": [{"id": "u1", "email": "owner@acme.example", "first_name": "O", "last_name": "", **when}],
        "organisation_members": [
            {"id": "m1", "organisation_id": "o1", "user_id": "u1", "role": "owner", "status": "active", **when}
        ],
        "workspaces": [
            {"id": id_, "organisation_id": "o1", "slug": slug, "name": name, "is_default": first, **when}
            | {"status": "active"}
            for id_, slug, name, first in (("w1", "ws-shared", "Übung 🚀", True), ("w2", "WS-Prod", "Prod", False))
        ],
        "api_keys": [key_row("k1", hash_of(KEY))],
        "workspace_members": [
            {"id": "m2", "organisation_id": "o1", "workspace_id": "w1", "user_id": "u1", "role": "admin", **when}
        ],
        "negotiated_price_versions": [
            {"id": "p1", "agreement_id": "p1", "target": "integration", "slug": "openai", "model": "gpt-4o", **known}
            | {"is_custom": True, "is_finetune": False}
            | {"pricing_config": {"pay_as_you_go": {"request_token": {"price": 0.1}}}}
        ],
        "reservation_versions": [
            {"id": "r1", "agreement_id": "r1", "target": "integration", "slug": "openai", "name": "PTU", **known}
            | {"amount_cents": "123456789.000000000001", "per": "month"}
        ],
    }
    for name, content in rows.items():
        for row in content:
            insert(connection, found.tables[name], row)
    assert set(rows) == set(found.tables) - {"alembic_version"}
