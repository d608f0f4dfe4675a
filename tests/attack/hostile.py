"""Input that nobody sends by accident."""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import zstandard

DEPTH = 100_000
TEMPLATES = ("{{7*7}}", "${7*7}", "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}", "#{7*7}")
SQL = (
    "' OR 1=1 --",
    "x'; DROP TABLE api_keys; --",
    '" OR ""="',
    "\\' OR 1=1 #",
    "%' UNION SELECT key_hash FROM api_keys --",
)
PATHS = ("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/", "..\\..\\", "/", ".", "..", "file:///etc/passwd")
MARKUP = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>')
ODD = (
    "\x00",
    "a\x00b",
    "a\r\nSet-Cookie: a=b",
    "\u202e\ufeff",
    "%",
    "_",
    "%_%",
    "％",
    "\U0001f600",
    "K",
    "ﬀ",
    "e\u0301",
    " ",
    "",
)
LONG = "x" * (1 << 20)
STRINGS = (*TEMPLATES, *SQL, *PATHS, *MARKUP, *ODD)

OTHER_TYPES: tuple[Any, ...] = (
    *(0, -1, 1.5, 10**30, -(10**30), True, [], [[]], ["x"], [None], {}, {"a": {"a": 1}}, {"$ne": None}, None, "\ud800"),
    *(
        "2026-99-99T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        [LONG[:70_000]],
        {"x": LONG[:70_000]},
    ),
)
"""Values of every type; each field is none of most."""

BODIES: Mapping[str, bytes] = {
    "nested arrays": b"[" * DEPTH + b"]" * DEPTH,
    "nested objects": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "a nested value": b'{"name":' + b"[" * DEPTH + b"]" * DEPTH + b"}",
    "nested and open": b'[{"a":' * DEPTH,
    "nothing": b"",
    "null": b"null",
    "a number": b"1",
    "a text": b'"x"',
    "an array": b"[]",
    "an array of nothing": b"[null,1,[]]",
    "half": b'{"name": "x',
    "not JSON": b"name=x&role=owner",
    "not UTF-8": b'{"name":"\xff\xfe\xfd"}',
    "half a pair": b'{"name":"\\ud800","trace_id":"\\udfff","value":1}',
    "a null byte": b'{"name":"a\\u0000b","slug":"\\u0000","email":"a\\u0000@b.example","role":"member"}',
    "a raw null byte": b'{"name":"a\x00b"}',
    "too large a number": b'{"value":1e999,"amount_cents":1e999,"credit_limit":1e999}',
    "too long a number": b'{"value":' + b"9" * 5000 + b',"amount_cents":' + b"9" * 400 + b"}",
    "no number": b'{"value":NaN,"weight":Infinity,"amount_cents":-Infinity}',
    "twice the same": b'{"role":"member","role":"owner","name":"a","name":"b"}',
    "odd names": b'{"__proto__":{"role":"owner"},"__class__":1,"constructor":{"prototype":{}}}',
    "a byte order mark": b'\xef\xbb\xbf{"name":"x"}',
    "UTF-16": '{"name":"x"}'.encode("utf-16"),
    "many names": b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(20_000)) + b"}",
}
TYPES = (
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/xml",
    "",
)

QUERIES = (
    "%00", "%ff%fe", "%ED%A0%80", "..%2f..%2fetc%2fpasswd", "%0d%0aSet-Cookie:%20a=b", "'%20OR%201=1%20--", "%25", "_",
    "%7B%7B7*7%7D%7D", "1e999", "9" * 400, "0" * 5000, "00000000000000000000" + "9" * 30, "-1", "NaN", "%5B%5D",
    "a" * 20_000,
    "%F0%9F%98%80", ",,,,", "null", "true", "0001-01-01", "9999-12-31T23:59:59.999Z", "%7B%22%24ne%22:1%7D", "[" * 5000,
)  # fmt: skip
"""Values of a query as they stand in a URL."""
SEGMENTS = (
    "%00",
    "%ff",
    "%ED%A0%80",
    "..%2f..%2f",
    "%2e%2e",
    "%0d%0aX-A:b",
    "'%20OR%201=1--",
    "{{7*7}}",
    "a" * 8000,
    "%F0%9F%98%80",
    "%20",
    ";a=b",
    "*",
)
"""Parts of a path as they stand in a URL."""

_LEAKS = re.compile(
    r"Traceback|\.py\b|site-packages|sqlalchemy|sqlite|psycopg|pymysql|mariadb|postgres|pydantic|starlette|fastapi|uvicorn"
    r"|orjson|msgspec|duckdb|deltalake|polars|pyarrow|clickhouse|\bSELECT\b.{0,200}?\bFROM\b|\bINSERT INTO\b"
    r"|/(?:home|usr|tmp|var|opt|root|proc)/|object at 0x",
    re.IGNORECASE,
)


_COMPUTED = re.compile(r"(?<![\w-])49(?![\w-])")


def leaks_in(text: str, sent: str) -> list[str]:
    """What an answer tells of our insides, or computed of a template; what was sent may come back."""
    computed = ["49"] if "7*7" in sent and _COMPUTED.search(text) else []
    return computed + [found for found in set(_LEAKS.findall(text)) if found not in sent]


def bombs(limit_bytes: int) -> Iterator[tuple[str, str, bytes]]:
    """(what it is, content encoding, body) of small bodies that become huge, and of broken ones."""
    huge = b"[" + b" " * (limit_bytes * 20) + b"]"
    yield "gzip bomb", "gzip", gzip.compress(huge)
    yield "gzip in members", "gzip", gzip.compress(b" " * limit_bytes) * 20
    yield "zstd bomb", "zstd", zstandard.compress(huge)
    yield "gzip by its first bytes", "", gzip.compress(huge)
    yield "gzip of gzip", "gzip", gzip.compress(gzip.compress(huge))
    yield "half of gzip", "gzip", gzip.compress(b'[{"a":1}]')[:-6]
    yield "no gzip", "gzip", b"[{}]"
    yield "raw deflate", "deflate", zlib.compress(b"[{}]")
    yield "unknown", "br, gzip", b"[{}]"
    yield "two at once", "gzip, gzip", gzip.compress(gzip.compress(b"[{}]"))
    yield "nested in gzip", "gzip", gzip.compress(b"[" * DEPTH + b"]" * DEPTH)
    yield (
        "nested record in gzip",
        "gzip",
        gzip.compress(b'[{"id":"x","metadata":' + b"[" * DEPTH + b"]" * DEPTH + b"}]"),
    )
