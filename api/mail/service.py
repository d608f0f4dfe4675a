"""One mail from its template to the mail server. What waits to be sent waits in the outbox (`api/alerts`)."""

from collections.abc import Callable, Mapping
from datetime import datetime

from api.mail.message import Sender, message_of, sender_of
from api.mail.settings import MailSettings, MailSwitch
from api.mail.templates import Template, Templates
from api.mail.transport import NotDelivered, Transport


class Mailer:
    """Delivers mails where SMTP_MAIL=ON. Safe between threads.

    Raises: ConfigurationError, when SMTP_FROM is no address.
    """

    def __init__(self, settings: MailSettings, clock: Callable[[], datetime]) -> None:
        self.is_on = settings.switch is MailSwitch.ON
        self._sender = sender_of(settings.sender) if self.is_on else Sender("", "")
        self._templates, self._transport = Templates(settings), Transport(settings)
        self._clock = clock

    def deliver(self, template: Template, to: str, values: Mapping[str, str], id_: str | None = None) -> None:
        """Nothing, once the mail server has taken the mail. Raises: NotDelivered.

        Mails with the same `id_` have the same Message-ID, so that one that comes twice can be told.
        """
        rendered = self._templates.render(template, values)
        try:
            message = message_of(rendered, self._sender, to, self._clock(), id_)
        except ValueError as error:
            raise NotDelivered(str(error), is_final=True) from error
        self._transport.deliver(message)
