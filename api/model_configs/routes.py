"""Prices and capabilities of models, for gateways and for other gateledgers: public, with all digits, cacheable.

Source: dataplane contract 5.1. A gateway's `CONFIG_READER_PATH` is `…/v2/utils/model-configs`; a gateledger's
`MODEL_CONFIGS_PROXY_URL` is the bare host.
"""

import hashlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header, Response
from pydantic import BaseModel

from api.dependencies import Now, Parts
from api.permissions import PUBLIC
from api.routing import Router
from warehouse.pricing.files import Library, ModelFile, capability, encoded, pricing_config

bare = Router("model configs", base="")
router = Router("model configs")

CACHE_CONTROL = "public, max-age=300"
SUFFIX = ".json"
IfNoneMatch = Annotated[str | None, Header()]


class NotFoundAnswer(BaseModel):
    """The answer for a model or provider that no price file has."""

    error: str


def _options(summary: str, operation_id: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "operation_id": operation_id,
        "response_model": dict[str, Any],
        "responses": {
            304: {"description": "It is what `If-None-Match` names."},
            404: {"model": NotFoundAnswer, "description": "No file has it."},
        },
    }


def _provider_pricing(provider: str, parts: Parts, if_none_match: IfNoneMatch = None) -> Response:
    """A provider's whole price file: every model, with `default`. Prices are US cents per token or unit."""
    return _whole(parts.sources.prices, provider, if_none_match)


def _provider_general(provider: str, parts: Parts, if_none_match: IfNoneMatch = None) -> Response:
    """A provider's whole capabilities file."""
    return _whole(parts.sources.capabilities, provider, if_none_match)


def _model_pricing(provider: str, model: str, parts: Parts, now: Now, if_none_match: IfNoneMatch = None) -> Response:
    """The `pricing_config` of a model that is in force, with the provider's default merged in."""
    return _one(
        parts.sources.prices, provider, model, lambda file, name: pricing_config(file, name, now), if_none_match
    )


def _model_general(provider: str, model: str, parts: Parts, if_none_match: IfNoneMatch = None) -> Response:
    """What a model can do, with the provider's default inherited."""
    return _one(parts.sources.capabilities, provider, model, capability, if_none_match)


def _whole(library: Library, provider: str, if_none_match: str | None) -> Response:
    file = library.file(provider.removesuffix(SUFFIX))
    if file is None:
        return _absent("Provider not found")
    return _answer(file.text, file.etag, if_none_match)


def _one(
    library: Library,
    provider: str,
    model: str,
    entry_of: Callable[[ModelFile, str], dict[str, Any] | None],
    if_none_match: str | None,
) -> Response:
    file = library.file(provider.removesuffix(SUFFIX))
    entry = None
    if file is not None:
        entry = entry_of(file, model)
        if entry is None and model.endswith(SUFFIX):
            entry = entry_of(file, model.removesuffix(SUFFIX))
    if entry is None:
        return _absent("Model not found")
    text = encoded(entry)
    return _answer(text, hashlib.sha256(text).hexdigest()[:32], if_none_match)


def _answer(text: bytes, etag: str, if_none_match: str | None) -> Response:
    headers = {"etag": f'"{etag}"', "cache-control": CACHE_CONTROL, "access-control-allow-origin": "*"}
    known = {tag.strip().removeprefix("W/").strip('"') for tag in (if_none_match or "").split(",")}
    if etag in known or known == {"*"}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(text, media_type="application/json", headers=headers)


def _absent(message: str) -> Response:
    """The contract's own shape of this error, not the one of the Admin API. Source: dataplane contract 5.1."""
    return Response(
        encoded({"error": message}),
        HTTPStatus.NOT_FOUND,
        media_type="application/json",
        headers={"access-control-allow-origin": "*"},
    )


def _declare() -> None:
    """Each kind of file under the paths of each kind of reader; the document shows the versioned ones."""
    for kind, whole, one in (
        ("pricing", _provider_pricing, _model_pricing),
        ("general", _provider_general, _model_general),
    ):
        for place, prefix, name in (
            (bare, "", "proxy"),
            (bare, "/model-configs", "unversioned"),
            (router, "/model-configs", "versioned"),
            (router, "/utils/model-configs", "utils"),
        ):
            path, shown = f"{prefix}/{kind}/{{provider}}", name == "versioned"
            options = _options(f"A provider's {kind} file", f"model_configs_{kind}_file_{name}")
            place.get(path, permission=PUBLIC, include_in_schema=shown, **options)(whole)
            if prefix:
                options = _options(f"A model's {kind} entry", f"model_configs_{kind}_{name}")
                place.get(path + "/{model:path}", permission=PUBLIC, include_in_schema=shown, **options)(one)


_declare()
