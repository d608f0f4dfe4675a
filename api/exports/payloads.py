"""Requests and responses of exported rows, from the log store: many at a time, none of them twice."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import Any, Protocol

import orjson
import pyarrow as pa

from api.logs.objects import Whereabouts
from warehouse.logstore.store import READS_AT_ONCE


class LogObjectsFound(Protocol):
    """What finds the log object of a row."""

    @property
    def find(self) -> Callable[[Whereabouts], dict[str, object] | None]: ...

    @property
    def is_remote(self) -> bool: ...


class Payloads:
    """A log that is gone, or whose bodies were never kept, has null where they would be."""

    def __init__(self, logs: LogObjectsFound) -> None:
        self._logs = logs

    def of(self, rows: pa.Table, names: Sequence[str]) -> dict[str, list[bytes | None]]:
        """For each of the names the JSON of each row's. Raises: ConfigurationError, SourceError."""
        if not names or not rows.num_rows:
            return {name: [] for name in names}
        places = [_whereabouts(row) for row in rows.to_pylist()]
        found = self._found_remotely(places) if self._logs.is_remote else [self._logs.find(place) for place in places]
        return {name: [_json(log, name) for log in found] for name in names}

    def _found_remotely(self, places: Sequence[Whereabouts]) -> list[dict[str, object] | None]:
        """What takes the time is to wait for each; in a folder of this machine threads would be five times slower."""
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="export-payload") as pool:
            return list(pool.map(self._logs.find, places))


def _whereabouts(row: Mapping[str, Any]) -> Whereabouts:
    return Whereabouts(
        organisation_id=row["organisation_id"],
        workspace_slug=row["workspace_slug"] or "",
        log_id=row["id"],
        created_at=row["created_at"].astimezone(UTC),
        form=row["log_store_file_path_format"],
    )


def _json(log: Mapping[str, object] | None, name: str) -> bytes | None:
    value = None if log is None else log.get(name)
    return None if value is None else orjson.dumps(value)
