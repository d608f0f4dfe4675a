"""Settings of the warehouse, read once in an entry point and passed on as values."""

from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from warehouse.logstore.paths import PathFormat

ENVIRONMENT = SettingsConfigDict(
    env_ignore_empty=True,
    extra="ignore",
    populate_by_name=True,
    alias_generator=str.upper,
    env_prefix="GATELEDGER_",
)
"""How settings read the environment: each field by its alias, which is its own name in capitals where none is given.

`populate_by_name` would read each field's bare name too, so `home` would be HOME; the prefix keeps that harmless.
"""


class CostPolicy(StrEnum):
    """Which cost a row counts: ours (from the price book) or the one the gateway reported."""

    COMPUTED_ELSE_REPORTED = "computed-else-reported"
    REPORTED_ELSE_COMPUTED = "reported-else-computed"
    COMPUTED = "computed"
    REPORTED = "reported"


class WarehouseSettings(BaseSettings):
    """Where rows live, where logs and prices come from, and how much a query may take.

    Source: the environment names of the wire contract (dataplane 4.5 and 5.2) where it has one.
    """

    model_config = ENVIRONMENT

    home: Path = Field(default=Path(".gateledger"), validation_alias=AliasChoices("GATELEDGER_HOME"))
    warehouse_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("WAREHOUSE_URL"),
        description="lake path or s3:// URL, clickhouse(s)://user:password@host:port/database, chdb:///path",
    )
    clickhouse_host: str | None = None
    clickhouse_port: int = 8123
    clickhouse_user: str = "default"
    clickhouse_password: SecretStr = SecretStr("")
    clickhouse_database: str = "default"
    clickhouse_tls: bool = False
    clickhouse_replication_enabled: bool = False
    clickhouse_sharding_enabled: bool = False
    clickhouse_cluster_name: str | None = None
    clickhouse_retention_days: int | None = Field(default=None, ge=1)

    log_store_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("LOG_STORE_URL"),
        description="folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
    )
    log_store_file_path_format: PathFormat | None = Field(
        default=None,
        description="v1 or v2 when every object has that path format: v2 lets a day be listed without the whole store",
    )
    model_configs_proxy_fetch_enabled: bool = Field(
        default=False, description="ON: ask the proxy for model files first"
    )
    model_configs_proxy_url: SecretStr | None = Field(
        default=None, description="where /pricing/<provider>[.json] and /general/<provider>[.json] are served"
    )
    model_configs_pricing_log_store_path: str | None = Field(
        default=None, description="path below the log store, or a whole URL, of <provider>.json files"
    )
    model_configs_capabilities_log_store_path: str | None = None
    model_configs_pricing_local_path: Path | None = None
    model_configs_capabilities_local_path: Path | None = None
    cost_policy: CostPolicy = Field(
        default=CostPolicy.COMPUTED_ELSE_REPORTED, validation_alias=AliasChoices("GATELEDGER_COST_POLICY")
    )
    unpriced_requests_limit: float = Field(
        default=0.05,
        ge=0,
        le=1,
        validation_alias=AliasChoices("GATELEDGER_UNPRICED_REQUESTS_LIMIT"),
        description="share of requests without a cost above which the check of the pipelines alerts",
    )
    unpriced_tokens_limit: float = Field(
        default=0.05,
        ge=0,
        le=1,
        validation_alias=AliasChoices("GATELEDGER_UNPRICED_TOKENS_LIMIT"),
        description="share of tokens without a cost above which the check of the pipelines alerts",
    )
    query_threads: int = Field(default=2, ge=1, validation_alias=AliasChoices("GATELEDGER_QUERY_THREADS"))
    query_concurrency: int = Field(default=2, ge=1, validation_alias=AliasChoices("GATELEDGER_QUERY_CONCURRENCY"))
    query_queue: int = Field(default=32, ge=0, validation_alias=AliasChoices("GATELEDGER_QUERY_QUEUE"))
    query_timeout_s: float = Field(default=60, gt=0, validation_alias=AliasChoices("GATELEDGER_QUERY_TIMEOUT_S"))
    query_memory_mb: int = Field(default=4096, ge=64, validation_alias=AliasChoices("GATELEDGER_QUERY_MEMORY_MB"))

    def resolved_warehouse_url(self) -> str:
        """The URL of the warehouse: `WAREHOUSE_URL`, else the `CLICKHOUSE_*` variables, else the lake at home."""
        if self.warehouse_url is not None:
            return self.warehouse_url.get_secret_value()
        if self.clickhouse_host:
            scheme = "clickhouses" if self.clickhouse_tls else "clickhouse"
            user = quote(self.clickhouse_user, safe="")
            password = quote(self.clickhouse_password.get_secret_value(), safe="")
            return (
                f"{scheme}://{user}:{password}@{self.clickhouse_host}:{self.clickhouse_port}/{self.clickhouse_database}"
            )
        return str(self.home.absolute() / "lake")
