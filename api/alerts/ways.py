"""How a message leaves by each channel."""

import ssl
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime

import orjson

from api.alerts.delivery import Delivery, Skipped, Way
from api.alerts.network import Poster, Target
from api.alerts.outbox import OPERATOR
from api.alerts.rows import Channel, Destination, Message
from api.alerts.settings import AlertSettings
from api.alerts.signing import signed_headers
from api.audit import Audit, Trail
from api.db import Database
from api.mail.service import Mailer
from api.mail.templates import Template
from api.sealing import sealer_of
from api.settings import ApiSettings

CROSSED = "manage"
"""The action of audit records about crossings."""


class Ways:
    """Mail, webhooks, Slack and the audit log."""

    def __init__(
        self,
        settings: AlertSettings,
        database: Database,
        mailer: Mailer,
        audit: Audit,
        poster: Poster,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._database, self._mailer = settings, database, mailer
        self._audit, self._poster, self._clock = audit, poster, clock

    @property
    def by_channel(self) -> Mapping[Channel, Way]:
        """Each way out by its channel."""
        return {
            Channel.MAIL: self.mail,
            Channel.WEBHOOK: self.webhook,
            Channel.SLACK: self.slack,
            Channel.AUDIT: self.audit,
        }

    def mail(self, message: Message) -> None:
        """Raises: NotDelivered, Skipped where mail is off."""
        if not self._mailer.is_on:
            raise Skipped("mail is off (SMTP_MAIL)")
        values = dict(message.payload)
        if message.sealed is not None:
            values |= orjson.loads(self._opened(message.sealed, message.id))
        self._mailer.deliver(Template(message.template), message.recipient, values, message.id)

    def webhook(self, message: Message) -> None:
        """Raises: NotDelivered, Skipped when the destination is gone."""
        target, secret = self._target(message)
        body = orjson.dumps(message.payload)
        headers = {} if secret is None else signed_headers(secret, message.id, body, self._clock())
        self._poster.send(target, body, headers)

    def slack(self, message: Message) -> None:
        """Raises: NotDelivered, Skipped when the destination is gone."""
        target, _ = self._target(message)
        self._poster.send(target, orjson.dumps(message.payload), {})

    def audit(self, message: Message) -> None:
        """Raises: OSError."""
        told = message.payload
        trail = Trail(told["resource_type"], CROSSED, told["resource_id"], message.workspace_id)
        trail.organisation_id = message.organisation_id
        self._audit.event(trail, reason=told["reason"], id_=message.id, at=message.created_at)

    def _target(self, message: Message) -> tuple[Target, str | None]:
        """Where it goes, and what it is signed with."""
        if message.recipient == OPERATOR:
            return self._of_the_operator(Channel(message.channel))
        with self._database.transaction(writes=False) as session:
            found = session.get(Destination, message.recipient)
        if found is None or found.organisation_id != message.organisation_id:
            raise Skipped("the destination was deleted")
        secret = None if found.sealed_secret is None else self._opened(found.sealed_secret, found.id)
        return Target(self._opened(found.sealed_url, found.id)), secret

    def _of_the_operator(self, channel: Channel) -> tuple[Target, str | None]:
        settings = self._settings
        url = settings.slack_url if channel is Channel.SLACK else settings.webhook_url
        if url is None:
            raise Skipped("the environment names no such webhook any more")
        is_signed = channel is Channel.WEBHOOK and settings.webhook_secret is not None
        secret = settings.webhook_secret.get_secret_value() if is_signed and settings.webhook_secret else None
        return Target(url.get_secret_value(), is_trusted=True), secret

    def _opened(self, sealed: str, about: str) -> str:
        with self._database.session(writes=False) as session:
            return sealer_of(session).open(sealed, about)


@contextmanager
def delivering(
    settings: ApiSettings, database: Database, audit: Audit, clock: Callable[[], datetime]
) -> Generator[Delivery]:
    """What sends the messages of this installation. Raises: ConfigurationError."""
    own = settings.alerts
    verify = True if own.ca_file is None else ssl.create_default_context(cafile=str(own.ca_file))
    mailer = Mailer(settings.mail, clock)
    with Poster(timeout_s=own.timeout_s, private_networks=own.private_networks, verify=verify) as poster:
        yield Delivery(database, Ways(own, database, mailer, audit, poster, clock).by_channel, clock)
