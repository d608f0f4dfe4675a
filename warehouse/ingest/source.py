"""A named stream of bytes, and its content without compression."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO, cast

import zstandard
from isal import igzip, isal_zlib

BLOCK_BYTES = 4 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_COMPRESSION_SUFFIXES = (".gz", ".zst", ".zstd")
_INFLATE_ERROR = cast("type[Exception]", isal_zlib.error)


class SourceDamaged(Exception):
    """The rest of a source cannot be read (a cut or broken compressed stream); what came before is good."""


@dataclass(frozen=True)
class Source:
    """One named stream of bytes that can be opened."""

    name: str
    size: int | None
    """Bytes as stored (compressed), where known."""
    open: Callable[[], BinaryIO]
    last_modified: datetime | None = None
    key: str = ""

    @property
    def base_name(self) -> str:
        """The last part of the name without its compression: what an id that we make starts from."""
        return base_name_of(self.name)


def base_name_of(name: str) -> str:
    """The last part of a source's name without its compression."""
    base = PurePosixPath(name.replace("\\", "/")).name or name
    for suffix in _COMPRESSION_SUFFIXES:
        base = base.removesuffix(suffix)
    return base


def bytes_source(name: str, content: bytes) -> Source:
    """A source of bytes that are in memory already."""
    return Source(name=name, size=len(content), open=lambda: io.BytesIO(content))


class Counted(io.RawIOBase):
    """A stream that counts the bytes read from it, for progress in stored bytes."""

    def __init__(self, inner: BinaryIO, on_read: Callable[[int], None]) -> None:
        super().__init__()
        self._inner, self._on_read = inner, on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        block = self._inner.read(len(buffer))
        buffer[: len(block)] = block
        self._on_read(len(block))
        return len(block)


def plain_blocks(stream: BinaryIO, first: bytes, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The decompressed content in blocks; compression is told by the first bytes, never by a name.

    `first` is what was read from `stream` already. Raises: SourceDamaged.
    """
    if first.startswith(_GZIP):
        yield from _gunzip(_Rejoined(first, stream), block_bytes)
    elif first.startswith(_ZSTD):
        yield from _unzstd(_Rejoined(first, stream), block_bytes)
    else:
        if first:
            yield first
        while block := stream.read(block_bytes):
            yield block


class _Rejoined(io.RawIOBase):
    """Bytes that were read ahead, then the stream they came from."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        size = len(buffer)
        block = self._first[:size] if self._first else self._rest.read(size)
        self._first = self._first[size:]
        buffer[: len(block)] = block
        return len(block)


def _gunzip(stream: _Rejoined, block_bytes: int) -> Iterator[bytes]:
    with igzip.IGzipFile(fileobj=stream, mode="rb") as plain:  # pyright: ignore[reportArgumentType]
        while True:
            try:
                block = plain.read(block_bytes)
            except (EOFError, OSError, _INFLATE_ERROR) as error:
                raise SourceDamaged(f"the gzip stream is damaged: {error}") from error
            if not block:
                return
            yield block


def _unzstd(stream: _Rejoined, block_bytes: int) -> Iterator[bytes]:
    """A frame at a time, because only a frame object tells a cut stream from one that ended."""
    frames = zstandard.ZstdDecompressor()
    frame, pending = frames.decompressobj(), b""
    started = False
    try:
        while block := pending or stream.read(min(block_bytes, 1 << 18)):
            started, pending = True, b""
            if plain := frame.decompress(block):
                yield plain
            if frame.eof:
                pending, frame, started = frame.unused_data, frames.decompressobj(), False
    except zstandard.ZstdError as error:
        raise SourceDamaged(f"the zstd stream is damaged: {error}") from error
    if started:
        raise SourceDamaged("the zstd stream is damaged: it ends within a frame")
