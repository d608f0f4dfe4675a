"""Which price file a provider name means, and under which keys a model may stand in it.

Nothing here guesses: a dated or shortened model name matches only when the file lists it (dataplane contract 5.5).
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

PROVIDER_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "open-ai": "openai",
        "azure": "azure-openai",
        "azureopenai": "azure-openai",
        "azure-open-ai": "azure-openai",
        "azure-ai-inference": "azure-ai",
        "azure-ai-foundry": "azure-ai",
        "aws": "bedrock",
        "aws-bedrock": "bedrock",
        "amazon-bedrock": "bedrock",
        "vertex": "vertex-ai",
        "vertexai": "vertex-ai",
        "google-vertex": "vertex-ai",
        "google-vertex-ai": "vertex-ai",
        "gcp-vertex-ai": "vertex-ai",
        "gemini": "google",
        "google-ai": "google",
        "google-gemini": "google",
        "google-ai-studio": "google",
        "claude": "anthropic",
        "xai": "x-ai",
        "grok": "x-ai",
        "mistral": "mistral-ai",
        "mistralai": "mistral-ai",
        "together": "together-ai",
        "togetherai": "together-ai",
        "fireworks": "fireworks-ai",
        "fireworksai": "fireworks-ai",
        "perplexity": "perplexity-ai",
        "perplexityai": "perplexity-ai",
        "deep-seek": "deepseek",
        "open-router": "openrouter",
        "moonshotai": "moonshot",
        "moonshot-ai": "moonshot",
        "kimi": "moonshot",
        "zai": "z-ai",
        "zhipuai": "zhipu",
        "zhipu-ai": "zhipu",
        "voyageai": "voyage",
        "voyage-ai": "voyage",
        "cloudflare": "workers-ai",
        "cloudflare-workers-ai": "workers-ai",
        "novita": "novita-ai",
        "hugging-face": "huggingface",
        "mini-max": "minimax",
        "eleven-labs": "elevenlabs",
        "deep-infra": "deepinfra",
        "oci": "oracle",
        "lambda-ai": "lambda",
        "snowflake": "cortex",
        "snowflake-cortex": "cortex",
        "stability": "stability-ai",
        "recraft": "recraft-ai",
        "fal": "fal-ai",
        "featherless": "featherless-ai",
        "friendli": "friendliai",
        "vercel-ai-gateway": "vercel",
        "alibaba-cloud": "dashscope",
        "sambanova-cloud": "sambanova",
        "gmi-cloud": "gmi",
        "weights-and-biases": "wandb",
    }
)
"""Other names of a provider → the name of its price file."""

_BEDROCK_REGION = re.compile(r"(us-gov|us|eu|apac|ap|jp|au|ca|sa|me|af|global)\.(?=[a-z0-9-]+\.)")
_VERTEX_PUBLISHER = re.compile(r"(anthropic|meta|mistralai|google|deepseek|qwen|ai21|openai)\.(?=[a-z])")
_BAND = re.compile(r"(?P<base>.+?)(?P<bounds>(?:-(?:lte|gt)-[0-9]+k)+)")
_BOUND = re.compile(r"-(lte|gt)-([0-9]+)k")


def provider_slug(name: str | None) -> str:
    """The slug of a provider as it may be written: case, underscores, spaces and a leading @ do not count."""
    slug = (name or "").strip().lower().lstrip("@").replace("_", "-").replace(" ", "-")
    return PROVIDER_ALIASES.get(slug, slug)


def model_keys(provider: str, model: str) -> Iterator[str]:
    """Keys to look a model up by, the exact name first, each once."""
    seen: set[str] = set()
    waiting = [model.strip()]
    while waiting:
        key = waiting.pop(0)
        if key and key not in seen:
            seen.add(key)
            yield key
            waiting.extend(_stripped(provider, key))


def _stripped(provider: str, key: str) -> Iterator[str]:
    if key.startswith("@") and "/" in key:
        yield key.split("/", 1)[1]
    head, slash, tail = key.partition("/")
    if slash and provider_slug(head) == provider:
        yield tail
    if "models/" in key:
        yield key.rsplit("models/", 1)[1]
    if provider == "bedrock":
        if key.startswith("arn:"):
            yield key.rsplit("/", 1)[-1]
        if _BEDROCK_REGION.match(key):
            yield key.split(".", 1)[1]
    if provider == "vertex-ai" and _VERTEX_PUBLISHER.match(key):
        yield key.split(".", 1)[1]
    if key.startswith("ft:") and key.count(":") >= 2:
        yield key.rsplit(":", 1)[0]


def band_of(key: str) -> tuple[str, int, int | None] | None:
    """(model, above, up to) in prompt tokens for a key like `m-gt-128k`; None for a plain key."""
    match = _BAND.fullmatch(key)
    if match is None:
        return None
    bounds = [(kind, int(size) * 1000) for kind, size in _BOUND.findall(match["bounds"])]
    above = max((size for kind, size in bounds if kind == "gt"), default=0)
    up_to = min((size for kind, size in bounds if kind == "lte"), default=None)
    return match["base"], above, up_to
