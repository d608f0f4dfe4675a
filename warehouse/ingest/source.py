"""A named stream of bytes, and its content without compression."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol, cast

import zstandard
from isal import isal_zlib

BLOCK_BYTES = 4 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_COMPRESSION_SUFFIXES = (".gz", ".zst", ".zstd")
_COMPRESSED_BYTES = 256 << 10
_UNPACKED_AT_ONCE = 64 << 10
"""What comes out of so little at a time is still in the processor's cache when it is put with the rest."""
_BROKEN: tuple[type[Exception], ...] = (
    cast("type[Exception]", isal_zlib.error),
    zstandard.ZstdError,
    EOFError,
)


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


class PlainBlocks:
    """The decompressed content in blocks; compression is told by the first bytes, never by a name.

    A damaged stream ends where the damage is: what came before is good, and `damage` says what happened.
    """

    def __init__(self, stream: BinaryIO, first: bytes) -> None:
        """`first` is what was read from `stream` already."""
        self._blocks = _decompressed(first, stream)
        self.damage: SourceDamaged | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._blocks)
        except SourceDamaged as error:
            self.damage = error
            raise StopIteration from error


def _decompressed(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    if first.startswith(_GZIP):
        return _members(first, stream, "gzip", lambda: isal_zlib.decompressobj(wbits=31), _GZIP)
    if first.startswith(_ZSTD):
        return _members(first, stream, "zstd", zstandard.ZstdDecompressor().decompressobj, _ZSTD)
    return _as_it_is(first, stream)


def _as_it_is(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    if first:
        yield first
    while block := stream.read(BLOCK_BYTES):
        yield block


class _Decompressor(Protocol):
    """One member of a gzip stream or one frame of a zstd stream."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _members(
    first: bytes, stream: BinaryIO, what: str, begin: Callable[[], _Decompressor], magic: bytes
) -> Iterator[bytes]:
    """A member at a time, because only a member tells a cut stream from one that ended."""
    member = begin()
    is_within = False
    try:
        for piece in _pieces(first, stream):
            block = piece
            while block and (is_within or block.strip(b"\0")):
                is_within = True
                if plain := member.decompress(block):
                    yield plain
                if not member.eof:
                    break
                block, member, is_within = member.unused_data.lstrip(b"\0"), begin(), False
                if len(block) >= len(magic) and not block.startswith(magic):
                    raise SourceDamaged(f"something that is not {what} follows the {what} stream")
    except _BROKEN as error:
        raise SourceDamaged(f"the {what} stream is damaged: {error}") from error
    if is_within:
        raise SourceDamaged(f"the {what} stream is cut short")


def _pieces(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    block = first
    while block:
        for start in range(0, len(block), _UNPACKED_AT_ONCE):
            yield block[start : start + _UNPACKED_AT_ONCE]
        block = stream.read(_COMPRESSED_BYTES)
