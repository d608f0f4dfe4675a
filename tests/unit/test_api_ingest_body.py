"""Bodies of ingest requests: what is accepted and what is refused."""

import gzip
import zlib
from collections.abc import Callable

import pytest
import zstandard

from api.errors import BodyTooLarge, InvalidRequest
from api.ingest.body import decompressed, records

LIMIT = 1 << 20
PLAIN = b'{"id":"a"}\n' * 1000

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_compressed_bodies_with_and_without_the_header(encoding: str) -> None:
    packed = COMPRESSORS[encoding](PLAIN)
    assert decompressed(packed, encoding.upper(), LIMIT) == PLAIN
    assert decompressed(packed, "", LIMIT) == PLAIN
    assert decompressed(packed, "identity", LIMIT) == PLAIN


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_several_frames_are_one_body(encoding: str) -> None:
    pack = COMPRESSORS[encoding]
    assert decompressed(pack(b"[1,") + pack(b"2]"), encoding, LIMIT) == b"[1,2]"


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_a_bomb_is_refused_without_being_unpacked(encoding: str) -> None:
    bomb = COMPRESSORS[encoding](bytes(200 << 20))
    assert len(bomb) < LIMIT
    with pytest.raises(BodyTooLarge, match="at most 1048576 bytes"):
        decompressed(bomb, encoding, LIMIT)


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_exactly_the_limit_is_allowed(encoding: str) -> None:
    assert len(decompressed(COMPRESSORS[encoding](bytes(1000)), encoding, 1000)) == 1000
    with pytest.raises(BodyTooLarge):
        decompressed(COMPRESSORS[encoding](bytes(1001)), encoding, 1000)


@pytest.mark.parametrize(
    ("body", "encoding", "says"),
    [
        (gzip.compress(PLAIN, mtime=0)[:-10], "gzip", "not whole gzip data"),
        (b"plain", "gzip", "not whole gzip data"),
        (gzip.compress(PLAIN, mtime=0) + b"trailing", "gzip", "not whole gzip data"),
        (b"plain", "zstd", "not whole zstd data"),
        (b"plain", "br", "allowed: gzip, zstd"),
        (zlib.compress(PLAIN), "deflate", "allowed: gzip, zstd"),
        (zstandard.ZstdCompressor().compress(PLAIN)[:8], "zstd", "not whole zstd data"),
    ],
)
def test_broken_or_unknown_compression_is_refused(body: bytes, encoding: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        decompressed(body, encoding, LIMIT)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'[{"a":1.10},{"b":2}]', [b'{"a":1.10}', b'{"b":2}']),
        (b'\xef\xbb\xbf [ {"a":1} ] \n', [b'{"a":1}']),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n\r\n  {"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}', [b'{"a":1}']),
        (b'{\n  "a": {\n "b": 1}\n}', [b'{\n  "a": {\n "b": 1}\n}']),
        (b"[]", []),
    ],
)
def test_arrays_lines_and_single_objects(body: bytes, found: list[bytes]) -> None:
    assert records(body) == found


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b'[{"a":1},2]', "Record 1 is not a JSON object"),
        (b'[{"a":1}', "The body: "),
        (b'{"a":1}\n{"b":', "Line 2: "),
        (b'{"a":1}\nnull', "Line 2 is not a JSON object"),
        (b'"text"', "Line 1 is not a JSON object"),
        (b'{\n"a": 1', "The body: "),
        (b"a,b\n1,2", "The body: "),
        (b'[{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}]", "nested too deeply"),
        (b"[" + b",".join([b"{}"] * 100_001) + b"]", "At most 100000 records"),
    ],
)
def test_what_is_no_list_of_objects_is_refused_with_its_place(body: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        records(body)
