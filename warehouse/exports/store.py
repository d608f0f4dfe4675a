"""Where exports are kept: a folder, or a bucket that signs its own download URLs."""

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import obstore

from warehouse.errors import ConfigurationError
from warehouse.logstore.folder import FolderStore
from warehouse.logstore.refusals import refusal
from warehouse.logstore.remote import RemoteStore
from warehouse.logstore.store import REMOTE_SCHEMES, StoredObject


class ExportStore(Protocol):
    """A store of log objects that also takes whole files and gives them back."""

    def find(self, path: str) -> StoredObject | None: ...

    def put(self, path: str, data: bytes) -> None: ...

    def stream(self, found: StoredObject) -> Any: ...

    def put_file(self, path: str, file: Path) -> None:
        """Store a local file whole or not at all, durably; the file is gone then. Raises: SourceError."""
        ...

    def forget(self, prefix: str) -> None:
        """Delete all below a prefix; what is gone already is no error. Raises: SourceError."""
        ...

    def signed_url(self, path: str, lifetime: timedelta) -> str | None:
        """A URL that anybody may read the object by for a while; None where the store has no such thing."""
        ...


class ExportFolder(FolderStore):
    """A folder of this machine."""

    def put_file(self, path: str, file: Path) -> None:
        """See `ExportStore.put_file`."""
        target = self._file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.tmp")
        try:
            file.replace(unfinished)
        except OSError:  # on another file system
            shutil.copyfile(file, unfinished)
            file.unlink()
        with unfinished.open("rb+") as written:
            os.fsync(written.fileno())
        unfinished.replace(target)

    def forget(self, prefix: str) -> None:
        """See `ExportStore.forget`."""
        shutil.rmtree(self._file(prefix), ignore_errors=True)

    def signed_url(self, path: str, lifetime: timedelta) -> str | None:  # noqa: ARG002
        """A folder signs nothing: the API serves its files."""
        return None


class ExportBucket(RemoteStore):
    """A bucket, or a part of one."""

    def put_file(self, path: str, file: Path) -> None:
        """See `ExportStore.put_file`; sent in pieces."""
        with self._told("write", path):
            obstore.put(self._store, path, file, use_multipart=True)
        file.unlink()

    def forget(self, prefix: str) -> None:
        """See `ExportStore.forget`."""
        paths = [found.path for found in self.list(prefix)]
        if paths:
            with self._told("delete", prefix):
                obstore.delete(self._store, paths)

    def signed_url(self, path: str, lifetime: timedelta) -> str | None:
        """See `ExportStore.signed_url`; made without asking the bucket."""
        with self._told("sign", path):
            return obstore.sign(cast("Any", self._store), "GET", path, lifetime)

    @contextmanager
    def _told(self, what: str, path: str) -> Generator[None]:
        """What the bucket refuses, said as our own error."""
        try:
            yield
        except (obstore.exceptions.BaseError, OSError) as error:
            raise refusal(error, what, self.location(path), self._access) from None


def export_store(url: str, environment: Mapping[str, str]) -> ExportStore:
    """The store at a folder or bucket URL; a bare name is a bucket of S3. Raises: ConfigurationError."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in REMOTE_SCHEMES:
        return cast("ExportBucket", ExportBucket.at(url, environment))
    if scheme not in ("", "file"):
        raise ConfigurationError(
            f"LOG_EXPORTS_BUCKET begins with '{scheme}://'; allowed are a folder, file://, s3://, gs:// and az://."
        )
    if not scheme and "/" not in url and not url.startswith("."):
        return cast("ExportBucket", ExportBucket.at(f"s3://{url}", environment))
    folder = Path(url.removeprefix("file://"))
    folder.mkdir(parents=True, exist_ok=True)
    return cast("ExportFolder", ExportFolder.at(str(folder)))
