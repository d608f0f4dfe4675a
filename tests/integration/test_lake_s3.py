"""The lake in a real S3 bucket: several writers without a lock, compaction beside them, and a cache of what is read."""

import random
import uuid
from collections.abc import Generator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from tests.factories.object_stores import ObjectStorePlace, seaweed_s3
from tests.factories.parts import needed
from tests.integration import lake_worker as worker
from tests.integration.lake_processes import Reader, acknowledged, start, total
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.errors import ConfigurationError, WarehouseError
from warehouse.storage.lake_compaction import compact
from warehouse.storage.lake_names import new_file
from warehouse.storage.lake_sweep import sweep

LATER = datetime(2026, 3, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Generator[ObjectStorePlace]:
    with needed(seaweed_s3(tmp_path_factory.mktemp("seaweed"))) as place:
        yield place


@pytest.fixture
def root(s3: ObjectStorePlace) -> str:
    return f"{s3.url}/{uuid.uuid4().hex}"


def opened(root: str, environment: Mapping[str, str], **options: object) -> DuckDBEngine:
    return worker.open_lake(root, environment=environment, **options)


def send(engine: DuckDBEngine, batch: int, prefix: str = "batch") -> None:
    engine.append(GENERATIONS, worker.rows_of(worker.numbers_of(batch)), Batch(f"{prefix}-{batch}"))


def test_batches_replays_compaction_and_sweep(s3: ObjectStorePlace, root: str) -> None:
    engine = opened(root, s3.environment)
    assert engine.query(worker.totals()).to_pylist() == [{"n": 0, "ids": 0, "cost": None}]
    for batch in range(4):
        send(engine, batch)
    send(engine, 2)
    send(engine, 2, "again")
    assert total(engine) == worker.expected(4)
    other = opened(root, s3.environment)
    assert total(other) == worker.expected(4)
    fingerprints = engine.day_fingerprints(GENERATIONS)
    table = other.lake.table("generations")
    assert compact(table, LATER) == [f"merged 4 files of generations on 2026-03-0{day}" for day in (1, 2, 3)]
    assert table.checkpoint(1)
    assert sweep(table, LATER) == []
    assert sweep(table, LATER + timedelta(hours=2)) == ["deleted 12 unreferenced files of generations"]
    assert total(engine) == worker.expected(4) == total(other)
    assert engine.day_fingerprints(GENERATIONS) == fingerprints
    fresh = opened(root, s3.environment)
    assert total(fresh) == worker.expected(4)
    assert fresh.check() == []
    for each in (engine, other, fresh):
        each.close()


@pytest.mark.slow
def test_writers_in_several_processes_and_compaction_beside_them(
    s3: ObjectStorePlace, root: str, tmp_path: Path
) -> None:
    batches, stop = 12, tmp_path / "stop"
    engine = opened(root, s3.environment)
    engine.create([GENERATIONS])
    reader = Reader(engine, set(range(batches * worker.ROWS_PER_BATCH + 1)))
    reader.start()
    environment = dict(s3.environment)
    keeper = start(worker.maintain, root, str(stop), grace_s=3600, environment=environment)
    loaders = [
        start(worker.load, root, half, str(tmp_path / f"said-{n}"), prefix=f"{n}", environment=environment)
        for n, half in enumerate([range(batches), range(0, batches, 2), range(1, batches, 2)])
    ]
    for loader in loaders:
        loader.join(60)
        assert loader.exitcode == 0
    stop.touch()
    keeper.join(30)
    assert keeper.exitcode == 0
    reader.stop()
    assert total(engine) == worker.expected(batches)
    engine.close()


@pytest.mark.slow
def test_loaders_and_maintenance_killed_at_many_moments(s3: ObjectStorePlace, root: str, tmp_path: Path) -> None:
    said, stop, batches, environment = tmp_path / "said", tmp_path / "stop", 40, dict(s3.environment)
    engine = opened(root, environment)
    engine.create([GENERATIONS])
    reader = Reader(engine, {n * worker.ROWS_PER_BATCH for n in range(batches + 1)})
    reader.start()
    moments: list[str | float] = [*worker.S3_POINTS, *(random.uniform(0.1, 0.6) for _ in range(18))]
    random.shuffle(moments)
    killed = 0
    keeper = start(worker.maintain, root, str(stop), grace_s=3600, environment=environment)
    for moment in moments:
        point = moment if isinstance(moment, str) else None
        first = max(0, acknowledged(said) - 2)
        loader = start(worker.load, root, range(first, batches), str(said), point, environment=environment)
        loader.join(20 if point else float(moment))
        loader.kill()
        loader.join()
        killed += loader.exitcode == -9
        if random.random() < 0.4:
            keeper.kill()
            keeper.join()
            keeper = start(worker.maintain, root, str(stop), grace_s=3600, environment=environment)
        assert total(engine)["n"] >= acknowledged(said) * worker.ROWS_PER_BATCH
    assert killed >= 20
    loader = start(worker.load, root, range(batches), str(said), environment=environment)
    loader.join(60)
    assert loader.exitcode == 0
    stop.touch()
    keeper.join(30)
    reader.stop()
    assert total(engine) == worker.expected(batches)
    assert engine.check() == []
    engine.close()


def test_the_loser_of_a_race_looks_again(s3: ObjectStorePlace, root: str) -> None:
    engines = [opened(root, s3.environment) for _ in range(3)]
    errors: list[Exception] = []

    def load(engine: DuckDBEngine, prefix: str) -> None:
        try:
            for batch in range(4):
                send(engine, batch, prefix)
        except Exception as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    threads = [Thread(target=load, args=(engine, f"{n}")) for n, engine in enumerate(engines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for engine in engines:
        assert total(engine) == worker.expected(4)
        engine.close()


def test_of_two_compactions_one_gives_way(s3: ObjectStorePlace, root: str) -> None:
    first, second = (opened(root, s3.environment) for _ in range(2))
    for batch in range(3):
        send(first, batch)
    tables = [engine.lake.table("generations") for engine in (first, second)]
    old = [[file for file in table.live() if file.day == "2026-03-02"] for table in tables]
    merged = worker.rows_of(
        n
        for batch in range(3)
        for n in dict.fromkeys(worker.numbers_of(batch))
        if n % 3 == 1 and n >= batch * worker.ROWS_PER_BATCH
    )
    written = [table.store.write(GENERATIONS, new_file(date(2026, 3, 2), merged.schema), merged) for table in tables]
    assert [t.rewrite(o, w, merged) for t, o, w in zip(tables, old, written, strict=True)] == [True, False]
    assert total(first) == worker.expected(3) == total(second)
    first.close()
    second.close()


def test_copies_are_kept_between_runs_and_evicted_beyond_the_size(
    s3: ObjectStorePlace, root: str, tmp_path: Path
) -> None:
    engine = opened(root, s3.environment, cache=tmp_path / "cache")
    for batch in range(3):
        send(engine, batch)
    assert total(engine) == worker.expected(3)
    copies = sorted((tmp_path / "cache").rglob("*.parquet"))
    assert len(copies) == 9
    engine.close()
    for copy in copies[:5]:
        copy.unlink()
    again = opened(root, s3.environment, cache=tmp_path / "cache", cache_mb=0)
    assert total(again) == worker.expected(3)
    assert sorted((tmp_path / "cache").rglob("*.parquet")) == copies
    compact(again.lake.table("generations"), LATER)
    assert total(again) == worker.expected(3)
    send(again, 3)
    (tmp_path / "cache").rename(tmp_path / "gone")
    assert total(again) == worker.expected(4)
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 6
    again.close()


def test_wrong_credentials_and_a_wrong_bucket_say_so(s3: ObjectStorePlace, root: str) -> None:
    wrong = {**s3.environment, "AWS_SECRET_ACCESS_KEY": "not-the-secret"}
    engine = opened(root, wrong)
    with pytest.raises(WarehouseError, match=r"cannot|Forbidden|SignatureDoesNotMatch"):
        send(engine, 0)
    [problem, *_] = engine.check()
    assert "AWS credentials" in problem.remedy
    assert "not-the-secret" not in problem.what
    engine.close()
    with pytest.raises(ConfigurationError, match="s3://bucket/prefix"):
        opened("s3:///prefix", s3.environment)
