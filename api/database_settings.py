"""Which database, how safely, and how many connections: `DATABASE_URL`, else the `DB_*` variables.

Source: controlplane contract 10.5 "DB" and its seed table 1.6.2.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from warehouse.errors import ConfigurationError
from warehouse.settings import ENVIRONMENT

PEM_MARK = "-----BEGIN"


class TlsMode(StrEnum):
    """How a connection to the database is protected, by the names that `DB_SSL` takes."""

    DISABLED = "DISABLED"
    PREFERRED = "PREFERRED"
    REQUIRED = "REQUIRED"
    VERIFY_CA = "VERIFY_CA"
    VERIFY_IDENTITY = "VERIFY_IDENTITY"
    AMAZON_RDS = "Amazon RDS"

    @property
    def verifies(self) -> bool:
        """Whether the server's certificate is checked."""
        return self in {TlsMode.VERIFY_CA, TlsMode.VERIFY_IDENTITY, TlsMode.AMAZON_RDS}

    @property
    def verifies_name(self) -> bool:
        """Whether the certificate has to be of the host that was asked for."""
        return self in {TlsMode.VERIFY_IDENTITY, TlsMode.AMAZON_RDS}


class DatabaseType(StrEnum):
    """What answers at `DB_HOST`."""

    MYSQL = "mysql"
    MARIADB = "mariadb"
    POSTGRES = "postgres"
    POSTGRESQL = "postgresql"


class Pem(str):
    """A certificate or key in PEM form: a path, or the content itself."""

    __slots__ = ()

    @property
    def is_content(self) -> bool:
        """Whether this is the content; else it is a path."""
        return PEM_MARK in self

    @property
    def content(self) -> str:
        r"""The content, real line ends where the environment carried `\n`."""
        return self.replace("\\n", "\n").strip() + "\n"

    def __repr__(self) -> str:
        return "Pem(content)" if self.is_content else f"Pem({str(self)!r})"


class DatabaseTls(BaseSettings):
    """`DB_SSL` and its certificates; `mode` is None where nothing was said."""

    model_config = ENVIRONMENT

    mode: TlsMode | None = Field(default=None, validation_alias=AliasChoices("DB_SSL"))
    authority: SecretStr | None = Field(default=None, validation_alias=AliasChoices("DB_SSL_CA"))
    certificate: SecretStr | None = Field(default=None, validation_alias=AliasChoices("DB_SSL_CERT"))
    key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("DB_SSL_KEY"))

    @field_validator("mode", mode="before")
    @classmethod
    def _any_spelling(cls, value: object) -> object:
        if isinstance(value, str):
            plain = value.strip().upper().replace("-", "_").replace(" ", "_")
            return next((mode for mode in TlsMode if mode.upper().replace(" ", "_") == plain), value)
        return value

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("DB_SSL_CERT and DB_SSL_KEY belong together: one of them is missing")
        if self.certificate is not None and self.mode in {None, TlsMode.DISABLED, TlsMode.PREFERRED}:
            raise ValueError("DB_SSL_CERT needs DB_SSL=REQUIRED, VERIFY_CA, VERIFY_IDENTITY or Amazon RDS")
        if self.authority is not None and (self.mode is None or not self.mode.verifies):
            raise ValueError(
                "DB_SSL_CA is given but nothing is checked with it: set DB_SSL=VERIFY_CA, VERIFY_IDENTITY or "
                "Amazon RDS, or leave DB_SSL_CA out"
            )
        return self

    def pem(self, name: str) -> Pem | None:
        """`authority`, `certificate` or `key`. Raises: ConfigurationError when it names a file that cannot be read."""
        secret: SecretStr | None = getattr(self, name)
        if secret is None:
            return None
        pem = Pem(secret.get_secret_value())
        if not pem.is_content:
            variable = {"authority": "DB_SSL_CA", "certificate": "DB_SSL_CERT", "key": "DB_SSL_KEY"}[name]
            try:
                with Path(pem).open("rb") as file:
                    file.read(1)
            except OSError as error:
                raise ConfigurationError(
                    f"{variable}: {pem} cannot be read ({error.strerror}); it is a path or the PEM content"
                ) from error
        return pem


class DatabaseSettings(BaseSettings):
    """Where the relational database is."""

    model_config = ENVIRONMENT

    url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL"),
        description="SQLAlchemy URL of SQLite, MySQL, MariaDB or PostgreSQL; wins over DB_HOST",
    )
    type: DatabaseType = Field(default=DatabaseType.MYSQL, validation_alias=AliasChoices("DB_TYPE"))
    host: str | None = Field(default=None, validation_alias=AliasChoices("DB_HOST"))
    port: int | None = Field(default=None, ge=1, le=65535, validation_alias=AliasChoices("DB_PORT"))
    name: str | None = Field(default=None, validation_alias=AliasChoices("DB_NAME"))
    user: str | None = Field(default=None, validation_alias=AliasChoices("DB_USER"))
    password: SecretStr | None = Field(default=None, validation_alias=AliasChoices("DB_PASS"))
    pool_size: int | None = Field(default=None, ge=2, le=1000, validation_alias=AliasChoices("DB_POOL_SIZE"))
    tls: DatabaseTls = Field(
        default_factory=DatabaseTls, validation_alias=AliasChoices("GATELEDGER_DATABASE_TLS_SETTINGS")
    )

    @property
    def is_named(self) -> bool:
        """Whether a database is named; else it is the file at home."""
        return self.url is not None or self.host is not None

    def resolved_url(self, home: Path) -> URL:
        """`DATABASE_URL`, else the one of the `DB_*` variables, else a SQLite file at home.

        Raises: ConfigurationError when they do not name a database.
        """
        if self.url is not None:
            return parsed(self.url.get_secret_value())
        if self.host is None:
            return URL.create("sqlite", database=str((home / "gateledger.db").absolute()))
        missing = [name for name, value in (("DB_NAME", self.name), ("DB_USER", self.user)) if not value]
        if missing:
            raise ConfigurationError(f"DB_HOST is set, so {' and '.join(missing)} is needed too")
        is_socket = self.host.startswith("/")
        is_mysql = self.type in {DatabaseType.MYSQL, DatabaseType.MARIADB}
        query: dict[str, Any] = {("unix_socket" if is_mysql else "host"): self.host} if is_socket else {}
        return URL.create(
            self.type.value,
            username=self.user,
            password=self.password.get_secret_value() if self.password else None,
            host=None if is_socket else self.host,
            port=self.port,
            database=self.name,
            query=query,
        )


def parsed(url: str) -> URL:
    """The URL in its parts. Raises: ConfigurationError."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError("DATABASE_URL is not a database URL such as postgresql://user@host/name") from error
