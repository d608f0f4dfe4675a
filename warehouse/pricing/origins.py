"""Where model files come from: a proxy, a log store, folders. Each gives the text of one provider's file, or None.

Source: dataplane contract 5.2. An origin keeps nothing; `remembered.py` puts memory, limits and
back-off in front of it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Literal, Protocol
from urllib.parse import quote, urlsplit

import httpx2

from warehouse.errors import ConfigurationError, InvalidInput, PricingError, SourceError
from warehouse.logstore.store import LogStore
from warehouse.pricing.names import PROVIDER_ALIASES, provider_slug

Kind = Literal["pricing", "general"]

MAX_BYTES = 16 << 20
"""The largest file that is taken; the largest known one has 2 MB."""
SUFFIX = ".json"
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 2.0, 4.0
_ABSENT = frozenset({400, 403, 404, 405, 410})
"""What hosts of plain files answer for a file that they don't have; 403 is how a bucket says it."""
_SLUG = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")


class Unreachable(PricingError):
    """The whole origin does not answer: asking it for another provider is no use for now."""


class Origin(Protocol):
    """A place of model files."""

    @property
    def name(self) -> str: ...

    @property
    def where(self) -> str:
        """For people: a URL without credentials, or a folder."""
        ...

    def providers(self) -> Sequence[str]:
        """Slugs of the providers it has, where it can tell. Raises: OSError, GateledgerError."""
        ...

    def fetch(self, provider: str) -> bytes | None:
        """The text of a provider's file, None when it has none. Raises: OSError, GateledgerError."""
        ...


def stems(provider: str) -> Iterator[str]:
    """Names that a provider's file may have: its slug, then its aliases. None for what cannot be a file's name."""
    if _SLUG.fullmatch(provider) and ".." not in provider:  # the name comes from a log record: it may not walk about
        yield provider
        yield from (alias for alias, slug in PROVIDER_ALIASES.items() if slug == provider)


@dataclass(frozen=True, slots=True)
class FolderOrigin:
    """Files `<provider>.json` of a folder; a file named by an alias (`open-ai.json`) serves its provider."""

    name: str
    folder: Traversable

    @property
    def where(self) -> str:
        return str(self.folder)

    def providers(self) -> Sequence[str]:
        found = [entry.name.removesuffix(SUFFIX) for entry in self._files() if entry.name.endswith(SUFFIX)]
        return sorted({provider_slug(stem) for stem in found})

    def fetch(self, provider: str) -> bytes | None:
        self._files()
        for stem in stems(provider):
            entry = self.folder / f"{stem}{SUFFIX}"
            if entry.is_file():
                return entry.read_bytes()
        return None

    def _files(self) -> Iterator[Traversable]:
        if not self.folder.is_dir():
            raise Unreachable(f"{self.folder} is not there, or no folder")
        return self.folder.iterdir()


class StoreOrigin:
    """Files `{path}/{provider}.json` of a log store."""

    def __init__(self, name: str, path: str, open_store: Callable[[], LogStore], where: str) -> None:
        self.name, self.where = name, where
        self._path, self._open = path.strip("/"), open_store
        self._opened: LogStore | None = None

    def providers(self) -> Sequence[str]:
        found = (each.path.rsplit("/", 1)[-1] for each in self._store().list(self._path))
        return sorted({provider_slug(name.removesuffix(SUFFIX)) for name in found if name.endswith(SUFFIX)})

    def fetch(self, provider: str) -> bytes | None:
        try:
            store = self._store()
            for stem in stems(provider):
                path = f"{self._path}/{stem}{SUFFIX}".lstrip("/")
                if (found := store.find(path)) is not None:
                    if found.size > MAX_BYTES:
                        raise PricingError(f"{store.location(path)} has {found.size:,} bytes; {MAX_BYTES:,} are taken")
                    return store.read(path)
        except (SourceError, ConfigurationError, InvalidInput, OSError) as error:
            raise Unreachable(str(error)) from error
        return None

    def _store(self) -> LogStore:
        if self._opened is None:
            self._opened = self._open()
        return self._opened


class ProxyOrigin:
    """Files `{url}/{kind}/{provider}` of an HTTP service, with `.json` or, where that is not known, without."""

    name = "proxy"

    def __init__(
        self, url: str, kind: Kind, client: httpx2.Client, looks_right: Callable[[str, bytes], object]
    ) -> None:
        self._url, self._kind, self._client = url.rstrip("/"), kind, client
        self._looks_right = looks_right
        self._suffixes: tuple[str, ...] = (SUFFIX, "")

    @property
    def where(self) -> str:
        return f"{without_credentials(self._url)}/{self._kind}"

    def providers(self) -> Sequence[str]:
        return ()  # the contract has no list of them

    def fetch(self, provider: str) -> bytes | None:
        garbage: PricingError | None = None
        for stem in stems(provider):
            for suffix in self._suffixes:
                text = self._get(f"{self._url}/{self._kind}/{quote(stem, safe='')}{suffix}")
                if text is None:
                    continue
                try:
                    self._looks_right(provider, text)
                except PricingError as error:
                    garbage = garbage or error  # a page for people at one spelling; the other may be the file
                    continue
                self._suffixes = (suffix,)
                return text
        if garbage is not None:
            raise garbage
        return None

    def _get(self, url: str) -> bytes | None:
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code in _ABSENT:
                    return None
                if not response.is_success:
                    raise Unreachable(f"status {response.status_code}")
                return _bounded(response)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error


def _bounded(response: httpx2.Response) -> bytes:
    text = bytearray()
    for chunk in response.iter_bytes():
        text += chunk
        if len(text) > MAX_BYTES:
            raise PricingError(f"the answer has more than {MAX_BYTES:,} bytes")
    return bytes(text)


def proxy_client() -> httpx2.Client:
    """A client whose every step has a short time limit."""
    timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    headers = {"accept": "application/json", "user-agent": "gateledger"}
    return httpx2.Client(timeout=timeout, headers=headers, follow_redirects=True, max_redirects=3)


def checked_url(url: str) -> str:
    """The URL of a proxy. Raises: ConfigurationError when it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(
            f"MODEL_CONFIGS_PROXY_URL: {without_credentials(url)!r} is no http:// or https:// URL without a query"
        )
    return url


def without_credentials(url: str) -> str:
    """A URL as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl()


def store_origin(path: str, log_store_url: str | None, environment: Mapping[str, str], setting: str) -> StoreOrigin:
    """The origin for `setting`: a path below the log store, or a store of its own by a whole URL.

    Raises: ConfigurationError when a path is given and no log store.
    """
    if "://" in path:
        return StoreOrigin("log-store", "", lambda: LogStore.open(path, environment), path)
    if log_store_url is None:
        raise ConfigurationError(f"{setting}: a path below the log store needs LOG_STORE_URL; or give a whole URL")
    return StoreOrigin(
        "log-store", path, lambda: LogStore.open(log_store_url, environment), f"{log_store_url.rstrip('/')}/{path}"
    )
