"""Writes `pricing/<provider>.json` and `general/<provider>.json`: `python -m pricing_configs.build`.

The prices come from the installed `genai-prices` package, then from the extract of litellm's price table, both under
what `additions/` keeps by hand. The same inputs give the same bytes. Prints what changed since the last build;
`--check` writes nothing and exits 1 when something would.
"""

import json
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices.data import providers
from genai_prices.types import ClauseEquals, ClauseOr, MatchLogic, ModelInfo, Provider

from pricing_configs import litellm
from pricing_configs.convert import default_entry, entry_of
from pricing_configs.text import text_of
from warehouse.pricing.differences import rates_of

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
REGIONAL = {"azure-ai", "bedrock"}
"""Providers that resell models of others, at prices of their own by region."""
ALL = sorted({*SLUGS, *litellm.PROVIDERS})
"""Every provider that may get files."""
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


@cache
def second_table() -> dict[str, dict[str, dict[str, Any]]]:
    """Slug → model → what the extract of litellm says of it."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for key, fields in _load(HERE / "additions" / "litellm.json").items():
        slug, _, name = key.partition(" ")
        found.setdefault(slug, {})[name] = fields
    return found


def second_source(fields: Mapping[str, Any]) -> dict[str, str]:
    """`source` and `as_of` of an entry that is made from the extract."""
    source, page = read("sources.json")["litellm"], litellm.page_of(fields)
    return {"source": f"litellm {source['version']}" + (f", {page}" if page else ""), "as_of": source["as_of"]}


def second_prices(slug: str) -> dict[str, Any]:
    """Entries for the names that only the extract lists.

    A name that the package knows by a pattern has the package's entry where both say the same price of a token. Where
    they differ nothing is said, but for `REGIONAL` providers: there the listed name is another region's price.
    """
    source, as_of = pinned()
    first = [_BY_ID[provider_id] for provider_id in SLUGS.get(slug, ())]
    entries: dict[str, Any] = {}
    for name, fields in second_table().get(slug, {}).items():
        entry = litellm.price_entry(fields)
        model = next(filter(None, (provider.find_model(name) for provider in first)), None)
        by_pattern = None if model is None else entry_of(model, free=False)
        if entry is not None and by_pattern is not None and _token_prices(entry) == _token_prices(by_pattern):
            entries[name] = by_pattern | {"source": source, "as_of": as_of}
        elif entry is not None and (model is None or slug in REGIONAL):
            entries[name] = entry | second_source(fields)
    return entries


def _token_prices(entry: Mapping[str, Any]) -> list[Any]:
    rates = entry["pricing_config"]["pay_as_you_go"]
    return [rates.get(rate) for rate in ("request_token", "response_token")]


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
    for provider_id in SLUGS.get(slug, ()):
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
    entries = second_prices(slug) | entries | _load(HERE / "additions" / f"{slug}.json")
    return {"default": default_entry() | {"source": "the formula of this project", "as_of": as_of}} | dict(
        sorted(entries.items())
    )


def general_file(slug: str) -> dict[str, Any]:
    """The capabilities file of a provider, for every model that is priced: its kind, its context, what it takes."""
    source, as_of = pinned()
    known = models_of(slug, read("names.json").get(slug, []))
    second = second_table().get(slug, {})
    entries: dict[str, Any] = {}
    priced = pricing_file(slug)
    for name in sorted({*known, *priced} - {"default"}):
        model, fields = known.get(name), second.get(name, {})
        said = litellm.capability_entry(fields)
        entry: dict[str, Any] = {"name": (model.name if model else "") or name}
        entry["type"] = said.pop("type", None) or {"primary": kind_of(name), "supported": []}
        if model and model.context_window:
            entry["context_window"] = model.context_window
        sources = [source] * bool(model) + [second_source(fields)["source"]] * bool(fields)
        entries[name] = said | entry | {"source": "; ".join(sources) or priced[name]["source"], "as_of": as_of}
    title = _BY_ID[SLUGS[slug][0]].name if slug in SLUGS else slug
    return {"name": slug, "description": f"Models of {title}."} | entries


def kind_of(name: str) -> str:
    """The kind of a model, told by its name: chat unless the name says otherwise."""
    kinds = {
        "embed": "embedding", "rerank": "rerank", "moderation": "moderation", "-ocr": "ocr", "whisper": "audio",
        "transcribe": "audio", "tts": "audio", "dall-e": "image", "gpt-image": "image", "-image": "image",
        "imagen": "image", "sora": "video", "veo": "video",
    }  # fmt: skip
    return next((kind for part, kind in kinds.items() if part in name.lower()), "chat")


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(), parse_float=Decimal) if path.exists() else {}


def changed_rates(old: Any, new: Any) -> str:
    """What differs within an entry that was there before, as far as it fits on a line."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return ""
    before, after = rates_of(old), rates_of(new)
    changed = [rate for rate in sorted(before.keys() | after.keys()) if before.get(rate) != after.get(rate)]
    told = [f"{rate} {before.get(rate, '-')} → {after.get(rate, '-')}" for rate in changed[:4]]
    return " " + ", ".join([*told, *(["…"] if len(changed) > 4 else [])]) if told else " (source or date)"


def write(folder: Path, slug: str, file: Mapping[str, Any], *, check: bool) -> int:
    """Writes one file and prints how it differs from the one that was there; the number of differences."""
    path = folder / f"{slug}.json"
    before = _load(path)
    after = json.loads(text_of(file), parse_float=Decimal)
    changes = [
        f"{'+' if key not in before else '-' if key not in after else '~'} {folder.name}/{slug}: {key}"
        f"{changed_rates(before.get(key), after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
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
    slugs = [slug for slug in ALL if len(pricing_file(slug)) > 1]
    for slug in slugs:
        for folder, make in kinds:
            file = make(slug)
            changed += write(HERE / folder, slug, file, check=check)
            models += len(file) - 1 if folder == "pricing" else 0
    for folder, _ in kinds:
        for path in sorted((HERE / folder).glob("*.json")):
            if path.stem not in slugs:
                print(f"- {folder}/{path.stem}")
                changed += 1
                if not check:
                    path.unlink()
    print(f"{len(slugs)} providers, {models} models, {changed} changes")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
