"""Policies as clients write and read them. Source: controlplane contract 6, dataplane contract 7.4."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, StrictInt, StringConstraints, model_validator

from api.limits.schemas import (
    LARGEST_LIMIT,
    LEAST_TOKENS,
    LONGEST_PERIOD_DAYS,
    Amount,
    Forecast,
    Moment,
    RateUnit,
)
from api.policies.conditions import LLM
from api.text import Line, one_line, paragraphs

USAGE_OBJECT, RATE_OBJECT = "policy_usage_limits", "policy_rate_limits"
UNITS = (RateUnit.MINUTE, RateUnit.HOUR, RateUnit.DAY, RateUnit.WEEK)

Unit = Literal[RateUnit.MINUTE, RateUnit.HOUR, RateUnit.DAY, RateUnit.WEEK]
UsageType = Literal["cost", "tokens", "requests"]
RateType = Literal["requests", "tokens"]
Target = Literal["llm", "mcp_tools"]
Reference = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(one_line)
]
Description = Annotated[str, StringConstraints(max_length=500), AfterValidator(paragraphs)]
Value = Annotated[StrictInt, Field(ge=1, le=LARGEST_LIMIT)]
Days = Annotated[StrictInt, Field(ge=1, le=LONGEST_PERIOD_DAYS)]


class Unpriced(StrEnum):
    """What a request without a price counts as."""

    NOTHING = "nothing"
    UPPER_BOUND = "upper_bound"
    """The most that it can have cost, by the highest rates of its provider."""


CONDITIONS = "`[{key, value: text | [text], excludes?}]`: all must match; `*` is anything."


class _Named(BaseModel):
    name: Line | None = None
    description: Description | None = None


class _New(_Named):
    conditions: Any = Field(description=CONDITIONS)
    group_by: Any = Field(description="`[{key}]`: each combination of their values has a counter of its own.")
    workspace_id: Reference | None = Field(default=None, description="UUID or slug; organisation keys must name it.")
    organisation_id: Reference | None = Field(
        default=None, description="Instead of a workspace: a policy of all workspaces, for organisation keys."
    )


class UsageSettings(BaseModel):
    """How much may be used, and when that begins anew. Units: USD, tokens or requests."""

    type: UsageType
    credit_limit: Amount
    alert_threshold: Amount | None = None
    periodic_reset: Literal["weekly", "monthly"] | None = None
    periodic_reset_days: Days | None = None
    next_usage_reset_at: Moment | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.type == "tokens" and self.credit_limit < LEAST_TOKENS:
            raise ValueError(f"credit_limit: must be at least {LEAST_TOKENS} for tokens")
        if self.type != "cost" and any(one % 1 for one in (self.credit_limit, self.alert_threshold or Decimal(0))):
            raise ValueError(f"credit_limit, alert_threshold: {self.type} are whole numbers")
        if self.alert_threshold is not None and self.alert_threshold >= self.credit_limit:
            raise ValueError("alert_threshold: must be less than credit_limit")
        if self.periodic_reset is not None and self.periodic_reset_days is not None:
            raise ValueError("periodic_reset, periodic_reset_days: give one of them, not both")
        return self


class NewUsagePolicy(_New, UsageSettings):
    """A budget, for each combination of values."""

    unpriced: Unpriced = Field(default=Unpriced.NOTHING, description="What a request without a price counts as.")


class UsagePolicyChanges(_Named):
    """An update: what is left out stays, null clears."""

    conditions: Any = Field(default=None, description=CONDITIONS)
    group_by: Any = Field(default=None, description="Cannot be changed.")
    type: str | None = Field(default=None, description="Cannot be changed.")
    credit_limit: Amount | None = None
    alert_threshold: Amount | None = None
    periodic_reset: Literal["weekly", "monthly"] | None = None
    periodic_reset_days: Days | None = None
    next_usage_reset_at: Moment | None = None
    unpriced: Unpriced | None = None
    reset_usage_for_value: Annotated[str, StringConstraints(max_length=10_000)] | None = Field(
        default=None, description="A value key, or the value where there is one group-by: it starts at 0 again."
    )
    status: Literal["active", "archived"] | None = None


class NewRatePolicy(_New):
    """How many requests or tokens a span of time allows, for each combination of values."""

    type: RateType
    unit: Unit
    value: Value
    target: Target = Field(default=LLM, description="Requests to models, or calls of MCP tools.")


class RatePolicyChanges(_Named):
    """An update: what is left out stays."""

    conditions: Any = Field(default=None, description=CONDITIONS)
    group_by: Any = Field(default=None, description="Cannot be changed.")
    type: str | None = Field(default=None, description="Cannot be changed.")
    target: str | None = Field(default=None, description="Cannot be changed.")
    unit: Unit | None = None
    value: Value | None = None
    status: Literal["active", "archived"] | None = None


class EntityReset(BaseModel):
    """Which counter starts at 0 again."""

    entity_id: Reference


class ConditionAnswer(BaseModel):
    """A condition."""

    key: str
    value: str | list[str]
    excludes: str | list[str] | None = None


class GroupByAnswer(BaseModel):
    """A key whose values make counters."""

    key: str


class ValueKeyUsage(BaseModel):
    """What is used of one counter. Units: USD, tokens or requests."""

    current_usage: int | float
    status: Literal["active", "exhausted"]
    is_threshold_alerts_sent: bool
    is_exhausted_alerts_sent: bool


class _PolicyAnswer(BaseModel):
    id: str
    name: str | None
    description: str | None
    conditions: list[ConditionAnswer]
    group_by: list[GroupByAnswer]
    status: Literal["active", "archived"]
    workspace_id: str | None = Field(description="Null: of all workspaces.")
    organisation_id: str
    created_at: str
    last_updated_at: str


class UsagePolicyAnswer(_PolicyAnswer):
    """A usage policy. Units: USD, tokens or requests."""

    type: UsageType
    credit_limit: int | float
    alert_threshold: int | float | None
    periodic_reset: Literal["weekly", "monthly"] | None
    periodic_reset_days: int | None
    next_usage_reset_at: str | None
    last_reset_at: str | None
    unpriced: Unpriced
    forecast: Forecast = Field(description="Of all counters together, and of the one that is used up first.")
    object: Literal["policy_usage_limits"] = USAGE_OBJECT


class UsagePolicyDetail(UsagePolicyAnswer):
    """A usage policy, with its counters when they were asked for."""

    value_key_usage_map: dict[str, ValueKeyUsage] | None = None


class RatePolicyAnswer(_PolicyAnswer):
    """A rate policy."""

    type: RateType
    unit: Unit
    value: int
    target: Target
    object: Literal["policy_rate_limits"] = RATE_OBJECT


class EntityAnswer(BaseModel):
    """A counter, under the names that clients look for. Units: USD, tokens or requests."""

    id: str
    entity_id: str
    limit_id: str
    value_key: str
    current_usage: int | float
    usage: int | float
    status: Literal["active", "exhausted"]
    is_threshold_alerts_sent: bool
    is_exhausted_alerts_sent: bool
    last_reset_at: str | None
    forecast: Forecast
    object: Literal["policy_entity"] = "policy_entity"


class RateEntityAnswer(BaseModel):
    """How much of the present window is taken, for one combination of values. Units: requests or tokens."""

    id: str
    entity_id: str
    limit_id: str
    value_key: str
    current_usage: int
    usage: int
    status: Literal["active", "exhausted"]
    resets_at: str = Field(description="When the window is over.")
    last_reset_at: None = None
    object: Literal["policy_entity"] = "policy_entity"


class Done(BaseModel):
    """Nothing to say but that it is done."""


class Success(BaseModel):
    """That it is done."""

    success: Literal[True] = True
