"""What the views of text columns tell of the texts without reading them: how long they are and how they begin.

A view is sixteen bytes: the length of a text in four of them, then its first four bytes. That of a NULL may hold
anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

_VIEW_BYTES = 16
_START = 4
_WORDS = _VIEW_BYTES // 4
_BLANK = ord(" ")


@dataclass(frozen=True, slots=True)
class Look:
    """What stands out in the texts of a frame. A column that is not named has nothing of the kind."""

    bracketed: Sequence[str]
    """Where a text may begin with an opening bracket."""
    is_tidy: bool
    """No text is empty, begins with a blank, or is longer than asked for."""


def look_at(frame: pl.DataFrame, longest: int) -> Look:
    """A look at all text columns of a frame."""
    names = [text.name for text in frame.get_columns() if text.dtype == pl.String and text.null_count() < len(text)]
    table = frame[names].to_arrow(compat_level=pl.CompatLevel.newest())
    bracketed: list[str] = []
    is_tidy = True
    for name in names:
        chunks: Iterable[pa.Array] = table.column(name).chunks
        for texts in chunks:
            lengths, firsts = _views(texts)
            if name not in bracketed and (b"{" in firsts or b"[" in firsts):
                bracketed.append(name)
            is_tidy = is_tidy and not _is_untidy(texts, lengths, np.frombuffer(firsts, np.uint8), longest)
    return Look(bracketed, is_tidy)


def _views(texts: pa.Array) -> tuple[np.ndarray, bytes]:
    """The lengths of a column's texts, and their first bytes; 0 for a text that has none."""
    buffer = texts.buffers()[1]
    if buffer is None or not len(texts):
        return np.zeros(0, np.uint32), b""
    views = np.frombuffer(buffer, np.uint8)[_VIEW_BYTES * texts.offset : _VIEW_BYTES * (texts.offset + len(texts))]
    return views.view(np.uint32)[::_WORDS], views[_START::_VIEW_BYTES].tobytes()


def _is_untidy(texts: pa.Array, lengths: np.ndarray, firsts: np.ndarray, longest: int) -> bool:
    if not len(lengths) or (firsts.min() > _BLANK and lengths.max() <= longest):
        return False
    odd = (firsts <= _BLANK) | (lengths > longest)
    validity = texts.buffers()[0]
    if validity is None:
        return bool(odd.any())
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
    return bool((odd & bits[texts.offset : texts.offset + len(texts)].view(np.bool_)).any())
