"""Agreements on prices as clients write and read them. Source: dataplane contract 5.7."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from api.limits.schemas import in_utc
from warehouse.pricing.applies import Target
from warehouse.pricing.reservations import Period

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
LARGEST_AMOUNT_CENTS = 10**12
Instant = Annotated[AwareDatetime, AfterValidator(in_utc)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class AppliesTo(_Strict):
    """What the agreement is made for, by slug."""

    type: Target = Field(description="A virtual key counts before its integration, that before the whole provider.")
    slug: Name


class PricingAdjustments(_Strict):
    """What comes on top of the price."""

    multiplier: dict[str, Any] | None = Field(
        description="Unit → factor, 0 or more; what is missing takes `default`, else 1. null clears: every unit is ×1."
    )


class _Dated(_Strict):
    workspace_slug: Name | None = Field(default=None, description="Slug or UUID; without it, all workspaces.")
    applies_to: AppliesTo
    model: Name | None = Field(default=None, description="Without it, every model.")
    effective_from: Instant | None = Field(default=None, description="First instant; default: now.")
    effective_to: Instant | None = Field(default=None, description="First instant at which it no longer holds.")


class NewNegotiatedPrice(_Dated):
    """An agreement on prices: a price, a base model, factors, or that provisioned throughput is paid elsewhere."""

    is_custom: StrictBool = False
    is_finetune: StrictBool = False
    base_model_slug: Name | None = Field(default=None, description="Whose price a custom model has without its own.")
    pricing_config: dict[str, Any] | None = Field(
        default=None, description='`{"type": "static", "pay_as_you_go": {rate: {"price": cents}}}`: the whole price.'
    )
    pricing_adjustments: PricingAdjustments | None = None
    skip_ptu_cost_attribution: StrictBool | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "skip_ptu_cost_attribution",
            "skipPtuCostAttribution",
            "vertex_skip_ptu_cost_attribution",
            "vertexSkipPtuCostAttribution",
        ),
        description="Traffic of provisioned throughput costs 0. Also skipPtuCostAttribution, "
        "vertex_skip_ptu_cost_attribution, vertexSkipPtuCostAttribution.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        agreed = (self.pricing_config, self.base_model_slug, self.pricing_adjustments, self.skip_ptu_cost_attribution)
        if all(one is None for one in agreed):
            raise ValueError(
                "agree on something: pricing_config, base_model_slug, pricing_adjustments or skip_ptu_cost_attribution"
            )
        if self.model is None and (self.pricing_config is not None or self.base_model_slug is not None):
            raise ValueError("model: pricing_config and base_model_slug are of one model")
        if (self.is_custom or self.is_finetune) and self.pricing_config is None and self.base_model_slug is None:
            raise ValueError("a custom or fine-tuned model needs a pricing_config or a base_model_slug")
        return self


class NewReservation(_Dated):
    """A fixed amount per hour, day or month, spread evenly over its period."""

    name: Name
    amount_cents: Decimal = Field(ge=0, le=LARGEST_AMOUNT_CENTS, decimal_places=12, description="Cents per period.")
    per: Period = Field(description="A day is 24 hours, a month a calendar month, both in UTC.")


class End(_Strict):
    """When an agreement no longer holds."""

    effective_to: Instant | None = Field(default=None, description="Default: now. The start withdraws it.")


class _Version(BaseModel):
    id: str = Field(description="Id of the agreement.")
    version_id: str = Field(description="Id of this version, as price ids name it.")
    version: int
    workspace_slug: str | None
    applies_to: AppliesTo
    model: str | None
    effective_from: datetime
    effective_to: datetime | None
    known_from: datetime


class NegotiatedPriceAnswer(_Version):
    """One version of an agreement on prices."""

    object: Literal["negotiated-price"] = "negotiated-price"
    is_custom: bool
    is_finetune: bool
    base_model_slug: str | None
    pricing_config: dict[str, Any] | None
    pricing_adjustments: dict[str, Any] | None
    skip_ptu_cost_attribution: bool | None


class ReservationAnswer(_Version):
    """One version of a reservation. `amount_cents` keeps every digit as text."""

    object: Literal["reservation"] = "reservation"
    name: str
    amount_cents: Decimal
    per: Period


class ReservationCost(BaseModel):
    """What a reservation costs in the time asked about. Units: cents."""

    object: Literal["reservation-cost"]
    id: str
    version_id: str
    name: str
    workspace_slug: str | None
    applies_to: AppliesTo
    cost: float


class ReservationCosts(BaseModel):
    """Reserved and usage costs side by side. Units: cents; JSON numbers with every digit."""

    object: Literal["reservation-costs"]
    data: list[ReservationCost]
    reserved_cost: float
    usage_cost: float | None = Field(description="Sum of the known costs of requests; null when none is known.")
    total_cost: float
    unpriced_requests: int = Field(description="Requests whose cost is in none of the sums.")


class UnpricedModel(BaseModel):
    """Requests of one model that have no cost for one reason. Units: cents, tokens, UTC."""

    object: Literal["unpriced-model"]
    ai_org: str
    ai_model: str
    unpriced_reason: str = Field(
        description="Blank: the price is known, but the cost policy counts reported costs only."
    )
    requests: int
    tokens: int
    cost_low: float | None
    spend_at_risk: float | None = Field(description="Cost at the highest rates of the provider; null: no bound.")
    unbounded_requests: int = Field(description="Requests that spend_at_risk lacks, because their usage is not known.")
    first_seen: datetime
    last_seen: datetime
