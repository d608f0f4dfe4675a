"""Feedback as clients send it. Source: dataplane contract 3.6."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MOST_FEEDBACKS = 1000


def _as_number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is required, not true or false")
    return value


def _as_object(value: object) -> object:
    """Metadata as an object; clients may send it as JSON text, and blank where there is none."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        told: object = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise ValueError('a JSON object is required, such as {"_user":"u1"}') from None
    return told


Metadata = Annotated[dict[str, Any] | None, BeforeValidator(_as_object)]
Value = Annotated[int, BeforeValidator(_as_number), Field(ge=-10, le=10, description="Score from -10 to 10.")]
# The limits stand within: the check for infinity fails on null.
Weight = Annotated[
    Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None,
    BeforeValidator(_as_number),
    Field(description="From 0 to 1; 1 when a new feedback has none."),
]
TraceId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1024)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class NewFeedback(_Lenient):
    """A score for a trace, which need not be there yet."""

    trace_id: TraceId = Field(validation_alias=AliasChoices("trace_id", "traceID", "traceId"))
    value: Value
    weight: Weight = None
    metadata: Metadata = Field(default=None, description="Keys and values, as an object or as its JSON text.")


class ChangedFeedback(_Lenient):
    """The new score of a feedback; what is left out stays as it is."""

    value: Value
    weight: Weight = None
    metadata: Metadata = None


class FeedbackSaved(BaseModel):
    """The feedbacks are on disk."""

    status: Literal["success"] = "success"
    message: str = "Feedback successfully saved"
    feedback_ids: list[str] = Field(description="In the order sent.")


def wire_metadata(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """Metadata as text values, which is what is stored: a text stays, everything else is its JSON; null goes."""
    told = cast("Mapping[str, object]", metadata or {})
    return {
        key: value if isinstance(value, str) else orjson.dumps(value).decode()
        for key, value in told.items()
        if value is not None
    }
