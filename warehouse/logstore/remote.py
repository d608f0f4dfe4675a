"""A log store in a bucket of S3, Google Cloud Storage or Azure, through obstore."""

import io
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urlsplit

import obstore
from obstore.store import AzureStore, GCSStore, S3Store

from warehouse.errors import ConfigurationError
from warehouse.logstore.access import Access, access_of
from warehouse.logstore.refusals import refusal
from warehouse.logstore.store import REMOTE_SCHEMES, LogStore, StoredObject

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CHUNK_BYTES = 8 << 20
"""What one request of a stream asks for: large enough to be fast, small enough to end within the time limit."""

_LIST_CHUNK = 1000
_ONE_REQUEST_BYTES = 64 << 20
_CLIENT: "ClientConfig" = {"connect_timeout": timedelta(seconds=3), "timeout": timedelta(seconds=30)}
_RETRY: "RetryConfig" = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=2), "base": 2},
}
"""A host that does not answer is reported after about ten seconds, not after obstore's three minutes."""


class RemoteStore(LogStore):
    """Objects below a prefix of a bucket."""

    remote = True

    def __init__(self, url: str, store: S3Store | GCSStore | AzureStore, access: Access) -> None:
        self.url = url
        self._store = store
        self._access = access

    @classmethod
    def at(cls, url: str, environment: Mapping[str, str]) -> "RemoteStore":
        """The store at a URL `scheme://bucket[/prefix]`; asks nothing of it yet. Raises: ConfigurationError."""
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ConfigurationError("A log store URL holds no credentials; put them in the environment variables.")
        if not parts.netloc or parts.query or parts.fragment:
            raise ConfigurationError(
                f"{url} is no log store URL; write {parts.scheme}://bucket or {parts.scheme}://bucket/prefix."
            )
        scheme = REMOTE_SCHEMES[parts.scheme]
        access = access_of(scheme, environment)
        prefix = parts.path.strip("/")
        clean = f"{scheme}://{parts.netloc}" + (f"/{prefix}" if prefix else "")
        try:
            return cls(clean, _build(access, parts.netloc, prefix or None), access)
        except (obstore.exceptions.BaseError, OSError) as error:
            raise refusal(error, "open", clean, access) from None

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        try:
            for chunk in obstore.list(self._store, prefix.strip("/") or None, chunk_size=_LIST_CHUNK):
                for meta in chunk:
                    yield _stored(cast("dict[str, Any]", meta))
        except (obstore.exceptions.BaseError, OSError) as error:
            raise refusal(error, "list", self.location(prefix), self._access) from None

    def find(self, path: str) -> StoredObject | None:
        try:
            return _stored(cast("dict[str, Any]", obstore.head(self._store, path)))
        except FileNotFoundError:
            return None
        except (obstore.exceptions.BaseError, OSError) as error:
            raise refusal(error, "read", self.location(path), self._access) from None

    def read(self, path: str) -> bytes:
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except (obstore.exceptions.BaseError, OSError) as error:
            raise refusal(error, "read", self.location(path), self._access) from None

    def stream(self, found: StoredObject) -> BinaryIO:
        if found.size <= CHUNK_BYTES:
            return io.BytesIO(self.read(found.path))
        return cast("BinaryIO", io.BufferedReader(_Ranges(self, found), CHUNK_BYTES))

    def put(self, path: str, data: bytes) -> None:
        try:
            obstore.put(self._store, path, data, use_multipart=len(data) > _ONE_REQUEST_BYTES)
        except (obstore.exceptions.BaseError, OSError) as error:
            raise refusal(error, "write", self.location(path), self._access) from None

    def read_range(self, found: StoredObject, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of the very object that was found. Raises: SourceError, also when it changed since."""
        try:
            got = obstore.get(self._store, found.path, options={"range": (start, end), "if_match": _quoted(found.etag)})
            return bytes(got.bytes())
        except (obstore.exceptions.BaseError, OSError) as error:
            raise refusal(error, "read", self.location(found.path), self._access) from None


class _Ranges(io.RawIOBase):
    """An object read by one request per buffer, so that no request outlives its time limit."""

    def __init__(self, store: RemoteStore, found: StoredObject) -> None:
        super().__init__()
        self._store, self._found, self._at = store, found, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._found.size)
        if end == self._at:
            return 0
        data = self._store.read_range(self._found, self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _build(access: Access, bucket: str, prefix: str | None) -> S3Store | GCSStore | AzureStore:
    client: ClientConfig = {**_CLIENT, "allow_http": access.allow_http}
    config = cast("Any", dict(access.config))
    if access.kind == "gs":
        return GCSStore(bucket, prefix=prefix, config=config, client_options=client, retry_config=_RETRY)
    if access.kind == "az":
        return AzureStore(bucket, prefix=prefix, config=config, client_options=client, retry_config=_RETRY)
    if access.keys is None:
        return S3Store(bucket, prefix=prefix, config=config, client_options=client, retry_config=_RETRY)
    key, secret, token = access.keys

    def given() -> Any:
        return {"access_key_id": key, "secret_access_key": secret, "token": token or None, "expires_at": None}

    return S3Store(
        bucket, prefix=prefix, config=config, client_options=client, retry_config=_RETRY, credential_provider=given
    )


def _stored(meta: dict[str, Any]) -> StoredObject:
    etag = str(meta["e_tag"] or "").strip('"')
    return StoredObject(meta["path"], meta["size"], etag, meta["last_modified"])


def _quoted(etag: str) -> str | None:
    return f'"{etag}"' if etag else None
