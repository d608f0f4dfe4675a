"""`POST /feedback` and `PUT /feedback/{id}`. Source: dataplane contract 3.6."""

from typing import Annotated, Any, cast

import orjson
from fastapi import Depends, Path, Request
from pydantic import TypeAdapter, ValidationError

from api.dependencies import Caller, Db, Now, Parts
from api.errors import ErrorAnswer, InvalidRequest, describe
from api.feedback import service
from api.feedback.schemas import MOST_FEEDBACKS, ChangedFeedback, FeedbackSaved, NewFeedback
from api.permissions import KeyKind, needs
from api.routing import Router

router = Router("feedback")

WRITE = needs("logs.write", kinds=(KeyKind.WORKSPACE_SERVICE, KeyKind.WORKSPACE_USER)) | needs("feedbacks.write")
"""Feedback belongs to a workspace: an organisation's key has none."""

_ONE: dict[str, Any] = {**NewFeedback.model_json_schema(by_alias=False), "additionalProperties": True}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"One feedback, or an array of up to {MOST_FEEDBACKS}.",
        "content": {
            "application/json": {
                "schema": {"oneOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1, "maxItems": MOST_FEEDBACKS}]}
            }
        },
    }
}
_MANY = TypeAdapter(list[NewFeedback])


def _listed(told: object) -> object:
    """An array, also where it comes as `{"0": …, "1": …}`: so the Node SDK 3 writes arrays."""
    if not isinstance(told, dict) or not told:
        return told
    by_place = cast("dict[str, object]", told)
    places = [str(place) for place in range(len(by_place))]
    return [by_place[place] for place in places] if by_place.keys() == set(places) else by_place


async def _given(request: Request) -> list[NewFeedback]:
    """The feedbacks of the body. Raises: InvalidRequest that says which and why."""
    try:
        told: object = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {error}") from None
    told = _listed(told)
    if not isinstance(told, dict | list):
        raise InvalidRequest("The body must be a feedback object, or an array of them.")
    if isinstance(told, list) and not 1 <= len(told) <= MOST_FEEDBACKS:
        raise InvalidRequest(f"From 1 to {MOST_FEEDBACKS} feedbacks at once, not {len(told)}.")
    try:
        return _MANY.validate_python(told) if isinstance(told, list) else [NewFeedback.model_validate(told)]
    except ValidationError as error:
        raise InvalidRequest(f"Invalid request. {describe(error.errors())}") from None


Given = Annotated[list[NewFeedback], Depends(_given)]
Id = Annotated[str, Path(max_length=255, description="Id of the feedback.")]


@router.post(
    "/feedback",
    permission=WRITE,
    operation_id="create_feedback",
    summary="Score one trace, or many",
    response_model=FeedbackSaved,
    openapi_extra=_BODY,
    audited=False,
)
def create_feedback(given: Given, caller: Caller, session: Db, parts: Parts, now: Now) -> FeedbackSaved:
    """Answers once every feedback is on disk; it counts in graphs and groups a moment later."""
    return FeedbackSaved(feedback_ids=service.give(parts, session, caller, given, now))


@router.put(
    "/feedback/{id}",
    permission=WRITE,
    operation_id="update_feedback",
    summary="Change the score, weight or metadata of a feedback",
    response_model=FeedbackSaved,
    responses={404: {"model": ErrorAnswer, "description": "AB08: there is no such feedback."}},
    audited=False,
)
def update_feedback(
    id: Id,  # noqa: A002
    wanted: ChangedFeedback,
    caller: Caller,
    session: Db,
    parts: Parts,
    now: Now,
) -> FeedbackSaved:
    """Answers once the change is on disk; what is left out, or null, stays as it is."""
    return FeedbackSaved(feedback_ids=[service.change(parts, session, caller, id, wanted, now)])
