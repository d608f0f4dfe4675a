"""Temporary folders of the lake's engine: gone with their process, also when that was killed."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from warehouse.engines.duckdb import DuckDBEngine

HOLDER = """
import sys
from warehouse.engines.scratch import Scratch
made = Scratch()
(made.path / "spill").mkdir()
(made.path / "spill" / "block").write_bytes(b"x" * 1000)
print(made.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setenv("TMPDIR", str(made))
    monkeypatch.setattr("tempfile.tempdir", None)
    return made


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_needs_is_not(folder: Path) -> None:
    command = [sys.executable, "-c", HOLDER]
    holders = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    killed, living = holders
    try:
        paths = [Path(holder.stdout.readline().strip()) for holder in holders if holder.stdout]
        killed.kill()
        killed.wait()
        stranger = folder / "gateledger-duckdb-of-an-older-version"
        stranger.mkdir()
        with closing(DuckDBEngine(str(folder / "lake"))) as engine:
            assert engine.check() == []
            assert not paths[0].exists()
            assert (paths[1] / "spill" / "block").exists()
        living.communicate("")
        assert living.returncode == 0
        assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [stranger.name]
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
