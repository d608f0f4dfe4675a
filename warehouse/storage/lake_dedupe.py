"""Which rows of a batch are new: an id is stored once, and always with one instant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import polars as pl
import pyarrow as pa

from warehouse.catalog.model import Dataset

_WITHOUT_VIEWS = pl.CompatLevel.oldest()
_KNOWN = pl.Schema({"id": pl.String, "known_at": pl.Datetime("us")})
_REMEMBERED_IDS = 4_000_000
"""32 MB."""

Probe = Callable[[Sequence[str], pa.Table, Dataset], pa.Table]
"""Parquet files, a table with the one column `id`, and whose rows they are → `id` and `known_at` of the rows with one
of these ids. Raises: FileNotFoundError when a file is gone."""


def probe(files: Sequence[str], ids: pa.Table, dataset: Dataset) -> pa.Table:
    """The rows with one of the ids, found by Polars; an engine may bring a faster way."""
    stored = pl.scan_parquet(list(files), glob=False, extra_columns="ignore", missing_columns="insert").select(
        pl.col(str(dataset.id_column)).alias("id"), pl.col(dataset.time_column).alias("known_at")
    )
    return stored.join(pl.LazyFrame(pl.DataFrame(ids)), on="id", how="semi").collect().to_arrow()


class Remembered:
    """The hashed ids of the files that this process wrote last, which need not be read to see that an id is new.

    A file never changes and no name is used twice, so what is known of a file stays true whoever writes beside.
    """

    def __init__(self, most: int = _REMEMBERED_IDS) -> None:
        self._hashes: dict[str, pl.Series] = {}
        self._most, self._count, self._lock = most, 0, Lock()

    def add(self, path: str, ids: pa.ChunkedArray) -> None:
        """Remember the ids of a file; what was remembered longest goes where there are too many."""
        hashes = pl.Series(ids).hash()
        with self._lock:
            self._hashes[path] = hashes
            self._count += len(hashes)
            while self._count > self._most:
                self._count -= len(self._hashes.pop(next(iter(self._hashes))))

    def candidates(self, paths: Sequence[str], ids: pl.Series) -> list[str]:
        """Those of the files that may hold one of the ids: the ones with an equal hash, and the unknown ones."""
        with self._lock:
            known = {path: self._hashes[path] for path in paths if path in self._hashes}
        if not known:
            return list(paths)
        wanted = ids.hash().implode()
        # One look at all: usually every id is new.
        if pl.concat(known.values()).is_in(wanted).any():
            known = {path: hashes for path, hashes in known.items() if not hashes.is_in(wanted).any()}
        return [path for path in paths if path not in known]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the rows: `new` are row numbers."""

    new: pa.Array
    duplicates: int
    conflicts: tuple[str, ...]


class Incoming:
    """The ids and instants of a batch, and what the store is known to hold of them."""

    def __init__(self, dataset: Dataset, rows: pa.Table, look_up: Probe = probe) -> None:
        self._dataset, self._look_up = dataset, look_up
        arrow = pa.table({"id": rows.column(str(dataset.id_column)), "at": rows.column(dataset.time_column)})
        self._rows = pl.DataFrame(arrow).with_row_index("row")
        self._has_distinct_ids = self.ids.n_unique() == len(self.ids)
        self._known = pl.DataFrame(schema=_KNOWN)

    @property
    def ids(self) -> pl.Series:
        """The id of each row."""
        return self._rows["id"]

    def learn(self, files: Sequence[str]) -> bool:
        """Look the ids up in these Parquet files; True when some are there. Raises: FileNotFoundError."""
        if not files:
            return False
        ids = self._rows.select("id").to_arrow(compat_level=_WITHOUT_VIEWS)
        hits = pl.DataFrame(self._look_up(files, ids, self._dataset)).cast(_KNOWN)
        self._known = pl.concat([self._known, hits]).unique("id", keep="any")
        return not hits.is_empty()

    def verdict(self) -> Verdict:
        """The first row of an unknown id is new; a row at its id's instant is a duplicate, at another a conflict."""
        if self._known.is_empty() and self._has_distinct_ids:
            return Verdict(self._rows["row"].to_arrow(), 0, ())
        judged = self._rows.join(self._known, on="id", how="left", maintain_order="left").with_columns(
            first=pl.col("id").is_first_distinct(), settled_at=pl.coalesce("known_at", pl.col("at").first().over("id"))
        )
        new = pl.col("first") & pl.col("known_at").is_null()
        conflicts = judged.filter(pl.col("at") != pl.col("settled_at"))["id"].to_list()
        kept = judged.filter(new)["row"].to_arrow()
        return Verdict(kept, len(judged) - len(kept) - len(conflicts), tuple(conflicts))
