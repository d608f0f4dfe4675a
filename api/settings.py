"""Settings of the API, read once in an entry point and passed on as values."""

from enum import StrEnum
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings
from sqlalchemy.engine import URL

from api.alerts.settings import AlertSettings
from api.database_settings import DatabaseSettings
from api.feature_flags import Feature, Features
from api.mail.settings import MailSettings
from api.operations.settings import OperationsSettings
from api.redis_settings import RedisSettings
from warehouse.settings import ENVIRONMENT, WarehouseSettings

MEBIBYTE = 1 << 20


class AdminKeyScope(StrEnum):
    """Which rows an organisation key asks for when it names no workspace.

    Source: DECISIONS "admin key without workspace_slug".
    """

    ORGANISATION = "organisation"
    DEFAULT_WORKSPACE = "default-workspace"


class ApiSettings(BaseSettings):
    """Where the API listens, where its database is, and what one request may take."""

    model_config = ENVIRONMENT

    warehouse: WarehouseSettings = Field(
        default_factory=WarehouseSettings, validation_alias=AliasChoices("GATELEDGER_WAREHOUSE_SETTINGS")
    )
    mail: MailSettings = Field(default_factory=MailSettings, validation_alias=AliasChoices("GATELEDGER_MAIL_SETTINGS"))
    database: DatabaseSettings = Field(
        default_factory=DatabaseSettings, validation_alias=AliasChoices("GATELEDGER_DATABASE_SETTINGS")
    )
    redis: RedisSettings = Field(
        default_factory=RedisSettings, validation_alias=AliasChoices("GATELEDGER_REDIS_SETTINGS")
    )
    operations: OperationsSettings = Field(
        default_factory=OperationsSettings, validation_alias=AliasChoices("GATELEDGER_OPERATIONS_SETTINGS")
    )
    alerts: AlertSettings = Field(
        default_factory=AlertSettings, validation_alias=AliasChoices("GATELEDGER_ALERT_SETTINGS")
    )
    secret_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        validation_alias=AliasChoices("GATELEDGER_SECRET_KEY"),
        description="what secrets in the database are encrypted with; unset: a key that lies in the database too",
    )
    host: str = Field(default="127.0.0.1", validation_alias=AliasChoices("GATELEDGER_HOST"))
    port: int = Field(default=8790, ge=0, le=65535, validation_alias=AliasChoices("GATELEDGER_PORT", "PORT"))
    service_name: str = Field(default="gateledger", validation_alias=AliasChoices("SERVICE_NAME"))
    admin_key_scope: AdminKeyScope = Field(
        default=AdminKeyScope.ORGANISATION, validation_alias=AliasChoices("GATELEDGER_ADMIN_KEY_SCOPE")
    )
    key_cache_s: float = Field(default=0.9, ge=0, le=60, validation_alias=AliasChoices("GATELEDGER_KEY_CACHE_S"))
    request_limit_bytes: int = Field(
        default=10 * MEBIBYTE, ge=1024, validation_alias=AliasChoices("GATELEDGER_REQUEST_LIMIT_BYTES")
    )
    ingest_limit_bytes: int = Field(
        default=100 * MEBIBYTE,
        ge=1024,
        validation_alias=AliasChoices("GATELEDGER_INGEST_LIMIT_BYTES"),
        description="largest body of an ingest request, both as sent and decompressed",
    )
    spool_interval_s: float = Field(default=1.0, gt=0, validation_alias=AliasChoices("GATELEDGER_SPOOL_INTERVAL_S"))
    maintenance_interval_s: float = Field(
        default=300.0, gt=0, validation_alias=AliasChoices("GATELEDGER_MAINTENANCE_INTERVAL_S")
    )
    limits_interval_s: float = Field(
        default=60.0,
        gt=0,
        validation_alias=AliasChoices("GATELEDGER_LIMITS_INTERVAL_S"),
        description="how often usage limits are counted although no rows came in here",
    )
    log_exports_bucket: str | None = Field(
        default=None,
        validation_alias=AliasChoices("LOG_EXPORTS_BUCKET"),
        description="where exports are kept: a folder, a bucket of S3 by name, or s3://, gs:// or az://",
    )
    export_max_rows: int | None = Field(
        default=None,
        ge=1,
        validation_alias=AliasChoices("GATELEDGER_EXPORT_MAX_ROWS"),
        description="most rows of one export; unlimited by default",
    )
    export_url_lifetime_s: int = Field(
        default=3600,
        ge=1,
        le=604_800,
        validation_alias=AliasChoices("GATELEDGER_EXPORT_URL_LIFETIME_S"),
        description="for how long a download URL works",
    )
    log_level: str = Field(default="INFO", validation_alias=AliasChoices("GATELEDGER_LOG_LEVEL", "LOG_LEVEL"))

    guardrails_enabled: bool = Field(default=True, validation_alias=AliasChoices(Feature.GUARDRAILS.value))
    api_access_enabled: bool = Field(default=True, validation_alias=AliasChoices(Feature.API_ACCESS.value))
    data_exports_enabled: bool = Field(default=True, validation_alias=AliasChoices(Feature.DATA_EXPORTS.value))
    usage_limits_enabled: bool = Field(default=True, validation_alias=AliasChoices(Feature.USAGE_LIMITS.value))
    audit_logs_enabled: bool = Field(default=True, validation_alias=AliasChoices(Feature.AUDIT_LOGS.value))
    scim_enabled: bool = Field(default=True, validation_alias=AliasChoices(Feature.SCIM.value))
    policy_enabled: bool = Field(default=True, validation_alias=AliasChoices(Feature.POLICY.value))
    log_retention_display: int = Field(
        default=90,
        ge=0,
        validation_alias=AliasChoices("LOG_RETENTION_DISPLAY"),
        description="days that people are told logs are kept",
    )
    metrics_retention_display: int = Field(
        default=365,
        ge=0,
        validation_alias=AliasChoices("METRICS_RETENTION_DISPLAY"),
        description="days that people are told metrics are kept",
    )

    @property
    def features(self) -> Features:
        """What this installation has switched off."""
        return Features(frozenset(feature for feature in Feature if not getattr(self, feature.value.lower())))

    @property
    def home(self) -> Path:
        """The folder that holds all state of the embedded default."""
        return self.warehouse.home

    @property
    def spool_folder(self) -> Path:
        """Where accepted records wait until they are in the warehouse."""
        return self.home / "spool"

    @property
    def audit_spool_folder(self) -> Path:
        """Where audit records wait until they are in the warehouse."""
        return self.home / "audit-spool"

    @property
    def feedback_spool_folder(self) -> Path:
        """Where changes of feedbacks wait until they are in the warehouse."""
        return self.home / "feedback-spool"

    @property
    def exports_location(self) -> str:
        """Where exports are kept: `LOG_EXPORTS_BUCKET`, else a folder at home."""
        return self.log_exports_bucket or str(self.home.absolute() / "exports")

    @property
    def quarantine_folder(self) -> Path:
        """Where records that could not become rows are kept."""
        return self.home / "quarantine"

    def resolved_database_url(self) -> URL:
        """`DATABASE_URL`, else by the `DB_*` variables, else a SQLite file at home. Raises: ConfigurationError."""
        return self.database.resolved_url(self.home)

    @property
    def control_plane_url(self) -> str:
        """Where people find the control plane: `CONTROL_PLANE_URL`, else this server."""
        return self.mail.control_plane_url or f"http://{self.host}:{self.port}"
