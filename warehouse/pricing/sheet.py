"""The cost columns of a frame while they are written: parts of the frame fill them side by side, where they stay.

A DECIMAL(18,12) takes 128 bits, of which no amount needs more than the lower 64: those are what parts write. A text is
written as Arrow's view of it, which is its place among the few texts of the column. What nobody writes takes no room:
such a column is one value for all rows. Units: 10^-12 cents.
"""

import mmap
import struct
import threading
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from warehouse.pricing.amounts import MONEY, Codes, Index, Mask, Whole

_ARROW_MONEY = pa.decimal128(18, MONEY.scale)
_INLINE = 12
"""Bytes of a text that its view holds itself."""
_LARGE = 1 << 21
"""Bytes of a huge page."""
_HUGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)
_Pairs = npt.NDArray[np.int64]


def _zeros(height: int, dtype: type[np.int64] | type[np.uint64]) -> npt.NDArray[Any]:
    """Pairs of zeros. Large ones are pages of their own, which come as zeros: an allocator would write them again."""
    size = height * 16
    if size < _LARGE:
        return np.zeros((height, 2), dtype=dtype)
    room = mmap.mmap(-1, -(-size // _LARGE) * _LARGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if _HUGE_PAGES is not None:
        room.madvise(_HUGE_PAGES)
    return np.frombuffer(room, dtype=dtype, count=2 * height).reshape(-1, 2)


class Sheet:
    """Columns of money and text of so many rows. Parts of it may be written by several threads."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._lock = threading.Lock()
        self._pairs: dict[str, _Pairs] = {}
        self._masks: dict[str, Mask] = {}
        self._texts: dict[str, _Texts] = {}

    def has(self, name: str) -> bool:
        """Whether a column of money was written at all."""
        return name in self._pairs

    def amounts(self, name: str, part: slice) -> Whole:
        """The amounts of some rows, to be written; 0 until then. They may not be negative (see `put`)."""
        return self._room(name)[part, 0]

    def _room(self, name: str) -> _Pairs:
        with self._lock:
            if name not in self._pairs:
                self._pairs[name] = _zeros(self._height, np.int64)
            return self._pairs[name]

    def put(self, name: str, part: slice, amounts: Whole) -> None:
        """Writes amounts of any sign."""
        pairs = self._room(name)[part]
        pairs[:, 0] = amounts
        np.right_shift(amounts, 63, out=pairs[:, 1])

    def copy(self, name: str, other: str, part: slice) -> Whole:
        """The amounts of some rows, which are those of another column, to be written over."""
        pairs = self._room(name)[part]
        if other in self._pairs:
            pairs[:] = self._pairs[other][part]
        return pairs[:, 0]

    def mask(self, name: str, part: slice, *, given: bool) -> Mask:
        """Which of some rows have a value, to be written; `given` until then, in every row."""
        with self._lock:
            if name not in self._masks:
                self._masks[name] = np.full(self._height, given, dtype=np.bool_)
            return self._masks[name][part]

    def known(self, name: str) -> Mask | None:
        """Which rows have a value, None: all."""
        return self._masks.get(name)

    def write(
        self, name: str, part: slice, texts: Sequence[str | None], codes: Index | Codes | int, known: Mask | None = None
    ) -> None:
        """Writes a text column: the text of each row by its number, or of all by one; null where it is not known."""
        with self._lock:
            column = self._texts.setdefault(name, _Texts(self._height))
        column.write(part, texts, codes, known)

    def money(self, name: str, known: str | None = None) -> pl.Expr:
        """A column of money, null where the mask `known` says so; nothing in the other rows where nobody wrote it."""
        mask = None if known is None else self._masks.get(known)
        pairs = self._pairs.get(name)
        if pairs is None:
            if mask is None:
                return pl.lit(0).cast(MONEY)
            pairs = _zeros(self._height, np.int64)
        array = pa.Array.from_buffers(_ARROW_MONEY, self._height, [_bits(mask), pa.py_buffer(pairs)])
        return pl.lit(cast(pl.Series, pl.from_arrow(array)))

    def text(self, name: str) -> pl.Expr:
        """A text column; null where nobody wrote it."""
        column = self._texts.get(name)
        return pl.lit(None, dtype=pl.String) if column is None else column.column()


class _Texts:
    """One text column."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._lock = threading.Lock()
        self._known = np.zeros(height, dtype=np.bool_)
        self._views: npt.NDArray[np.uint64] | None = None
        self._alike: list[tuple[slice, str | None]] = []
        """Parts in which all rows have the same text."""
        self._view_of: dict[str | None, bytes] = {None: bytes(16)}
        self._long = bytearray()

    def write(self, part: slice, texts: Sequence[str | None], codes: Index | Codes | int, known: Mask | None) -> None:
        self._known[part] = True if known is None else known
        if isinstance(codes, int):
            with self._lock:
                self._alike.append((part, texts[codes]))
            return
        with self._lock:
            if self._views is None:
                self._views = _zeros(self._height, np.uint64)
            table = self._table(texts)
        table.take(codes, axis=0, out=self._views[part], mode="clip")

    def column(self) -> pl.Expr:
        if self._views is None and self._known.all() and len({text for _, text in self._alike}) == 1:
            return pl.lit(self._alike[0][1], dtype=pl.String)
        views = _zeros(self._height, np.uint64) if self._views is None else self._views
        for part, text in self._alike:
            views[part] = self._table([text])
        buffers = [_bits(self._known), pa.py_buffer(views), *([pa.py_buffer(bytes(self._long))] if self._long else [])]
        return pl.lit(cast(pl.Series, pl.from_arrow(pa.Array.from_buffers(pa.string_view(), self._height, buffers))))

    def _table(self, texts: Sequence[str | None]) -> npt.NDArray[np.uint64]:
        """The views of texts."""
        views = b"".join(self._view_of.get(text) or self._view(text or "") for text in texts)
        return np.frombuffer(views, dtype=np.uint64).reshape(-1, 2)

    def _view(self, text: str) -> bytes:
        encoded = text.encode()
        if len(encoded) <= _INLINE:
            view = struct.pack("<I12s", len(encoded), encoded)
        else:
            view = struct.pack("<I4sII", len(encoded), encoded[:4], 0, len(self._long))
            self._long += encoded
        self._view_of[text] = view
        return view


def _bits(mask: Mask | None) -> pa.Buffer | None:
    return None if mask is None or mask.all() else pa.py_buffer(np.packbits(mask, bitorder="little"))
