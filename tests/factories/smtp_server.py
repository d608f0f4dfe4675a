"""A real SMTP server on a free port of this machine, which keeps what it is given."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

HOST = "127.0.0.1"
USER, PASSWORD = "ledger", "s3cret-word"


@dataclass
class Post:
    """What arrived: each mail with the recipients of its envelope. `refuse` answers instead of taking the next ones."""

    mails: list[tuple[EmailMessage, list[str]]] = field(default_factory=list)
    refuse: list[str] = field(default_factory=list)
    arrived: Event = field(default_factory=Event)
    was_encrypted: list[bool] = field(default_factory=list)
    user: str | None = None

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refuse:
            return self.refuse.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append((message_from_bytes(content, policy=policy.default), list(envelope.rcpt_tos)))
        self.was_encrypted.append(session.ssl is not None)
        self.user = session.auth_data.login.decode() if session.auth_data else None
        self.arrived.set()
        return "250 OK"

    def wait_for(self, count: int, within_s: float = 10) -> None:
        """Until so many mails are there."""
        end = monotonic() + within_s
        while len(self.mails) < count:
            left = end - monotonic()
            assert left > 0, f"{len(self.mails)} of {count} mails came within {within_s} s"
            self.arrived.wait(min(left, 0.02))
            self.arrived.clear()


@dataclass(frozen=True)
class Authority:
    """A certificate for `HOST`, and the file of who signed it."""

    server: ssl.SSLContext
    ca_file: Path


def authority_in(folder: Path, name: str = HOST) -> Authority:
    """A new authority and a certificate of it for `name`."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    ca_file = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    return Authority(context, ca_file)


def _check(server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=is_right, auth_data=data)


class _OnAFreePort(Controller):
    """A controller that learns its port from the system."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def smtp_server(
    *, starttls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None, needs_password: bool = False
) -> Generator[tuple[Post, int]]:
    """A running server: what arrives, and its port."""
    post = Post()
    controller = _OnAFreePort(
        post,
        hostname=HOST,
        port=0,
        ssl_context=implicit,
        tls_context=starttls,
        require_starttls=starttls is not None,
        auth_required=needs_password,
        auth_require_tls=False,
        authenticator=_check,
        enable_SMTPUTF8=True,
    )
    controller.start()
    try:
        yield post, controller.port
    finally:
        controller.stop()
