"""Where price files come from: a local folder over the files shipped with the package.

Source: dataplane contract 5.2. A level that fails falls through to the next one; `PriceBook.problems` reports it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from warehouse.errors import ConfigurationError
from warehouse.pricing.book import PriceBook, PriceLevel
from warehouse.pricing.names import PROVIDER_ALIASES, provider_slug

_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class FolderLevel:
    """Files `<provider>.json` of a folder; a file named by an alias (`open-ai.json`) serves its provider."""

    name: str
    folder: Traversable

    def providers(self) -> Sequence[str]:
        if not self.folder.is_dir():
            return ()
        stems = [entry.name.removesuffix(_SUFFIX) for entry in self.folder.iterdir() if entry.name.endswith(_SUFFIX)]
        return sorted({provider_slug(stem) for stem in stems})

    def read(self, provider: str) -> bytes | None:
        if not provider.replace("-", "").replace(".", "").isalnum() or provider.startswith("."):
            return None  # a provider's name comes from a log record: it may not walk through the file system
        for stem in (provider, *(alias for alias, slug in PROVIDER_ALIASES.items() if slug == provider)):
            entry = self.folder / f"{stem}{_SUFFIX}"
            if entry.is_file():
                return entry.read_bytes()
        return None


def shipped_level() -> PriceLevel:
    """The price files of the package."""
    return FolderLevel("shipped", files("pricing_configs") / "pricing")


def open_book(local_path: Path | None) -> PriceBook:
    """The price book: local files over shipped ones, model by model.

    Raises: ConfigurationError when the local path is set and is no folder.
    """
    levels: list[PriceLevel] = []
    if local_path is not None:
        if not local_path.is_dir():
            raise ConfigurationError(
                f"MODEL_CONFIGS_PRICING_LOCAL_PATH: {local_path} is not a folder of <provider>.json files"
            )
        levels.append(FolderLevel("local", local_path))
    return PriceBook([*levels, shipped_level()])
