"""The source chain of model files: memory → proxy → log store → local files → files shipped with the package.

Source: dataplane contract 5.2. A level that fails falls through to the next one, and what it said before is served
while it fails; `Sources.statuses` and `PriceBook.problems` report it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import httpx2

from warehouse.errors import ConfigurationError, PricingError
from warehouse.logstore.access import log_store_url
from warehouse.pricing.book import PriceBook, PriceLevel
from warehouse.pricing.capabilities import parse_capabilities
from warehouse.pricing.config import parse_provider
from warehouse.pricing.files import Library, merged_capabilities, merged_prices
from warehouse.pricing.origins import FolderOrigin, Kind, ProxyOrigin, checked_url, proxy_client, store_origin
from warehouse.pricing.remembered import LevelStatus, RememberedLevel
from warehouse.settings import WarehouseSettings

MEMORY = timedelta(hours=1)
"""How long an answer of a proxy or a log store counts."""
FOLDER_MEMORY = timedelta(seconds=10)
BOOK_LIFETIME = timedelta(minutes=1)
PROXY_PATIENCE_S, STORE_PATIENCE_S = 8.0, 12.0
KINDS: tuple[Kind, ...] = ("pricing", "general")
LEVELS: Mapping[str, str] = {
    "proxy": "MODEL_CONFIGS_PROXY_FETCH_ENABLED=ON and MODEL_CONFIGS_PROXY_URL",
    "log-store": "MODEL_CONFIGS_{}_LOG_STORE_PATH",
    "local": "MODEL_CONFIGS_{}_LOCAL_PATH",
    "shipped": "",
}
"""Every level, first asked first, and the setting that turns it on."""
_WORDS: Mapping[Kind, str] = {"pricing": "PRICING", "general": "CAPABILITIES"}


@dataclass(frozen=True, slots=True)
class FolderLevel:
    """A folder of price files, read anew each time."""

    name: str
    folder: Path

    def providers(self) -> Sequence[str]:
        return FolderOrigin(self.name, self.folder).providers() if self.folder.is_dir() else ()

    def read(self, provider: str) -> bytes | None:
        return FolderOrigin(self.name, self.folder).fetch(provider)


def shipped_level(kind: Kind = "pricing") -> PriceLevel:
    """The files of the package."""
    return FolderLevel("shipped", Path(str(files("pricing_configs") / kind)))


def open_book(local_path: Path | None) -> PriceBook:
    """The price book without servers: local files over shipped ones, model by model.

    Raises: ConfigurationError when the local path is set and is no folder.
    """
    local = () if local_path is None else (FolderLevel("local", _folder(local_path, "pricing")),)
    return PriceBook([*local, shipped_level()])


class Sources:
    """The levels of both kinds of files. Safe to share between threads; lives as long as its process."""

    def __init__(
        self, levels: Mapping[Kind, Sequence[PriceLevel]], clock: Callable[[], datetime], client: httpx2.Client | None
    ) -> None:
        self._levels, self._clock, self._client = levels, clock, client
        self._lock = threading.Lock()
        self._book: tuple[datetime, PriceBook] | None = None
        self.prices = Library(levels["pricing"], merged_prices)
        self.capabilities = Library(levels["general"], merged_capabilities)

    def book(self) -> PriceBook:
        """The price book in force: the same one for a minute, then made anew from what the levels have by then."""
        now = self._clock()
        with self._lock:
            if self._book is None or abs(now - self._book[0]) >= BOOK_LIFETIME:
                self._book = now, PriceBook(self._levels["pricing"])
            return self._book[1]

    def levels(self, kind: Kind = "pricing") -> Sequence[PriceLevel]:
        """The levels that are configured, first asked first."""
        return self._levels[kind]

    def statuses(self, kind: Kind = "pricing") -> list[LevelStatus]:
        """How the levels with a memory do, without asking them."""
        return [level.status() for level in self._levels[kind] if isinstance(level, RememberedLevel)]

    def close(self) -> None:
        """Give back the connections."""
        if self._client is not None:
            self._client.close()


def open_sources(settings: WarehouseSettings, clock: Callable[[], datetime], environment: Mapping[str, str]) -> Sources:
    """The source chain that the settings name. Nothing is asked of any level yet.

    Raises: ConfigurationError for a setting that cannot be meant.
    """
    client: httpx2.Client | None = None
    url = settings.model_configs_proxy_url
    if settings.model_configs_proxy_fetch_enabled:
        if url is None:
            raise ConfigurationError("MODEL_CONFIGS_PROXY_FETCH_ENABLED=ON needs MODEL_CONFIGS_PROXY_URL")
        checked_url(url.get_secret_value())
        client = proxy_client()
    store = settings.log_store_url.get_secret_value() if settings.log_store_url else None
    levels: dict[Kind, list[PriceLevel]] = {}
    for kind in KINDS:
        check = _looks_right(kind)
        levels[kind] = chain = []
        if client is not None and url is not None:
            origin = ProxyOrigin(url.get_secret_value(), kind, client, check)
            chain.append(
                RememberedLevel(origin, lifetime=MEMORY, clock=clock, check=check, patience_s=PROXY_PATIENCE_S)
            )
        if path := _log_store_path(settings, kind):
            setting = setting_of("log-store", kind)
            origin = store_origin(path, store or log_store_url(environment), environment, setting)
            chain.append(
                RememberedLevel(origin, lifetime=MEMORY, clock=clock, check=check, patience_s=STORE_PATIENCE_S)
            )
        if (folder := _local_path(settings, kind)) is not None:
            origin = FolderOrigin("local", _folder(folder, kind))
            chain.append(RememberedLevel(origin, lifetime=FOLDER_MEMORY, clock=clock, check=check))
        chain.append(shipped_level(kind))
    return Sources(levels, clock, client)


def setting_of(level: str, kind: Kind) -> str:
    """The setting that turns a level on."""
    return LEVELS[level].format(_WORDS[kind])


def _log_store_path(settings: WarehouseSettings, kind: Kind) -> str | None:
    both = settings.model_configs_pricing_log_store_path, settings.model_configs_capabilities_log_store_path
    return both[KINDS.index(kind)]


def _local_path(settings: WarehouseSettings, kind: Kind) -> Path | None:
    both = settings.model_configs_pricing_local_path, settings.model_configs_capabilities_local_path
    return both[KINDS.index(kind)]


def _folder(path: Path, kind: Kind) -> Path:
    if not path.is_dir():
        raise ConfigurationError(f"{setting_of('local', kind)}: {path} is not a folder of <provider>.json files")
    return path


def _looks_right(kind: Kind) -> Callable[[str, bytes], object]:
    return _check_prices if kind == "pricing" else parse_capabilities


def _check_prices(provider: str, text: bytes) -> None:
    """Raises: PricingError for a JSON text that prices nothing, such as an error message."""
    parsed = parse_provider(provider, text)
    entries = [entry for entry in parsed.raw.values() if isinstance(entry, Mapping)]
    if not any("pricing_config" in entry or "custom_pricing" in entry for entry in entries):
        raise PricingError(f"not a price file of {provider}: no entry in it has a price")
