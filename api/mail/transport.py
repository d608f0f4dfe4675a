"""One SMTP conversation: TLS where it can be had, a password only inside of it."""

import smtplib
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from email.message import EmailMessage

from api.mail.settings import MailSettings, MailTls


class NotDelivered(Exception):
    """The mail did not leave. `is_final` when another try cannot help."""

    def __init__(self, reason: str, *, is_final: bool) -> None:
        self.is_final = is_final
        super().__init__(reason)


class Transport:
    """Delivers mails to the server that the settings name."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def deliver(self, message: EmailMessage) -> None:
        """Nothing, once the server has taken the mail. Raises: NotDelivered."""
        try:
            with self._connection() as server:
                server.send_message(message)
        except smtplib.SMTPNotSupportedError as error:
            raise NotDelivered(str(error), is_final=True) from error
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise NotDelivered(f"the recipient was refused: {codes}", is_final=min(codes) >= 500) from error
        except smtplib.SMTPResponseException as error:
            reason = f"the server answered {error.smtp_code}"
            # A refused password is a setting that somebody is about to put right; a refused mail stays refused.
            is_final = error.smtp_code >= 500 and not isinstance(error, smtplib.SMTPAuthenticationError)
            raise NotDelivered(reason, is_final=is_final) from error
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(f"{type(error).__name__}: {error}", is_final=False) from error

    def reach(self) -> None:
        """Nothing, when the server takes mail from us. Raises: NotDelivered."""
        try:
            with self._connection() as server:
                server.noop()
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(f"{type(error).__name__}: {error}", is_final=False) from error

    @contextmanager
    def _connection(self) -> Generator[smtplib.SMTP]:
        settings = self._settings
        with self._opened() as server:
            is_protected = settings.implicit_tls
            server.ehlo()
            if not is_protected and settings.tls is not MailTls.OFF and server.has_extn("starttls"):
                server.starttls(context=self._context())
                server.ehlo()
                is_protected = True
            if not is_protected and settings.tls is MailTls.REQUIRED:
                raise NotDelivered("the server offers no STARTTLS, which GATELEDGER_SMTP_TLS requires", is_final=False)
            if settings.user and settings.password is not None:
                if not is_protected and settings.tls is not MailTls.OFF:
                    raise NotDelivered(
                        "the server offers no TLS; to send the password in the clear, set GATELEDGER_SMTP_TLS=off",
                        is_final=False,
                    )
                server.login(settings.user, settings.password.get_secret_value())
            yield server

    def _opened(self) -> smtplib.SMTP:
        settings = self._settings
        if settings.implicit_tls:
            return smtplib.SMTP_SSL(settings.host, settings.port, timeout=settings.timeout_s, context=self._context())
        return smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout_s)

    def _context(self) -> ssl.SSLContext:
        ca_file = self._settings.ca_file
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
