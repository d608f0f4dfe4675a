"""The log objects of this installation: where they are put, and the one of a row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import cast

import orjson

from warehouse.errors import InvalidInput
from warehouse.ingest.kept_objects import object_path
from warehouse.logstore.access import log_store_url
from warehouse.logstore.paths import PathFormat
from warehouse.logstore.store import LogStore
from warehouse.settings import WarehouseSettings

OWN_FOLDER = "logs"
"""Below the home of the installation, where no log store is configured."""
CONTROL_PLANE = "control_plane"
"""`LOG_STORE` of a gateway that leaves its logs to the control plane, which is us."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What is known of where a log object lies."""

    organisation_id: str
    workspace_slug: str | None
    log_id: str
    created_at: datetime
    form: str | None = None
    """The path format by the row; None where the row does not say."""


class LogObjects:
    """A log store that is opened when it is needed: an installation without logs needs none."""

    def __init__(self, settings: WarehouseSettings, environment: Mapping[str, str]) -> None:
        self._settings, self._environment = settings, environment
        self._lock = Lock()
        self._store: LogStore | None = None

    @property
    def form(self) -> PathFormat:
        """How new objects are placed: as `LOG_STORE_FILE_PATH_FORMAT` says; v2 in a folder of our own, else v1."""
        configured = self._settings.log_store_file_path_format
        return configured or (PathFormat.V2 if self._url() is None else PathFormat.V1)

    def store(self) -> LogStore:
        """The log store, opened. Raises: ConfigurationError, SourceError."""
        with self._lock:
            if self._store is None:
                url = self._url()
                if url is None:
                    folder = self._settings.home / OWN_FOLDER
                    folder.mkdir(parents=True, exist_ok=True)
                    url = str(folder)
                self._store = LogStore.open(url, self._environment)
            return self._store

    @property
    def is_remote(self) -> bool:
        """Whether reading an object means waiting for another machine. Raises: ConfigurationError, SourceError."""
        return self.store().remote

    def opened(self) -> tuple[LogStore, PathFormat]:
        """Where log objects are put, and how. Raises: ConfigurationError, SourceError."""
        return self.store(), self.form

    def find(self, at: Whereabouts, hint: PathFormat | None = None) -> dict[str, object] | None:
        """The log object, or None where none is kept. Raises: ConfigurationError, SourceError."""
        for path in self._paths(at, hint):
            if self.store().find(path) is None:
                continue
            content = _object(self.store().read(path))
            if content is not None and _is_of(content, at):
                return content
        return None

    def _paths(self, at: Whereabouts, hint: PathFormat | None) -> Iterator[str]:
        named = PathFormat(at.form) if at.form in set(PathFormat) else None
        tried = (named,) if named else (hint, self.form, *PathFormat)
        for form in dict.fromkeys(form for form in tried if form is not None):
            try:
                yield object_path(form, at.organisation_id, at.workspace_slug or "", at.created_at, at.log_id)
            except InvalidInput:
                continue  # an id that no such path can hold

    def _url(self) -> str | None:
        url = self._settings.log_store_url
        if url is not None:
            return url.get_secret_value()
        is_ours = self._environment.get("LOG_STORE", "").strip().lower() == CONTROL_PLANE
        return None if is_ours else log_store_url(self._environment)


def _object(data: bytes) -> dict[str, object] | None:
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _is_of(content: Mapping[str, object], at: Whereabouts) -> bool:
    """Whether an object is the row's: a path of format v1 does not tell workspaces apart, the object may."""
    expected = {"organisation_id": at.organisation_id, "workspace_slug": at.workspace_slug}
    return all(content.get(name) in (None, value) for name, value in expected.items())
