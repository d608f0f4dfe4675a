"""Engines that hold given rows, for tests that ask questions."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from tests.factories.engines import OPENERS
from tests.factories.gateway import PartMissing
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine


@contextmanager
def loaded(kind: str, folder: Path, generations: pa.Table, feedbacks: pa.Table | None = None) -> Iterator[Engine]:
    """An engine of a kind (see `OPENERS`) with these rows; skips where the kind is missing, fails so in CI."""
    opener = OPENERS[kind](folder)
    try:
        engine = opener.__enter__()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    try:
        assert engine.append(GENERATIONS, generations, Batch("generations")).stored == generations.num_rows
        if feedbacks is not None:
            assert engine.append(FEEDBACKS, feedbacks, Batch("feedbacks")).stored == feedbacks.num_rows
        yield engine
    finally:
        opener.__exit__(None, None, None)
