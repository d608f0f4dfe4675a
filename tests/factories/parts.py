"""What a test does when something outside of it is missing: skip with the reason, but fail in CI."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn, TypeVar

import pytest

from tests.factories.gateway import PartMissing

_Part = TypeVar("_Part")


def lacking(what: object) -> NoReturn:
    """Ends the test: it is skipped with the reason, and fails where `CI` is true."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"CI needs this part: {what}")
    pytest.skip(str(what))


@contextmanager
def needed(part: AbstractContextManager[_Part]) -> Iterator[_Part]:
    """The part, entered; a `PartMissing` on the way becomes a skip, or a failure where `CI` is true."""
    try:
        value = part.__enter__()
    except PartMissing as missing:
        lacking(missing)
    try:
        yield value
    finally:
        part.__exit__(None, None, None)
