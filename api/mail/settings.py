"""How mail leaves and what it looks like, read once in an entry point. Source: controlplane contract 10.5."""

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from warehouse.settings import ENVIRONMENT

IMPLICIT_TLS_PORT = 465


class MailSwitch(StrEnum):
    """Whether mails are sent at all."""

    ON = "ON"
    OFF = "OFF"


class MailTls(StrEnum):
    """How the connection to the mail server is protected."""

    AUTO = "auto"
    """Implicit TLS on port 465, else STARTTLS where the server offers it; a password is never sent in the clear."""
    REQUIRED = "required"
    """STARTTLS, or no mail."""
    IMPLICIT = "implicit"
    """TLS from the first byte."""
    OFF = "off"


class MailSettings(BaseSettings):
    """The mail server, the sender, and the branding of the mails."""

    model_config = ENVIRONMENT

    switch: MailSwitch = Field(default=MailSwitch.OFF, validation_alias=AliasChoices("SMTP_MAIL"))
    host: str = Field(default="", validation_alias=AliasChoices("SMTP_HOST"))
    port: int = Field(default=587, ge=1, le=65535, validation_alias=AliasChoices("SMTP_PORT"))
    user: str | None = Field(default=None, validation_alias=AliasChoices("SMTP_USER"))
    password: SecretStr | None = Field(default=None, validation_alias=AliasChoices("SMTP_PASSWORD"))
    sender: str = Field(
        default="", validation_alias=AliasChoices("SMTP_FROM"), description="`mail@host` or `Name <mail@host>`"
    )
    tls: MailTls = Field(default=MailTls.AUTO, validation_alias=AliasChoices("GATELEDGER_SMTP_TLS"))
    ca_file: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("GATELEDGER_SMTP_CA"),
        description="PEM file of the authority that signed the mail server's certificate; default: the system's",
    )
    timeout_s: float = Field(default=15.0, gt=0, le=300, validation_alias=AliasChoices("GATELEDGER_SMTP_TIMEOUT_S"))
    templates_path: Path | None = Field(default=None, validation_alias=AliasChoices("EMAIL_TEMPLATES_PATH"))
    company_name: str = Field(default="gateledger", validation_alias=AliasChoices("EMAIL_COMPANY_NAME"))
    logo_url: str | None = Field(default=None, validation_alias=AliasChoices("EMAIL_LOGO_URL"))
    support_email: str | None = Field(default=None, validation_alias=AliasChoices("EMAIL_SUPPORT_EMAIL"))
    docs_url: str | None = Field(default=None, validation_alias=AliasChoices("EMAIL_DOCS_URL"))
    control_plane_url: str = Field(default="", validation_alias=AliasChoices("CONTROL_PLANE_URL", "CONTROL_PANEL_URL"))

    @field_validator("switch", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("control_plane_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be a URL such as https://control.example.com")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _can_send(self) -> Self:
        if self.switch is MailSwitch.ON and not (self.host and self.sender):
            raise ValueError("SMTP_MAIL=ON needs SMTP_HOST and SMTP_FROM")
        return self

    @property
    def implicit_tls(self) -> bool:
        """Whether TLS starts with the first byte."""
        return self.tls is MailTls.IMPLICIT or (self.tls is MailTls.AUTO and self.port == IMPLICIT_TLS_PORT)
