"""Writes `pricing/<provider>.json` and `general/<provider>.json`: `python -m pricing_configs.build`.

The prices come from the installed `genai-prices` package, under what `additions/` keeps by hand. The same inputs give
the same bytes. Prints what changed since the last build; `--check` writes nothing and exits 1 when something would.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices.data import providers
from genai_prices.types import ClauseEquals, ClauseOr, MatchLogic, ModelInfo, Provider

from pricing_configs.convert import default_entry, entry_of

HERE = Path(__file__).parent
SLUGS: dict[str, tuple[str, ...]] = {
    # our slug: the providers of genai-prices that it is made of; the first one that lists a model gives its price
    "anthropic": ("anthropic",),
    "arcee-ai": ("arcee",),
    "avian": ("avian",),
    "azure-ai": ("azure", "deepseek", "x-ai", "moonshotai", "anthropic"),
    "azure-openai": ("azure", "openai"),
    "baseten": ("baseten",),
    "bedrock": ("aws",),
    "cerebras": ("cerebras",),
    "cohere": ("cohere",),
    "cursor": ("cursor",),
    "databricks": ("databricks",),
    "deepseek": ("deepseek",),
    "doubleword": ("doubleword",),
    "elevenlabs": ("elevenlabs",),
    "fireworks-ai": ("fireworks",),
    "github-copilot": ("github-copilot",),
    "google": ("google",),
    "groq": ("groq",),
    "meta": ("meta",),
    "minimax": ("minimax",),
    "mistral-ai": ("mistral",),
    "modal": ("modal",),
    "moonshot": ("moonshotai",),
    "novita-ai": ("novita",),
    "openai": ("openai",),
    "openrouter": ("openrouter",),
    "ovhcloud": ("ovhcloud",),
    "perplexity-ai": ("perplexity",),
    "quicksilverpro": ("quicksilverpro",),
    "together-ai": ("together",),
    "typesafe": ("typesafe",),
    "vertex-ai": ("google", "anthropic"),
    "voyage": ("voyageai",),
    "workers-ai": ("cloudflare",),
    "x-ai": ("x-ai",),
    "z-ai": ("zai",),
    "zhipu": ("zhipuai",),
}
_BY_ID: dict[str, Provider] = {provider.id: provider for provider in providers}


def read(name: str) -> Any:
    """A file of `additions/`."""
    return json.loads((HERE / "additions" / name).read_text())


def pinned() -> tuple[str, str]:
    """(source text, date) of the package. Raises: SystemExit when another version is installed than was looked at."""
    source = read("sources.json")["genai-prices"]
    installed = version("genai-prices")
    if installed != source["version"]:
        raise SystemExit(
            f"genai-prices {installed} is installed, additions/sources.json says {source['version']}: "
            "set the version there, with the day it was taken as its as_of."
        )
    return f"genai-prices {installed}", source["as_of"]


def names_of(model: ModelInfo) -> list[str]:
    """Names that the package lists for a model; patterns are not names."""
    name = model.id.removeprefix("regional.")
    return list(dict.fromkeys([name, *_equals(model.match)]))


def _equals(match: MatchLogic) -> list[str]:
    if isinstance(match, ClauseEquals):
        return [match.equals]
    return [name for part in match.or_ for name in _equals(part)] if isinstance(match, ClauseOr) else []


def models_of(slug: str, extra_names: list[str]) -> dict[str, ModelInfo]:
    """Model name → what the package knows of it, for every name that the package itself takes for that model."""
    found: dict[str, ModelInfo] = {}
    for provider_id in SLUGS[slug]:
        provider = _BY_ID[provider_id]
        for model in provider.models:
            for name in names_of(model):
                if provider.find_model(name) is model:
                    found.setdefault(name, model)
        for name in extra_names:
            model = provider.find_model(name)
            if model is not None and not any(ref in name for ref in ("*", " ")):
                found.setdefault(name, model)
    for name in extra_names:
        if name not in found:
            raise SystemExit(f"additions/names.json: {slug}: no price is known for {name}")
    return found


def pricing_file(slug: str) -> dict[str, Any]:
    """The price file of a provider: additions over the package."""
    source, as_of = pinned()
    free: list[str] = read("free.json").get(slug, [])
    entries = {
        name: entry | {"source": source, "as_of": as_of}
        for name, model in sorted(models_of(slug, read("names.json").get(slug, [])).items())
        if (entry := entry_of(model, free=name.endswith(":free") or model.id in free)) is not None
    }
    additions = HERE / "additions" / f"{slug}.json"
    entries |= _load(additions)
    return {"default": default_entry() | {"source": "the formula of this project", "as_of": as_of}} | dict(
        sorted(entries.items())
    )


def general_file(slug: str) -> dict[str, Any]:
    """The capabilities file of a provider: what kind of model it is and how much context it takes."""
    source, as_of = pinned()
    known = models_of(slug, read("names.json").get(slug, []))
    entries: dict[str, Any] = {}
    for name, model in sorted(known.items()):
        entry: dict[str, Any] = {"name": model.name or name, "type": {"primary": kind_of(name), "supported": []}}
        if model.context_window:
            entry["context_window"] = model.context_window
        entries[name] = entry | {"source": source, "as_of": as_of}
    title = _BY_ID[SLUGS[slug][0]].name
    return {"name": slug, "description": f"Models of {title}."} | entries


def kind_of(name: str) -> str:
    """The kind of a model, told by its name: chat unless the name says otherwise."""
    kinds = {
        "embed": "embedding", "rerank": "rerank", "moderation": "moderation", "-ocr": "ocr", "whisper": "audio",
        "transcribe": "audio", "tts": "audio", "dall-e": "image", "gpt-image": "image", "-image": "image",
        "imagen": "image", "sora": "video", "veo": "video",
    }  # fmt: skip
    return next((kind for part, kind in kinds.items() if part in name.lower()), "chat")


def text_of(file: Mapping[str, Any]) -> str:
    """The text of a file: one line per model, so that a changed price is a changed line."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, default=_marked, ensure_ascii=False)}" for key, value in file.items()
    ]
    return _MARKED.sub(r"\1", "{\n" + ",\n".join(lines) + "\n}\n")


_MARKED = re.compile(r'"<number>([0-9.]+)"')


def _marked(number: object) -> str:
    """A Decimal as text that becomes a plain JSON number, digit by digit."""
    assert isinstance(number, Decimal)  # noqa: S101 - nothing else in a price file needs it
    return f"<number>{number:f}"


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(), parse_float=Decimal) if path.exists() else {}


def write(folder: Path, slug: str, file: Mapping[str, Any], *, check: bool) -> int:
    """Writes one file and prints how it differs from the one that was there; the number of differences."""
    path = folder / f"{slug}.json"
    before = _load(path)
    changes = [
        f"{'+' if key not in before else '-' if key not in file else '~'} {folder.name}/{slug}: {key}"
        for key in sorted(before.keys() | file.keys())
        if before.get(key) != file.get(key)
    ]
    for change in changes[:20]:
        print(change)
    if len(changes) > 20:
        print(f"… and {len(changes) - 20} more in {folder.name}/{slug}")
    if not check:
        path.write_text(text_of(file))
    return len(changes)


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    kinds: tuple[tuple[str, Callable[[str], dict[str, Any]]], ...] = (
        ("pricing", pricing_file),
        ("general", general_file),
    )
    changed = models = 0
    for slug in SLUGS:
        for folder, make in kinds:
            file = make(slug)
            changed += write(HERE / folder, slug, file, check=check)
            models += len(file) - 1 if folder == "pricing" else 0
    for folder, _ in kinds:
        for path in sorted((HERE / folder).glob("*.json")):
            if path.stem not in SLUGS:
                print(f"- {folder}/{path.stem}")
                changed += 1
                if not check:
                    path.unlink()
    print(f"{len(SLUGS)} providers, {models} models, {changed} changes")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
