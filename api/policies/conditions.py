"""Conditions and group-bys as clients write them, and the selection that they mean.

What is stored is canonical: `{key, value, excludes?}` with a value as it was given (one text, or several), and plain
names to group by. One client writes `{field, operator, value}` and `group_by: ["key"]`.
Source: controlplane contract 0.6 (11), 6.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from api.errors import InvalidRequest
from api.text import one_line
from warehouse.errors import InvalidInput
from warehouse.query.policy_terms import ANYTHING, LLM_KEYS, METADATA, ROW_KEYS, TOOL_KEYS, Selection, Term

LLM, TOOLS = "llm", "mcp_tools"
MOST_CONDITIONS, MOST_GROUPS, MOST_VALUES = 50, 10, 1000
LONGEST_VALUE = 512
_IS, _IS_NOT = frozenset({"is", "equals", "eq", "in", "="}), frozenset({"is_not", "not_equals", "neq", "not_in", "!="})

Json = dict[str, Any]


def allowed_keys(target: str | None) -> tuple[str, ...]:
    """The keys of a rate policy for this target, or of a usage policy (None): what rows say too."""
    return {None: ROW_KEYS, LLM: LLM_KEYS}.get(target, TOOL_KEYS)


def parse_conditions(value: object, target: str | None) -> list[Json]:
    """Conditions as they are stored. Raises: InvalidRequest, naming which one."""
    items = _listed(value, "conditions", MOST_CONDITIONS)
    return [_condition(item, f"conditions[{index}]", target) for index, item in enumerate(items)]


def parse_group_by(value: object, target: str | None) -> list[str]:
    """Keys to group by, each once. Raises: InvalidRequest."""
    keys: list[str] = []
    for index, item in enumerate(_listed(value, "group_by", MOST_GROUPS)):
        name = f"group_by[{index}]"
        if not isinstance(item, str | dict):
            raise InvalidRequest(f"{name}: must be the name of a key")
        named = item if isinstance(item, str) else _object(item, name).get("key")
        key = _key(named, name, target)
        if key in keys:
            raise InvalidRequest(f"{name}: '{key}' is named twice")
        keys.append(key)
    return keys


def selection_of(conditions: Sequence[Mapping[str, Any]], group_by: Sequence[str]) -> Selection:
    """What stored conditions and group-bys mean."""
    terms = (Term(one["key"], _texts_of(one["value"]), _texts_of(one.get("excludes"))) for one in conditions)
    return Selection(tuple(terms), tuple(group_by))


def _condition(value: object, name: str, target: str | None) -> Json:
    given = _object(value, name)
    key = _key(given.get("key", given.get("field")), name, target)
    wanted, excluded = given.get("value"), given.get("excludes")
    operator = given.get("operator")
    if isinstance(operator, str) and operator.lower() in _IS_NOT and excluded is None:
        wanted, excluded = ANYTHING, wanted
    elif operator is not None and (not isinstance(operator, str) or operator.lower() not in _IS | _IS_NOT):
        raise InvalidRequest(f"{name}.operator: must be is or is_not")
    stored: Json = {"key": key, "value": _values(wanted, f"{name}.value")}
    if excluded is not None and excluded != []:
        stored["excludes"] = _values(excluded, f"{name}.excludes")
    try:
        Term(key, _texts_of(stored["value"]), _texts_of(stored.get("excludes")))
    except InvalidInput as error:
        raise InvalidRequest(f"{name}: {error}") from error
    return stored


def _key(value: object, name: str, target: str | None) -> str:
    key = value.strip() if isinstance(value, str) else ""
    allowed = allowed_keys(target)
    is_metadata = key.startswith(METADATA) and len(key) > len(METADATA)
    if not is_metadata and key not in allowed:
        names = ", ".join((*allowed, f"{METADATA}<name>"))
        given = "is missing; it must be" if value is None else f"{ascii(value)[:80]} is not"
        raise InvalidRequest(f"{name}.key: {given} one of {names}")
    return _text(key, f"{name}.key")


def _values(value: object, name: str) -> str | list[str]:
    if isinstance(value, list):
        items = _listed(cast("list[object]", value), name, MOST_VALUES)
        return [_text(item, f"{name}[{index}]") for index, item in enumerate(items)]
    return _text(value, name)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"{name}: must be a text that is not blank")
    if len(value) > LONGEST_VALUE:
        raise InvalidRequest(f"{name}: must have at most {LONGEST_VALUE} characters")
    try:
        return one_line(value)
    except ValueError as error:
        raise InvalidRequest(f"{name}: {error}") from error


def _listed(value: object, name: str, most: int) -> list[object]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    if not 1 <= len(items) <= most:
        raise InvalidRequest(f"{name}: must be an array of 1 to {most}")
    return items


def _object(value: object, name: str) -> Json:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name}: must be an object")
    return cast("Json", value)


def _texts_of(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)
