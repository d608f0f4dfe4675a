"""The garbage collector rests while prices are read, and is as it was afterwards."""

import gc

import pytest

from warehouse.errors import PricingError
from warehouse.pricing.collector import uncollected
from warehouse.pricing.config import parse_provider


def test_the_collector_is_off_within_and_on_after():
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_file_that_cannot_be_read_leaves_it_on():
    with pytest.raises(PricingError):
        parse_provider("acme", "{")
    assert gc.isenabled()
