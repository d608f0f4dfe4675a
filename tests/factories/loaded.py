"""Engines that hold given rows, for tests that ask questions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from tests.factories.engines import OPENERS
from tests.factories.parts import needed
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine


@contextmanager
def loaded(kind: str, folder: Path, generations: pa.Table, feedbacks: pa.Table | None = None) -> Iterator[Engine]:
    """An engine of a kind (see `OPENERS`) with these rows; skips where the kind is missing, fails so in CI."""
    with needed(OPENERS[kind](folder)) as engine:
        assert engine.append(GENERATIONS, generations, Batch("generations")).stored == generations.num_rows
        if feedbacks is not None:
            assert engine.append(FEEDBACKS, feedbacks, Batch("feedbacks")).stored == feedbacks.num_rows
        yield engine
