"""Ids for records that have none: the same record of the same file has the same id every time."""

import hashlib
import uuid

import polars as pl

from warehouse.ingest.records import Chunk


def made_id(base_name: str, record: int, content: bytes) -> str:
    """A UUID of where a record stands and what it says, so that equal lines of a file stay separate rows."""
    seed = hashlib.blake2b(f"{base_name}\n{record}\n".encode("utf-8", "replace"), digest_size=16)
    seed.update(content)
    return str(uuid.UUID(bytes=seed.digest(), version=5))


def with_made_ids(frame: pl.DataFrame, chunk: Chunk) -> pl.DataFrame:
    """The frame with an id in every row; `_index` says which record of the chunk a row is."""
    missing = frame["id"].is_null() | (frame["id"].str.strip_chars() == "")
    if not missing.any():
        return frame
    originals = chunk.originals()
    made = [
        made_id(chunk.base_name, one.record, one.data)
        for one in (originals[i] for i in frame["_index"].filter(missing))
    ]
    return frame.with_columns(frame["id"].scatter(missing.arg_true(), made))


def batch_id(dataset: str, ids: pl.Series, instants: pl.Series) -> str:
    """What names a batch: a hash of its dataset, its rows' ids and their instants, in order."""
    digest = hashlib.blake2b(dataset.encode(), digest_size=16)
    # Joined where the texts are, not as Python's: half the time, and other threads go on meanwhile.
    digest.update(ids.str.join("\n").cast(pl.Binary).item())
    digest.update(instants.to_physical().to_numpy().tobytes())
    return digest.hexdigest()
