"""What names a batch stays the same from release to release: the lake knows by it what it holds."""

import hashlib
from datetime import datetime, timedelta

import polars as pl

from warehouse.ingest.identity import batch_id

FIRST = datetime(2026, 5, 1, 12, 30, 0, 455_000)  # noqa: DTZ001 - naive means UTC in every frame
IDS = ["a", "é\u2028", "a longer one that is no part of its view", "\U0001f600", "b"]


def instants(count: int) -> pl.Series:
    return pl.Series([FIRST + timedelta(seconds=number) for number in range(count)], dtype=pl.Datetime("us"))


def test_a_batch_is_named_by_its_ids_and_their_instants_in_order() -> None:
    microseconds = b"".join(int(value).to_bytes(8, "little") for value in instants(5).to_physical().to_list())
    seed = b"generations" + "\n".join(IDS).encode() + microseconds
    ids = pl.Series(IDS)
    name = batch_id("generations", ids, instants(5))
    assert name == hashlib.blake2b(seed, digest_size=16).hexdigest()
    assert batch_id("generations", pl.concat([ids[:2], ids[2:]], rechunk=False), instants(5)) == name
    others = {
        batch_id("feedbacks", ids, instants(5)),
        batch_id("generations", ids.reverse(), instants(5)),
        batch_id("generations", ids, instants(6)[1:]),
        batch_id("generations", ids[:4], instants(4)),
    }
    assert len(others | {name}) == 5


def test_a_batch_of_no_rows_has_a_name() -> None:
    nothing = batch_id("generations", pl.Series([], dtype=pl.String), instants(0))
    assert nothing == hashlib.blake2b(b"generations", digest_size=16).hexdigest()
