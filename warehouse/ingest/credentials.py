"""Credentials are taken out of what is kept: quarantined records and the spool hold none.

Works on the bytes: every number stays as it was written, and a record that is cut or no JSON at all is cleaned too.
Covers fields by name at any depth, also within JSON that was made a text, and bearer tokens anywhere.
"""

import re
from collections.abc import Iterator

REMOVED = b"[removed]"
NAMES = (
    b"authorization", b"proxy-authorization", b"cookie", b"set-cookie",
    b"apikey", b"api-key", b"api_key", b"x-api-key", b"x-goog-api-key", b"x-portkey-api-key", b"x-portkey-config",
    b"x-portkey-aws-access-key-id", b"x-portkey-aws-secret-access-key", b"x-portkey-aws-session-token",
    b"x-portkey-vertex-service-account-json", b"x-amz-security-token",
    b"aws_secret_access_key", b"awssecretaccesskey", b"aws_session_token", b"awssessiontoken",
    b"secret_key", b"secret_access_key", b"access_token", b"client_secret", b"private_key",
)  # fmt: skip
_BY_TAIL: dict[bytes, list[bytes]] = {}
for _name in NAMES:
    _BY_TAIL.setdefault(_name[-5:], []).append(_name)
# Every name ends so, with its closing quote behind it: one pass tells which names are worth a search of their own.
_TAILS = re.compile(rb'(?:%b)(?=["\\])' % b"|".join(sorted(_BY_TAIL)))

# After a name: its closing quote (`"`, or `\"` in a text, or `\\\"` in a text within a text), then the value's start.
_COLON = re.compile(rb'(?P<quote>\\*")\s*:\s*')
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|$)', re.DOTALL)
_BRACKET_OR_TEXT = re.compile(rb'[\[\]{}]|"(?:[^"\\]++|\\.)*+(?:"|$)', re.DOTALL)
_TOKEN = re.compile(rb"\s+[A-Za-z0-9._~+/=-]{8,}")
_BEARER = b"bearer"
_CONFIG = b"x-portkey-config"
# A config is given whole, with the keys of its providers, or by its slug, which a row is grouped by.
_SLUG = re.compile(rb'\\*"pc-[A-Za-z0-9_-]{1,60}\\*"')

Cut = tuple[int, int, bytes]
"""From, to, and what stands there instead."""


def without_credentials(data: bytes) -> bytes:
    """The same text with the values of credential fields and bearer tokens taken out."""
    lowered = data.lower()
    wanted = [_BEARER, *(name for tail in set(_TAILS.findall(lowered)) for name in _BY_TAIL[tail])]
    kept: list[bytes] = []
    at = 0
    # In order of place, so that nothing within a value that is gone already is looked at again.
    for start, name in sorted((place, each) for each in wanted for place in _places(lowered, each)):
        cut = None if start < at else _token(data, start) if name is _BEARER else _field(data, start, name)
        if cut is not None:
            begin, end, instead = cut
            kept += (data[at:begin], instead)
            at = end
    return b"".join((*kept, data[at:])) if kept else data


def _field(data: bytes, start: int, name: bytes) -> Cut | None:
    colon = _COLON.match(data, start + len(name))
    if colon is None:
        return None
    quote = colon["quote"]
    opening = start - len(quote)
    if data[max(opening, 0) : start] != quote or data[max(opening - 1, 0) : opening] == b"\\":
        return None
    if name == _CONFIG and _SLUG.match(data, colon.end()):
        return None
    end = _value_end(data, colon.end(), quote)
    return None if end is None else (colon.end(), end, quote + REMOVED + quote)


def _token(data: bytes, start: int) -> Cut | None:
    token = _TOKEN.match(data, start + len(_BEARER))
    return None if token is None else (start + len(_BEARER), token.end(), b" " + REMOVED)


def _value_end(data: bytes, at: int, quote: bytes) -> int | None:
    """Where a text, list or object ends that starts at `at`; None for numbers and the like, which are no secret."""
    if quote != b'"':
        return _inner_text_end(data, at, quote)
    if data[at : at + 1] == b'"':
        text = _TEXT.match(data, at)
        return text.end() if text else None
    if data[at : at + 1] not in (b"{", b"["):
        return None
    depth = 0
    for part in _BRACKET_OR_TEXT.finditer(data, at):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(part[0], 0)
        if depth == 0:
            return part.end()
    return len(data)


def _inner_text_end(data: bytes, at: int, quote: bytes) -> int | None:
    if not data.startswith(quote, at):
        return None
    mark = data.find(b'"', at + len(quote))
    # Backslashes before the quote beyond its own belong to the value.
    return mark + 1 if mark >= 0 and data[mark + 1 - len(quote) : mark + 1] == quote else None


def _places(text: bytes, of: bytes) -> Iterator[int]:
    at = text.find(of)
    while at >= 0:
        yield at
        at = text.find(of, at + len(of))
