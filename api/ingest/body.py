"""The body of an ingest request → records, each the bytes it was sent as. Source: DECISIONS "ingest by a gateway"."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import msgspec
import zstandard

from api.errors import BodyTooLarge, InvalidRequest

MOST_RECORDS = 100_000
LARGEST_WINDOW_BYTES = 1 << 27
_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 20

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decompressed(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The body without its compression, which is `gzip` or `zstd` by header or by its first bytes.

    Never more than `limit_bytes` are made, whatever a compressed body claims. Raises: InvalidRequest, BodyTooLarge.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        name = "gzip" if body.startswith(_GZIP_MAGIC) else "zstd" if body.startswith(_ZSTD_MAGIC) else ""
    if not name:
        return body
    inflate = _INFLATE.get(name)
    if inflate is None:
        raise InvalidRequest(f"Content-Encoding '{encoding[:40]}' is unknown; allowed: gzip, zstd")
    try:
        plain = inflate(body, limit_bytes + 1)
    except (zlib.error, zstandard.ZstdError, EOFError):
        raise InvalidRequest(f"The body is not whole {name} data.") from None
    if len(plain) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return plain


def records(body: bytes) -> list[bytes]:
    """The JSON objects of an array, of NDJSON, or a single one. Raises: InvalidRequest that says where it is broken."""
    text = body.removeprefix(_BYTE_ORDER_MARK).strip()
    if not text:
        raise InvalidRequest("The body is empty: send a JSON array, NDJSON, or one JSON object.")
    found = _of_array(text) if text.startswith(b"[") else _of_lines(text)
    if len(found) > MOST_RECORDS:
        raise InvalidRequest(f"At most {MOST_RECORDS} records at once, not {len(found)}.")
    return found


def _gunzip(body: bytes, most: int) -> bytes:
    plain = bytearray()
    rest = body
    while rest:
        stream = zlib.decompressobj(wbits=31)
        while rest and not stream.eof and len(plain) < most:
            plain += stream.decompress(rest, min(_BLOCK_BYTES, most - len(plain)))
            rest = stream.unconsumed_tail
        if len(plain) >= most:
            break
        if not stream.eof:
            raise EOFError
        rest = stream.unused_data
    return bytes(plain)


def _unzstd(body: bytes, most: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW_BYTES)
    with reader.stream_reader(BytesIO(body), read_across_frames=True) as stream:
        plain = stream.read(most)
    if not plain and body:
        raise EOFError
    return plain


_INFLATE: Mapping[str, Callable[[bytes, int], bytes]] = {"gzip": _gunzip, "x-gzip": _gunzip, "zstd": _unzstd}


def _of_array(text: bytes) -> list[bytes]:
    items = [bytes(item).strip() for item in _decoded(_ARRAY, text, "The body")]
    for index, item in enumerate(items):
        _decoded(_OBJECT, item, f"Record {index}")
    return items


def _of_lines(text: bytes) -> list[bytes]:
    lines = [line.strip() for line in text.split(b"\n")]
    items: list[bytes] = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            _decoded(_OBJECT, line, f"Line {number}")
        except InvalidRequest:
            # One object may lie on several lines; then its first line is no object.
            if items or number == len(lines):
                raise
            _decoded(_OBJECT, text, "The body")
            return [text]
        items.append(line)
    return items


def _decoded(decoder: Any, text: bytes, what: str) -> Sequence[bytes]:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise InvalidRequest(f"{what} is not a JSON object.") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{what}: {error}.") from None
    except RecursionError:
        raise InvalidRequest(f"{what} is nested too deeply.") from None
