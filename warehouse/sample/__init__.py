"""Realistic gateway records, the same for the same seed: for demos, trials and tests."""

from warehouse.sample.generate import generate
from warehouse.sample.spec import SampleFormat, SampleReport, SampleSpec
from warehouse.sample.write import write_sample

__all__ = ["SampleFormat", "SampleReport", "SampleSpec", "generate", "write_sample"]
