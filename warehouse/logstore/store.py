"""A log store: the folder or bucket that gateways write log objects to, opened by URL."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO
from urllib.parse import urlsplit

from warehouse.errors import ConfigurationError

READS_AT_ONCE = 32
"""Requests under way in `read_many`; object stores answer in 10-50 ms, so this is about 1,000 objects a second."""

REMOTE_SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az"}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a store as a listing shows it; `etag` changes whenever its content does."""

    path: str
    size: int
    etag: str
    last_modified: datetime


class LogStore(ABC):
    """Objects under a root, by paths with forward slashes relative to it."""

    url: str
    """The root, without credentials: what names the store in messages and in the books."""

    remote: bool
    """True when a read is a request over a network, so that reading ahead pays."""

    @staticmethod
    def open(url: str, environment: Mapping[str, str]) -> "LogStore":
        """The store at a folder, `file://`, `s3://`, `gs://` or `az://` URL.

        Nothing is asked of the store yet, except that a folder must exist.
        Raises: ConfigurationError for a URL that is none of these; SourceError for a folder that is missing.
        """
        from warehouse.logstore.folder import FolderStore
        from warehouse.logstore.remote import RemoteStore

        scheme = urlsplit(url).scheme if "://" in url else ""
        if scheme in ("", "file"):
            return FolderStore.at(url)
        if scheme in REMOTE_SCHEMES:
            return RemoteStore.at(url, environment)
        raise ConfigurationError(
            f"The log store URL begins with '{scheme}://'; allowed are a folder, file://, s3://, gs:// and az://."
        )

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object below a prefix (whole segments), streamed in the store's own order, which is by path.

        (SeaweedFS alone lists a folder before its neighbours.)

        Raises: SourceError when the store refuses or does not answer.
        """

    @abstractmethod
    def find(self, path: str) -> StoredObject | None:
        """The object with exactly this path, or None. Raises: SourceError."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The content of one object. Raises: SourceError."""

    @abstractmethod
    def stream(self, found: StoredObject) -> BinaryIO:
        """The content of one object, bit by bit; fails when the object changes meanwhile. Raises: SourceError."""

    @abstractmethod
    def put(self, path: str, data: bytes) -> None:
        """Store an object whole or not at all, durably; an older one is replaced. Raises: SourceError."""

    def put_new(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Store each object whose path is free, durably; what lies there already stays. Raises: SourceError."""

        def put(path: str, data: bytes) -> None:
            if self.find(path) is None:
                self.put(path, data)

        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="log-store-write") as writers:
            under_way: deque[Future[None]] = deque()
            for path, data in objects:
                under_way.append(writers.submit(put, path, data))
                if len(under_way) >= READS_AT_ONCE * 2:
                    under_way.popleft().result()
            while under_way:
                under_way.popleft().result()

    def location(self, path: str) -> str:
        """The full URL of a path."""
        return f"{self.url}/{path}" if path else self.url

    def path_of(self, location: str) -> str:
        """The path of a full URL: what `location` was made of."""
        return location.removeprefix(f"{self.url}/")

    def check(self) -> None:
        """Ask the store for its first object. Raises: SourceError that says who refused what."""
        next(self.list(), None)

    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """(path, content) in the order given, with at most `READS_AT_ONCE` read ahead. Raises: SourceError."""
        if not self.remote:
            yield from ((path, self.read(path)) for path in paths)
            return
        waiting: deque[tuple[str, Future[bytes]]] = deque()
        readers = ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="log-store")
        try:
            for path in paths:
                waiting.append((path, readers.submit(self.read, path)))
                if len(waiting) >= READS_AT_ONCE:
                    first, content = waiting.popleft()
                    yield first, content.result()
            while waiting:
                first, content = waiting.popleft()
                yield first, content.result()
        finally:
            readers.shutdown(wait=True, cancel_futures=True)
