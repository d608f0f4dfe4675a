"""Records without the credentials that some gateways put in them: what is stored holds none.

Works on the bytes, so that every number of a record stays as it was written. Covers header and key names at any
depth, also within JSON that was made a text inside the record, and bearer tokens anywhere.
"""

import re

REDACTED = b"[redacted]"

_NAMES = (
    "authorization",
    "proxy-authorization",
    "x-portkey-api-key",
    "x-api-key",
    "api-key",
    "api_key",
    "apikey",
    "x-goog-api-key",
    "x-amz-security-token",
    "aws_secret_access_key",
    "awssecretaccesskey",
    "aws_session_token",
    "awssessiontoken",
    "cookie",
    "set-cookie",
)
_NAME = "|".join(re.escape(name) for name in _NAMES)

# `quote` is how quotes look at this depth: `"`, or `\"` in a text, or `\\\"` in a text within a text.
_FIELD = re.compile(
    rb"""(?P<head>(?<!\\)(?P<quote>\\*")(?:%s)(?P=quote)\s*:\s*)
    (?:
        (?<!\\)"(?:[^"\\]++|\\.)*+"      # a text of the record itself
        | (?P=quote)[^"]*(?P=quote)         # a text within a text
        | \[[^\[\]{}]*\]                    # a list of texts
    )"""
    % _NAME.encode(),
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_HINTS = (
    b"authorization",
    b"api-key",
    b"api_key",
    b"apikey",
    b"security-token",
    b"session_token",
    b"sessiontoken",
    b"secret",
    b"cookie",
    b"bearer",
)
"""Every name above holds one of these: a record with none of them is not looked at any further."""
_BEARER = re.compile(rb"\b(bearer\s+)[a-z0-9._~+/=-]{16,}", re.IGNORECASE)


def redacted(record: bytes) -> bytes:
    """The record with every credential replaced by `[redacted]`."""
    lowered = record.lower()
    if not any(hint in lowered for hint in _HINTS):
        return record
    without_fields = _FIELD.sub(lambda found: found["head"] + found["quote"] + REDACTED + found["quote"], record)
    return _BEARER.sub(rb"\1" + REDACTED, without_fields)
