"""The relational database: migrations, races, and one transaction per request."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from api.api_keys.rows import ApiKey
from api.db import Database
from api.errors import Forbidden, InvalidRequest, NotFound
from api.migrations import upgrade
from api.organisations.rows import Organisation
from api.organisations.service import bootstrap
from api.permissions import KeyKind
from api.tables import METADATA
from api.users.rows import OrganisationMember, User
from api.workspaces import service as workspaces
from api.workspaces.rows import Workspace
from tests.factories.app import NOW, OWNER, installed
from warehouse.errors import ConfigurationError


def database_in(folder: Path) -> Database:
    return Database(f"sqlite:///{folder / 'deep' / 'gateledger.db'}")


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    database = database_in(tmp_path)
    assert upgrade(database)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        names = set(inspect(connection).get_table_names())
    assert names == {*METADATA.tables, "alembic_version"}
    assert not upgrade(database)
    database.close()


def test_a_database_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    database = database_in(tmp_path)
    upgrade(database)
    with database.connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"9999.*newer"):
        upgrade(database)


def test_many_processes_may_upgrade_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'race.db'}"
    code = (
        "import sys; from api.db import Database; from api.migrations import upgrade; "
        "print(upgrade(Database(sys.argv[1])))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        for _ in range(3)
    ]
    outcomes = [racer.communicate(timeout=60) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0], outcomes
    assert sorted(out.strip() for out, _ in outcomes) == [b"False", b"False", b"True"]


def test_the_first_organisation_is_made_once_whoever_races(tmp_path: Path) -> None:
    database = database_in(tmp_path)
    upgrade(database)

    def run(number: int) -> tuple[str, str | None]:
        with database.transaction() as session:
            made = bootstrap(session, organisation=f"Org {number}", owner_email=OWNER, now=NOW, new_key=False)
        return made.organisation_id, made.api_key

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(run, range(8)))
    assert len({organisation for organisation, _ in outcomes}) == 1
    assert len([key for _, key in outcomes if key]) == 1
    with database.transaction(writes=False) as session:
        for table in (Organisation, User, Workspace, ApiKey):
            assert len(session.scalars(select(table)).all()) == 1
    database.close()


def test_bootstrap_makes_an_owner_a_default_workspace_and_a_full_key(tmp_path: Path) -> None:
    with installed(tmp_path) as here:
        assert here.first.created
        assert here.first.workspace_slug.startswith("ws-shared-")
        with here.database.transaction() as session:
            key = session.scalars(select(ApiKey)).one()
            assert key.type == "organisation-service"
            assert {"analytics.view", "logs.write", "organisation_users.create"} <= set(key.scopes)
            assert here.admin_key not in (key.key_hash, key.key_mask)
            assert session.scalars(select(OrganisationMember.role)).one() == "owner"
            assert session.get(User, here.first.owner_user_id).email == OWNER  # type: ignore[union-attr]
            again = bootstrap(session, organisation="Other", owner_email="x@y.z", now=NOW, new_key=False)
            another = bootstrap(session, organisation="Other", owner_email="x@y.z", now=NOW, new_key=True)
        assert (again.organisation_id, again.api_key, again.created) == (here.first.organisation_id, None, False)
        assert another.api_key not in (None, here.admin_key)
        assert (
            b"".join(path.read_bytes() for path in tmp_path.glob("gateledger.db*")).find(here.admin_key.encode()) == -1
        )


@pytest.mark.parametrize("email", ["", "owner", "@x.y", "a b@c.d", "x@", "a" * 400 + "@x.y"])
def test_a_wrong_owner_leaves_nothing_behind(tmp_path: Path, email: str) -> None:
    database = database_in(tmp_path)
    upgrade(database)
    with pytest.raises(InvalidRequest), database.transaction() as session:
        bootstrap(session, organisation="Acme", owner_email=email, now=NOW, new_key=False)
    with database.transaction() as session:
        assert session.scalars(select(Organisation)).all() == []
        assert bootstrap(session, organisation="Acme", owner_email=OWNER, now=NOW, new_key=False).created
    database.close()


def test_a_key_cannot_point_at_a_workspace_of_another_organisation(tmp_path: Path) -> None:
    with installed(tmp_path) as here:
        other = here.organisation("Other")
        with pytest.raises(IntegrityError) as error:
            here.key(KeyKind.WORKSPACE_SERVICE, organisation_id=other, workspace_id=here.first.workspace_id)
        assert "hide_parameters" in str(error.value), "an error must not show the values of a statement"


def test_writers_of_an_organisation_take_turns(tmp_path: Path) -> None:
    with installed(tmp_path) as here:

        def rename(number: int) -> None:
            with here.database.transaction(organisation_id=here.first.organisation_id) as session:
                row = session.get(Workspace, here.first.workspace_id)
                assert row is not None
                row.name = f"{row.name}{number}"

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(rename, range(8)))
        with here.database.transaction(writes=False) as session:
            row = session.get(Workspace, here.first.workspace_id)
            assert row is not None
            assert sorted(row.name.removeprefix("Shared Workspace")) == [str(number) for number in range(8)]


def test_instants_come_back_as_they_were_in_utc(tmp_path: Path) -> None:
    with installed(tmp_path) as here:
        moment = datetime(2026, 5, 1, 3, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        with here.database.transaction() as session:
            session.add(Organisation(id="o", name="O", created_at=moment, last_updated_at=moment))
        with here.database.transaction(writes=False) as session:
            row = session.get(Organisation, "o")
            assert row is not None
            assert row.created_at == moment
            assert row.created_at.tzinfo is UTC
        naive = moment.replace(tzinfo=None)
        row = Organisation(id="n", name="N", created_at=naive, last_updated_at=naive)
        with pytest.raises(StatementError, match="needs a time zone"), here.database.transaction() as session:
            session.add(row)


@pytest.mark.one_database
def test_sqlite_is_durable_and_enforces_foreign_keys(tmp_path: Path) -> None:
    with installed(tmp_path) as here, here.database.engine.connect() as connection:
        pragmas = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}


@pytest.mark.one_database
def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    with installed(tmp_path) as here:
        path = tmp_path / "gateledger.db"
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(here.workspace, "Later")
            with here.database.transaction(writes=False) as session:
                assert len(session.scalars(select(Workspace)).all()) == 1
            assert not waiting.done()
            blocker.execute("COMMIT")
            assert waiting.result(timeout=10).name == "Later"
        blocker.close()


@pytest.mark.parametrize("url", ["nonsense", "oracle://x/y", "mysql+asyncmy", ""])
def test_a_wrong_database_url_is_explained(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        Database(url)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("mysql://u@h/d", "mysql+pymysql"),
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("mariadb+x://u@h/d", "mariadb+pymysql"),
    ],
)
def test_each_database_has_its_driver(url: str, driver: str) -> None:
    assert Database(url).url.drivername == driver


class TestWorkspaces:
    def test_found_by_slug_or_uuid_in_ones_own_organisation_only(self, tmp_path: Path) -> None:
        with installed(tmp_path) as here:
            mine = here.workspace("Prod", slug="prod")
            theirs = here.workspace("Prod", here.organisation("Other"), slug="prod")
            with here.database.transaction(writes=False) as session:
                for reference in ("prod", mine.id, mine.id.upper()):
                    assert workspaces.find(session, here.first.organisation_id, reference).id == mine.id
                for reference in (theirs.id, "absent", "", "prod' OR 1=1 --", "pro_", "%"):
                    with pytest.raises(Forbidden):
                        workspaces.find(session, here.first.organisation_id, reference)

    def test_ownership_names_what_exists(self, tmp_path: Path) -> None:
        with installed(tmp_path) as here:
            other = here.organisation("Other", "org-2")
            here.workspace("Prod", slug="prod")
            here.workspace("Gone", slug="gone")
            with here.database.transaction() as session:
                workspaces.find(session, here.first.organisation_id, "gone").status = "archived"
            first = here.first.organisation_id
            with here.database.transaction(writes=False) as session:
                everything = workspaces.ownership_of(session)
                assert (everything.organisation_id, everything.organisation_name) == (first, "Acme")
                assert everything.workspace_slug == here.first.workspace_slug
                assert everything.known[first] == {here.first.workspace_slug, "prod"}
                assert other in everything.known
                assert workspaces.ownership_of(session, first, "prod").workspace_slug == "prod"
                assert set(workspaces.ownership_of(session, other).known) == {other}
                with pytest.raises(Forbidden):
                    workspaces.ownership_of(session, other, "prod")
                with pytest.raises(NotFound):
                    workspaces.ownership_of(session, "absent")

    def test_before_init_there_is_nothing_to_own(self, tmp_path: Path) -> None:
        database = database_in(tmp_path)
        upgrade(database)
        with pytest.raises(NotFound, match="gateledger init"), database.transaction() as session:
            workspaces.ownership_of(session)
        database.close()

    @pytest.mark.parametrize(
        "fields", [{"name": " "}, {"name": "x" * 256}, {"name": "ok", "slug": "a b"}, {"name": "ok", "slug": ""}]
    )
    def test_wrong_names_and_slugs_are_refused(self, tmp_path: Path, fields: dict[str, str]) -> None:
        with installed(tmp_path) as here, pytest.raises(InvalidRequest):
            here.workspace(**fields)
