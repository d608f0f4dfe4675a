"""Addresses that we take, names without icons, and HTML as plain text: pure rules."""

import pytest

from api.errors import InvalidRequest
from api.mail.addresses import is_address, normalised
from api.mail.message import one_line, sender_of
from api.mail.plain_text import text_of
from api.workspaces.matching import clean_name
from warehouse.errors import ConfigurationError


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example",
        "first.last+tag@sub.b-c.example",
        "o'neill@b.example",
        "owner@localhost",
        "jörg@bücher.example",
        "x" * 64 + "@b.example",
    ],
)
def test_addresses(address: str) -> None:
    assert is_address(address)
    assert normalised(f"  {address.upper()} ") == address.upper().lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@b.example",
        "a@",
        "a@b..example",
        "a@-b.example",
        "a@b.example.",
        ".a@b.example",
        "a..b@b.example",
        "a b@b.example",
        "a@b@c.example",
        "<a@b.example>",
        "A <a@b.example>",
        "a@b.example, c@d.example",
        "a@b.example\nBcc: c@d.example",
        "a\x00@b.example",
        "a\u2028@b.example",
        '"a"@b.example',
        "a@[127.0.0.1]",
        "x" * 65 + "@b.example",
        "a@" + "b" * 64 + ".example",
        "a@" + "b.example." * 40 + "example",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert not is_address(text)
    with pytest.raises(InvalidRequest, match="is not an e-mail address"):
        normalised(text)


def test_senders() -> None:
    sender = sender_of("The Ledger <ledger@b.example>")
    assert (sender.name, sender.address) == ("The Ledger", "ledger@b.example")
    assert sender_of("ledger@b.example").name == ""
    for wrong in ("ledger", "A <a@b.example>, c@d.example\n", "a@b.example\r\nBcc: c@d.example"):
        with pytest.raises(ConfigurationError, match="SMTP_FROM"):
            sender_of(wrong)


def test_subjects_are_one_line_of_a_bounded_length() -> None:
    assert one_line(" a\r\n\tb\x00\u2029c ") == "a b c"
    assert one_line("x" * 500) == "x" * 200


def test_html_as_text() -> None:
    html = """<html><head><title>no</title><style>p {}</style></head><body>
    <h1>Join   A &amp; B</h1><p>Hello<br>you &lt;b&gt;</p>
    <p><a href="https://x.example/i">Accept</a> or <a href="mailto:a@b.example">a@b.example</a></p>
    <script>alert(1)</script><a href="https://x.example/j"></a></body></html>"""
    assert text_of(html) == (
        "Join A & B\n\nHello\nyou <b>\n\nAccept: https://x.example/i or a@b.example\nhttps://x.example/j\n"
    )


@pytest.mark.parametrize(
    ("name", "icons", "clean"),
    [
        ("🚀 Prod", ("🚀",), "Prod"),
        ("🚀 Prod", (None,), "🚀 Prod"),
        ("🚀 Prod", ("🔥", "🚀"), "Prod"),
        ("🚀Prod", ("🚀",), "🚀Prod"),
        ("🚀", ("🚀",), "🚀"),
        ("Prod", ("",), "Prod"),
    ],
)
def test_a_name_without_its_icon(name: str, icons: tuple[str | None, ...], clean: str) -> None:
    assert clean_name(name, *icons) == clean
