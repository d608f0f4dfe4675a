"""API keys as clients write and read them. Source: controlplane contract 3."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints

from api.limits.schemas import Moment, RateLimitAnswer, UsageLimitAnswer
from api.mail.addresses import is_address
from api.text import one_line, paragraphs

LONGEST_NAME = 100
LONGEST_DESCRIPTION = 1000
MOST_EMAILS = 50
MOST_METADATA = 50
LONGEST_METADATA = 128
"""Of a value. Source: dataplane contract 4, "strings of at most 128 characters"."""
MINUTE_MS = 60_000
LEAST_TRANSITION_MS = 30 * MINUTE_MS
LONGEST_TRANSITION_MS = 30 * 24 * 60 * MINUTE_MS


def _email(text: str) -> str:
    if not is_address(text):
        raise ValueError("is not an e-mail address such as owner@example.com")
    return text


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME), AfterValidator(one_line)
]
Description = Annotated[str, StringConstraints(max_length=LONGEST_DESCRIPTION), AfterValidator(paragraphs)]
Reference = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(one_line)
]
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=320), AfterValidator(_email)]
TransitionMs = Annotated[StrictInt, Field(ge=LEAST_TRANSITION_MS, le=LONGEST_TRANSITION_MS)]
Scopes = Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(max_length=500)]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_METADATA), AfterValidator(one_line)],
        Annotated[str, StringConstraints(max_length=LONGEST_METADATA), AfterValidator(paragraphs)],
    ],
    Field(max_length=MOST_METADATA),
]


class KeyDefaults(BaseModel):
    """What requests with the key get. On an update, what is left out stays and null clears."""

    metadata: Metadata | None = None
    config_id: Reference | None = Field(default=None, description="UUID or slug.")
    allow_config_override: StrictBool | None = Field(
        default=None, description="Whether a request may name another config; default true."
    )


class RotationPolicy(BaseModel):
    """When the key gets a new secret by itself."""

    model_config = ConfigDict(extra="ignore")

    rotation_period: Literal["weekly", "monthly"] = Field(description="Mondays or the first of the month, 00:00 UTC.")
    next_rotation_at: Moment | None = Field(default=None, description="First rotation; computed when omitted.")
    key_transition_period_ms: TransitionMs | None = Field(
        default=None, description="How long the secret before still counts; default 30 minutes."
    )


class _Contents(BaseModel):
    description: Description | None = None
    rate_limits: Any = Field(default=None, description="`[{type: requests|tokens, unit, value}]`; null or [] clears.")
    usage_limits: Any = Field(
        default=None, description="`{type, credit_limit, alert_threshold, periodic_reset, …}`; null clears."
    )
    scopes: Scopes | None = None
    defaults: KeyDefaults | None = None
    alert_emails: Annotated[list[Email], Field(max_length=MOST_EMAILS)] | None = None
    expires_at: Moment | None = None
    rotation_policy: RotationPolicy | None = None


class KeyChanges(_Contents):
    """An update: what is left out stays, null clears."""

    name: Name | None = None
    workspace_id: Reference | None = Field(default=None, description="Must be the key's workspace.")
    reset_usage: StrictBool | None = Field(default=None, description="True: usage starts at 0 again.")


class NewKeyBody(_Contents):
    """A key to be made."""

    name: Name
    organisation_id: Reference | None = Field(default=None, description="Must be the caller's organisation.")
    workspace_id: Reference | None = Field(
        default=None, description="UUID or slug; an organisation key must name it for the key of a workspace."
    )
    user_id: Reference | None = Field(default=None, description="Whose key it is; needed when a service key asks.")


class Rotation(BaseModel):
    """How long the secret before still counts."""

    key_transition_period_ms: TransitionMs | None = Field(default=None, description="Default and least: 30 minutes.")


class IssuedKeyAnswer(BaseModel):
    """The only answer with a raw key."""

    id: str
    key: str = Field(description="The raw key; it is shown once.")
    object: Literal["api-key"] = "api-key"


class RotatedKeyAnswer(IssuedKeyAnswer):
    """The new secret, and how long the one before still counts."""

    key_transition_expires_at: str


class Defaults(BaseModel):
    """What requests with the key get."""

    metadata: dict[str, str] | None
    config_id: str | None
    allow_config_override: bool


class RotationPolicyAnswer(BaseModel):
    """When the key gets a new secret by itself."""

    rotation_period: Literal["weekly", "monthly"]
    next_rotation_at: str
    key_transition_period_ms: int
    status: Literal["ACTIVE"] = "ACTIVE"


class ApiKeyAnswer(BaseModel):
    """A key; `key` is its mask."""

    id: str
    key: str
    name: str
    description: str | None
    type: str
    organisation_id: str
    workspace_id: str | None
    user_id: str | None
    status: Literal["active", "exhausted", "expired"]
    created_at: str
    last_updated_at: str
    creation_mode: str
    rate_limits: list[RateLimitAnswer] | None
    usage_limits: UsageLimitAnswer | None
    reset_usage: int | None = None
    expires_at: str | None
    last_reset_at: str | None
    next_usage_reset_at: str | None
    alert_emails: list[str] | None
    expiry_enforced: Literal[0, 1]
    allow_config_override: Literal[0, 1] | None
    api_key_defaults_id: str | None
    scopes: list[str]
    defaults: Defaults
    rotation_policy: RotationPolicyAnswer | None
    key_transition_expires_at: str | None = Field(description="Until when the secret before the rotation counts.")
    object: Literal["api-key"] = "api-key"


class SelfAnswer(BaseModel):
    """The calling key, as a gateway wants to know it."""

    id: str
    name: str | None
    type: str
    organisation_id: str
    workspace_id: str | None
    workspace_slug: str | None
    user_id: str | None
    status: Literal["active", "exhausted", "expired"]
    scopes: list[str] = Field(description="What the key may do now: its scopes within role and settings.")
    rate_limits: list[RateLimitAnswer] | None
    usage_limits: UsageLimitAnswer | None
    expires_at: str | None
    last_reset_at: str | None
    next_usage_reset_at: str | None
    defaults: Defaults
    object: Literal["api-key"] = "api-key"
