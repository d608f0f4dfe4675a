"""Metadata schemas: which are allowed, and what they make of metadata."""

from typing import Any

import pytest

from api.errors import InvalidRequest
from api.metadata_schema import checked_schema, conforming

SCHEMA: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": True,
    "required": ["team", "stage"],
    "properties": {
        "team": {"type": "string", "description": "Who pays."},
        "stage": {"type": "string", "enum": ["dev", "prod"], "default": "dev"},
    },
}


def test_a_schema_of_the_subset_is_kept_as_it_is() -> None:
    assert checked_schema(SCHEMA, "s") == SCHEMA
    assert checked_schema(None, "s") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "array"}, 's.type: must be "object"'),
        ({"additionalProperties": False}, "s.additionalProperties: must be true"),
        ({"properties": {"a": {"type": "integer"}}}, 's.properties.a.type: must be "string"'),
        ({"properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}, "s.properties.a: 'pattern' is not supported"),
        ({"properties": {"a": {"enum": []}}}, "s.properties.a.enum"),
        ({"properties": {"a": {"enum": ["x"], "default": "y"}}}, "s.properties.a.default: must be a string, one of"),
        ({"properties": {"a": {"default": 1}}}, "s.properties.a.default: must be a string"),
        ({"properties": {"a": "string"}}, "s.properties.a: must be an object"),
        ({"properties": []}, "s.properties: must be an object"),
        ({"required": "team"}, "s.required"),
        ({"$ref": "http://elsewhere.example"}, "'$ref' is not supported"),
        ({"properties": {f"p{n}": {} for n in range(101)}}, "at most 100 properties"),
    ],
)
def test_what_is_not_of_the_subset_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_schema({**SCHEMA, **change}, "s")
    assert message in refused.value.message


@pytest.mark.parametrize("schema", ["object", 1, [], True])
def test_a_schema_is_an_object(schema: object) -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON schema"):
        checked_schema(schema, "s")


def test_defaults_are_filled_in_and_other_keys_stay() -> None:
    assert conforming({"team": "a", "more": "x"}, SCHEMA) == {"team": "a", "stage": "dev", "more": "x"}
    assert conforming({"team": "a", "stage": "prod"}, SCHEMA) == {"team": "a", "stage": "prod"}


def test_without_a_schema_everything_is_allowed() -> None:
    assert conforming({"x": "y"}, None) == {"x": "y"}
    assert conforming(None, None) is None
    assert conforming(None, {"type": "object"}) is None
    assert conforming({}, {"type": "object"}) == {}


def test_what_does_not_conform_is_told_with_its_place() -> None:
    with pytest.raises(InvalidRequest, match=r"defaults\.metadata: 'team' is a required property"):
        conforming(None, SCHEMA)
    with pytest.raises(InvalidRequest, match=r"defaults\.metadata\.stage: 'test' is not one of \['dev', 'prod'\]"):
        conforming({"team": "a", "stage": "test"}, SCHEMA)
