"""Every route of the app as something to attack: its parameters, and a body that it may take, made from its schema.

Nothing here names a route, so that a new one is attacked as soon as it is declared.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from api.app import ROUTERS
from api.permissions import Permission
from api.routing import Declared

_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")
Json = Any

TIME = {"time_of_generation_min": "2026-01-01", "time_of_generation_max": "2026-06-01"}
"""What questions about a time cannot do without."""
USUAL: Mapping[str, Json] = {
    "email": "somebody@attack.example",
    "alert_emails": ["somebody@attack.example"],
    "role": "member",
    "scopes": ["logs.list"],
    "effective_to": "2027-01-01T00:00:00Z",
    "effective_from": "2026-01-01T00:00:00Z",
    "expires_at": "2027-01-01T00:00:00Z",
    "expiry": "2027-01-01T00:00:00Z",
    "next_rotation_at": "2027-01-01T00:00:00Z",
    "created_at": "2026-04-01T00:00:00Z",
    "multiplier": {"default": 1},
    "pricing_config": {"type": "static", "pay_as_you_go": {"request_token": {"price": 1}}},
    "value": 1,
    "weight": 1,
    "trace_id": "a-trace",
    "url": "https://api.openai.com/v1/chat/completions",
    "type": "provider",
    "rotation_period": "weekly",
    "key_transition_period_ms": 3_600_000,
    "usage_limits": None,
    "rate_limits": None,
    "settings": None,
    "security_settings": None,
    "icon": "x",
}
"""Values that a schema does not tell, by the name of the field."""
RECORD = {"id": "attack-1", "created_at": "2026-04-01T00:00:00Z", "ai_org": "openai", "ai_model": "gpt-4o"}
LOG = {
    "request": {"url": "https://api.openai.com/v1/chat/completions", "body": {"model": "gpt-4o"}, "headers": {}},
    "response": {"status": 200, "body": {}, "headers": {}},
    "metadata": {"team": "red"},
}


@dataclass(frozen=True)
class Target:
    """A route to attack."""

    declared: Declared
    query: tuple[str, ...]
    """Names of its query parameters."""
    schema: Mapping[str, Json] | None
    """Of its body; None: it takes none."""
    is_alias: bool
    """Whether another path before it leads to the same handler."""

    @property
    def method(self) -> str:
        return self.declared.method

    @property
    def permission(self) -> Permission:
        return self.declared.permission

    @property
    def tag(self) -> str:
        return self.declared.tag

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in its path."""
        return tuple(match[1] for match in _PARAMETER.finditer(self.declared.path))

    @property
    def name(self) -> str:
        return f"{self.method} {self.declared.path}"

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields of its body."""
        return tuple((self.schema or {}).get("properties", ()))

    def url(self, values: Mapping[str, str] | None = None, *, raw: bool = False) -> str:
        """Its path with values in it; what has none is `model` for a dimension and `absent` else."""
        given = values or {}

        def filled(match: re.Match[str]) -> str:
            name = match[1]
            value = given.get(
                name, {"groupBy": "model", "type": "workspace", "sub_type": "service"}.get(name, "absent")
            )
            return value if raw else quote(value, safe="", errors="surrogatepass")

        return _PARAMETER.sub(filled, self.declared.path)

    def body(self) -> Json:
        """A body that it may take; None where it takes none."""
        if self.schema is None:
            return None
        if "ingest" in self.declared.path:
            return [dict(RECORD)]
        if self.declared.path == "/v1/logs":
            return [{name: dict(value) for name, value in LOG.items()}]
        return _value(self.schema, "")


@cache
def targets() -> tuple[Target, ...]:
    """Every route, in the order of the routers."""
    from fastapi.openapi.utils import get_openapi

    from api.route_index import served
    from api.routing import gates

    routes = gates(ROUTERS, body_limit_bytes=1, large_body_limit_bytes=1)
    document = get_openapi(title="x", version="1", routes=served(routes))
    declared = [route for router in ROUTERS for route in router.declared]
    by_endpoint: dict[object, Mapping[str, Json]] = {}
    for route in declared:
        path = _PARAMETER.sub(r"{\1}", route.path)
        operation = document["paths"].get(path, {}).get(route.method.lower())
        if operation is not None:
            by_endpoint.setdefault((route.method, route.endpoint, route.tag), operation)
    seen: set[object] = set()
    found: list[Target] = []
    for route in declared:
        key = (route.method, route.endpoint, route.tag)
        operation = by_endpoint.get(key, {})
        query = tuple(one["name"] for one in operation.get("parameters", ()) if one["in"] == "query")
        found.append(Target(route, query, _schema(operation, document), key in seen))
        seen.add(key)
    return tuple(found)


def guarded() -> Iterator[Target]:
    """The routes that need a key."""
    return (target for target in targets() if not target.permission.public)


def handlers() -> Iterator[Target]:
    """One route for each handler."""
    return (target for target in targets() if not target.is_alias)


def _schema(operation: Mapping[str, Json], document: Mapping[str, Json]) -> Mapping[str, Json] | None:
    content = operation.get("requestBody", {}).get("content", {})
    return _inlined(content["application/json"]["schema"], document, 0) if "application/json" in content else None


def _inlined(schema: Json, document: Mapping[str, Json], depth: int) -> Json:
    if not isinstance(schema, Mapping) or depth > 8:
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _inlined(document["components"]["schemas"].get(name, {}), document, depth + 1)
    inlined = {
        name: [_inlined(one, document, depth + 1) for one in value]
        if isinstance(value, list)
        else {key: _inlined(one, document, depth + 1) for key, one in value.items()}
        if name == "properties"
        else _inlined(value, document, depth + 1)
        for name, value in schema.items()
    }
    for choice in ("anyOf", "oneOf", "allOf"):
        # What may be null or an array too is attacked as the first thing that it may be.
        options = [one for one in inlined.pop(choice, ()) if one.get("type") != "null"]
        if options:
            inlined = {**options[0], **inlined}
    return inlined


def _value(schema: Mapping[str, Json], name: str) -> Json:
    if name in USUAL:
        return USUAL[name]
    if "enum" in schema or "const" in schema:
        return schema.get("const", (schema.get("enum") or [None])[0])
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        needed = schema.get("required", ()) or tuple(schema.get("properties", ()))[:1]
        return {one: _value(schema["properties"][one], one) for one in needed if one in schema.get("properties", {})}
    if kind == "array":
        return [_value(schema.get("items", {}), "")]
    return {"string": "word", "integer": 1, "number": 1, "boolean": True}.get(str(kind))
