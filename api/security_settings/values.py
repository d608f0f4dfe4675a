"""What clients write as settings → what is stored: strict, with the allowed names and values in every refusal.

Three states of a key: left out, it stays as it is; null, it goes back to what counts without it; else it is set.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from api.errors import InvalidRequest
from api.metadata_schema import checked_schema
from api.security_settings.registry import BY_KEY, BY_OPTION, CATEGORIES, Form, Option

Known = TypeVar("Known")


def switched(field: str, name: str, value: object) -> bool:
    """A switch. Raises: InvalidRequest."""
    if not isinstance(value, bool):
        raise InvalidRequest(f"{field}.{name}: true, false or null, not {_shown(value)}")
    return value


def security_setting(field: str, name: str, value: object) -> bool:
    """The value of a security setting. Raises: InvalidRequest."""
    setting, wanted = BY_KEY[name], switched(field, name, value)
    if setting.fixed and wanted is not setting.default:
        raise InvalidRequest(f"{field}.{name}: always {str(setting.default).lower()}")
    return wanted


def option(field: str, name: str, value: object) -> Any:
    """The value of another setting, as it is written back. Raises: InvalidRequest."""
    known = BY_OPTION[name]
    if known.form is Form.METADATA_SCHEMA:
        return checked_schema(value, f"{field}.{name}")
    if known.form is Form.WHOLE:
        return _whole(field, known, value)
    if not isinstance(value, bool) and value not in (0, 1):
        raise InvalidRequest(f"{field}.{name}: {known.form} or null, not {_shown(value)}")
    return bool(value) if known.form is Form.TRUE_OR_FALSE else int(cast("int", value))


def checked(
    field: str, given: object, allowed: Mapping[str, Known] | tuple[str, ...], check: Callable[[str, str, object], Any]
) -> dict[str, Any]:
    """The keys of an object with their values, null where a key is to be cleared. Raises: InvalidRequest."""
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{field}: an object or null, not {_shown(given)}")
    values: dict[str, Any] = {}
    for name, value in cast("Mapping[str, object]", given).items():
        if name not in allowed:
            raise InvalidRequest(f"{field}: unknown '{name[:60]}'; allowed: {', '.join(allowed)}")
        values[name] = None if value is None else check(field, name, value)
    return values


def security_settings(given: object, field: str = "security_settings") -> dict[str, bool | None]:
    """Security settings as they were sent, checked. Raises: InvalidRequest."""
    return checked(field, given, BY_KEY, security_setting)


def options(given: object, *, workspace: bool, field: str = "settings") -> dict[str, Any]:
    """Other settings as they were sent, checked; a workspace has fewer. Raises: InvalidRequest."""
    allowed = {name: known for name, known in BY_OPTION.items() if known.category or not workspace}
    return checked(field, given, allowed, option)


def overrides(given: object, field: str = "workspace_overrides") -> dict[str, bool | None]:
    """Which categories workspaces may set for themselves. Raises: InvalidRequest."""
    return checked(field, given, tuple(category.value for category in CATEGORIES), switched)


def merged(stored: Mapping[str, Any] | None, changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is stored after a change: null takes a key away, and null instead of an object takes all away."""
    if changes is None:
        return {}
    after = {**(stored or {}), **changes}
    return {name: value for name, value in after.items() if value is not None}


def _whole(field: str, known: Option, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not known.minimum <= value <= known.maximum:
        raise InvalidRequest(
            f"{field}.{known.key}: a whole number from {known.minimum} to {known.maximum} ({known.unit}) or null, "
            f"not {_shown(value)}"
        )
    return value


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)[:60]
