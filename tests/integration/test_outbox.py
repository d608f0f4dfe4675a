"""The outbox: who is told of a crossing, by which way, once; what fails, what dies, and what is given up."""

import base64
import hashlib
import hmac
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, create_default_context
from typing import Any

import orjson
import pytest
import trustme
from sqlalchemy import select

from api.alerts import listing, outbox, signing
from api.alerts.delivery import KEPT, LEASE, RETRY_AFTER_S
from api.alerts.network import Target
from api.alerts.outbox import enqueue
from api.alerts.rows import Alert, Destination, Message
from api.api_keys import service as api_keys
from api.limits.machine import Crossing
from api.mail.templates import Template
from api.permissions import KeyKind
from api.sealing import sealer_of
from tests.factories.app import NOW, OWNER, Installation, installed
from tests.factories.outbox import Outbox, Receiver, alert_settings, mail_settings, outbox_of, receiver
from tests.factories.smtp_server import Post, smtp_server

SECRET = signing.new_secret()
LATER = timedelta(seconds=RETRY_AFTER_S[0])


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


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


def crossing(here: Installation, **fields: Any) -> Crossing:
    given: dict[str, Any] = {
        "organisation_id": here.first.organisation_id,
        "workspace_id": here.first.workspace_id,
        "entity_type": "workspace",
        "entity_id": here.first.workspace_id,
        "entity_name": "Shared",
        "value_key": None,
        "limit_id": "limit-1",
        "kind": "threshold",
        "type": "cost",
        "usage": Decimal("7.501"),
        "credit_limit": Decimal(10),
        "alert_threshold": Decimal("7.5"),
        "period_started_at": NOW,
    }
    return Crossing(**{**given, **fields})


def told(here: Installation, *crossings: Crossing, now: datetime = NOW) -> int:
    with here.database.transaction() as session:
        return enqueue(session, crossings, now)


def webhooks(**fields: Any) -> Any:
    return alert_settings(webhook_secret=SECRET, **fields)


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


class TestWebhooks:
    @pytest.fixture
    def hook(self) -> Generator[Receiver]:
        with receiver() as got:
            yield got

    def test_the_operators_hears_of_everything_and_it_is_signed(
        self, here: Installation, tmp_path: Path, hook: Receiver, clock: Clock
    ) -> None:
        other = here.organisation("Globex")
        with outbox_of(here, tmp_path / "spool", alerts=webhooks(webhook_url=hook.url), clock=clock) as sending:
            told(here, crossing(here), crossing(here, organisation_id=other, workspace_id=None))
            assert sending.send() == {"sent": 4}
            assert len(hook.calls) == 2
            for headers, body in hook.calls:
                signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
                right = hmac.new(signing.secret_bytes(SECRET), signed, hashlib.sha256).digest()
                assert headers["webhook-signature"] == f"v1,{base64.b64encode(right).decode()}"
                assert headers["content-type"] == "application/json"
            events = [orjson.loads(body) for _, body in hook.calls]
            assert {event["data"]["organisation_name"] for event in events} == {"Acme", "Globex"}
            assert {event["type"] for event in events} == {"usage_limit.threshold"}

    def test_slack(self, here: Installation, tmp_path: Path, hook: Receiver) -> None:
        with outbox_of(here, tmp_path / "spool", alerts=alert_settings(slack_url=hook.url)) as sending:
            told(here, crossing(here, kind="exhausted"))
            assert sending.send() == {"sent": 2}
        said = "has used up its budget of $10.00. Used since 2026-04-02 12:30 UTC: $7.501."
        assert orjson.loads(hook.calls[0][1]) == {"text": f"Acme: workspace *Shared* {said}"}

    def test_retries_keep_the_id_and_heed_retry_after(
        self, here: Installation, tmp_path: Path, hook: Receiver, clock: Clock
    ) -> None:
        hook.answers += [(500, {}), (429, {"retry-after": "900"}), (302, {"location": hook.url})]
        with outbox_of(here, tmp_path / "spool", alerts=webhooks(webhook_url=hook.url), clock=clock) as sending:
            told(here, crossing(here))
            assert sending.send() == {"sent": 1, "waiting": 1}
            clock.now += LATER
            assert sending.send() == {"waiting": 1}
            clock.now += timedelta(seconds=899)
            assert sending.send() == {}
            clock.now += timedelta(seconds=1)
            assert sending.send() == {"waiting": 1}  # it does not go where it is sent on to
            clock.now += timedelta(hours=1)
            assert sending.send() == {"sent": 1}
        assert len(hook.calls) == 4
        assert len({headers["webhook-id"] for headers, _ in hook.calls}) == 1
        assert len({headers["webhook-signature"] for headers, _ in hook.calls}) == 4

    def test_what_is_gone_is_given_up(self, here: Installation, tmp_path: Path, hook: Receiver) -> None:
        hook.answers += [(410, {})]
        with outbox_of(here, tmp_path / "spool", alerts=webhooks(webhook_url=hook.url)) as sending:
            told(here, crossing(here))
            assert sending.send() == {"sent": 1, "dead": 1}

    def test_a_webhook_of_an_organisation_hears_of_it_alone(
        self, here: Installation, tmp_path: Path, hook: Receiver
    ) -> None:
        other = here.organisation("Globex")
        with outbox_of(here, tmp_path / "spool", alerts=alert_settings(private_networks=True)) as sending:
            kept = destination(here, hook.url)
            elsewhere = here.workspace("Elsewhere").id
            destination(here, hook.url, workspace_id=elsewhere)
            told(here, crossing(here), crossing(here, organisation_id=other, workspace_id=None))
            assert [message.recipient for message in sending.messages(channel="webhook")] == [kept]
            assert sending.send() == {"sent": 3}
            [(headers, _)] = hook.calls
            assert headers["webhook-signature"].startswith("v1,")

    def test_none_of_them_leads_into_a_private_network(
        self, here: Installation, tmp_path: Path, hook: Receiver
    ) -> None:
        with outbox_of(here, tmp_path / "spool") as sending:
            destination(here, hook.url.replace("http:", "https:"))
            told(here, crossing(here))
            assert sending.send() == {"sent": 1, "dead": 1}
        assert hook.calls == []

    def test_a_deleted_one_is_skipped(self, here: Installation, tmp_path: Path, hook: Receiver) -> None:
        with outbox_of(here, tmp_path / "spool", alerts=alert_settings(private_networks=True)) as sending:
            id_ = destination(here, hook.url)
            told(here, crossing(here))
            with here.database.transaction() as session:
                session.delete(session.get_one(Destination, id_))
            assert sending.send() == {"sent": 1, "skipped": 1}

    def test_the_connection_goes_to_the_address_that_was_checked_and_the_certificate_is_of_the_name(
        self, here: Installation, tmp_path: Path
    ) -> None:
        authority, server = trustme.CA(), SSLContext(PROTOCOL_TLS_SERVER)
        authority.issue_cert("hooks.example").configure_cert(server)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        asked: list[tuple[str, int]] = []

        def resolve(host: str, port: int) -> list[str]:
            asked.append((host, port))
            return ["127.0.0.1"]

        network = {"resolve": resolve, "verify": create_default_context(cafile=str(tmp_path / "ca.pem"))}
        private = alert_settings(private_networks=True)
        with receiver(server) as hook, outbox_of(here, tmp_path / "spool", alerts=private, **network) as sending:
            port = int(hook.url.split(":")[2].partition("/")[0])
            destination(here, f"https://hooks.example:{port}/services/x")
            told(here, crossing(here))
            assert sending.send() == {"sent": 2}
            assert hook.calls[0][0]["host"] == f"hooks.example:{port}"
            assert asked == [("hooks.example", port)]
            destination(here, f"https://other.example:{port}/services/x")
            told(here, crossing(here, limit_id="limit-2"))
            assert sending.send() == {"sent": 2, "waiting": 1}
            [failed] = sending.messages(status="waiting")
            assert "CERTIFICATE_VERIFY_FAILED" in (failed.last_error or "")
            assert "services" not in (failed.last_error or "")


def destination(here: Installation, url: str, workspace_id: str | None = None) -> str:
    """The id of a new webhook of the first organisation."""
    with here.database.transaction() as session:
        row = Destination(
            id=api_keys.new_id(),
            organisation_id=here.first.organisation_id,
            workspace_id=workspace_id,
            channel="webhook",
            name="A hook",
            url_mask=Target(url).url[:20],
            created_at=NOW,
            last_updated_at=NOW,
        )
        sealer = sealer_of(session)
        row.sealed_url, row.sealed_secret = sealer.seal(url, row.id), sealer.seal(SECRET, row.id)
        session.add(row)
        return row.id


def test_messages_are_those_of_the_table() -> None:
    """What is written past the models has every column that must be there."""
    needed = {column.name for column in Message.__table__.columns if not column.nullable}
    assert needed <= {"id", "channel", "recipient", "template", "payload", *outbox._waiting("o", None, NOW)}
