"""An entry of litellm's price table → an entry of a price file or of a capabilities file. USD per token → cents.

A model with a price that no rate is known for gets no price at all: half a price is a wrong one. What only adds a mode
of processing that price files have no word for is left out.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

PROVIDERS: dict[str, tuple[str, ...]] = {
    # our slug: what litellm calls it
    "ai21": ("ai21",),
    "aihubmix": ("aihubmix",),
    "amazon-nova": ("amazon_nova",),
    "anthropic": ("anthropic",),
    "anyscale": ("anyscale",),
    "azure-ai": ("azure_ai",),
    "azure-openai": ("azure", "azure_text"),
    "baseten": ("baseten",),
    "bedrock": ("bedrock", "bedrock_converse"),
    "bedrock-mantle": ("bedrock_mantle",),
    "black-forest-labs": ("black_forest_labs",),
    "cerebras": ("cerebras",),
    "cohere": ("cohere", "cohere_chat"),
    "cortex": ("snowflake",),
    "crusoe": ("crusoe",),
    "dashscope": ("dashscope",),
    "databricks": ("databricks",),
    "deepinfra": ("deepinfra",),
    "deepseek": ("deepseek",),
    "elevenlabs": ("elevenlabs",),
    "fal-ai": ("fal_ai",),
    "featherless-ai": ("featherless_ai",),
    "fireworks-ai": ("fireworks_ai", "fireworks_ai-embedding-models"),
    "friendliai": ("friendliai",),
    "gmi": ("gmi",),
    "google": ("gemini",),
    "gradient-ai": ("gradient_ai",),
    "groq": ("groq",),
    "heroku": ("heroku",),
    "hyperbolic": ("hyperbolic",),
    "inception": ("inception",),
    "lambda": ("lambda_ai",),
    "meta": ("meta",),
    "minimax": ("minimax",),
    "mistral-ai": ("mistral",),
    "moonshot": ("moonshot",),
    "morph": ("morph",),
    "nebius": ("nebius",),
    "novita-ai": ("novita",),
    "nscale": ("nscale",),
    "openai": ("openai", "text-completion-openai"),
    "oracle": ("oci",),
    "ovhcloud": ("ovhcloud",),
    "perplexity-ai": ("perplexity",),
    "publicai": ("publicai",),
    "recraft-ai": ("recraft",),
    "replicate": ("replicate",),
    "sambanova": ("sambanova",),
    "scaleway": ("scaleway",),
    "stability-ai": ("stability",),
    "tencent": ("tencent",),
    "together-ai": ("together_ai",),
    "v0": ("v0",),
    "vercel": ("vercel_ai_gateway",),
    "vertex-ai": (
        "vertex_ai",
        *(f"vertex_ai-{part}" for part in ("anthropic_models", "language-models", "mistral_models", "llama_models",
          "embedding-models", "ai21_models", "deepseek_models", "qwen_models", "zai_models", "openai_models",
          "minimax_models", "moonshot_models", "text-models", "video-models")),
    ),
    "volcengine": ("volcengine",),
    "voyage": ("voyage",),
    "wandb": ("wandb",),
    "watsonx": ("watsonx",),
    "workers-ai": ("cloudflare",),
    "x-ai": ("xai",),
    "z-ai": ("zai",),
}  # fmt: skip
CAPABILITIES = {
    "mode", "max_input_tokens", "max_output_tokens", "source", "supports_function_calling", "supports_vision",
    "supports_pdf_input", "supports_audio_input", "supports_video_input", "supports_prompt_caching",
}  # fmt: skip
"""Fields of the table that are read beside prices."""

_RATES = {
    "input_cost_per_token": "request_token",
    "output_cost_per_token": "response_token",
    "cache_read_input_token_cost": "cache_read_input_token",
    "input_cost_per_token_cache_hit": "cache_read_input_token",
    "cache_creation_input_token_cost": "cache_write_input_token",
    "cache_creation_input_token_cost_above_1hr": "additional_units.cache_write_1h",
    "input_cost_per_audio_token": "request_audio_token",
    "output_cost_per_audio_token": "response_audio_token",
    "cache_read_input_audio_token_cost": "cache_read_audio_input_token",
    "input_cost_per_image_token": "request_image_token",
    "output_cost_per_image_token": "response_image_token",
    "cache_read_input_image_token_cost": "cache_read_image_input_token",
    "output_cost_per_reasoning_token": "reasoning_token",
    "google_maps_grounding_cost_per_query": "additional_units.maps",
}
_MODES = {"": "standard", "batches": "batch", "priority": "priority", "flex": "flex"}
_KEY = re.compile(r"(?P<base>.+?)(?:_above_(?P<above>\d+)k_tokens)?(?:_(?P<mode>batches|priority|flex))?")
_LEFT_OUT = re.compile(r".*_(ultrafast|balanced|decisions)|.*_above_12hr.*|(input|output)_dbu_cost_per_token")
"""Other modes, cache times that no usage tells of, and the same prices in another currency."""
_SUPPORTED = {
    "supports_function_calling": "tools",
    "supports_vision": "image",
    "supports_pdf_input": "pdf",
    "supports_audio_input": "audio",
    "supports_video_input": "video",
    "supports_prompt_caching": "cache_control",
}
_KINDS = {
    "chat": "chat", "completion": "text", "embedding": "embedding", "image_generation": "image", "image_edit": "image",
    "audio_transcription": "audio", "audio_speech": "audio", "moderation": "moderation", "rerank": "rerank",
    "video_generation": "video", "responses": "responses", "ocr": "ocr", "realtime": "realtime", "search": "search",
}  # fmt: skip
_WITHOUT_OUTPUT = frozenset({"embedding", "rerank", "moderation"})
_DIGITS = Context(prec=10)
"""The table holds results of float divisions: what lies beyond ten digits is noise."""
Table = dict[str, Decimal]
Tables = dict[tuple[str, int], Table]


def is_price(field: str) -> bool:
    """Whether a field of the table is about money."""
    return "cost" in field or "pricing" in field or "uplift" in field or field == "provider_specific_entry"


def price_entry(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entry of a price file; None when not all prices of the model are understood, or it has none."""
    if "output_cost_per_image" in fields:
        return _image_entry(fields)
    tables = _tables(fields)
    if tables is None:
        return None
    base = tables[("standard", 0)]
    enough = {"request_token"} if fields.get("mode") in _WITHOUT_OUTPUT else {"request_token", "response_token"}
    if not enough <= base.keys() or not any(base.values()):
        return None
    config: dict[str, Any] = {"pay_as_you_go": _table(base)}
    thresholds = sorted({above for _, above in tables if above})
    modes = {mode for mode, above in tables if above == 0} - {"standard"}
    if not thresholds and "batch" in modes:
        config["batch_config"] = _table(tables[("batch", 0)])
        modes.discard("batch")
    custom = _custom(tables, thresholds, modes)
    return {"pricing_config": config} | ({"custom_pricing": custom} if custom else {})


def capability_entry(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of a model besides prices, as fields of a capabilities entry."""
    entry: dict[str, Any] = {}
    if (kind := _KINDS.get(fields.get("mode", ""))) is not None:
        known = {word: fields[field] for field, word in _SUPPORTED.items() if isinstance(fields.get(field), bool)}
        entry["type"] = {"primary": kind, "supported": [word for word, yes in known.items() if yes]}
        if unsupported := [word for word, yes in known.items() if not yes]:
            entry["type"]["unsupported"] = unsupported
    if context := _count(fields.get("max_input_tokens")):
        entry["context_window"] = context
    if longest := _count(fields.get("max_output_tokens")):
        entry["params"] = [{"key": "max_tokens", "maxValue": longest}]
    return entry


def page_of(fields: Mapping[str, Any]) -> str:
    """The page that the table names for a model, without its scheme; empty when it names none."""
    page = fields.get("source")
    return page.split("://", 1)[1].rstrip("/") if isinstance(page, str) and page.startswith("http") else ""


def _tables(fields: Mapping[str, Any]) -> Tables | None:
    """(mode, tokens above which it counts) → rates; None when there is a price that no rate is known for."""
    tables: Tables = defaultdict(dict)
    for field, value in fields.items():
        if not is_price(field) or value is None or value == 0 or _LEFT_OUT.fullmatch(field):
            continue
        if field == "tiered_pricing":
            if not _tiers(value, tables):
                return None
            continue
        if field == "search_context_cost_per_query":
            prices = set(value.values()) if isinstance(value, Mapping) else {value}
            if len(prices) != 1:
                return None
            tables[("standard", 0)]["additional_units.web_search"] = _cents(prices.pop())
            continue
        match = _KEY.fullmatch(field)
        rate = _RATES.get(match["base"]) if match else None
        if match is None or rate is None or not isinstance(value, int | float | Decimal):
            return None
        tables[(_MODES[match["mode"] or ""], int(match["above"] or 0) * 1000)][rate] = _cents(value)
    _free_parts(fields, tables)
    return tables


def _free_parts(fields: Mapping[str, Any], tables: Tables) -> None:
    """Rates that are said to be 0 count as 0 beside others that are not; alone they may mean unknown."""
    base = tables[("standard", 0)]
    for field, rate in _RATES.items():
        if fields.get(field) == 0 and base and rate in ("request_token", "response_token"):
            base.setdefault(rate, Decimal(0))


def _tiers(tiers: Any, tables: Tables) -> bool:
    """Reads `tiered_pricing`; False when it is not by tokens of the prompt from 0 on."""
    for tier in tiers:
        start = tier.get("range", [None])[0]
        rates = {_RATES.get(field): value for field, value in tier.items() if field != "range"}
        if start is None or None in rates:
            return False
        tables[("standard", int(start))] |= {rate: _cents(value) for rate, value in rates.items() if rate}
    return min(int(tier["range"][0]) for tier in tiers) == 0


def _custom(tables: Tables, thresholds: list[int], modes: set[str]) -> dict[str, Any] | None:
    base = tables[("standard", 0)]
    if not thresholds:
        found = {
            mode: {"pricing_config": {"pay_as_you_go": _table(base | tables[(mode, 0)])}} for mode in sorted(modes)
        }
        return {"regions": {"default": {"execution_modes": found}}} if found else None
    names = [(0, f"lte-{thresholds[0] // 1000}k"), *((each, f"gt-{each // 1000}k") for each in thresholds)]
    above: Table = {}
    standard: dict[int, Table] = {}
    for at, _ in names:
        above = above | tables.get(("standard", at), {})
        standard[at] = above
    wanted = {"standard": {at: standard[at] for at, _ in names}}
    for mode in sorted(modes):
        own: Table = {}
        tiers: dict[int, Table] = {}
        for at, _ in names:
            changed = tables.get(("standard", at), {}).keys() if at else set[str]()
            said = tables.get((mode, at), {})
            if (changed & own.keys()) - said.keys():
                break  # the mode's price for long prompts is not said: not half of it is taken
            own = own | said
            tiers[at] = standard[at] | own
        else:
            wanted[mode] = tiers
    tables_by_mode = {
        mode: {"context_tiers": {name: {"pricing_config": {"pay_as_you_go": _table(tiers[at])}} for at, name in names}}
        for mode, tiers in wanted.items()
    }
    return {
        "context_tier_map": {str(at): name for at, name in names},
        "regions": {"default": {"execution_modes": tables_by_mode}},
    }


def _image_entry(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """An image model that is sold by the image and nothing else."""
    price = fields["output_cost_per_image"]
    others = {f for f, v in fields.items() if is_price(f) and v and f != "output_cost_per_image"}
    if fields.get("mode") != "image_generation" or others or not isinstance(price, int | float | Decimal) or not price:
        return None

    def times(*values: str) -> dict[str, Any]:
        return {"operation": "multiply", "operands": [{"value": value} for value in values]}

    table = {"image": {"default": {"default": {"price": _cents(price)}}}}
    formula = {"request": times("0", "input_tokens"), "response": times("1", "rates.image")}
    return {"pricing_config": {"pay_as_you_go": table, "calculate": formula}}


def _table(rates: Table) -> dict[str, Any]:
    units = {name.split(".", 1)[1]: {"price": price} for name, price in rates.items() if "." in name}
    plain = {name: {"price": price} for name, price in rates.items() if "." not in name}
    return plain | ({"additional_units": units} if units else {})


def _cents(usd: Decimal | float) -> Decimal:
    """Cents, without the noise of floats."""
    cents = _DIGITS.plus(Decimal(str(usd)) * 100)
    return cents.normalize() if cents else Decimal(0)


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float | Decimal) and value > 0 else None
