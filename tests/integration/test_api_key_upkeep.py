"""What the clock does to keys: through the services, by mail, into the audit log, and as a Dagster job."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlglot import exp

from api.api_keys import administration, rotation, service
from api.api_keys.rows import ApiKey
from api.api_keys.schemas import RotationPolicy
from api.api_keys.upkeep import Upkeep, expire_due, keep_up, rotate_due
from api.cli.local import Local
from api.errors import Conflict, Unauthorised
from api.mail.settings import MailSettings
from api.permissions import KeyKind, scopes_of
from api.principal import resolve
from pipelines.definitions import defs
from pipelines.resources import Ledger
from pipelines.schedules import api_key_upkeep
from tests.factories.app import NOW, OWNER, Installation, auth, installed, serving
from tests.factories.outbox import mail_settings, outbox_of
from tests.factories.smtp_server import smtp_server
from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.engines.base import scan

MONDAY = datetime(2026, 4, 6, tzinfo=UTC)


class Keeper:
    """An installation whose keys are kept."""

    def __init__(self, here: Installation, folder: Path, mail: MailSettings | None = None) -> None:
        self.here, self._opened = here, ExitStack()
        self.times = {"now": NOW}
        self.outbox = self._opened.enter_context(outbox_of(here, folder, mail=mail, clock=lambda: self.times["now"]))
        self.audit, self.spool = self.outbox.audit, self.outbox.spool

    def close(self) -> None:
        self._opened.close()

    def key(self, **fields: Any) -> tuple[str, str]:
        """Id and raw key of a service key of the first workspace."""
        fields = {"expires_at": None, **fields}
        columns = {name: fields.pop(name) for name in tuple(fields) if name not in {"expires_at", "kind", "user_id"}}
        wanted = service.NewKey(
            kind=fields.pop("kind", KeyKind.WORKSPACE_SERVICE),
            name="A key",
            organisation_id=self.here.first.organisation_id,
            workspace_id=self.here.first.workspace_id,
            scopes=["logs.list"],
            **fields,
        )
        with self.here.database.transaction() as session:
            made = service.create(session, wanted, now=NOW)
            for name, value in columns.items():
                setattr(made.row, name, value)
            return made.row.id, made.raw

    def rotating(self, **policy: Any) -> tuple[str, str]:
        stored = rotation.stored_policy(RotationPolicy(**{"rotation_period": "weekly", **policy}), NOW)
        return self.key(rotation_policy=stored)

    def row(self, key_id: str) -> ApiKey:
        with self.here.database.transaction(writes=False) as session:
            return session.get_one(ApiKey, key_id)

    def keep(self, now: datetime) -> Upkeep:
        self.times["now"] = now
        done = keep_up(self.here.database, self.audit, now)
        self.outbox.send()
        return done

    def works(self, raw: str, now: datetime) -> bool:
        with self.here.database.transaction(writes=False) as session:
            try:
                return bool(resolve(session, service.hash_of(raw), now))
            except Unauthorised:
                return False


@pytest.fixture
def keeper(tmp_path: Path) -> Generator[Keeper]:
    with installed(tmp_path / "home") as here, closing(Keeper(here, tmp_path / "spool")) as made:
        yield made


class TestExpiry:
    def test_what_is_over_is_written_down_once(self, keeper: Keeper) -> None:
        over, exhausted = (
            keeper.key(expires_at=NOW + timedelta(hours=1)),
            keeper.key(expires_at=NOW + timedelta(hours=2), status="exhausted"),
        )
        later, never = keeper.key(expires_at=NOW + timedelta(days=9)), keeper.key()
        gone = keeper.key(expires_at=NOW + timedelta(hours=1), deleted_at=NOW)
        now = NOW + timedelta(hours=3)
        done = keeper.keep(now)
        assert [(note.id, note.at) for note in done.expired] == [
            (over[0], NOW + timedelta(hours=1)),
            (exhausted[0], NOW + timedelta(hours=2)),
        ]
        statuses = {key_id: keeper.row(key_id).status for key_id, _ in (over, exhausted, later, never, gone)}
        assert list(statuses.values()) == ["expired", "expired", "active", "active", "active"]
        assert keeper.keep(now) == Upkeep()
        assert keeper.row(over[0]).last_updated_at == now

    def test_to_the_instant(self, keeper: Keeper) -> None:
        key_id, _ = keeper.key(expires_at=NOW + timedelta(hours=1))
        assert keeper.keep(NOW + timedelta(hours=1, microseconds=-1)) == Upkeep()
        assert [note.id for note in keeper.keep(NOW + timedelta(hours=1)).expired] == [key_id]

    def test_many_are_caught_up_in_batches(self, keeper: Keeper) -> None:
        ids = [keeper.key(expires_at=NOW + timedelta(seconds=number + 1))[0] for number in range(7)]
        now = NOW + timedelta(days=400)
        with keeper.here.database.transaction() as session:
            assert [row.id for row in expire_due(session, now, limit=3)] == ids[:3]  # the longest overdue first
        assert {note.id for note in keeper.keep(now).expired} == set(ids[3:])

    def test_a_running_server_hears_of_it_at_once(self, tmp_path: Path) -> None:
        times = {"now": NOW}
        with (
            installed(tmp_path / "home", key_cache_s=60) as here,
            serving(here, lambda: times["now"]) as client,
            closing(Keeper(here, tmp_path / "spool")) as keeper,
        ):
            key_id, raw = keeper.key(expires_at=NOW + timedelta(hours=1))
            assert client.get("/v1/api-keys/self", headers=auth(raw)).json()["status"] == "active"
            times["now"] = NOW + timedelta(hours=1)
            assert client.get("/v1/api-keys/self", headers=auth(raw)).status_code == 401
            keeper.keep(times["now"])
            told = client.get(f"/v1/api-keys/{key_id}", headers=auth(here.admin_key)).json()
            assert told["status"] == "expired"


class TestRotation:
    def test_a_policy_renews_when_it_is_time_and_once_for_all_that_was_missed(self, keeper: Keeper) -> None:
        key_id, raw = keeper.rotating(key_transition_period_ms=7_200_000)
        assert keeper.keep(MONDAY - timedelta(seconds=1)) == Upkeep()
        late = MONDAY + timedelta(days=30, hours=5)
        done = keeper.keep(late)
        assert [(note.id, note.at) for note in done.rotated] == [(key_id, late + timedelta(hours=2))]
        assert keeper.keep(late) == Upkeep()
        row = keeper.row(key_id)
        assert row.rotation_policy is not None
        assert row.rotation_policy["next_rotation_at"] == "2026-05-11T00:00:00.000Z"
        assert row.key_mask != service.mask_of(raw)
        assert keeper.works(raw, late)
        assert not keeper.works(raw, late + timedelta(hours=2))

    def test_a_secret_that_nobody_got_can_be_got_by_hand(self, keeper: Keeper) -> None:
        key_id, raw = keeper.rotating()
        keeper.keep(MONDAY)
        now = MONDAY + timedelta(minutes=10)
        caller = self.admin(keeper)
        with keeper.here.database.transaction() as session:
            got = administration.rotate(session, caller, key_id, None, now)
        assert got.transition_expires_at == MONDAY + timedelta(minutes=30)  # the first secret keeps its time
        assert keeper.works(raw, now)
        assert keeper.works(got.raw, now)
        with keeper.here.database.transaction() as session, pytest.raises(Conflict):
            administration.rotate(session, caller, key_id, None, now)
        assert not keeper.works(raw, MONDAY + timedelta(minutes=30))
        assert keeper.works(got.raw, MONDAY + timedelta(minutes=30))

    def test_a_rotation_by_hand_is_not_cut_short(self, keeper: Keeper) -> None:
        key_id, raw = keeper.rotating()
        with keeper.here.database.transaction() as session:
            got = administration.rotate(session, self.admin(keeper), key_id, 86_400_000, MONDAY - timedelta(hours=1))
        assert keeper.keep(MONDAY) == Upkeep()  # there are two secrets already
        assert keeper.works(raw, MONDAY)
        done = keeper.keep(MONDAY + timedelta(hours=23))
        assert (len(done.rotated), done.forgotten) == (1, 1)
        assert keeper.works(got.raw, MONDAY + timedelta(hours=23))
        assert not keeper.works(raw, MONDAY + timedelta(hours=23))

    def test_an_expired_key_is_not_renewed(self, keeper: Keeper) -> None:
        key_id, _ = keeper.rotating()
        with keeper.here.database.transaction() as session:
            session.get_one(ApiKey, key_id).expires_at = MONDAY
        done = keeper.keep(MONDAY)
        assert ([note.id for note in done.expired], done.rotated) == ([key_id], ())

    def test_in_pages(self, keeper: Keeper) -> None:
        ids = sorted(keeper.rotating()[0] for _ in range(5))
        found, last = [], ""
        with keeper.here.database.transaction() as session:
            while True:
                some, last = rotate_due(session, MONDAY, last, limit=2)
                found += [one.row.id for one in some]
                if not last:
                    break
        assert found == ids

    def admin(self, keeper: Keeper) -> Any:
        with keeper.here.database.transaction(writes=False) as session:
            return resolve(session, service.hash_of(keeper.here.admin_key), NOW)


class TestWhatIsTold:
    def test_mails_reach_everybody_concerned_once(self, tmp_path: Path) -> None:
        with installed(tmp_path / "home") as here, smtp_server() as (post, port):
            here.member("admin@acme.example", role="admin")
            here.member("bystander@acme.example")
            here.colleague("manager@acme.example", here.first.workspace_id, "manager")
            here.colleague("colleague@acme.example", here.first.workspace_id)
            mine = here.colleague("mine@acme.example", here.first.workspace_id)
            here.member("stranger@globex.example", here.organisation("Globex"), role="owner")
            mail = mail_settings(port)
            with closing(Keeper(here, tmp_path / "spool", mail)) as keeper:
                keeper.key(
                    kind=KeyKind.WORKSPACE_USER,
                    user_id=mine,
                    expires_at=NOW + timedelta(hours=1),
                    alert_emails=["alerts@acme.example", OWNER],
                )
                keeper.keep(NOW + timedelta(hours=1))
                keeper.keep(NOW + timedelta(hours=2))
            concerned = {"admin", "manager", "mine", "alerts", "owner"}
            assert sorted(to for _, [to] in post.mails) == sorted(f"{name}@acme.example" for name in concerned)
            mail_of = {to: mail for mail, [to] in post.mails}[OWNER]
            assert mail_of["Subject"] == "API key A key has expired"
            assert "workspace-user key A key of Acme" in mail_of.get_body(("plain",)).get_content()

    def test_a_new_secret_is_told_but_not_shown(self, tmp_path: Path) -> None:
        with installed(tmp_path / "home") as here, smtp_server() as (post, port):
            mail = mail_settings(port)
            with closing(Keeper(here, tmp_path / "spool", mail)) as keeper:
                keeper.rotating()
                keeper.keep(MONDAY)
            [(message, _)] = post.mails
            words = message.get_body(("plain",)).get_content()
            assert "2026-04-06T00:30:00.000Z" in words
            assert "gl_" not in words

    def test_nothing_is_sent_for_what_was_not_committed(self, tmp_path: Path) -> None:
        with installed(tmp_path / "home") as here, smtp_server() as (post, port):
            mail = mail_settings(port)
            with closing(Keeper(here, tmp_path / "spool", mail)) as keeper:
                key_id, _ = keeper.key(expires_at=NOW + timedelta(hours=1))
                keeper.audit = _Broken()  # type: ignore[assignment]
                with pytest.raises(OSError, match="disk"):
                    keeper.keep(NOW + timedelta(hours=1))
                assert keeper.row(key_id).status == "active"
            assert post.mails == []


class _Broken:
    def event(self, *_: object, **__: object) -> None:
        raise OSError("the disk is full")


class TestTheJob:
    @pytest.fixture
    def local(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
        for name in ("WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "SMTP_MAIL", "LOG_STORE_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("GATELEDGER_HOME", str(tmp_path / "home"))
        local = Local()
        local.initialise("Acme", "owner@example.com", new_key=False)
        yield local
        local.close()

    def run(self, instance: dg.DagsterInstance) -> dict[str, Any]:
        ran = defs.resolve_job_def("keep_api_keys").execute_in_process(
            instance=instance, resources={"ledger": Ledger()}
        )
        assert ran.success
        [outputs] = [event.step_output_data.metadata for event in ran.all_events if event.is_successful_output]
        return {name: value.value for name, value in outputs.items()}

    def test_it_tells_which_keys_and_a_second_run_does_nothing(self, local: Local) -> None:
        start = datetime.now(UTC) - timedelta(days=30)
        with local.session(writes=True) as session:
            organisation_id = local.ownership().organisation_id
            made = service.create(
                session,
                service.NewKey(
                    kind=KeyKind.ORGANISATION_SERVICE,
                    name="Old | key",
                    organisation_id=organisation_id,
                    scopes=scopes_of(KeyKind.ORGANISATION_SERVICE),
                    expires_at=start + timedelta(days=1),
                ),
                now=start,
            )
            policy = {"rotation_period": "weekly", "key_transition_period_ms": 1_800_000}
            weekly = service.create(
                session,
                service.NewKey(
                    kind=KeyKind.ORGANISATION_SERVICE,
                    name="Weekly",
                    organisation_id=organisation_id,
                    scopes=["logs.list"],
                ),
                now=start,
            )
            weekly.row.rotation_policy = {**policy, "next_rotation_at": start.isoformat()}
            ids = made.row.id, weekly.row.id
        with dg.DagsterInstance.ephemeral() as instance:
            first, second = self.run(instance), self.run(instance)
        assert (first["expired"], first["rotated"], second["expired"], second["rotated"]) == (1, 1, 0, 0)
        assert ids[0] in first["expired keys"]
        assert r"Old \| key" in first["expired keys"]
        assert ids[1] in first["rotated keys"]
        assert second["expired keys"] == "none"
        records = local.engine.query(
            exp.select("resource_id", "action", "reason").from_(scan(AUDIT_LOGS.name))
        ).to_pylist()
        told = {record["resource_id"]: (record["action"], record["reason"]) for record in records}
        assert told[ids[0]][0] == "update"
        assert told[ids[0]][1].startswith("status=expired expires_at=")
        assert told[ids[1]][0] == "rotate"
        assert "rotation_mode=auto" in told[ids[1]][1]
        assert weekly.raw not in str(records)

    def test_every_five_minutes(self) -> None:
        assert api_key_upkeep.cron_schedule == "*/5 * * * *"
        assert api_key_upkeep.job_name == "keep_api_keys"
