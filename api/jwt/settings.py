"""How an organisation's tokens are verified: its `auth_settings`. Source: controlplane contract 1.5."""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from api.errors import InvalidRequest
from api.jwt.keys import checked

URL, INLINE = "jwks_url", "jwks"
LONGEST_URL = 2000


def parse_auth_settings(value: object, name: str = "auth_settings") -> dict[str, Any] | None:
    """What to store: `{"jwks_url": "https://…"}` or `{"jwks": {"keys": […]}}`; None when tokens are not to count.

    Raises: InvalidRequest.
    """
    if value is None or value == {}:
        return None
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{name}: must be an object with {URL} or {INLINE}, or null")
    given = cast("Mapping[str, object]", value)
    for key in given:
        if key not in {URL, INLINE}:
            raise InvalidRequest(f"{name}: unknown field {ascii(key)[:100]}; allowed: {URL}, {INLINE}")
    url, inline = given.get(URL), given.get(INLINE)
    if url is None and inline is None:
        return None
    if url is not None and inline is not None:
        raise InvalidRequest(f"{name}: give {URL} or {INLINE}, not both")
    if inline is None:
        return {URL: _checked_url(url, f"{name}.{URL}")}
    try:
        checked(inline)
    except ValueError as error:
        raise InvalidRequest(f"{name}.{INLINE}: {error}") from error
    return {INLINE: inline}


def _checked_url(value: object, name: str) -> str:
    problem = InvalidRequest(f"{name}: must be an https:// URL without user, password and fragment")
    if not isinstance(value, str) or len(value) > LONGEST_URL or any(ord(c) <= 32 or ord(c) > 126 for c in value):
        raise problem
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise problem from error
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise problem
    return value
