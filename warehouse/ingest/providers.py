"""Provider and model as an URL names them, for log objects that do not say."""

import re
from functools import lru_cache
from urllib.parse import unquote, urlsplit

_HOSTS: tuple[tuple[str, str], ...] = (
    (r"(?:^|\.)openai\.azure\.com$|\.cognitiveservices\.azure\.com$", "azure-openai"),
    (r"(?:^|\.)inference\.ai\.azure\.com$|\.services\.ai\.azure\.com$", "azure-ai"),
    (r"(?:^|\.)openai\.com$", "openai"),
    (r"(?:^|\.)anthropic\.com$", "anthropic"),
    (r"^generativelanguage\.googleapis\.com$", "google"),
    (r"aiplatform\.googleapis\.com$", "vertex-ai"),
    (r"^bedrock[a-z-]*\.[a-z0-9-]+\.amazonaws\.com$", "bedrock"),
    (r"(?:^|\.)mistral\.ai$", "mistral-ai"),
    (r"(?:^|\.)cohere\.(?:ai|com)$", "cohere"),
    (r"(?:^|\.)groq\.com$", "groq"),
    (r"(?:^|\.)deepseek\.com$", "deepseek"),
    (r"^api\.x\.ai$", "x-ai"),
    (r"(?:^|\.)together\.(?:xyz|ai)$", "together-ai"),
    (r"^openrouter\.ai$", "openrouter"),
    (r"(?:^|\.)perplexity\.ai$", "perplexity-ai"),
    (r"(?:^|\.)fireworks\.ai$", "fireworks-ai"),
    (r"(?:^|\.)deepinfra\.com$", "deepinfra"),
    (r"(?:^|\.)cerebras\.ai$", "cerebras"),
)
_MODEL_IN_PATH = re.compile(
    r"/(?:models|model|deployments)/([^/?]+?)(?::[a-zA-Z]+Content|:predict|:rawPredict)?(?:/|$)"
)
_REGION = re.compile(
    r"^(?:bedrock[a-z-]*\.([a-z0-9-]+)\.amazonaws\.com|([a-z0-9-]+)-aiplatform\.googleapis\.com|([a-z]{2})\.api\.openai\.com)$"
)
_LOCATION = re.compile(r"/locations/([a-z][a-z0-9-]*)/")


def provider_of(url: str | None) -> str | None:
    """The provider slug whose host the URL has."""
    host = _host(url)
    return next((slug for pattern, slug in _HOSTS if re.search(pattern, host)), None) if host else None


def model_of(url: str | None) -> str | None:
    """The model that stands in the path of a Google, Bedrock or Azure URL."""
    found = _MODEL_IN_PATH.search(urlsplit(url).path) if url else None
    return unquote(found.group(1)) if found else None


@lru_cache(maxsize=1024)
def region_of(url: str | None) -> str | None:
    """The region in an URL of Bedrock, Vertex AI or OpenAI: in its host, else the location in its path."""
    found = _REGION.match(_host(url)) or (_LOCATION.search(url) if url else None)
    return next((one for one in found.groups() if one), None) if found else None


def _host(url: str | None) -> str:
    try:
        return (urlsplit(url).hostname or "").lower() if url else ""
    except ValueError:
        return ""
