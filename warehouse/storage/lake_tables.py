"""All tables of one lake, opened from where it lies, and what keeps them well."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from warehouse.catalog.model import Dataset
from warehouse.errors import ConfigurationError, GateledgerError
from warehouse.storage import lake_sweep
from warehouse.storage.lake import LakeTable
from warehouse.storage.lake_compaction import compact
from warehouse.storage.lake_dedupe import Probe, probe
from warehouse.storage.lake_disk import DiskStore
from warehouse.storage.lake_snapshot import NO_TABLE
from warehouse.storage.lake_store import LakeStore
from warehouse.storage.tables import arrow_schema


def open_store(root: str, environment: Mapping[str, str], cache: Path, cache_mb: int) -> LakeStore:
    """The store that a lake's root names: a folder, `file://` or `s3://`. Raises: ConfigurationError."""
    scheme = root.split("://", 1)[0] if "://" in root else "file"
    if scheme == "file":
        return DiskStore(Path(root.removeprefix("file://")))
    if scheme == "s3":
        from warehouse.storage.lake_objects import ObjectStore

        return ObjectStore(root, environment, cache, cache_mb)
    raise ConfigurationError(f"a lake lies in a folder or in s3://bucket/prefix, not in {scheme}://")


class Lake:
    """All tables of one lake."""

    def __init__(self, store: LakeStore, datasets: Mapping[str, Dataset], look_up: Probe = probe) -> None:
        self._store = store
        self._tables = {name: LakeTable(store, dataset, look_up) for name, dataset in datasets.items()}

    @property
    def readable_folder(self) -> str:
        """The local folder below which the files that queries read lie."""
        return self._store.readable_folder

    def table(self, name: str) -> LakeTable:
        """The table of a dataset. Raises: KeyError."""
        return self._tables[name]

    def maintain(self, now: datetime, grace: timedelta = lake_sweep.GRACE) -> list[str]:
        """Compact, checkpoint and sweep every table. Says what was done; safe beside loads, queries and itself."""
        done: list[str] = []
        for name, table in self._tables.items():
            if not self._store.present(name):
                continue
            done += compact(table, now)
            if table.checkpoint():
                done.append(f"wrote a checkpoint of {name}")
            done += lake_sweep.sweep(table, now, grace)
        return done

    def check(self) -> list[tuple[str, str]]:
        """What keeps the lake from working, each with what can be done."""
        problems = self._store.check()
        for name, table in self._tables.items():
            try:
                if table.snapshot().version == NO_TABLE:
                    continue
                missing = [field.name for field in arrow_schema(table.dataset) if field.name not in table.columns()]
            except GateledgerError as error:
                problems.append((f"table {name} of the lake cannot be read: {error}", "restore it from a backup"))
                continue
            if missing:
                problems.append((f"table {name} lacks the columns {', '.join(missing)}", "run the migrations"))
        return problems
