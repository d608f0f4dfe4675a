"""The outbox of an installation, sent by hand; and a receiver of webhooks."""

import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from typing import Any

import orjson
from sqlalchemy import select

from api.alerts import outbox
from api.alerts.delivery import RETRY_AFTER_S, Delivery
from api.alerts.network import Poster
from api.alerts.outbox import enqueue
from api.alerts.rows import Message
from api.alerts.settings import AlertSettings
from api.alerts.ways import Ways
from api.audit import KIND, Audit
from api.client_address import Proxies
from api.limits.machine import Crossing
from api.mail.service import Mailer
from api.mail.settings import MailSettings
from api.sealing import INFO as SEALER
from api.sealing import Sealer
from tests.factories.app import NOW, Installation
from tests.factories.smtp_server import HOST
from warehouse.ingest.formats.spool import record_of_line
from warehouse.ingest.spool import Spool


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


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


def mail_settings(port: int) -> MailSettings:
    """Mail by a server on a port of this machine."""
    return MailSettings(switch="ON", host=HOST, port=port, sender="Ledger <ledger@acme.example>")  # type: ignore[arg-type]


def alert_settings(**fields: Any) -> AlertSettings:
    """Settings that read nothing from the environment of the test run."""
    return AlertSettings(**{"webhook_url": None, "webhook_secret": None, "slack_url": None, **fields})


@dataclass
class Outbox:
    """What sends the messages of an installation when a test says so."""

    here: Installation
    delivery: Delivery
    audit: Audit
    spool: Spool
    folder: Path

    def send(self) -> Counter[str]:
        return self.delivery.once()

    def messages(self, **filters: Any) -> list[Message]:
        """What is in the outbox, the oldest first."""
        with self.here.database.transaction(writes=False) as session:
            return list(session.scalars(select(Message).filter_by(**filters).order_by(Message.created_at, Message.id)))

    def recorded(self) -> list[dict[str, Any]]:
        """What waits in the spool of the audit log."""
        found = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                records = map(record_of_line, path.read_bytes().splitlines(keepends=True))
                found += [orjson.loads(record) for record in records if record is not None]
        return found


@contextmanager
def outbox_of(
    here: Installation,
    folder: Path,
    *,
    mail: MailSettings | None = None,
    alerts: AlertSettings | None = None,
    clock: Callable[[], datetime] = lambda: NOW,
    retry_after_s: Sequence[float] = RETRY_AFTER_S,
    **network: Any,
) -> Generator[Outbox]:
    """The outbox of an installation; sessions of its database know the ways out."""
    mail, alerts = mail or MailSettings(switch="OFF"), alerts or alert_settings()  # type: ignore[arg-type]
    spool = Spool(folder, clock, kinds=(KIND,))
    try:
        audit, mailer = Audit(spool, here.database, Proxies(), clock), Mailer(mail, clock)
        here.database.session_info[outbox.INFO] = outbox.Outgoing(mailer.is_on, alerts.channels)
        here.database.session_info[SEALER] = Sealer("a secret of this test, which is long enough")
        with Poster(timeout_s=5, private_networks=alerts.private_networks, **network) as poster:
            ways = Ways(alerts, here.database, mailer, audit, poster, clock).by_channel
            yield Outbox(here, Delivery(here.database, ways, clock, retry_after_s=retry_after_s), audit, spool, folder)
    finally:
        spool.close()


@dataclass
class Receiver:
    """What a server got, and what it says to the next calls: 200 once `answers` is empty."""

    url: str = ""
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)


@contextmanager
def receiver(tls: SSLContext | None = None) -> Generator[Receiver]:
    """A running HTTP server on a free port of this machine."""
    got = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, headers = got.answers.pop(0) if got.answers else (200, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    got.url = f"{'https' if tls else 'http'}://{HOST}:{server.server_port}/hook"
    try:
        yield got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
