"""The outbox: who is told of a crossing, by which way, once; what fails, what dies, and what is given up."""

import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select

from api.alerts import listing, outbox, signing
from api.alerts.delivery import KEPT, LEASE, RETRY_AFTER_S
from api.alerts.outbox import enqueue
from api.alerts.rows import Alert, Channel, Message
from api.api_keys import service as api_keys
from api.mail.templates import Template
from api.permissions import KeyKind
from tests.factories.app import NOW, OWNER, Installation, installed
from tests.factories.outbox import Clock, Outbox, crossing, mail_settings, outbox_of, told
from tests.factories.smtp_server import Post, smtp_server

SECRET = signing.new_secret()
LATER = timedelta(seconds=RETRY_AFTER_S[0])


@pytest.fixture
def here(tmp_path: Path) -> Generator[Installation]:
    with installed(tmp_path / "home") as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def post() -> Generator[tuple[Post, int]]:
    with smtp_server() as running:
        yield running


@pytest.fixture
def mails(here: Installation, tmp_path: Path, clock: Clock, post: tuple[Post, int]) -> Generator[Outbox]:
    """An outbox that mails."""
    with outbox_of(here, tmp_path / "spool", mail=mail_settings(post[1]), clock=clock) as made:
        yield made


class TestEnqueue:
    def test_the_same_crossing_is_told_once(self, here: Installation, mails: Outbox) -> None:
        one = crossing(here)
        assert told(here, one, one) == 1
        assert told(here, replace(one, usage=Decimal(9)), now=NOW + timedelta(hours=1)) == 0
        assert sorted(message.channel for message in mails.messages()) == ["audit", "email"]
        assert told(here, replace(one, alert_round=1), replace(one, kind="exhausted")) == 2

    def test_what_was_sent_is_not_sent_again(
        self, here: Installation, mails: Outbox, post: tuple[Post, int], clock: Clock
    ) -> None:
        told(here, crossing(here))
        assert mails.send() == {"sent": 2}
        clock.now += timedelta(days=1)
        told(here, crossing(here), now=clock.now)
        assert mails.send() == {}
        assert len(post[0].mails) == 1

    def test_nothing_is_told_of_what_was_rolled_back(self, here: Installation, mails: Outbox) -> None:
        with here.database.transaction() as session:
            enqueue(session, [crossing(here)], NOW)
            session.rollback()
        assert mails.messages() == []
        assert mails.send() == {}

    def test_two_at_once_tell_it_once(self, here: Installation, mails: Outbox) -> None:
        with ThreadPoolExecutor(4) as threads:
            for _ in threads.map(lambda _: told(here, crossing(here), crossing(here, limit_id="limit-2")), range(8)):
                pass
        assert len(mails.messages()) == 4
        with here.database.transaction(writes=False) as session:
            assert len(listing.alerts(session, 10)) == 2

    def test_no_cache_forgets_anything_for_it(self, here: Installation, mails: Outbox) -> None:
        class Watching:
            heard: list[frozenset[str]] = []  # noqa: RUF012

            def writing(self, organisations: frozenset[str]) -> None:
                self.heard.append(organisations)

            written = writing

        here.database.watchers.append(Watching())
        told(here, crossing(here))
        mails.send()
        assert Watching.heard == []

    def test_the_alert_is_exact(self, here: Installation, mails: Outbox) -> None:
        told(here, crossing(here, usage=Decimal("7.500000000001"), value_key="k" * 5000))
        with here.database.transaction(writes=False) as session:
            [alert] = session.scalars(select(Alert))
        assert (alert.usage, alert.credit_limit, alert.alert_threshold) == (
            Decimal("7.500000000001"),
            Decimal(10),
            Decimal("7.5"),
        )
        assert alert.period_started_at == NOW
        assert alert.value_key == "k" * 5000


class TestRecipients:
    def people(self, here: Installation) -> str:
        """Everybody there may be; the id of who has a key."""
        here.member("admin@acme.example", role="admin")
        here.member("bystander@acme.example")
        here.colleague("manager@acme.example", here.first.workspace_id, "manager")
        here.colleague("leader@acme.example", here.first.workspace_id, "admin")
        here.colleague("colleague@acme.example", here.first.workspace_id)
        here.colleague("elsewhere@acme.example", here.workspace("Other").id, "admin")
        here.member("stranger@globex.example", here.organisation("Globex"), role="owner")
        return here.colleague("mine@acme.example", here.first.workspace_id)

    def addresses(self, outbox: Outbox) -> set[str]:
        return {message.recipient.partition("@")[0] for message in outbox.messages(channel="email")}

    def test_of_a_workspace(self, here: Installation, mails: Outbox) -> None:
        self.people(here)
        told(here, crossing(here))
        assert self.addresses(mails) == {"owner", "admin", "manager", "leader"}

    def test_of_a_key_its_user_and_its_alert_addresses_too_each_once(
        self, here: Installation, mails: Outbox, post: tuple[Post, int]
    ) -> None:
        mine = self.people(here)
        wanted = api_keys.NewKey(
            kind=KeyKind.WORKSPACE_USER,
            name="My key",
            organisation_id=here.first.organisation_id,
            workspace_id=here.first.workspace_id,
            user_id=mine,
            scopes=["logs.list"],
        )
        with here.database.transaction() as session:
            row = api_keys.create(session, wanted, now=NOW).row
            row.alert_emails = ["finance@acme.example", OWNER]
        told(here, crossing(here, entity_type="api_key", entity_id=row.id, entity_name="My key", kind="exhausted"))
        assert self.addresses(mails) == {"owner", "admin", "manager", "leader", "mine", "finance"}
        mails.send()
        subject = {to: message["Subject"] for message, [to] in post[0].mails}["mine@acme.example"]
        assert subject == "API key My key has used up its budget"
        words = post[0].mails[0][0].get_body(("plain",))
        assert words is not None
        assert "The workspace-user key My key of Acme has used up its budget of $10.00." in words.get_content()

    def test_of_a_policy_nobody_is_mailed(self, here: Installation, mails: Outbox) -> None:
        told(here, crossing(here, entity_type="policy", value_key="metadata._user:alice"))
        assert [message.channel for message in mails.messages()] == ["audit"]

    def test_who_left_hears_nothing(self, here: Installation, mails: Outbox) -> None:
        from api.users.rows import OrganisationMember

        gone = here.member("gone@acme.example", role="admin")
        with here.database.transaction() as session:
            place = session.scalars(select(OrganisationMember).where(OrganisationMember.user_id == gone)).one()
            place.status = "removed"
        told(here, crossing(here))
        assert self.addresses(mails) == {"owner"}

    def test_without_mail_the_others_are_told(self, here: Installation, tmp_path: Path) -> None:
        with outbox_of(here, tmp_path / "spool") as quiet:
            told(here, crossing(here))
            assert [message.channel for message in quiet.messages()] == ["audit"]


class TestAudit:
    def test_each_crossing_is_recorded_with_what_crossed_what(self, here: Installation, mails: Outbox) -> None:
        told(here, crossing(here))
        mails.send()
        [record] = mails.recorded()
        [message] = mails.messages(channel="audit")
        assert record["id"] == message.id
        assert record["timestamp"] == "2026-04-02T12:30:00.000+00:00"
        assert (record["resource_type"], record["resource_id"]) == ("workspaces", here.first.workspace_id)
        assert record["organisation_id"] == here.first.organisation_id
        assert record["workspace_id"] == here.first.workspace_id
        assert record["reason"] == (
            "kind=threshold type=cost usage=7.501 credit_limit=10 alert_threshold=7.5 "
            "period_started_at=2026-04-02T12:30:00.000Z limit_id=limit-1"
        )

    def test_a_full_disk_is_waited_for(
        self, here: Installation, mails: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told(here, crossing(here))
        with monkeypatch.context() as broken:
            broken.setattr(mails.audit, "event", _full)
            assert mails.send() == {"sent": 1, "waiting": 1}
        clock.now += LATER
        assert mails.send() == {"sent": 1}
        assert len(mails.recorded()) == 1


def _full(*_: object, **__: object) -> None:
    raise OSError("the disk is full")


class TestFailures:
    def test_a_busy_server_is_asked_again_when_it_is_time(
        self, here: Installation, mails: Outbox, post: tuple[Post, int], clock: Clock
    ) -> None:
        post[0].refuse += ["451 later"]
        told(here, crossing(here))
        assert mails.send() == {"sent": 1, "waiting": 1}
        clock.now += LATER - timedelta(microseconds=1)
        assert mails.send() == {}
        clock.now += timedelta(microseconds=1)
        assert mails.send() == {"sent": 1}
        assert len(post[0].mails) == 1

    def test_a_final_no_is_a_dead_letter_that_can_be_revived(
        self, here: Installation, mails: Outbox, post: tuple[Post, int]
    ) -> None:
        post[0].refuse += ["554 never"]
        told(here, crossing(here))
        assert mails.send() == {"sent": 1, "dead": 1}
        [dead] = mails.messages(status="dead")
        assert dead.last_error == "the server answered 554"
        with here.database.transaction() as session:
            assert listing.revive(session, NOW, dead.id) == 1
            assert listing.revive(session, NOW, dead.id) == 0
        assert mails.send() == {"sent": 1}
        assert len(post[0].mails) == 1

    def test_it_is_given_up_after_the_last_try(self, here: Installation, mails: Outbox, clock: Clock) -> None:
        with here.database.transaction() as session:
            letter = outbox.Letter(here.first.organisation_id, Template.USER_INVITE, "a@acme.example", {})
            outbox.post(session, letter, NOW)
        for after_s in RETRY_AFTER_S:
            assert mails.send() == {"waiting": 1}
            assert mails.send() == {}
            clock.now += timedelta(seconds=after_s)
        assert mails.send() == {"dead": 1}
        [dead] = mails.messages()
        assert dead.attempts == len(RETRY_AFTER_S) + 1
        assert "user-invite.html needs" in (dead.last_error or "")

    def test_old_ones_are_forgotten(self, here: Installation, mails: Outbox, clock: Clock) -> None:
        told(here, crossing(here))
        mails.send()
        clock.now += KEPT + timedelta(days=1)
        told(here, crossing(here, limit_id="limit-2"), now=clock.now)
        mails.send()
        assert len(mails.messages()) == 2


class TestWithdrawn:
    def test_only_what_is_no_longer_so_does_not_leave(
        self, here: Installation, mails: Outbox, post: tuple[Post, int], clock: Clock
    ) -> None:
        organisation, kind = here.first.organisation_id, Template.USER_INVITE
        values = {"organisationName": "Acme", "inviterUserName": "Ada", "inviterEmail": ""}

        def posted(to: str, link: str) -> None:
            with here.database.transaction() as session:
                outbox.post(session, outbox.Letter(organisation, kind, to, values, {"inviteLink": link}), NOW)

        def withdrawn(to: str) -> int:
            with here.database.transaction() as session:
                return outbox.withdraw(session, organisation, kind, to, NOW)

        post[0].refuse += ["451 later", "554 never"]
        for _ in range(2):
            posted("new@acme.example", "https://ledger.example/dead")
            mails.send()
        assert sorted(message.status for message in mails.messages()) == ["dead", "waiting"]
        posted("other@acme.example", "https://ledger.example/other")
        assert withdrawn("new@acme.example") == 2
        assert {message.sealed for message in mails.messages(status="skipped")} == {None}
        posted("new@acme.example", "https://ledger.example/alive")
        with here.database.transaction() as session:
            assert listing.revive(session, NOW) == 0
        clock.now += LATER
        assert mails.send() == {"sent": 2}
        assert withdrawn("new@acme.example") == 0
        assert sorted(recipients[0] for _, recipients in post[0].mails) == ["new@acme.example", "other@acme.example"]
        assert not any("dead" in message.as_string() for message, _ in post[0].mails)

    def test_one_that_is_on_its_way_is_not_tried_again(
        self, here: Installation, mails: Outbox, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        organisation, kind = here.first.organisation_id, Template.USER_INVITE

        def fails(_: Message) -> None:
            with here.database.transaction() as session:
                assert outbox.withdraw(session, organisation, kind, "new@acme.example", NOW) == 1
            raise OSError

        with here.database.transaction() as session:
            outbox.post(session, outbox.Letter(organisation, kind, "new@acme.example", {}), NOW)
        monkeypatch.setitem(mails.delivery._ways, Channel.MAIL, fails)  # type: ignore[arg-type]
        assert mails.send() == {"taken away": 1}
        clock.now += LEASE
        assert mails.send() == {}


class TestSecrets:
    def test_a_secret_of_a_mail_is_sealed_until_it_has_left(
        self, here: Installation, mails: Outbox, post: tuple[Post, int]
    ) -> None:
        values = {"organisationName": "Acme", "inviterUserName": "Ada", "inviterEmail": ""}
        link = {"inviteLink": "https://ledger.example/invite/token"}
        letter = outbox.Letter(here.first.organisation_id, Template.USER_INVITE, "new@acme.example", values, link)
        with here.database.transaction() as session:
            outbox.post(session, letter, NOW)
        [waiting] = mails.messages()
        assert waiting.sealed is not None
        assert "token" not in f"{waiting.sealed}{waiting.payload}"
        assert mails.send() == {"sent": 1}
        assert mails.messages()[0].sealed is None
        plain = post[0].mails[0][0].get_body(("plain",))
        assert plain is not None
        assert "https://ledger.example/invite/token" in plain.get_content()


class TestProcesses:
    def test_what_a_killed_process_held_comes_back(
        self, here: Installation, mails: Outbox, post: tuple[Post, int], clock: Clock
    ) -> None:
        told(here, crossing(here))
        url = here.settings.resolved_database_url().render_as_string(hide_password=False)
        worker = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("outbox_worker.py")), url, NOW.isoformat()],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert worker.stdout is not None
        try:
            assert [worker.stdout.readline(), worker.stdout.readline()] == [b"taken\n"] * 2
        finally:
            worker.kill()
            worker.wait()
            worker.stdout.close()
        assert mails.send() == {}  # perhaps it is at it still
        clock.now += LEASE
        assert mails.send() == {"sent": 2}
        assert len(post[0].mails) == 1
        assert {message.attempts for message in mails.messages()} == {2}

    def test_many_senders_send_each_once(self, here: Installation, mails: Outbox, post: tuple[Post, int]) -> None:
        told(here, *(crossing(here, limit_id=f"limit-{number}") for number in range(20)))
        with ThreadPoolExecutor(3) as threads:
            done = list(threads.map(lambda _: mails.send(), range(3)))
        assert sum((each["sent"] for each in done), 0) == 40
        assert len({message["Message-ID"] for message, _ in post[0].mails}) == len(post[0].mails) == 20


def test_messages_are_those_of_the_table() -> None:
    """What is written past the models has every column that must be there."""
    needed = {column.name for column in Message.__table__.columns if not column.nullable}
    assert needed <= {"id", "channel", "recipient", "template", "payload", *outbox._waiting("o", None, NOW)}
