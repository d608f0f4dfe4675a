"""Whether workers share a cache, and where. Source: controlplane contract 10.5 "Redis"."""

from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from warehouse.settings import ENVIRONMENT

_SCHEMES = ("redis", "rediss", "unix")


class RedisMode(StrEnum):
    """How the Redis servers are arranged."""

    STANDALONE = "standalone"


class RedisSettings(BaseSettings):
    """Where Redis is; nothing of it runs while `url` is None."""

    model_config = ENVIRONMENT

    url: SecretStr | None = Field(default=None, validation_alias=AliasChoices("REDIS_URL"))
    tls_enabled: bool = Field(
        default=False,
        validation_alias=AliasChoices("REDIS_TLS_ENABLED"),
        description="speak TLS to a redis:// URL, as rediss:// does",
    )
    mode: RedisMode = Field(default=RedisMode.STANDALONE, validation_alias=AliasChoices("REDIS_MODE"))

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in _SCHEMES:
            raise ValueError(f"REDIS_URL must begin with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}")
        return value

    def resolved_url(self) -> str | None:
        """The URL, with the scheme that says whether TLS is spoken; None when there is no Redis."""
        if self.url is None:
            return None
        parts = urlsplit(self.url.get_secret_value())
        if self.tls_enabled and parts.scheme == "redis":
            return urlunsplit(parts._replace(scheme="rediss"))
        return urlunsplit(parts)
