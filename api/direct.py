"""Calling a handler without the framework's search for its arguments, which costs more than most handlers do.

The framework finds out anew with every request how to make each argument. Here that is found out once, from what it
read of the signature: its fields check body, parameters and answer as ever, so that every answer is the same. A
handler that asks for what is not understood here (forms, dependencies of dependencies) is left to the framework.
"""

import json
from collections.abc import Callable, Coroutine
from email.message import Message
from http import HTTPStatus
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from typing import TYPE_CHECKING, Any, cast

from fastapi import Request, Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic_core import PydanticUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from fastapi._compat import ModelField

Handle = Callable[[Request], Coroutine[Any, Any, Response]]
JSON = "application/json"


def handler_of(route: APIRoute) -> Handle | None:
    """What answers requests of a route just as the framework would; None where only the framework can."""
    return _Handler(route).answer if _is_plain(route) else None


class _Handler:
    """One route's handler, how its arguments are made, and how its answer is written."""

    def __init__(self, route: APIRoute) -> None:
        asked = route.dependant
        self._route, self._call = route, cast("Callable[..., Any]", asked.call)
        self._is_async = iscoroutinefunction(asked.call)
        made = ((each.name, each.call, each.request_param_name) for each in asked.dependencies)
        self._made = cast("list[tuple[str, Callable[..., Coroutine[Any, Any, Any]], str]]", list(made))
        self._request_name = asked.request_param_name
        self._body = next(iter(asked.body_params), None)
        parameters = (
            (asked.path_params, lambda request: request.path_params),
            (asked.query_params, lambda request: request.query_params),
            (asked.header_params, lambda request: request.headers),
            (asked.cookie_params, lambda request: request.cookies),
        )
        self._parameters: list[tuple[Any, Callable[[Request], Any]]] = [one for one in parameters if one[0]]

    async def answer(self, request: Request) -> Response:
        """The handler's answer. Raises: RequestValidationError, HTTPException, and what the handler raises."""
        arguments = await self._arguments(request)
        if self._is_async:
            return self._written(await self._call(**arguments))
        return await run_in_threadpool(self._called, arguments)

    def _called(self, arguments: dict[str, Any]) -> Response:
        return self._written(self._call(**arguments))

    async def _arguments(self, request: Request) -> dict[str, Any]:
        body = PydanticUndefined if self._body is None else await _body(request)
        arguments: dict[str, Any] = {name: await make(**{asked: request}) for name, make, asked in self._made}
        if self._request_name is not None:
            arguments[self._request_name] = request
        problems: list[Any] = []
        for fields, source in self._parameters:
            found, wrong = request_params_to_args(fields, source(request))
            arguments |= found
            problems += wrong
        if self._body is not None:
            if body is PydanticUndefined:
                found, wrong = await request_body_to_args([self._body], body, embed_body_fields=False)
                arguments |= found
            else:
                arguments[self._body.name], wrong = self._body.validate(body, {}, loc=("body",))
            problems += wrong
        if problems:
            raise RequestValidationError(problems, body=None if body is PydanticUndefined else body)
        return arguments

    def _written(self, made: Any) -> Response:
        if isinstance(made, Response):
            return made
        route, field = self._route, cast("ModelField", self._route.response_field)
        value, problems = field.validate(made, {}, loc=("response",))
        if problems:
            raise ResponseValidationError(errors=problems, body=made)
        content = field.serialize_json(
            value,
            by_alias=route.response_model_by_alias,
            exclude_unset=route.response_model_exclude_unset,
            exclude_defaults=route.response_model_exclude_defaults,
            exclude_none=route.response_model_exclude_none,
        )
        return Response(content, media_type=JSON)


def _is_plain(route: APIRoute) -> bool:
    """Whether all that the handler asks for, and how it answers, is understood here."""
    asked = route.dependant
    if isgeneratorfunction(asked.call) or isasyncgenfunction(asked.call):
        return False
    if _asks_for_more(asked) or not all(_is_made_of_request(each) for each in asked.dependencies):
        return False
    bodies = [field.field_info for field in asked.body_params]
    if len(bodies) > 1 or any(isinstance(body, Form) or getattr(body, "embed", None) for body in bodies):
        return False
    return _is_answered_plainly(route)


def _is_answered_plainly(route: APIRoute) -> bool:
    if route.status_code is not None or route.response_model_include or route.response_model_exclude:
        return False
    if route.response_field is None:
        made = signature(route.endpoint).return_annotation
        return isinstance(made, type) and issubclass(made, Response)
    return isinstance(route.response_class, DefaultPlaceholder)


def _is_made_of_request(asked: Dependant) -> bool:
    """Whether a dependency needs nothing but the request, and no thread."""
    has_fields = any((asked.path_params, asked.query_params, asked.header_params, asked.cookie_params))
    needs_more = has_fields or asked.body_params or asked.dependencies or _asks_for_more(asked)
    is_named = asked.name is not None and asked.request_param_name is not None
    return is_named and not needs_more and asked.concurrency is None and iscoroutinefunction(asked.call)


def _asks_for_more(asked: Dependant) -> bool:
    return any(
        (
            asked.websocket_param_name,
            asked.http_connection_param_name,
            asked.response_param_name,
            asked.background_tasks_param_name,
            asked.security_scopes_param_name,
        )
    )


async def _body(request: Request) -> Any:
    """The body: what its JSON says, or bytes that claim to be nothing of the kind; undefined when there is none.

    Raises: RequestValidationError when it is no JSON, HTTPException when it cannot be read.
    """
    try:
        content = await request.body()
        if not content:
            return PydanticUndefined
        return json.loads(content) if _is_json(request.headers.get("content-type", "")) else content
    except json.JSONDecodeError as error:
        place = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([{**place, "ctx": {"error": error.msg}}], body=error.doc) from error
    except HTTPException:
        raise
    except Exception as error:
        detail = "There was an error parsing the body"
        raise HTTPException(HTTPStatus.BAD_REQUEST, detail=detail) from error


def _is_json(content_type: str) -> bool:
    if content_type == JSON:
        return True
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))
