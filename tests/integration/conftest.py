"""Object stores that integration tests share: each is started once, when a test first asks for it."""

from collections.abc import Iterator

import pytest

from tests.factories.object_stores import ObjectStorePlace, azurite, gcs_emulator, seaweed_s3
from tests.factories.parts import needed


@pytest.fixture(scope="session")
def s3_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorePlace]:
    with needed(seaweed_s3(tmp_path_factory.mktemp("s3"))) as place:
        yield place


@pytest.fixture(scope="session")
def azure_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorePlace]:
    with needed(azurite(tmp_path_factory.mktemp("azure"))) as place:
        yield place


@pytest.fixture(scope="session")
def gcs_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorePlace]:
    with needed(gcs_emulator(tmp_path_factory.mktemp("gcs"))) as place:
        yield place
