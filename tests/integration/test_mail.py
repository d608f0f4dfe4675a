"""Mails to a real SMTP server: TLS, passwords, refusals, and what must not get into a header."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from api.mail.service import Mailer
from api.mail.settings import MailSettings
from api.mail.templates import SUBJECTS, VALUES, Template
from api.mail.transport import NotDelivered
from tests.factories.app import NOW
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


def mailer(port: int, **fields: Any) -> Mailer:
    return Mailer(settings(port, **fields), lambda: NOW)


def refused(sending: Mailer, why: str, to: str = "new@acme.example") -> NotDelivered:
    """The refusal of an invite, whose reason holds no secret of it."""
    with pytest.raises(NotDelivered, match=why) as failure:
        sending.deliver(Template.USER_INVITE, to, INVITE)
    assert INVITE["inviteLink"] not in str(failure.value)
    return failure.value


@pytest.fixture
def server() -> Generator[tuple[Post, int]]:
    with smtp_server() as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority_in(tmp_path_factory.mktemp("ca"))


def test_a_mail_has_html_beside_text(server: tuple[Post, int]) -> None:
    post, port = server
    sending = mailer(port)
    sending.deliver(Template.USER_INVITE, "new@acme.example", INVITE)
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
    sending = mailer(port, control_plane_url="https://ledger.example")
    sending.deliver(template, "a@acme.example", values)
    message, _ = post.mails[0]
    whole = message["Subject"] + "".join(part.get_content() for part in message.walk() if not part.is_multipart())
    said = {name for name in values if f"({name})" in whole}
    # Whoever is alerted at the end of a budget need not hear of its threshold.
    assert values.keys() - said <= {"creditThreshold"}
    assert template in SUBJECTS


class TestTls:
    def test_starttls_is_used_where_it_is_offered_and_the_password_is_sent_inside(self, authority: Authority) -> None:
        with smtp_server(starttls=authority.server, needs_password=True) as (post, port):
            sending = mailer(port, user=USER, password=PASSWORD, ca_file=authority.ca_file)
            sending.deliver(Template.USER_INVITE, "new@acme.example", INVITE)
        assert post.was_encrypted == [True]
        assert post.user == USER

    def test_tls_from_the_first_byte(self, authority: Authority) -> None:
        with smtp_server(implicit=authority.server) as (post, port):
            sending = mailer(port, tls="implicit", ca_file=authority.ca_file)
            sending.deliver(Template.USER_INVITE, "new@acme.example", INVITE)
        assert len(post.mails) == 1

    def test_the_port_of_smtps_means_tls(self) -> None:
        assert settings(465).implicit_tls
        assert not settings(587).implicit_tls

    def test_a_server_that_nobody_vouches_for_gets_nothing(self, authority: Authority) -> None:
        with smtp_server(starttls=authority.server) as (post, port):
            refused(mailer(port), "CERTIFICATE_VERIFY_FAILED")
        assert post.mails == []

    def test_a_certificate_for_another_name_is_refused(self, tmp_path: Path) -> None:
        other = authority_in(tmp_path, "elsewhere.example")
        with smtp_server(starttls=other.server) as (post, port):
            refused(mailer(port, ca_file=other.ca_file), "CERTIFICATE_VERIFY_FAILED")
        assert post.mails == []

    def test_no_password_without_tls_unless_told(self, caplog: pytest.LogCaptureFixture) -> None:
        with smtp_server(needs_password=True) as (post, port):
            refused(mailer(port, user=USER, password=PASSWORD), "GATELEDGER_SMTP_TLS=off")
            assert post.mails == []
            told = mailer(port, user=USER, password=PASSWORD, tls="off")
            told.deliver(Template.USER_INVITE, "new@acme.example", INVITE)
        assert post.user == USER
        assert PASSWORD not in caplog.text

    def test_required_tls_that_is_not_there(self, server: tuple[Post, int]) -> None:
        post, port = server
        refused(mailer(port, tls="required"), "offers no STARTTLS")
        assert post.mails == []


class TestFailures:
    def test_a_busy_server_may_be_asked_again(self, server: tuple[Post, int]) -> None:
        post, port = server
        post.refuse += ["451 later", "421 busy"]
        assert not refused(mailer(port), "451").is_final
        assert not refused(mailer(port), "421").is_final
        mailer(port).deliver(Template.USER_INVITE, "new@acme.example", INVITE)
        assert len(post.mails) == 1

    def test_a_final_no_is_final(self, server: tuple[Post, int]) -> None:
        post, port = server
        post.refuse += ["554 never"]
        assert refused(mailer(port), "554").is_final

    def test_a_server_that_is_not_there(self) -> None:
        with smtp_server() as (_, port):
            pass
        assert not refused(mailer(port), "ConnectionRefusedError").is_final

    def test_a_mail_that_lacks_a_value_is_told(self, server: tuple[Post, int]) -> None:
        with pytest.raises(ValueError, match="inviteLink"):
            mailer(server[1]).deliver(Template.USER_INVITE, "new@acme.example", {})

    def test_the_same_mail_twice_has_the_same_id(self, server: tuple[Post, int]) -> None:
        post, port = server
        for _ in range(2):
            mailer(port).deliver(Template.USER_INVITE, "new@acme.example", INVITE, "one-id")
        assert [message["Message-ID"] for message, _ in post.mails] == ["<one-id@acme.example>"] * 2


class TestInjection:
    @pytest.mark.parametrize(
        "hostile", ["Acme\r\nBcc: victim@x.example", "Acme\nSubject: x", "Acme\u2028Bcc: v@x.example", "A\x00\x0bc"]
    )
    def test_a_name_adds_no_header(self, server: tuple[Post, int], hostile: str) -> None:
        post, port = server
        sending = mailer(port)
        sending.deliver(Template.USER_INVITE, "new@acme.example", {**INVITE, "inviterUserName": hostile})
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
        assert refused(mailer(port), "is not one e-mail address", hostile).is_final
        assert post.mails == []

    def test_values_are_escaped_and_are_no_templates(self, server: tuple[Post, int]) -> None:
        post, port = server
        hostile = '<script>alert(1)</script>{{ 7*7 }}{% for x in "abc" %}{% endfor %}'
        sending = mailer(port)
        sending.deliver(Template.USER_INVITE, "new@acme.example", {**INVITE, "organisationName": hostile})
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
        own = mailer(port, templates_path=tmp_path, company_name="Big Co", logo_url="https://x.example/l.png")
        own.deliver(Template.USER_INVITE, "a@acme.example", INVITE)
        own.deliver(Template.USER_EMAIL_VERIFICATION, "b@acme.example", {"verificationLink": "https://x.example/v"})
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
        own = mailer(port, templates_path=tmp_path)
        own.deliver(Template.USER_INVITE, "a@acme.example", INVITE)
        html = post.mails[0][0].get_body(("html",))
        assert html is not None
        assert "Accept the invitation" in html.get_content()
        assert "user-invite.html cannot be rendered" in caplog.text

    def test_a_template_cannot_reach_out_of_the_sandbox(
        self, server: tuple[Post, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        post, port = server
        (tmp_path / "user-invite.html").write_text("{{ inviteLink.__class__.__mro__[1].__subclasses__() }}")
        own = mailer(port, templates_path=tmp_path)
        own.deliver(Template.USER_INVITE, "a@acme.example", INVITE)
        html = post.mails[0][0].get_body(("html",))
        assert html is not None
        assert "subclasses" not in html.get_content()
        assert "SecurityError" in caplog.text
