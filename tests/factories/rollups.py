"""Rollups over the few rows of a test."""

import pytest

from warehouse import rollups
from warehouse.query import plan


def taken_although_small(patch: pytest.MonkeyPatch) -> None:
    """Until the patch ends, every rollup that can answer is taken, and every key of the metadata is kept."""
    patch.setattr(plan, "LEAST_GAIN", 0)
    patch.setattr(rollups, "LEAST_ROWS", 1)
