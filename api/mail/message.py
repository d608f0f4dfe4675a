"""A mail as it goes over the wire. Names and addresses cannot add a header: what could is refused or made a space."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr

from api.mail.addresses import is_address
from api.mail.templates import Rendered
from warehouse.errors import ConfigurationError

LONGEST_SUBJECT = 200
_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
POLICY = SMTP.clone(raise_on_defect=False)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who mails are from."""

    name: str
    address: str


def sender_of(text: str) -> Sender:
    """`mail@host` or `Name <mail@host>`. Raises: ConfigurationError."""
    name, address = parseaddr(text)
    if not is_address(address) or _CONTROL.sub(" ", text) != text:
        raise ConfigurationError(f"SMTP_FROM: '{text}' is not an address such as ledger@example.com")
    return Sender(name, address)


def one_line(text: str, longest: int = LONGEST_SUBJECT) -> str:
    """The text without line breaks and control characters, cut to `longest`."""
    return _CONTROL.sub(" ", text).strip()[:longest]


def message_of(rendered: Rendered, sender: Sender, to: str, now: datetime, id_: str | None = None) -> EmailMessage:
    """The mail to one recipient, text beside HTML; `id_` becomes its Message-ID.

    Raises: ValueError when `to` is not one bare address.
    """
    if not is_address(to):
        raise ValueError("the recipient is not one e-mail address")
    message = EmailMessage(policy=POLICY)
    message["Subject"] = one_line(rendered.subject)
    message["From"] = Address(one_line(sender.name), addr_spec=sender.address)
    message["To"] = Address(addr_spec=to)
    message["Date"] = format_datetime(now)
    domain = sender.address.rpartition("@")[2]
    message["Message-ID"] = make_msgid(domain=domain) if id_ is None else f"<{id_}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    return message
