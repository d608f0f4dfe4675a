"""What belongs to the whole test run: the servers of its databases, and which tests make sense on each of them."""

import pytest

from tests.factories import databases


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of a module that makes an installation is `control_plane`, unless it is `one_database`."""
    for item in items:
        makes_one = getattr(getattr(item, "module", None), "installed", None) is not None
        if makes_one and item.get_closest_marker("one_database") is None:
            item.add_marker(pytest.mark.control_plane)


def pytest_sessionfinish() -> None:
    """Stop the servers that this process uses, unless another one still does."""
    databases.OPENED.close()
