"""What a model can do: the `general/<provider>.json` files, read leniently, with the provider's default inherited.

Source: dataplane contract 5.6.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from warehouse.errors import PricingError

DEFAULT = "default"
_KNOWN = frozenset({"type", "params", "messages", "removeParams", "features", "disablePlayground", "isDefault", "name"})


@dataclass(frozen=True, slots=True)
class ProviderCapabilities:
    """A whole capabilities file. Entries are as written."""

    provider: str
    name: str
    description: str
    default: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]


def parse_capabilities(provider: str, text: bytes | str, source: str = "") -> ProviderCapabilities:
    """The entries of one provider's file. What is no entry is left out.

    Raises: PricingError when the text is not a JSON object with at least one entry.
    """
    where = f"{source or provider}: not a capabilities file of {provider}"
    try:
        raw = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise PricingError(f"{where}: {error}") from error
    if not isinstance(raw, dict):
        raise PricingError(f"{where}: a JSON object of models is expected")
    fields = cast("dict[str, Any]", raw)
    entries = {key: cast("dict[str, Any]", value) for key, value in fields.items() if isinstance(value, dict)}
    if not any(_KNOWN & entry.keys() for entry in entries.values()):
        raise PricingError(f"{where}: no entry in it tells of a model")
    return ProviderCapabilities(
        provider=provider,
        name=_text(fields.get("name")) or provider,
        description=_text(fields.get("description")),
        default=entries.pop(DEFAULT, {}),
        models=entries,
    )


def resolved(entry: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with what it inherits: each field, and the params by their key but for those that it removes."""
    removed = {name for name in _list(entry.get("removeParams")) if isinstance(name, str)}
    inherited = {key: value for key, value in default.items() if key not in ("name", "params", "isDefault", "type")}
    whole: dict[str, Any] = inherited | dict(entry)
    if (kind := _type(entry.get("type")) or _type(default.get("type"))) is not None:
        whole["type"] = kind
    params = {key: param for key, param in _params(default).items() if key not in removed}
    for key, param in _params(entry).items():
        params[key] = {**params.get(key, {}), **param}
    if params:
        whole["params"] = list(params.values())
    return whole


def independent(entry: Mapping[str, Any], default: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """An entry that means below the default `other` what it meant below its own."""
    whole = resolved(entry, default)
    own = _params(whole)
    removed = [key for key in _params(other) if key not in own]
    if removed:
        whole["removeParams"] = list(dict.fromkeys([*_list(whole.get("removeParams")), *removed]))
    return whole


def _type(value: Any) -> dict[str, Any] | None:
    """`{primary, supported, …}` of a model; some files hold the bare name of the primary type."""
    if isinstance(value, str) and value:
        return {"primary": value, "supported": []}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _params(entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    items = (cast("dict[str, Any]", item) for item in _list(entry.get("params")) if isinstance(item, dict))
    return {item["key"]: item for item in items if isinstance(item.get("key"), str)}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
