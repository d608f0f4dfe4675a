"""Questions of gateways and their answers. Units: USD, tokens, requests."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
)

from api.limits.schemas import LARGEST_LIMIT
from api.policies.conditions import LLM
from api.policies.gate import LONGEST_RESERVED_S, RESERVED_S
from api.policies.schemas import Target
from api.text import one_line

LONGEST_FACT = 1000


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("must be a number")
    return Decimal(str(value))


Fact = Annotated[str, StringConstraints(max_length=LONGEST_FACT), AfterValidator(one_line)]
Usd = Annotated[Decimal, BeforeValidator(_number), Field(ge=0, le=LARGEST_LIMIT, allow_inf_nan=False)]
Tokens = Annotated[StrictInt, Field(ge=0, le=LARGEST_LIMIT)]


class Question(BaseModel):
    """What is known of a request that is about to be made; all of it is optional."""

    workspace_id: Fact | None = Field(default=None, description="UUID or slug; default: that of the key.")
    api_key_id: Fact | None = Field(
        default=None,
        validation_alias=AliasChoices("api_key_id", "api_key"),
        description="Which key makes the request; default: the calling one.",
    )
    virtual_key: Fact | None = None
    provider: Fact | None = None
    model: Fact | None = Field(default=None, description="As it is asked for: `gpt-4o` or `@openai/gpt-4o`.")
    config: Fact | None = None
    prompt: Fact | None = None
    metadata: dict[str, Any] | None = Field(default=None, max_length=100)
    endpoint_type: Fact | None = None
    target: Target = LLM
    mcp_server: Fact | None = None
    mcp_tool: Fact | None = None
    estimated_cost: Usd | None = Field(default=None, description="What it may cost at most, in USD.")
    estimated_tokens: Tokens | None = None
    reserve: StrictBool = Field(default=False, description="Hold the estimate until the request is settled.")
    reserve_s: Annotated[StrictInt, Field(ge=1, le=LONGEST_RESERVED_S)] = Field(
        default=RESERVED_S, description="How long it is held when nobody settles it."
    )
    log_id: Fact | None = Field(default=None, description="Id that the log of the request will have.")
    dry_run: StrictBool = Field(default=False, description="Only ask: nothing is counted or reserved.")


class Settlement(BaseModel):
    """What a request really used."""

    reservation_id: Fact
    cost: Usd | None = Field(default=None, description="In USD; null keeps the estimate.")
    tokens: Tokens | None = None
    log_id: Fact | None = Field(default=None, description="Id of its log: it is held until its row is counted.")


class LimitAnswer(BaseModel):
    """A limit that the request counts for: a budget with what remains of it, or a rate with its unit."""

    kind: Literal["usage_limit", "rate_limit"]
    entity_type: str
    entity_id: str
    entity_name: str | None
    value_key: str | None
    type: str
    credit_limit: int | float | None = None
    current_usage: int | float
    reserved: int | float | None = None
    remaining: int | float | None = None
    unit: str | None = None
    value: int | None = None
    resets_at: str | None


class Evaluation(BaseModel):
    """The request may go ahead."""

    allowed: Literal[True]
    reservation_id: str | None
    reserved_until: str | None
    limits: list[LimitAnswer]
    object: Literal["policy_evaluation"] = "policy_evaluation"
