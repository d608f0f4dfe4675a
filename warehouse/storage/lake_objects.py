"""The lake in an S3 bucket: conditional puts take the place of the lock, a local cache that of the disk.

A commit is one put that succeeds only where no entry is yet, so two writers never both win; the loser looks again and
commits after. Data files never change, so a copy of one is right for ever; DuckDB reads the copies.
"""

import hashlib
import io
import json
import os
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import obstore
import pyarrow as pa
from obstore.exceptions import BaseError
from obstore.store import S3Store

from warehouse.catalog.model import Dataset
from warehouse.errors import ConfigurationError, WarehouseError
from warehouse.storage.lake_log import LAST_CHECKPOINT, LOG_FOLDER, entry_name
from warehouse.storage.lake_names import DataFile
from warehouse.storage.lake_parquet import write_parquet
from warehouse.storage.lake_store import LakeStore, Written

_AT_ONCE = 8
_CREDENTIALS, _PLAIN_HTTP = "AWS_", "AWS_ALLOW_HTTP"


class ObjectStore(LakeStore):
    """Tables as folders of a bucket, `s3://bucket/prefix`."""

    def __init__(self, url: str, environment: Mapping[str, str], cache: Path, cache_mb: int) -> None:
        parts = urlsplit(url)
        self._prefix = parts.path.strip("/")
        if parts.scheme != "s3" or not parts.netloc:
            raise ConfigurationError(f"a lake in a bucket is s3://bucket/prefix, not {parts.scheme}://{parts.netloc}")
        self._url = f"s3://{parts.netloc}/{self._prefix}".rstrip("/")
        self.options: Mapping[str, str] = {k: v for k, v in environment.items() if k.startswith(_CREDENTIALS)}
        config: Any = {name: value for name, value in self.options.items() if name != _PLAIN_HTTP}
        client: Any = (
            {"allow_http": self.options[_PLAIN_HTTP].lower() in ("1", "true")} if _PLAIN_HTTP in self.options else None
        )
        self._bucket = S3Store(parts.netloc, prefix=self._prefix or None, config=config, client_options=client)
        self._cache = cache / hashlib.sha256(self._url.encode()).hexdigest()[:12]
        self._cache_bytes, self._cached_bytes, self._counting = cache_mb * 1_000_000, -1, Lock()

    def uri(self, table: str) -> str:
        return f"{self._url}/{table}"

    def lock(self, table: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the put of an entry decides
        return nullcontext()

    def present(self, table: str) -> bool:
        return bool(self._list(f"{table}/{LOG_FOLDER}/", first_only=True))

    def recover(self, table: str) -> list[str]:  # noqa: ARG002 - an object is there whole or not at all
        return []

    def unmoved(self, table: str, version: int, mark: object) -> bool:  # noqa: ARG002 - one listing tells all
        """One request: no entry stands behind this version's."""
        log = f"{table}/{LOG_FOLDER}/"
        after = log + entry_name(version) if version >= 0 else None
        return not any(name[0].isdigit() for name in self._list(log, after=after))

    def mark(self, table: str) -> object:  # noqa: ARG002 - `unmoved` needs none
        return None

    def write(self, dataset: Dataset, file: DataFile, rows: pa.Table) -> Written:
        sink = io.BytesIO()
        write_parquet(dataset, rows, sink)
        content, path = sink.getvalue(), f"{dataset.name}/{file.path}"
        try:
            obstore.put(self._bucket, path, content)
            written_at = obstore.head(self._bucket, path)["last_modified"]
        except (BaseError, OSError) as error:
            raise self._refused("write", path, error) from error
        self._keep(path, content)
        return Written(file, len(content), int(written_at.timestamp() * 1000))

    def missing(self, table: str, paths: Iterable[str]) -> list[str]:
        asked = list(paths)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            there = list(pool.map(lambda path: self._exists(f"{table}/{path}"), asked))
        return [path for path, found in zip(asked, there, strict=True) if not found]

    def delete(self, table: str, paths: Iterable[str]) -> None:
        names = [f"{table}/{path}" for path in paths]
        if names:
            try:
                obstore.delete(self._bucket, names)
            except FileNotFoundError:
                pass
            except (BaseError, OSError) as error:
                raise self._refused("delete files of", table, error) from error

    def readable(self, table: str, paths: Sequence[str]) -> list[str]:
        names = [f"{table}/{path}" for path in paths]
        absent = [name for name in names if not (self._cache / name).exists()]
        if absent:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(self._fetch, absent))
            self._evict(set(names))
        prefix = f"{self._cache}/"
        return [prefix + name for name in names]

    @property
    def readable_folder(self) -> str:
        return str(self._cache)

    def sync_entries(self, table: str, first: int, last: int) -> None:
        """Nothing to do: a put is durable once it is answered."""

    def sync_created(self, table: str) -> None:
        """Nothing to do: a put is durable once it is answered."""

    def sync_checkpoint(self, table: str, version: int) -> None:
        """Nothing to do: a put is durable once it is answered."""

    def checkpoint_version(self, table: str) -> int:
        said = self._get(f"{table}/{LOG_FOLDER}/{LAST_CHECKPOINT}")
        return int(json.loads(said)["version"]) if said else -1

    def unreferenced(self, table: str, live: Collection[str]) -> list[str]:
        found = (name for name in self._list(f"{table}/") if name.startswith("day=") and name.endswith(".parquet"))
        return sorted(path for path in found if path not in live)

    def read_note(self, name: str) -> bytes | None:
        return self._get(name)

    def write_note(self, name: str, content: bytes) -> None:
        try:
            obstore.put(self._bucket, name, content)
        except (BaseError, OSError) as error:
            raise self._refused("write", name, error) from error

    def check(self) -> list[tuple[str, str]]:
        try:
            self._list("", first_only=True)
        except WarehouseError as error:
            return [(str(error), "check the bucket's name, AWS_ENDPOINT_URL, AWS_REGION and the AWS credentials")]
        return []

    # --- within ------------------------------------------------------------------------------------------------

    def _list(self, folder: str, *, after: str | None = None, first_only: bool = False) -> list[str]:
        """Names below a folder, relative to it."""
        names: list[str] = []
        try:
            for page in obstore.list(self._bucket, folder or None, offset=after, chunk_size=1000):
                names += [entry["path"].removeprefix(folder) for entry in page]
                if first_only:
                    break
        except (BaseError, OSError) as error:
            raise self._refused("list", folder, error) from error
        return names

    def _exists(self, name: str) -> bool:
        try:
            obstore.head(self._bucket, name)
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise self._refused("look for", name, error) from error
        return True

    def _get(self, name: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._bucket, name).bytes())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise self._refused("read", name, error) from error

    def _fetch(self, name: str) -> None:
        content = self._get(name)
        if content is None:
            raise FileNotFoundError(name)
        self._keep(name, content)

    def _keep(self, name: str, content: bytes) -> None:
        """Put a copy into the cache, whole or not at all."""
        path = self._cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        fresh.write_bytes(content)
        fresh.replace(path)
        with self._counting:
            if self._cached_bytes >= 0:
                self._cached_bytes += len(content)

    def _evict(self, needed: set[str]) -> None:
        """Delete the oldest copies beyond the cache's size; a query that still reads one asks again."""
        with self._counting:
            if 0 <= self._cached_bytes <= self._cache_bytes:
                return
            copies = sorted((path for path in self._cache.rglob("*") if path.is_file()), key=os.path.getmtime)
            total = sum(path.stat().st_size for path in copies)
            for path in copies:
                if total <= self._cache_bytes:
                    break
                if path.relative_to(self._cache).as_posix() not in needed:
                    total -= path.stat().st_size
                    path.unlink(missing_ok=True)
            self._cached_bytes = total

    def _refused(self, what: str, name: str, error: Exception) -> WarehouseError:
        return WarehouseError(f"cannot {what} {self._url}/{name}: {error}")
