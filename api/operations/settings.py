"""Settings of what keeps a service running: audit log, metrics, proxies, refusals, and how it stops."""

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings

from warehouse.settings import ENVIRONMENT

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which the Prometheus client hears that several processes share their numbers, and where."""


class OperationsSettings(BaseSettings):
    """How the service is watched, guarded and stopped."""

    model_config = ENVIRONMENT

    audit_retention_days: int | None = Field(
        default=None,
        ge=1,
        validation_alias=AliasChoices("GATELEDGER_AUDIT_RETENTION_DAYS"),
        description="whole UTC days that audit records are kept; unset: for ever",
    )
    metrics: bool = Field(
        default=True,
        validation_alias=AliasChoices("GATELEDGER_METRICS"),
        description="OFF: no /metrics. It needs no key and names no tenant; keep it from the outside by the proxy.",
    )
    trusted_proxies: str = Field(
        default="",
        validation_alias=AliasChoices("GATELEDGER_TRUSTED_PROXIES"),
        description="addresses and networks, comma-separated, whose X-Forwarded-For is believed",
    )
    refusal_limit: int = Field(
        default=100,
        ge=0,
        validation_alias=AliasChoices("GATELEDGER_AUTH_FAILURE_LIMIT"),
        description="refused credentials per address, and per credential, in a window before 429; 0: no limit",
    )
    refusal_window_s: float = Field(
        default=60.0, gt=0, validation_alias=AliasChoices("GATELEDGER_AUTH_FAILURE_WINDOW_S")
    )
    stop_delay_s: float = Field(
        default=0.0,
        ge=0,
        le=300,
        validation_alias=AliasChoices("GATELEDGER_STOP_DELAY_S"),
        description="how long a stopping server says it is not ready, and still answers, before it takes no more",
    )
    stop_timeout_s: int = Field(
        default=15,
        ge=0,
        validation_alias=AliasChoices("GATELEDGER_STOP_TIMEOUT_S"),
        description="how long a stopping server waits for requests that are under way",
    )
