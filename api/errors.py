"""The one error shape, and the only place that knows status codes. Source: dataplane contract 1.3.

`{"success": false, "data": {"message", "errorCode"}, "error": {"message", "code"}}`
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Literal, cast

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from warehouse.errors import (
    GateledgerError,
    InvalidInput,
    QueryTooLarge,
    SourceError,
    WarehouseBusy,
    WarehouseError,
)

logger = logging.getLogger("api.errors")

UNEXPECTED = "Something went wrong on our side. The request id names it in our logs."
_ENUM_MEMBER = re.compile(r"<\w+\.\w+: ('[^']*')>")
"""How a member of an enumeration is told where its value is meant."""
_UNREAD = "There was an error parsing the body"
"""What the framework says of a body that is no text, or is nested too deeply to read."""
NOT_PERMITTED = "You do not have enough permissions to execute this request"
UNAUTHORISED = "Unauthorised Request"


class Code(StrEnum):
    """The error codes of the wire contract."""

    INVALID = "AB01"
    NO_ROUTE = "AB02"
    FORBIDDEN = "AB03"
    INTERNAL = "AB04"
    UNAUTHORISED = "AB05"
    RATE_LIMITED = "AB06"
    CONFLICT = "AB07"
    NOT_FOUND = "AB08"
    EXHAUSTED = "AB09"


STATUS: Mapping[Code, int] = {
    Code.INVALID: 400,
    Code.NO_ROUTE: 404,
    Code.FORBIDDEN: 403,
    Code.INTERNAL: 500,
    Code.UNAUTHORISED: 401,
    Code.RATE_LIMITED: 429,
    Code.CONFLICT: 409,
    Code.NOT_FOUND: 404,
    Code.EXHAUSTED: 402,
}

_CODE_OF_STATUS: Mapping[int, Code] = {
    401: Code.UNAUTHORISED,
    402: Code.EXHAUSTED,
    403: Code.FORBIDDEN,
    404: Code.NO_ROUTE,
    405: Code.NO_ROUTE,
    409: Code.CONFLICT,
    429: Code.RATE_LIMITED,
}


class ErrorData(BaseModel):
    """What went wrong."""

    message: str
    errorCode: Code  # noqa: N815 - the wire's spelling


class ErrorDetail(BaseModel):
    """The same, where SDKs look first."""

    message: str
    code: Code


class ErrorAnswer(BaseModel):
    """The one error shape."""

    success: Literal[False]
    data: ErrorData
    error: ErrorDetail


class ApiError(GateledgerError):
    """An answer that is an error; services raise the subclasses below."""

    code = Code.INTERNAL
    status: int | None = None
    """Only where it is not the usual one of the code."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class InvalidRequest(ApiError):
    """The request cannot be done as it is written; the message says what is allowed."""

    code = Code.INVALID


class BodyTooLarge(InvalidRequest):
    """The body is larger than a request may be, as it was sent or once it is decompressed."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The request body is too large: at most {limit_bytes} bytes are allowed.")


class Forbidden(ApiError):
    """The caller may not, or the thing is not in its organisation."""

    code = Code.FORBIDDEN

    def __init__(self, message: str = NOT_PERMITTED) -> None:
        super().__init__(message)


class Unauthorised(ApiError):
    """No key, or one that is unknown, expired or revoked; which one is never told.

    A `reason` goes to the audit log of the organisation that the credential names, where that organisation exists.
    """

    code = Code.UNAUTHORISED

    def __init__(self, message: str = UNAUTHORISED, *, reason: str = "", organisation_id: str | None = None) -> None:
        super().__init__(message)
        self.reason, self.organisation_id = reason, organisation_id


class RateLimited(ApiError):
    """The caller asks too often."""

    code = Code.RATE_LIMITED

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Conflict(ApiError):
    """It exists already, or something depends on it."""

    code = Code.CONFLICT


class NotFound(ApiError):
    """It is absent in the caller's own workspace."""

    code = Code.NOT_FOUND


class PlanExhausted(ApiError):
    """The subscription has nothing left."""

    code = Code.EXHAUSTED


def body_over(limit_bytes: int) -> HTTPException:
    """`BodyTooLarge` for code within the framework, which turns any other error of reading a body into a 400."""
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail=BodyTooLarge(limit_bytes).message)


def body_of(message: str, code: Code) -> dict[str, Any]:
    """The error body: the documented envelope, and beside it what SDKs read first."""
    # A message may repeat what was sent, and half of a surrogate pair cannot be sent back as UTF-8.
    message = message.encode(errors="replace").decode()
    return {
        "success": False,
        "data": {"message": message, "errorCode": code.value},
        "error": {"message": message, "code": code.value},
    }


def answer(
    message: str, code: Code, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as a response."""
    content = orjson.dumps(body_of(message, code))
    return Response(
        content,
        status_code=status or STATUS[code],
        media_type="application/json",
        headers=dict(headers) if headers else None,
    )


def unexpected() -> Response:
    """The answer when something broke; it tells nothing but the request id (a header)."""
    return answer(UNEXPECTED, Code.INTERNAL)


def install(app: FastAPI) -> None:
    """Make every error of `app` leave in the one shape."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


def answer_to(request: Request, error: Exception) -> Response | None:
    """The answer to an error, as the framework finds it; None when it is none that is expected."""
    for kind in type(error).__mro__:
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return handler(request, error)
    return None


def _api_error(_request: Request, error: Exception) -> Response:
    failure = cast("ApiError", error)
    headers = {"Retry-After": str(failure.retry_after_s)} if isinstance(failure, RateLimited) else None
    return answer(failure.message, failure.code, status=failure.status, headers=headers)


def _invalid_input(_request: Request, error: Exception) -> Response:
    return answer(str(error), Code.INVALID)


def _warehouse_error(_request: Request, error: Exception) -> Response:
    if isinstance(error, WarehouseBusy):
        wait = {"Retry-After": str(error.retry_after_s)}
        return answer(str(error), Code.INTERNAL, status=HTTPStatus.SERVICE_UNAVAILABLE, headers=wait)
    if isinstance(error, QueryTooLarge):
        return answer(f"{error} Ask for less time or fewer groups.", Code.INVALID)
    logger.error("warehouse failed", exc_info=error)
    return answer("The warehouse cannot answer at the moment.", Code.INTERNAL, status=HTTPStatus.SERVICE_UNAVAILABLE)


def _source_error(_request: Request, error: Exception) -> Response:
    logger.error("the log store failed", exc_info=error)
    return answer("The log store cannot answer at the moment.", Code.INTERNAL, status=HTTPStatus.SERVICE_UNAVAILABLE)


def _http_error(request: Request, error: Exception) -> Response:
    failure = cast("HTTPException", error)
    status, headers = failure.status_code, failure.headers
    if status == HTTPStatus.NOT_FOUND:
        return answer(f"There is no route {request.method} {request.url.path}", Code.NO_ROUTE)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (headers or {}).get("Allow", "")
        message = f"{request.method} is not allowed here; allowed: {allowed}"
        return answer(message, Code.NO_ROUTE, status=status, headers=headers)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return answer(str(failure.detail), Code.INVALID, status=status, headers=headers)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("request failed", exc_info=error)
        return answer(UNEXPECTED, Code.INTERNAL, status=status)
    if failure.detail == _UNREAD:
        return answer("Invalid request. The body cannot be read: it is not UTF-8, or nested too deeply.", Code.INVALID)
    return answer(str(failure.detail), _CODE_OF_STATUS.get(status, Code.INVALID), status=status, headers=headers)


def _validation_error(_request: Request, error: Exception) -> Response:
    problems = cast("RequestValidationError", error).errors()
    return answer(f"Invalid request. {describe(problems)}", Code.INVALID)


def describe(problems: Sequence[Any]) -> str:
    """Pydantic's problems as sentences: where, and what was wrong. The input itself is left out: it may be secret."""
    sentences = [_sentence(problem) for problem in problems[:10]]
    if len(problems) > len(sentences):
        sentences.append(f"And {len(problems) - len(sentences)} more.")
    return " ".join(sentences)


def _sentence(problem: Any) -> str:
    kind, place = problem.get("type"), tuple(problem["loc"])
    if kind == "json_invalid":
        return f"The body is not JSON: {problem['ctx']['error']}, at character {place[-1]}."
    if place == ("body",):
        if kind == "missing":
            return "A body is required."
        if isinstance(problem.get("input"), bytes):
            return "The body must be JSON and its Content-Type must say so: application/json."
        if kind == "model_attributes_type":
            return "The body must be a JSON object."
    where = ".".join(str(part) for part in place if part not in {"body", "query", "path"})
    what = _ENUM_MEMBER.sub(r"\1", str(problem["msg"]).removeprefix("Value error, ").rstrip("."))
    return f"{where}: {what}." if where else f"{what}."


def _integrity_error(_request: Request, error: Exception) -> Response:
    logger.warning("a constraint refused a write", exc_info=error)
    return answer("This conflicts with something that exists already.", Code.CONFLICT)


def _data_error(_request: Request, error: Exception) -> Response:
    logger.warning("the database cannot hold a value", exc_info=error)
    return answer("Invalid request. A value is too long, or has a character that cannot be stored.", Code.INVALID)


def _database_error(_request: Request, error: Exception) -> Response:
    logger.error("database failed", exc_info=error)
    wait = {"Retry-After": "1"}
    return answer(
        "The database cannot answer at the moment.",
        Code.INTERNAL,
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        headers=wait,
    )


_HANDLERS: Mapping[type, Callable[[Request, Exception], Response]] = {
    ApiError: _api_error,
    InvalidInput: _invalid_input,
    WarehouseError: _warehouse_error,
    SourceError: _source_error,
    HTTPException: _http_error,
    RequestValidationError: _validation_error,
    IntegrityError: _integrity_error,
    DataError: _data_error,
    DBAPIError: _database_error,
    PoolTimeout: _database_error,
}
