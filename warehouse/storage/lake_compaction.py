"""Fewer, larger, sorted files with the same rows: our own rewrite.

The library's own compaction is not used: two of them that race double all rows without an error.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.storage.lake import LakeTable
from warehouse.storage.lake_delta import Live
from warehouse.storage.lake_names import new_file, parse, token_sum
from warehouse.storage.lake_parquet import sorted_rows
from warehouse.storage.tables import arrow_schema

FULL_FILE_ROWS = 262_144
"""A file of this size stays as it is; sorting more rows at once would take more than half a gigabyte of memory."""
_STEP = 8
"""A file joins smaller ones when it has at most this many times their rows: each row is rewritten a few times only."""
_OPEN_DAY_FILES = 16


def compact(table: LakeTable, now: datetime, open_day_files: int = _OPEN_DAY_FILES) -> list[str]:
    """Merge the small files of each day: from two on in a day that is over, from `open_day_files` on today."""
    today = now.astimezone(UTC).date()
    days: dict[str, list[Live]] = {}
    for file in table.live():
        days.setdefault(file.day, []).append(file)
    done: list[str] = []
    for day in sorted(days):
        least = 2 if date.fromisoformat(day) < today else open_day_files
        merged = mergeable(days[day], least)
        if merged and _merge(table, date.fromisoformat(day), merged):
            done.append(f"merged {len(merged)} files of {table.name} on {day}")
    return done


def mergeable(files: Sequence[Live], least: int = 2) -> list[Live]:
    """The smallest files, `least` or more, with none among them that is too large to be worth rewriting with them.

    A few that are far smaller than the rest do not keep the rest apart.
    """
    chosen: list[Live] = []
    rows = 0
    for file in sorted(files, key=lambda file: (file.row_count, file.path)):
        too_many = rows + file.row_count > FULL_FILE_ROWS
        if chosen and (too_many or file.row_count > _STEP * rows):
            if len(chosen) >= least:
                break
            chosen, rows = [], 0
        chosen.append(file)
        rows += file.row_count
    return chosen if len(chosen) >= least else []


def _merge(table: LakeTable, day: date, old: Sequence[Live]) -> bool:
    try:
        paths = table.store.readable(table.name, [file.path for file in old])
        rows = sorted_rows(table.dataset, read_files(paths, arrow_schema(table.dataset)))
    except FileNotFoundError:  # another compaction was first, and the sweep after it
        return False
    token = token_sum(parse(file.path) for file in old)
    written = table.store.write(table.dataset, new_file(day, rows.schema, token), rows)
    return table.rewrite(old, written, rows)


def read_files(paths: Sequence[str], schema: pa.Schema) -> pa.Table:
    """All rows, in today's columns; a column that a file lacks is NULL, one that only the file has is kept."""
    parts = [pq.ParquetFile(path).read() for path in paths]
    merged = pa.concat_tables([schema.empty_table(), *parts], promote_options="default")
    return merged.combine_chunks()
