"""E-mail addresses: one plain rule for what we accept, so that no address can carry a second header or recipient."""

import re

from api.errors import InvalidRequest

LONGEST = 320
_LONGEST_LOCAL = 64
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\"(),:;<>@\[\\\]]+")
_LABEL = re.compile(r"(?!-)[^\W_](?:[\w-]*[^\W_])?|[^\W_]")


def is_address(text: str) -> bool:
    """Whether this is one bare address, `name@host`."""
    local, at, domain = text.rpartition("@")
    if not at or not 1 <= len(local) <= _LONGEST_LOCAL or len(text) > LONGEST:
        return False
    if not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        return False
    return all(len(label) <= 63 and _LABEL.fullmatch(label) for label in domain.split("."))


def normalised(text: str, where: str = "email") -> str:
    """The address in lower case, as it is stored and compared. Raises: InvalidRequest."""
    address = text.strip().lower()
    if not is_address(address):
        raise InvalidRequest(f"{where}: '{text[:80]}' is not an e-mail address such as owner@example.com")
    return address
