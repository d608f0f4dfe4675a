"""Where alerts of every organisation go, and what webhooks of organisations may reach. Source: docs/alerts.md."""

from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from api.alerts.rows import Channel
from api.alerts.signing import secret_bytes
from warehouse.settings import ENVIRONMENT


class AlertSettings(BaseSettings):
    """The operator's own webhooks, and the border of everybody's."""

    model_config = ENVIRONMENT

    webhook_url: SecretStr | None = Field(default=None, validation_alias=AliasChoices("GATELEDGER_ALERT_WEBHOOK_URL"))
    webhook_secret: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("GATELEDGER_ALERT_WEBHOOK_SECRET"),
        description="`whsec_` and base64 of 24 to 64 bytes, which calls are signed with",
    )
    slack_url: SecretStr | None = Field(default=None, validation_alias=AliasChoices("GATELEDGER_ALERT_SLACK_URL"))
    private_networks: bool = Field(
        default=False,
        validation_alias=AliasChoices("GATELEDGER_WEBHOOKS_TO_PRIVATE_NETWORKS"),
        description="whether webhooks of organisations may be http://, and lead into private networks",
    )
    ca_file: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("GATELEDGER_WEBHOOK_CA"),
        description="PEM file of the authority that signed receivers' certificates; default: the public ones",
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, validation_alias=AliasChoices("GATELEDGER_WEBHOOK_TIMEOUT_S"))

    @field_validator("webhook_url", "slack_url")
    @classmethod
    def _is_a_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must be a URL such as https://hooks.example.com/…")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _is_a_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            secret_bytes(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("GATELEDGER_ALERT_WEBHOOK_URL needs GATELEDGER_ALERT_WEBHOOK_SECRET")
        return self

    @property
    def channels(self) -> tuple[Channel, ...]:
        """By which ways the operator hears of every organisation."""
        urls = {Channel.WEBHOOK: self.webhook_url, Channel.SLACK: self.slack_url}
        return tuple(channel for channel, url in urls.items() if url is not None)
