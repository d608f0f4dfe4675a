"""Usage and rate limits as clients write and read them. Source: controlplane contract 2.3, dataplane contract 7.

An object on keys and providers, an array with at most one per type on workspaces and integrations. What is stored is
what `parse_*` give: plain JSON, defaults filled in, read-only fields left out.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    model_validator,
)

from api.analytics.rendering import instant
from api.errors import InvalidRequest, describe

LEAST_COST_USD = 1
LEAST_TOKENS = 100
LARGEST_LIMIT = 10**12
LONGEST_PERIOD_DAYS = 365
USAGE_TYPES = ("cost", "tokens")
READ_ONLY = (
    "current_usage",
    "is_threshold_alerts_sent",
    "is_exhausted_alerts_sent",
    "is_expired_alerts_sent",
    "last_reset_at",
    "status",
    "forecast",
)
"""What answers carry beside the settings. Clients that write back what they read may send it; it changes nothing."""

Model = TypeVar("Model", bound=BaseModel)


class RateUnit(StrEnum):
    """Requests or tokens per second, minute, hour, day or week."""

    SECOND = "rps"
    MINUTE = "rpm"
    HOUR = "rph"
    DAY = "rpd"
    WEEK = "rpw"


KEY_UNITS = tuple(RateUnit)
WORKSPACE_UNITS = (RateUnit.MINUTE, RateUnit.HOUR, RateUnit.DAY)
"""Keys know two more. Source: controlplane contract 12."""


def _number(value: object) -> object:
    # Through its shortest text: 0.1 stays 0.1. Text and booleans are no numbers here.
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("must be a number")
    return Decimal(str(value))


Amount = Annotated[Decimal, BeforeValidator(_number), Field(ge=1, le=LARGEST_LIMIT, allow_inf_nan=False)]


def in_utc(moment: datetime) -> datetime:
    """The same instant in UTC; without an offset it is UTC already. Raises: ValueError outside of the calendar."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside of the calendar") from error


Moment = Annotated[datetime, AfterValidator(in_utc)]
"""An instant as clients write it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UsageLimit(_Strict):
    """How much may be used before the next reset. Units: cost in USD; tokens."""

    type: Literal["cost", "tokens"] = "cost"
    credit_limit: Amount = Field(description=f"At least {LEAST_COST_USD} USD or {LEAST_TOKENS} tokens.")
    alert_threshold: Amount | None = Field(default=None, description="Absolute; less than credit_limit.")
    periodic_reset: Literal["weekly", "monthly"] | None = Field(
        default=None, description="Sundays or the first of the month, 00:00 UTC."
    )
    periodic_reset_days: Annotated[StrictInt, Field(ge=1, le=LONGEST_PERIOD_DAYS)] | None = Field(
        default=None, description="Every so many days at 00:00 UTC; not together with periodic_reset."
    )
    next_usage_reset_at: Moment | None = Field(
        default=None, description="First reset; taken to 00:00 UTC of its day. Computed when omitted."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.type == "tokens":
            if self.credit_limit < LEAST_TOKENS:
                raise ValueError(f"credit_limit: must be at least {LEAST_TOKENS} for tokens")
            if any(one is not None and one % 1 for one in (self.credit_limit, self.alert_threshold)):
                raise ValueError("credit_limit, alert_threshold: tokens are whole numbers")
        if self.alert_threshold is not None and self.alert_threshold >= self.credit_limit:
            raise ValueError("alert_threshold: must be less than credit_limit")
        if self.periodic_reset is not None and self.periodic_reset_days is not None:
            raise ValueError("periodic_reset, periodic_reset_days: give one of them, not both")
        return self

    def stored(self) -> dict[str, Any]:
        """As plain JSON."""
        first = self.next_usage_reset_at
        return {
            "type": self.type,
            "credit_limit": plain(self.credit_limit),
            "alert_threshold": None if self.alert_threshold is None else plain(self.alert_threshold),
            "periodic_reset": self.periodic_reset,
            "periodic_reset_days": self.periodic_reset_days,
            "next_usage_reset_at": None if first is None else instant(_midnight(first)),
        }


class RateLimit(_Strict):
    """How many requests or tokens a span of time allows."""

    type: Literal["requests", "tokens"]
    unit: RateUnit
    value: Annotated[StrictInt, Field(ge=0, le=LARGEST_LIMIT)]

    def stored(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"type": self.type, "unit": self.unit.value, "value": self.value}


class Forecast(BaseModel):
    """What becomes of a limit if usage goes on as in the last seven days. Units: as the limit."""

    usage_per_day: int | float | None = Field(description="Null when nothing was used lately.")
    exhausts_at: str | None = Field(description="Null when it is not used up before its next reset, or already is.")


class UsageLimitAnswer(BaseModel):
    """A usage limit with what became of it. `current_usage` is null until it was counted."""

    type: Literal["cost", "tokens"]
    credit_limit: int | float
    alert_threshold: int | float | None
    periodic_reset: Literal["weekly", "monthly"] | None
    periodic_reset_days: int | None
    next_usage_reset_at: str | None
    current_usage: int | float | None
    is_threshold_alerts_sent: bool
    is_exhausted_alerts_sent: bool
    status: Literal["active", "exhausted"] = "active"
    last_reset_at: str | None = None
    forecast: Forecast | None = None


class RateLimitAnswer(BaseModel):
    """A rate limit."""

    type: Literal["requests", "tokens"]
    unit: RateUnit
    value: int


def parse_usage_limits(
    value: object, *, shape: Literal["object", "array"], now: datetime | None = None, name: str = "usage_limits"
) -> Any:
    """The limits to store: a dict for `object`, a list for `array`; None when there are none (null, `[]`, `{}`).

    With `now`, a first reset must lie ahead of it. Raises: InvalidRequest.
    """
    if not value and isinstance(value, list | dict | None):
        return None
    if shape == "object":
        return _usage_limit(value, name, now)
    if not isinstance(value, list):
        raise InvalidRequest(f"{name}: must be an array of limits, at most one per type ({', '.join(USAGE_TYPES)})")
    items = cast("list[object]", value)
    limits = [_usage_limit(item, f"{name}[{index}]", now) for index, item in enumerate(items[: len(USAGE_TYPES) + 1])]
    if len({limit["type"] for limit in limits}) < len(items):
        raise InvalidRequest(f"{name}: at most one limit per type ({', '.join(USAGE_TYPES)})")
    return limits


def parse_rate_limits(
    value: object, *, units: Collection[RateUnit] = KEY_UNITS, name: str = "rate_limits"
) -> list[dict[str, Any]] | None:
    """The limits to store; None when there are none (null, `[]`, `{}`). One limit alone may come without an array.

    Raises: InvalidRequest.
    """
    if not value and isinstance(value, list | dict | None):
        return None
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    most = 2 * len(units)
    limits = [_rate_limit(item, f"{name}[{index}]", units) for index, item in enumerate(items[: most + 1])]
    if len({(limit["type"], limit["unit"]) for limit in limits}) < len(items):
        raise InvalidRequest(f"{name}: at most one limit per type and unit")
    return limits


def render_usage_limit(stored: Mapping[str, Any]) -> dict[str, Any]:
    """One stored limit as the wire has it, of which nothing is counted here. Shape: `UsageLimitAnswer`."""
    return {
        "type": stored.get("type") or "cost",
        "credit_limit": plain(stored.get("credit_limit")),
        "alert_threshold": plain(stored.get("alert_threshold")),
        "periodic_reset": stored.get("periodic_reset") or None,
        "periodic_reset_days": stored.get("periodic_reset_days"),
        "next_usage_reset_at": stored.get("next_usage_reset_at"),
        "current_usage": plain(stored.get("current_usage")),
        "is_threshold_alerts_sent": bool(stored.get("is_threshold_alerts_sent")),
        "is_exhausted_alerts_sent": bool(stored.get("is_exhausted_alerts_sent")),
    }


def render_usage_limits(stored: object) -> Any:
    """Stored limits as the wire has them, in the shape in which they are stored; None when there are none."""
    if not stored:
        return None
    if isinstance(stored, Mapping):
        return render_usage_limit(cast("Mapping[str, Any]", stored))
    return [render_usage_limit(one) for one in cast("Sequence[Mapping[str, Any]]", stored)]


def render_rate_limits(stored: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Stored limits as the wire has them; None when there are none."""
    return [{name: one[name] for name in ("type", "unit", "value")} for one in stored] if stored else None


def plain(value: Any) -> Any:
    """A number as JSON has it: whole ones without `.0`, since some clients read them into integers. None stays None."""
    if value is None or isinstance(value, bool | int):
        return value
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def _usage_limit(value: object, name: str, now: datetime | None) -> dict[str, Any]:
    settings = _object(value, name)
    limit = _checked(UsageLimit, {key: settings[key] for key in settings if key not in READ_ONLY}, name)
    first = limit.next_usage_reset_at
    if now is not None and first is not None and _midnight(first) <= now:
        raise InvalidRequest(f"{name}.next_usage_reset_at: 00:00 UTC of its day must be in the future")
    return limit.stored()


def _rate_limit(value: object, name: str, units: Collection[RateUnit]) -> dict[str, Any]:
    limit = _checked(RateLimit, _object(value, name), name)
    if limit.unit not in units:
        raise InvalidRequest(f"{name}.unit: '{limit.unit.value}' is not one of {', '.join(units)}")
    return limit.stored()


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name}: must be an object")
    return cast("dict[str, Any]", value)


def _checked(model: type[Model], settings: dict[str, Any], name: str) -> Model:
    unknown = [key for key in settings if key not in model.model_fields]
    if unknown:
        allowed = ", ".join(model.model_fields)
        raise InvalidRequest(f"{name}: unknown field {ascii(unknown[0])[:100]}; allowed: {allowed}")
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise InvalidRequest(f"{name}: {describe(error.errors(include_url=False, include_input=False))}") from error


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
