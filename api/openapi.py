"""The OpenAPI document: made from the routes and the catalog, kept in `docs/openapi.json`.

`python -m api.openapi docs/openapi.json` writes it; a test fails when the kept one is not the newest.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from api.errors import ErrorAnswer
from api.permissions import PUBLIC
from api.principal import KEY_HEADER
from api.route_index import served
from api.routing import Router

VERSION = version("gateledger")
DESCRIPTION = (
    "The back office of an AI gateway. Every path is also served under `/v2`, `/albus/v1` and `/albus/v2`. "
    "Money is in USD cents, times in UTC, latencies in milliseconds."
)
SECURITY_SCHEMES: dict[str, Any] = {
    "apiKey": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
    "bearer": {"type": "http", "scheme": "bearer"},
}

router = Router("openapi", base="")


@router.get("/openapi.json", permission=PUBLIC, include_in_schema=False)
def openapi_json(request: Request) -> Response:
    """This document."""
    return Response(orjson.dumps(request.app.openapi()), media_type="application/json")


def install(app: FastAPI) -> None:
    """Make `app.openapi()` the document below, built once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = document


def build(app: FastAPI) -> dict[str, Any]:
    """The document of an app. FastAPI's own 422 is taken out: a bad request is a 400 in the one error shape."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=served(app.routes), summary=None
    )
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    components = document.setdefault("components", {})
    for name in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(name, None)
    components.setdefault("schemas", {}).update(_error_schemas())
    components["securitySchemes"] = SECURITY_SCHEMES
    document["security"] = [{name: []} for name in SECURITY_SCHEMES]
    return document


def _error_schemas() -> dict[str, Any]:
    """The one error shape, which routes only refer to, and what it is made of."""
    schema = ErrorAnswer.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    return {**schema.pop("$defs", {}), ErrorAnswer.__name__: schema}


def text(app: FastAPI) -> bytes:
    """The document as it is kept in the repository."""
    return orjson.dumps(app.openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


if __name__ == "__main__":
    from api.app import create_app
    from api.settings import ApiSettings

    Path(sys.argv[1]).write_bytes(text(create_app(ApiSettings())))
