"""Organisations as clients write and read them. Source: controlplane contract 7.4.

What an update holds is checked by name and value in the service, whose errors say what is allowed.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.text import Name


class OrganisationChanges(BaseModel):
    """What changes. A key that is left out stays; null clears it, which brings its default back."""

    model_config = ConfigDict(extra="ignore")

    name: Name = ""
    settings: dict[str, Any] | None = Field(default=None, description="Each key: a value, or null for its default.")
    security_settings: dict[str, Any] | None = Field(default=None, description="Each key: true, false or null.")
    workspace_overrides: dict[str, Any] | None = Field(
        default=None, description="Category → whether workspaces may set it for themselves."
    )
    defaults: dict[str, Any] | None = Field(
        default=None, description="`input_guardrails`, `output_guardrails`: slugs or ids that run on all traffic."
    )
    auth_settings: dict[str, Any] | None = Field(
        default=None, description="How tokens are verified: `jwks_url` (https) or `jwks` ({keys}), not both."
    )


class Defaults(BaseModel):
    """What holds for all workspaces."""

    input_guardrails: list[str] | None
    output_guardrails: list[str] | None


class AuthSettings(BaseModel):
    """How tokens are verified."""

    jwks_url: str | None
    jwks: dict[str, Any] | None


class Retention(BaseModel):
    """For how long people are told that things are kept. Units: days."""

    logs_days: int
    metrics_days: int


class OrganisationAnswer(BaseModel):
    """An organisation; settings are those that count, whether they were set or are the defaults."""

    id: str
    object: Literal["organisation"] = "organisation"
    name: str
    status: str
    settings: dict[str, Any]
    security_settings: dict[str, bool]
    workspace_overrides: dict[str, bool]
    defaults: Defaults
    auth_settings: AuthSettings
    retention: Retention
    features: dict[str, bool] = Field(description="Variable → whether its part of the product is on.")
    created_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    last_updated_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
