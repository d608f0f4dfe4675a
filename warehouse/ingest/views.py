"""What the views of text columns tell of the texts without reading them: how long they are and how they begin.

A view is sixteen bytes: the length of a text in four of them, then its first four bytes. That of a NULL may hold
anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

_WORDS = 4
_LENGTH, _START = 0, 1
_BLANK = np.uint8(ord(" "))
_CASE_BIT = np.uint8(ord("{") ^ ord("["))
_BRACKET = np.uint8(ord("{"))


@dataclass(frozen=True, slots=True)
class Look:
    """What stands out in the texts of a frame. A column that is not named has nothing of the kind."""

    bracketed: Sequence[str]
    """Where a text may begin with an opening bracket."""
    is_tidy: bool
    """No text is empty, begins with a blank, or is longer than asked for."""


def look_at(frame: pl.DataFrame, longest: int) -> Look:
    """A look at all text columns of a frame."""
    names = [name for name, kind in frame.schema.items() if kind == pl.String()]
    names = [name for name in names if frame[name].null_count() < frame.height]
    table = frame[names].to_arrow(compat_level=pl.CompatLevel.newest())
    bracketed: list[str] = []
    is_tidy = True
    for name in names:
        chunks: Iterable[pa.Array] = table.column(name).chunks
        for texts in chunks:
            lengths, firsts = _views(texts)
            # The two opening brackets differ in this bit only.
            if name not in bracketed and ((firsts | _CASE_BIT) == _BRACKET).any():
                bracketed.append(name)
            is_tidy = is_tidy and not _is_untidy(texts, lengths, firsts, longest)
    return Look(bracketed, is_tidy)


def _views(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The lengths of a column's texts, and their first bytes; 0 for a text that has none."""
    buffer = texts.buffers()[1]
    if buffer is None or not len(texts):
        return np.zeros(0, np.uint32), np.zeros(0, np.uint8)
    words = np.frombuffer(buffer, np.uint32)[_WORDS * texts.offset : _WORDS * (texts.offset + len(texts))]
    starts = words[_START::_WORDS]
    return words[_LENGTH::_WORDS], (starts & np.uint32(0xFF)).astype(np.uint8)


def _is_untidy(texts: pa.Array, lengths: np.ndarray, firsts: np.ndarray, longest: int) -> bool:
    if not len(lengths):
        return False
    blank = firsts <= _BLANK
    if not blank.any() and int(lengths.max()) <= longest:
        return False
    odd = blank | (lengths > longest)
    validity = texts.buffers()[0]
    if validity is None:
        return bool(odd.any())
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
    return bool((odd & bits[texts.offset : texts.offset + len(texts)].view(np.bool_)).any())
