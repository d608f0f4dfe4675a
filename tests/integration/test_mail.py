"""Mails to a real SMTP server: TLS, passwords, retries, transactions, and what must not get into a header."""

from collections.abc import Generator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import text

from api.db import Database
from api.mail.service import Mailer
from api.mail.settings import MailSettings
from api.mail.templates import SUBJECTS, VALUES, Template
from tests.factories.app import NOW, auth, installed, serving
from tests.factories.smtp_server import HOST, PASSWORD, USER, Authority, Post, authority_in, smtp_server
from warehouse.errors import ConfigurationError

INVITE = {
    "organisationName": "Acme & Söhne",
    "inviterUserName": "Ada",
    "inviterEmail": "ada@acme.example",
    "inviteLink": "https://ledger.example/invite/abc",
}

PATIENCE_S, NEXT_TRY_S = 60.0, 3600.0

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


def settings(port: int, **fields: Any) -> MailSettings:
    given = {"switch": "ON", "host": HOST, "port": port, "sender": "Ledger <ledger@acme.example>"}
    return MailSettings(**{**given, **fields})


def mailer(port: int, retries: tuple[float, ...] = (0.01, 0.01), **fields: Any) -> Mailer:
    return Mailer(settings(port, **fields), lambda: NOW, retry_after_s=retries)


def emptied(mailer: Mailer, within_s: float = PATIENCE_S) -> None:
    end = monotonic() + within_s
    while mailer.waiting():
        assert monotonic() < end
        sleep(0.01)


@pytest.fixture
def server() -> Generator[tuple[Post, int]]:
    with smtp_server() as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority_in(tmp_path_factory.mktemp("ca"))


def test_a_mail_has_html_beside_text(server: tuple[Post, int]) -> None:
    post, port = server
    with mailer(port) as sending:
        sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
        post.wait_for(1)
    message, recipients = post.mails[0]
    assert recipients == ["new@acme.example"]
    assert message["Subject"] == "Ada invites you to Acme & Söhne"
    assert message["From"] == "Ledger <ledger@acme.example>"
    assert message["To"] == "new@acme.example"
    assert message["Date"] == "Thu, 02 Apr 2026 12:30:00 +0000"
    assert message["Message-ID"].endswith("@acme.example>")
    html, plain = (message.get_body((kind,)) for kind in ("html", "plain"))
    assert html is not None
    assert plain is not None
    assert "Acme &amp; Söhne" in html.get_content()
    assert 'href="https://ledger.example/invite/abc"' in html.get_content()
    assert "Accept the invitation: https://ledger.example/invite/abc" in plain.get_content()
    assert "Acme & Söhne" in plain.get_content()
    assert "<" not in plain.get_content()


@pytest.mark.parametrize("template", list(Template), ids=lambda template: template.value)
def test_every_template_is_there_and_says_its_values(server: tuple[Post, int], template: Template) -> None:
    post, port = server
    values = {name: f"({name})" for name in VALUES[template]}
    with mailer(port, control_plane_url="https://ledger.example") as sending:
        sending.send(template, "a@acme.example", values)
        post.wait_for(1)
    message, _ = post.mails[0]
    whole = message["Subject"] + "".join(part.get_content() for part in message.walk() if not part.is_multipart())
    said = {name for name in values if f"({name})" in whole}
    # Whoever is alerted at the end of a budget need not hear of its threshold.
    assert values.keys() - said <= {"creditThreshold"}
    assert template in SUBJECTS


class TestTls:
    def test_starttls_is_used_where_it_is_offered_and_the_password_is_sent_inside(self, authority: Authority) -> None:
        with (
            smtp_server(starttls=authority.server, needs_password=True) as (post, port),
            mailer(port, user=USER, password=PASSWORD, ca_file=authority.ca_file) as sending,
        ):
            sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
            post.wait_for(1)
        assert post.was_encrypted == [True]
        assert post.user == USER

    def test_tls_from_the_first_byte(self, authority: Authority) -> None:
        with (
            smtp_server(implicit=authority.server) as (post, port),
            mailer(port, tls="implicit", ca_file=authority.ca_file) as sending,
        ):
            sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
            post.wait_for(1)

    def test_the_port_of_smtps_means_tls(self) -> None:
        assert settings(465).implicit_tls
        assert not settings(587).implicit_tls

    def test_a_server_that_nobody_vouches_for_gets_nothing(
        self, authority: Authority, caplog: pytest.LogCaptureFixture
    ) -> None:
        with smtp_server(starttls=authority.server) as (post, port), mailer(port, retries=()) as sending:
            sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
            emptied(sending)
        assert post.mails == []
        assert "CERTIFICATE_VERIFY_FAILED" in caplog.text

    def test_a_certificate_for_another_name_is_refused(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        other = authority_in(tmp_path, "elsewhere.example")
        with (
            smtp_server(starttls=other.server) as (post, port),
            mailer(port, retries=(), ca_file=other.ca_file) as sending,
        ):
            sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
            emptied(sending)
        assert post.mails == []
        assert "CERTIFICATE_VERIFY_FAILED" in caplog.text

    def test_no_password_without_tls_unless_told(self, caplog: pytest.LogCaptureFixture) -> None:
        with smtp_server(needs_password=True) as (post, port):
            with mailer(port, retries=(), user=USER, password=PASSWORD) as sending:
                sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
                emptied(sending)
            assert post.mails == []
            assert "GATELEDGER_SMTP_TLS=off" in caplog.text
            with mailer(port, user=USER, password=PASSWORD, tls="off") as sending:
                sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
                post.wait_for(1)
        assert post.user == USER
        assert PASSWORD not in caplog.text

    def test_required_tls_that_is_not_there(self, server: tuple[Post, int], caplog: pytest.LogCaptureFixture) -> None:
        post, port = server
        with mailer(port, retries=(), tls="required") as sending:
            sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
            emptied(sending)
        assert post.mails == []
        assert "offers no STARTTLS" in caplog.text


class TestFailures:
    def test_a_busy_server_is_asked_again(self, server: tuple[Post, int]) -> None:
        post, port = server
        post.refuse += ["451 later", "421 busy"]
        with mailer(port) as sending:
            sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
            post.wait_for(1)

    def test_a_final_no_is_not_asked_again(self, server: tuple[Post, int], caplog: pytest.LogCaptureFixture) -> None:
        post, port = server
        post.refuse += ["554 never"]
        with mailer(port) as sending:
            sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
            sending.send(Template.USER_INVITE, "next@acme.example", INVITE)
            post.wait_for(1)
        assert [recipients for _, recipients in post.mails] == [["next@acme.example"]]
        assert "given up" in caplog.text
        assert INVITE["inviteLink"] not in caplog.text

    def test_a_server_that_is_not_there_blocks_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        with smtp_server() as (_, port):
            pass
        started = monotonic()
        with mailer(port, retries=(0.01, NEXT_TRY_S)) as sending:
            sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
            while f"next try in {NEXT_TRY_S:g} s" not in caplog.text:
                assert monotonic() - started < PATIENCE_S
                sleep(0.01)
            assert sending.waiting() == 1
        assert monotonic() - started < NEXT_TRY_S, "the end waits for no next try"
        assert "1 mails that had not left" in caplog.text

    def test_mail_is_off_by_default(self, caplog: pytest.LogCaptureFixture) -> None:
        with Mailer(MailSettings(switch="OFF"), lambda: NOW) as sending:
            sending.send(Template.USER_INVITE, "new@acme.example", INVITE)
            assert sending.waiting() == 0

    def test_a_letter_that_cannot_be_made_does_not_stop_the_next(self, server: tuple[Post, int]) -> None:
        post, port = server
        with mailer(port) as sending:
            sending.send(Template.USER_INVITE, "new@acme.example", {})
            sending.send(Template.USER_INVITE, "not an address", INVITE)
            sending.send(Template.USER_INVITE, "next@acme.example", INVITE)
            post.wait_for(1)
        assert len(post.mails) == 1


def test_no_request_fails_or_waits_because_mail_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with smtp_server() as (_, port):
        pass
    with installed(tmp_path, mail=settings(port)) as here, serving(here) as client:
        body = {"email": "new@acme.example", "role": "member"}
        started = monotonic()
        answer = client.post("/v1/admin/users/invites", json=body, headers=auth(here.key()))
        assert answer.status_code == 200
        assert answer.json()["invite_link"]
        while "a mail did not leave" not in caplog.text:
            assert monotonic() - started < PATIENCE_S
            sleep(0.01)
        assert answer.json()["invite_link"].rpartition("/")[2] not in caplog.text


class TestTransactions:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Generator[Database]:
        database = Database(f"sqlite:///{tmp_path / 'x.db'}")
        yield database
        database.close()

    def test_a_mail_leaves_once_after_the_commit(self, server: tuple[Post, int], database: Database) -> None:
        post, port = server
        with mailer(port) as sending:
            with database.session(writes=True) as session:
                session.execute(text("SELECT 1"))
                sending.send(Template.USER_INVITE, "new@acme.example", INVITE, after=session)
                with session.begin_nested():
                    session.execute(text("SELECT 1"))
                assert not post.arrived.wait(0.1)
                session.commit()
                post.wait_for(1)
                session.execute(text("SELECT 1"))
                session.commit()
            emptied(sending)
        assert len(post.mails) == 1

    def test_what_is_rolled_back_is_not_told(self, server: tuple[Post, int], database: Database) -> None:
        post, port = server
        with mailer(port) as sending:
            with database.session(writes=True) as session:
                session.execute(text("SELECT 1"))
                sending.send(Template.USER_INVITE, "new@acme.example", INVITE, after=session)
                session.rollback()
                # Another transaction of the same session is not the one that said so.
                session.execute(text("SELECT 1"))
                session.commit()
            assert not post.arrived.wait(0.1)
        assert post.mails == []


class TestInjection:
    @pytest.mark.parametrize(
        "hostile", ["Acme\r\nBcc: victim@x.example", "Acme\nSubject: x", "Acme\u2028Bcc: v@x.example", "A\x00\x0bc"]
    )
    def test_a_name_adds_no_header(self, server: tuple[Post, int], hostile: str) -> None:
        post, port = server
        with mailer(port) as sending:
            sending.send(Template.USER_INVITE, "new@acme.example", {**INVITE, "inviterUserName": hostile})
            post.wait_for(1)
        message, recipients = post.mails[0]
        assert recipients == ["new@acme.example"]
        assert message["Bcc"] is None
        assert len(message.get_all("Subject", [])) == 1
        assert message["Subject"].endswith("invites you to Acme & Söhne")

    @pytest.mark.parametrize(
        "hostile",
        [
            "a@x.example\r\nBcc: victim@x.example",
            "a@x.example, victim@x.example",
            "Name <a@x.example>",
            "a@x.example>\r\nRCPT TO:<victim@x.example",
            "@x.example",
            "a@",
            '"a b"@x.example',
        ],
    )
    def test_an_address_is_one_address_or_no_mail(self, server: tuple[Post, int], hostile: str) -> None:
        post, port = server
        with mailer(port) as sending:
            sending.send(Template.USER_INVITE, hostile, INVITE)
            emptied(sending)
        assert post.mails == []

    def test_values_are_escaped_and_are_no_templates(self, server: tuple[Post, int]) -> None:
        post, port = server
        hostile = '<script>alert(1)</script>{{ 7*7 }}{% for x in "abc" %}{% endfor %}'
        with mailer(port) as sending:
            sending.send(Template.USER_INVITE, "new@acme.example", {**INVITE, "organisationName": hostile})
            post.wait_for(1)
        html = post.mails[0][0].get_body(("html",))
        assert html is not None
        assert "<script>" not in html.get_content()
        assert "&lt;script&gt;" in html.get_content()
        assert "{{ 7*7 }}" in html.get_content()

    @pytest.mark.parametrize("sender", ["nobody", "a@x.example\nBcc: b@x.example", ""])
    def test_a_sender_that_is_no_address_is_told_at_the_start(self, sender: str) -> None:
        with pytest.raises((ConfigurationError, ValueError), match="SMTP_FROM"):
            mailer(25, sender=sender)


class TestOwnTemplates:
    def test_one_file_wins_and_the_others_stay(self, server: tuple[Post, int], tmp_path: Path) -> None:
        post, port = server
        (tmp_path / "user-invite.html").write_text("<p>Own: {{inviteLink}} {{companyName}} {{unknown}}</p>")
        with mailer(port, templates_path=tmp_path, company_name="Big Co", logo_url="https://x.example/l.png") as own:
            own.send(Template.USER_INVITE, "a@acme.example", INVITE)
            own.send(Template.USER_EMAIL_VERIFICATION, "b@acme.example", {"verificationLink": "https://x.example/v"})
            post.wait_for(2)
        first, second = (message.get_body(("html",)) for message, _ in post.mails)
        assert first is not None
        assert second is not None
        assert "Own: https://ledger.example/invite/abc Big Co" in first.get_content()
        assert "https://x.example/l.png" in second.get_content()

    @pytest.mark.parametrize("broken", ["{{#if x}}", "{{ 1/0 }}", "{% include 'absent.html' %}"])
    def test_a_broken_one_is_told_and_ours_is_used(
        self, server: tuple[Post, int], tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        post, port = server
        (tmp_path / "user-invite.html").write_text(broken)
        with mailer(port, templates_path=tmp_path) as own:
            own.send(Template.USER_INVITE, "a@acme.example", INVITE)
            post.wait_for(1)
        html = post.mails[0][0].get_body(("html",))
        assert html is not None
        assert "Accept the invitation" in html.get_content()
        assert "user-invite.html cannot be rendered" in caplog.text

    def test_a_template_cannot_reach_out_of_the_sandbox(
        self, server: tuple[Post, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        post, port = server
        (tmp_path / "user-invite.html").write_text("{{ inviteLink.__class__.__mro__[1].__subclasses__() }}")
        with mailer(port, templates_path=tmp_path) as own:
            own.send(Template.USER_INVITE, "a@acme.example", INVITE)
            post.wait_for(1)
        html = post.mails[0][0].get_body(("html",))
        assert html is not None
        assert "subclasses" not in html.get_content()
        assert "SecurityError" in caplog.text
