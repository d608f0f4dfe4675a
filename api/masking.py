"""Secrets taken out of what is kept: of audit records and of log lines. Pure, and on the safe side.

A value goes by the name it stands under (keys, tokens, passwords, secrets, in any spelling and at any depth), within
JSON that was made a text, within URLs, and by its own look where no name gives it away.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import cast
from urllib.parse import parse_qsl

import orjson

MASK = "*****"
LONGEST_BODY_BYTES = 1 << 20
"""Larger bodies are described, not kept."""
LONGEST_TEXT = 16_384
"""Characters of a masked text that are kept."""
MOST_FIELDS = 1000
"""Parameters of a query or fields of a form that are kept."""
_DEEPEST = 60
_FORM = "application/x-www-form-urlencoded"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_PARTS = (
    "password", "passwd", "passphrase", "secret", "credential", "authorization", "authorisation", "cookie", "bearer",
    "privatekey", "accesskey", "signingkey", "encryptionkey", "accountkey", "serviceaccount", "connectionstring",
)  # fmt: skip
_SECRET_WORDS = frozenset({"pwd", "pass", "auth", "jwt", "otp", "dsn", "signature", "pin"})
_KEY_ENDS = ("key", "keys", "token", "tokens")
_HARMLESS = frozenset({"public_key", "publickey", "value_key"})
_TELLS_ABOUT = frozenset(
    {"id", "ids", "type", "types", "ttl", "count", "counts", "limit", "limits", "name", "names", "at", "mask", "status",
     "enabled", "details", "kind", "max", "min", "usage", "policy", "period", "days", "mode", "scopes", "url", "uri"}
)  # fmt: skip
"""Last words of names that tell about a key or token: `api_key_id` is no secret, `client_secret_id` may be one."""

_OWN_KEY = re.compile(r"gl_[0-9A-Za-z]{16,}")
_JWT = re.compile(r"(?<![\w-])ey[\w-]{8,4096}\.[\w-]{2,8192}(?:\.[\w-]{0,4096})?")
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s{1,8}[\w.~+/=:-]{8,8192}")
_FOREIGN_KEY = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|pplx|xox[abps]|hf|r8|nvapi|glpat|dop|shpat)[-_][\w-]{16,512}"
    r"|\bgh[pousr]_\w{16,255}|\bgithub_pat_\w{16,255}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,64}"
)
_PEM = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?!-----).){0,20000}(?:-----END[A-Z ]{0,60}-----)?", re.S)
_USER_INFO = re.compile(r"://[^\s\"'<>@/]{1,512}@|://[^\s\"'<>@/:]{0,256}:[^\s\"'<>@]{0,512}@")
_NAME = re.compile(r"(?<![\w-])([\w.-]{1,64})(\s{0,4}[=:]\s{0,4})")
_VALUE = re.compile(r"\"[^\"]{0,4096}\"|'[^']{0,4096}'|[^\s&;,\"'<>]{1,4096}")
_SHORTENED = re.compile(r"\w{2}\*{4,5}\w{2,3}")
"""What `shortened` gives: there is nothing left to mask."""
_SHORTEST_KEY = 12
"""A shorter name holds none of the credentials above."""
_DIGIT, _SURELY_SECRET = re.compile(r"\d"), 16
_TELLING = re.compile(r"[=:.]|[A-Za-z]{2}[-_]\w|AKIA|ASIA|AIza|(?i:bearer|basic)")
"""Without any of this a text holds nothing that the patterns above find."""


@lru_cache(8192)
def is_secret(name: str) -> bool:
    """Whether the value under this name is a secret, however the name is spelled."""
    words = [word.lower() for word in _WORD.findall(name[:200])]
    whole = "".join(words)
    if not words or whole in _HARMLESS or "_".join(words) in _HARMLESS:
        return False
    if any(part in whole for part in _SECRET_PARTS) or not _SECRET_WORDS.isdisjoint(words):
        return True
    if words[-1] in _TELLS_ABOUT:
        return False
    return words[-1].endswith(_KEY_ENDS) or "apikey" in whole or "token" in words or "key" in words


def masked(value: object) -> object:
    """The value (of JSON) without its secrets."""
    return _masked(value, is_hidden=False, depth=0)


def masked_text(text: str) -> str:
    """The text without what looks like a secret in it."""
    if len(text) < 8 or not _TELLING.search(text):
        return text
    text = _OWN_KEY.sub(lambda found: shortened(found[0]), text)
    text = _JWT.sub(lambda found: shortened(found[0]), text)
    text = _PEM.sub(MASK, text)
    text = _SCHEME.sub(lambda found: f"{found[1]} {MASK}", text)
    text = _FOREIGN_KEY.sub(MASK, text)
    text = _USER_INFO.sub(f"://{MASK}@", text)
    return _without_named_values(text)


def shortened(credential: str) -> str:
    """What is shown of a credential: enough to tell it from others, nothing to use it by.

    Source: controlplane contract 1.2 (keys), 1.5 (tokens: `ey****bt`).
    """
    if len(credential) < 20:
        return MASK
    if credential.startswith("ey"):
        return f"{credential[:2]}****{credential[-2:]}"
    return f"{credential[:2]}{MASK}{credential[-3:]}" if credential.startswith("gl_") else MASK


def masked_headers(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name, in lower case, without their secrets; repeated ones are joined."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        shown = _header(value) if is_secret(name) else str(_masked(value, is_hidden=False, depth=0))
        joined[masked_text(name)] = f"{joined[name]}, {shown}" if name in joined else shown
    return joined


def masked_query(query: bytes) -> dict[str, object]:
    """Query parameters by name without their secrets; repeated ones become lists. Of very many, the first are kept."""
    # Not the parser's own limit: it raises, and what was called must be recorded however many parameters it had.
    first = b"&".join(query.split(b"&", MOST_FIELDS)[:MOST_FIELDS])
    return _by_name(parse_qsl(first.decode("latin-1"), keep_blank_values=True))


def masked_body(content: bytes, size: int, content_type: str) -> str | None:
    """A request's body as JSON text without its secrets, None where there is none.

    What is no JSON, and what is larger than `LONGEST_BODY_BYTES`, is described: it could hide anything. A text longer
    than `LONGEST_TEXT` is cut after it was masked. `content` may be less than the `size` bytes that were sent.
    """
    if not size:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if size > len(content) or size > LONGEST_BODY_BYTES:
        return _json(f"[{kind or 'body'} of {size} bytes, not kept]")
    try:
        value: object = _form(content) if kind == _FORM else orjson.loads(content)
    except ValueError:
        return _json(f"[{kind or 'body'} of {size} bytes, not JSON]")
    return cut(_json(masked(value)))


def cut(text: str) -> str:
    """The text, or its start and how long it was."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…[cut: {len(text)} characters]"


def _without_named_values(text: str) -> str:
    """The text without what follows the name of a secret: `password=x`, `x-api-key: y`."""
    kept: list[str] = []
    at = 0
    for found in _NAME.finditer(text):
        if found.start() < at or not is_secret(found[1]):
            continue
        value = _VALUE.match(text, found.end())
        # In prose a colon ends a clause ("the token: it expired"), so there the value has to look like a secret too.
        is_prose = found[2].rstrip().endswith(":") and found[2][-1].isspace()
        if (
            value is None
            or _SHORTENED.fullmatch(value[0])
            or (is_prose and len(value[0]) < _SURELY_SECRET and not _DIGIT.search(value[0]))
        ):
            continue
        kept += (text[at : found.end()], MASK)
        at = value.end()
    return "".join((*kept, text[at:])) if kept else text


def _masked(value: object, *, is_hidden: bool, depth: int) -> object:
    if depth > _DEEPEST:
        return MASK
    match value:
        case None | bool():
            return value
        case str():
            return (MASK if value else value) if is_hidden else _text(value, depth)
        case int() | float():
            return MASK if is_hidden else value
        case dict():
            return _object(cast("Mapping[object, object]", value), is_hidden=is_hidden, depth=depth)
        case list() | tuple():
            items = cast("Sequence[object]", value)
            return [_masked(item, is_hidden=is_hidden, depth=depth + 1) for item in items]
        case _:
            return MASK if is_hidden else masked_text(str(value))


def _object(value: Mapping[object, object], *, is_hidden: bool, depth: int) -> dict[str, object]:
    is_pair = "value" in value
    named = any(isinstance(name := value.get(of), str) and is_secret(name) for of in ("name", "key", "header", "field"))
    shown: dict[str, object] = {}
    for raw, item in value.items():
        name = str(raw)
        hidden = is_hidden or (is_secret(name) and not (is_pair and name == "key"))
        hidden = hidden or (is_pair and named and name == "value")
        if hidden and not is_hidden and isinstance(item, int | float) and name.lower().endswith("tokens"):
            hidden = False  # an amount of tokens
        shown[name if len(name) < _SHORTEST_KEY else masked_text(name)] = _masked(
            item, is_hidden=hidden, depth=depth + 1
        )
    return shown


def _text(value: str, depth: int) -> str:
    stripped = value.lstrip()
    if stripped[:1] in {"{", "["}:
        try:
            within = orjson.loads(value)
        except ValueError:
            return masked_text(value)
        clean = _masked(within, is_hidden=False, depth=depth + 1)
        return value if clean == within else _json(clean)
    return masked_text(value)


def _header(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    if rest and scheme.lower() in {"bearer", "basic"}:
        return f"{scheme} {shortened(rest.strip())}"
    return shortened(value.strip())


def _form(content: bytes) -> dict[str, object]:
    pairs = parse_qsl(content.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=MOST_FIELDS)
    return _by_name(pairs)


def _by_name(pairs: Sequence[tuple[str, str]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        clean = _masked(value, is_hidden=is_secret(name), depth=0)
        shown = masked_text(name)
        before = found.get(shown)
        if before is None:
            found[shown] = clean
        else:
            found[shown] = [*cast("list[object]", before), clean] if isinstance(before, list) else [before, clean]
    return found


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
