"""Writes `additions/litellm.json`: what the price table of the `litellm` package says of the providers that we ship.

`python -m pricing_configs.extract <model_prices_and_context_window_backup.json>`. The package itself is never installed
here: its table is looked at once per version, the version, day and checksum are kept in `additions/sources.json`, and
the extract makes every later build the same without a network.
"""

import hashlib
import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from pricing_configs.litellm import CAPABILITIES, PROVIDERS, is_price
from pricing_configs.text import text_of

HERE = Path(__file__).parent
TARGET = HERE / "additions" / "litellm.json"
_VARIANT = re.compile(
    r"(low|medium|high|max|hd|standard|auto|\d+-x-\d+|[a-z]+-[a-z]+-\d|us-gov|us|eu|global[a-z-]*)/.*"
)
"""Keys that name a quality, a size or a region before the model: other prices of a model, not models."""
_NO_MODEL = re.compile(r".*[* ].*|(fireworks-ai|together-ai)-.*[0-9](b|moe)?.*|sample_spec|.*/commitment/.*")
_PREFIX_OF = {"amazon_nova": "amazon-nova", "vertex_ai": "vertex_ai", "bedrock_converse": "bedrock"}


def name_of(key: str, provider: str) -> str | None:
    """The name of a model in requests to its provider; None for a key that is no model."""
    prefix = _PREFIX_OF.get(provider, provider.partition("-")[0] if provider.startswith("vertex_ai") else provider)
    name = key.removeprefix(f"{prefix}/")
    if _NO_MODEL.fullmatch(name) or _VARIANT.fullmatch(name):
        return None
    if "/" in name and provider in ("azure", "bedrock", "bedrock_converse", "bedrock_mantle", "openai"):
        return None
    return name


def extract(table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Our slug → model → what the table says of it, as far as it is read."""
    slugs = {provider: slug for slug, found in PROVIDERS.items() for provider in found}
    extracted: dict[str, dict[str, Any]] = {slug: {} for slug in sorted(PROVIDERS)}
    for key, fields in sorted(table.items()):
        provider = fields.get("litellm_provider")
        name = name_of(key, provider) if provider in slugs else None
        if name is not None:
            wanted = {f: v for f, v in fields.items() if is_price(f) or f in CAPABILITIES}
            extracted[slugs[provider]].setdefault(name, wanted)
    return {f"{slug} {name}": fields for slug, models in extracted.items() for name, fields in sorted(models.items())}


def main(path: str) -> int:
    source = json.loads((HERE / "additions" / "sources.json").read_text())["litellm"]
    text = Path(path).read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    if digest != source["sha256"]:
        print(f"{path} has the checksum {digest}; additions/sources.json says {source['sha256']}")
        return 1
    table = extract(json.loads(text, parse_float=Decimal))
    TARGET.write_text(text_of(table))
    print(f"{len(table)} models of {len(PROVIDERS)} providers")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
