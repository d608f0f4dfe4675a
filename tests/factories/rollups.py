"""Rollups over the few rows of a test."""

import pytest

from warehouse import rollups
from warehouse.catalog import rated
from warehouse.query import plan


def taken_although_small(patch: pytest.MonkeyPatch) -> None:
    """Until the patch ends, all that is derived is taken where it can answer, and every key and rated request kept."""
    patch.setattr(plan, "LEAST_GAIN", 0)
    patch.setattr(plan, "LEAST_SHARE", 0)
    patch.setattr(rollups, "LEAST_ROWS", 1)
    patch.setattr(rated, "LEAST_REQUESTS", 1)
