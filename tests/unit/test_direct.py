"""A handler that is called directly answers just as the framework answers for it."""

from collections.abc import Generator
from decimal import Decimal
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Body, Depends, FastAPI, Header, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field, StrictInt
from starlette.responses import StreamingResponse
from typing_extensions import override

from api import errors
from api.direct import Handle, handler_of
from api.errors import Conflict
from api.text import Reference


class Wanted(BaseModel):
    name: str = Field(max_length=5)
    count: StrictInt | None = None
    share: Decimal = Decimal(0)


class Made(BaseModel):
    told: dict[str, Any]
    nothing: str | None = None


async def _who(request: Request) -> str:
    return request.headers.get("who", "nobody")


async def _length(request: Request) -> int:
    return len(await request.body())


Who = Annotated[str, Depends(_who)]
Length = Annotated[int, Depends(_length)]


async def of_body(wanted: Wanted, who: Who) -> Made:
    return Made(told={"wanted": wanted.model_dump(mode="json"), "who": who})


def in_a_thread(key: Reference, wanted: Wanted, request: Request) -> Made:
    if wanted.name == "twice":
        raise Conflict("it exists")
    return Made(told={"key": key, "path": request.url.path, "name": wanted.name})


def maybe_a_body(length: Length, wanted: Wanted | None = None) -> dict[str, Any]:
    return {"told": {"wanted": wanted and wanted.name, "length": length}, "more": "left out"}


def with_parameters(
    number: int,
    many: Annotated[list[int], Query()],
    at: Annotated[str, Header()] = "",
    page: Annotated[int, Query(le=9)] = 1,
) -> Response:
    return Response(f"{number} {many} {at} {page}", 202, {"x-told": "yes"})


async def streamed() -> StreamingResponse:
    return StreamingResponse(iter(["a", "b"]), media_type="text/csv")


ROUTES: list[tuple[str, Any, dict[str, Any]]] = [
    ("/body", of_body, {}),
    ("/threads/{key}", in_a_thread, {"response_model_exclude_unset": True}),
    ("/maybe", maybe_a_body, {"response_model": Made}),
    ("/parameters/{number}", with_parameters, {}),
    ("/streamed", streamed, {}),
]


class Direct(APIRoute):
    @override
    def get_route_handler(self) -> Handle:
        handle = handler_of(self)
        assert handle is not None
        return handle


def client_of(kind: type[APIRoute]) -> TestClient:
    app = FastAPI(routes=[kind(path, endpoint, methods=["POST"], **options) for path, endpoint, options in ROUTES])
    errors.install(app)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def clients() -> Generator[tuple[TestClient, TestClient]]:
    with client_of(APIRoute) as usual, client_of(Direct) as direct:
        yield usual, direct


BODIES = (
    *(b"", b"{}", b"null", b"[]", b"1", b'"x"', b"{", b"\xff", b"{} x", b'{"name": "a\xed\xa0\x80"}', b"NaN", b"  "),
    *(b'{"name": "ann"}', b'{"name": "longer"}', b'{"name": 1, "count": "2"}', b'{"name": "a", "name": "b"}'),
    *(b'{"name": "ann", "count": 1.0}', b'{"name": "ann", "share": 0.1}', b'{"name": "\\ud800"}', b'{"name": "twice"}'),
    *(b'{"name": "ann", "count": true, "share": "x"}', b'{"name": "ann", "count": 123456789012345678901234567890}'),
    b"[" * 100_000,
)
TYPES = ("application/json", "application/json; charset=utf-8", "APPLICATION/problem+JSON", "text/plain", "json", None)
PATHS = ("/body", "/threads/it", "/threads/" + "x" * 300, "/threads/a%0Ab", "/maybe")


@pytest.mark.parametrize("path", PATHS)
def test_bodies_are_understood_alike(clients: tuple[TestClient, TestClient], path: str) -> None:
    for content in BODIES:
        for type_ in TYPES if len(content) < 100 else TYPES[:1]:
            headers = {"who": "ann"} | ({"content-type": type_} if type_ else {})
            usual, direct = (client.post(path, content=content, headers=headers) for client in clients)
            told = (path, content[:50], type_)
            assert (direct.status_code, direct.content) == (usual.status_code, usual.content), told
            assert direct.headers == usual.headers, told


QUERIES = ("", "?many=1", "?many=1&many=2&page=3", "?many=x&page=10", "?many=", "?many=1&page=")


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", ["/parameters/1", "/parameters/x", "/streamed"])
def test_parameters_are_understood_alike(clients: tuple[TestClient, TestClient], path: str, query: str) -> None:
    usual, direct = (client.post(path + query, headers={"at": "noon"}) for client in clients)
    assert (direct.status_code, direct.content, direct.headers) == (usual.status_code, usual.content, usual.headers)


def test_an_answer_that_is_not_as_declared_is_an_error_of_ours() -> None:
    def wrong() -> Made:
        return {"told": "nothing"}  # type: ignore[return-value]

    for kind in (APIRoute, Direct):
        app = FastAPI(routes=[kind("/wrong", wrong)])
        with TestClient(app, raise_server_exceptions=False) as client:
            assert client.get("/wrong").status_code == 500


def _of_query(page: int = 0) -> int:
    return page


def later(tasks: BackgroundTasks) -> Made: ...
def of_a_word(name: Annotated[str, Body(embed=True)]) -> Made: ...
def of_two(one: Wanted, two: Wanted) -> Made: ...
def of_a_part(page: Annotated[int, Depends(_of_query)]) -> Made: ...
def of_headers(response: Response) -> Made: ...
def untyped(): ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize("endpoint", [later, of_a_word, of_two, of_a_part, of_headers, untyped])
def test_what_is_not_understood_is_left_to_the_framework(endpoint: Any) -> None:
    assert handler_of(APIRoute("/x", endpoint)) is None
