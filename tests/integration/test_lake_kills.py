"""kill -9 of loaders and of maintenance at random and at named moments: no row lost, none twice, no torn count."""

import random
from pathlib import Path

import pytest

from tests.integration import lake_worker as worker
from tests.integration.lake_processes import Reader, acknowledged, start, total

LOADER_POINTS = [name for name, (_, method, _) in worker.POINTS.items() if method not in worker.MAINTENANCE]
KEEPER_POINTS = [name for name, (_, method, _) in worker.POINTS.items() if method != "_learn_rest"]


@pytest.mark.slow
def test_loader_and_maintenance_killed_at_many_moments(tmp_path: Path) -> None:
    root, said, stop = str(tmp_path / "lake"), tmp_path / "said", tmp_path / "stop"
    batches = 60
    engine = worker.open_lake(root)
    reader = Reader(engine, {n * worker.ROWS_PER_BATCH for n in range(batches + 1)})
    reader.start()
    moments: list[str | float] = [*LOADER_POINTS, *(random.uniform(0.05, 0.3) for _ in range(15))]
    random.shuffle(moments)
    keeper_points = [*KEEPER_POINTS, None]
    loaders_killed = keepers_killed = 0
    keeper = start(worker.maintain, root, str(stop))
    for moment in moments:
        point = moment if isinstance(moment, str) else None
        first = max(0, acknowledged(said) - 3)
        loader = start(worker.load, root, range(first, batches), str(said), point)
        if keepers_killed < 12 and (not keeper.is_alive() or random.random() < 0.6):
            keeper.kill()
            keeper.join()
            keepers_killed += 1
            keeper = start(worker.maintain, root, str(stop), keeper_points[keepers_killed % len(keeper_points)])
        loader.join(20 if point else float(moment))
        loader.kill()
        loader.join()
        loaders_killed += loader.exitcode == -9
        assert total(engine)["n"] >= acknowledged(said) * worker.ROWS_PER_BATCH
    assert loaders_killed >= 20
    assert acknowledged(said) < batches
    loader = start(worker.load, root, range(batches), str(said))
    loader.join(60)
    assert loader.exitcode == 0
    stop.touch()
    keeper.join(20)
    reader.stop()
    assert total(engine) == worker.expected(batches)
    engine.close()
    again = worker.open_lake(root)
    assert total(again) == worker.expected(batches)
    assert again.check() == []
    again.close()
