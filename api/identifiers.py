"""Ids and slugs of everything in the control plane. Source: controlplane contract 0.3."""

import re
import secrets
import unicodedata
from uuid import uuid4

SLUG = re.compile(r"[a-zA-Z0-9_-]{1,255}")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def new_id() -> str:
    """A new random UUID as text."""
    return str(uuid4())


def is_id(text: str) -> bool:
    """Whether this can be an id; what cannot need not be looked for, whatever odd characters it holds."""
    return _ID.fullmatch(text) is not None


def new_slug(prefix: str, name: str, *, stem_length: int = 6) -> str:
    """`<prefix>-<first characters of the name>-<6 hex>`, for example `ws-shared-e2a85b`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = _NOT_SLUG.sub("-", plain).strip("-")[:stem_length].strip("-")
    return "-".join(part for part in (prefix, stem, secrets.token_hex(3)) if part)
