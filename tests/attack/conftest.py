"""One app for all attacks of a process: its state is kept apart by organisations."""

from collections.abc import Generator

import pytest

from api.settings import MEBIBYTE
from tests.attack.world import World, capturing
from tests.factories.app import installed, serving

LIMIT_BYTES = 2 * MEBIBYTE
"""Of an ingest request, so that bombs stay small; the usual limit of 10 MiB holds for everything else."""


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    log, stop = capturing()
    home = tmp_path_factory.mktemp("attacked")
    with installed(home, key_cache_s=0, ingest_limit_bytes=LIMIT_BYTES) as here, serving(here) as client:
        yield World(here, client, log, {here.admin_key} if here.first.api_key else set())
    stop()


@pytest.fixture(autouse=True)
def _nothing_secret_is_logged(world: World) -> Generator[None]:
    yield
    assert world.leaked() == []
