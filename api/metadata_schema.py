"""What metadata an organisation asks of its workspaces and keys: a small part of JSON Schema draft-07.

An object of strings; `required`, `default` and `enum` say more, and whatever is not named is allowed. Patterns are left
out on purpose: one expression could keep a worker busy for hours. Source: controlplane contract 2.4, 3.
"""

from collections.abc import Mapping
from typing import Any, cast

from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError, ValidationError

from api.errors import InvalidRequest

WORKSPACE_SCHEMA, API_KEY_SCHEMA = "workspace_metadata_schema", "api_key_metadata_schema"
"""Keys of `Organisation.settings`."""

_TOP = frozenset({"$schema", "title", "description", "type", "properties", "required", "additionalProperties"})
_PROPERTY = frozenset({"title", "description", "type", "default", "enum"})
MOST_PROPERTIES = 100
MOST_VALUES = 1000


def checked_schema(schema: object, name: str) -> dict[str, Any] | None:
    """The schema as it is stored; None for null. Raises: InvalidRequest."""
    if schema is None:
        return None
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{name}: must be a JSON schema (an object) or null")
    top = cast("dict[str, Any]", schema)
    _only(top, _TOP, name)
    if top.get("type") != "object":
        raise InvalidRequest(f'{name}.type: must be "object"')
    if top.get("additionalProperties", True) is not True:
        raise InvalidRequest(f"{name}.additionalProperties: must be true")
    properties = top.get("properties", {})
    if not isinstance(properties, dict) or len(cast("dict[str, Any]", properties)) > MOST_PROPERTIES:
        raise InvalidRequest(f"{name}.properties: must be an object of at most {MOST_PROPERTIES} properties")
    for key, value in cast("dict[str, Any]", properties).items():
        _check_property(value, f"{name}.properties.{key[:60]}")
    try:
        Draft7Validator.check_schema(top)
    except SchemaError as error:
        where = ".".join([name, *(str(part) for part in error.absolute_path)])
        raise InvalidRequest(f"{where}: {error.message[:200]}") from error
    return top


def conforming(
    metadata: Mapping[str, str] | None, schema: Mapping[str, Any] | None, name: str = "defaults.metadata"
) -> dict[str, str] | None:
    """The metadata with the schema's defaults filled in; None when there is none. Raises: InvalidRequest."""
    if not schema:
        return None if metadata is None else dict(metadata)
    properties = cast("Mapping[str, Mapping[str, Any]]", schema.get("properties", {}))
    filled: dict[str, str] = {key: value["default"] for key, value in properties.items() if "default" in value}
    filled |= metadata or {}
    problems = sorted(
        Draft7Validator(schema).iter_errors(filled), key=lambda one: (list(one.absolute_path), one.message)
    )
    if problems:
        raise InvalidRequest(" ".join(_sentence(one, name) for one in problems[:10]))
    return filled if filled or metadata is not None else None


def _sentence(problem: ValidationError, name: str) -> str:
    where = ".".join([name, *(str(part)[:60] for part in problem.absolute_path)])
    return f"{where}: {problem.message[:300]}."


def _check_property(value: object, name: str) -> None:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name}: must be an object")
    known = cast("dict[str, Any]", value)
    _only(known, _PROPERTY, name)
    if known.get("type", "string") != "string":
        raise InvalidRequest(f'{name}.type: must be "string"')
    allowed = known.get("enum")
    if allowed is not None and not _are_strings(allowed):
        raise InvalidRequest(f"{name}.enum: must be an array of 1 to {MOST_VALUES} strings")
    if "default" in known and (
        not isinstance(known["default"], str) or (allowed is not None and known["default"] not in allowed)
    ):
        raise InvalidRequest(f"{name}.default: must be a string{', one of enum' if allowed is not None else ''}")


def _are_strings(value: object) -> bool:
    if not isinstance(value, list):
        return False
    values = cast("list[object]", value)
    return 0 < len(values) <= MOST_VALUES and all(isinstance(one, str) for one in values)


def _only(given: Mapping[str, Any], allowed: frozenset[str], name: str) -> None:
    for key in given:
        if key not in allowed:
            raise InvalidRequest(f"{name}: '{key[:60]}' is not supported; allowed: {', '.join(sorted(allowed))}")
