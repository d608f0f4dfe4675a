"""The same log store on a folder, SeaweedFS (S3), azurite (Azure) and a GCS emulator."""

import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.factories.object_stores import ObjectStorePlace
from warehouse.catalog.operations import LOG_OBJECTS
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.errors import SourceError
from warehouse.ingest.discover import new_objects, remember, sources_of
from warehouse.logstore.paths import v2_path, window_prefixes
from warehouse.logstore.store import LogStore

STDIN = io.BytesIO()


@pytest.fixture(params=["folder", "s3_place", "azure_place", "gcs_place"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorePlace:
    return ObjectStorePlace(str(tmp_path), {}) if request.param == "folder" else request.getfixturevalue(request.param)


@pytest.fixture
def root(place: ObjectStorePlace, request: pytest.FixtureRequest) -> str:
    """A prefix of its own for each test."""
    url = f"{place.url}/{request.node.originalname}"
    if "://" not in url:
        Path(url).mkdir(exist_ok=True)
    return url


@pytest.fixture
def store(place: ObjectStorePlace, root: str) -> LogStore:
    return LogStore.open(root, place.environment)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    engine = DuckDBEngine(str(tmp_path / "lake"), threads=1, memory_mb=512)
    engine.create([LOG_OBJECTS])
    yield engine
    engine.close()


def test_what_is_put_can_be_found_listed_and_read(store: LogStore) -> None:
    for path in ("30/org/b.json", "30/org/a/2.json", "30/org/a-1.json", "30/org2/x.json"):
        store.put(path, path.encode())
    # SeaweedFS lists a folder before its neighbours; all others list by path.
    listed = sorted(store.list("30/org"), key=lambda found: found.path)
    assert [found.path for found in listed] == ["30/org/a-1.json", "30/org/a/2.json", "30/org/b.json"]
    assert [found.size for found in listed] == [15, 15, 13]
    assert len({found.etag for found in listed}) == 3
    assert all(abs(time.time() - found.last_modified.timestamp()) < 120 for found in listed)
    assert len(list(store.list())) == 4
    assert list(store.list("30/nobody")) == []
    assert store.find("30/org/b.json") is not None
    assert store.find("30/org/c.json") is None
    paths = [found.path for found in reversed(listed)]
    assert list(store.read_many(paths)) == [(path, path.encode()) for path in paths]
    with pytest.raises(SourceError, match=r"Cannot read .*c\.json"):
        store.read("30/org/c.json")
    store.check()


def test_a_listing_of_many_pages_is_whole_and_in_order(store: LogStore) -> None:
    names = [f"p/{at:04}.json" for at in range(230)]
    for name in names:
        store.put(name, b"{}")
    assert [found.path for found in store.list("p")] == names


def test_a_large_object_is_streamed_and_a_change_is_noticed(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warehouse.logstore.remote.CHUNK_BYTES", 1 << 16)
    data = bytes(range(256)) * 700 + b"the end"
    store.put("large.json", data)
    found = store.find("large.json")
    assert found is not None
    with store.stream(found) as stream:
        assert stream.read() == data
    if store.remote:
        with store.stream(found) as stream:
            assert stream.read(4) == data[:4]
            store.put("large.json", b"x" * len(data))
            with pytest.raises(SourceError, match="changed while it was read"):
                stream.read()


def test_arguments_find_objects_by_prefix_glob_and_name(place: ObjectStorePlace, root: str, store: LogStore) -> None:
    for name in ("2026/01/a.json", "2026/01/b.ndjson.gz", "2026/02/a.json", "2026/02/notes.txt", "2026/a.json"):
        store.put(name, name.encode())

    def found(argument: str) -> list[tuple[str, bytes]]:
        sources = list(sources_of([argument], STDIN, place.environment))
        contents = []
        for source in sources:
            with source.open() as stream:
                contents.append((store.path_of(source.name), stream.read()))
        return contents

    assert [name for name, _ in found(root)] == [
        "2026/01/a.json",
        "2026/01/b.ndjson.gz",
        "2026/02/a.json",
        "2026/a.json",
    ]
    assert found(f"{root}/2026/01") == [
        ("2026/01/a.json", b"2026/01/a.json"),
        ("2026/01/b.ndjson.gz", b"2026/01/b.ndjson.gz"),
    ]
    assert [name for name, _ in found(f"{root}/2026/*/a.json")] == ["2026/01/a.json", "2026/02/a.json"]
    assert [name for name, _ in found(f"{root}/**/a.json")] == ["2026/01/a.json", "2026/02/a.json", "2026/a.json"]
    assert [name for name, _ in found(f"{root}/2026/02/notes.txt")] == ["2026/02/notes.txt"]
    with pytest.raises(SourceError, match="Nothing to load"):
        found(f"{root}/2027/*")


def test_only_what_is_new_comes_again(store: LogStore, engine: DuckDBEngine) -> None:
    for at in range(70):
        store.put(f"n/{at:03}.json", f'{{"at": {at}}}'.encode())
    first = list(new_objects(store, engine))
    assert [store.path_of(source.name) for source in first] == [f"n/{at:03}.json" for at in range(70)]
    with first[69].open() as stream:
        assert stream.read() == b'{"at": 69}'
    remember(engine, store, first[:60])
    remember(engine, store, first[:60])
    assert len(list(new_objects(store, engine))) == 10
    remember(engine, store, first[60:])
    assert list(new_objects(store, engine)) == []

    time.sleep(0.01)
    store.put("n/007.json", b'{"at": "changed"}')
    store.put("n/070.json", b"{}")
    assert [store.path_of(source.name) for source in new_objects(store, engine)] == ["n/007.json", "n/070.json"]


def test_a_window_of_hours_prunes_the_listing(store: LogStore, engine: DuckDBEngine) -> None:
    start = datetime(2026, 1, 31, 20, tzinfo=UTC)
    for hour in range(8):
        store.put(v2_path("org", "ws", start + timedelta(hours=hour), f"log-{hour}"), b"{}")
    prefixes = list(window_prefixes("org", "ws", start + timedelta(hours=2), start + timedelta(hours=5)))
    found = [store.path_of(source.name)[-10:] for source in new_objects(store, engine, prefixes)]
    assert found == ["log-2.json", "log-3.json", "log-4.json", "log-5.json"]
