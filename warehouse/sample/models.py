"""The models of the sample: which provider, how much they are used, and how their requests look."""

from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """Whose API a provider speaks: how bodies and usage are spelled."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"
    BEDROCK = "bedrock"


class Kind(StrEnum):
    """What a request asks for."""

    CHAT = "chat"
    EMBEDDING = "embedding"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Model:
    """A model and what a typical request to it is like (medians)."""

    ai_org: str
    name: str
    url: str
    shape: Shape
    kind: Kind
    input_tokens: float
    output_tokens: float
    first_token_ms: float
    per_token_ms: float
    caches: bool
    """The provider has a prompt cache that requests of this model use."""
    writes_cache: bool
    """Writing that cache is a bucket of its own."""
    reasons: bool


_GOOGLE = "https://generativelanguage.googleapis.com/v1beta/models/{}:generateContent"
_BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model/{}/converse"
_CHAT: dict[str, tuple[Shape, str]] = {
    "openai": (Shape.OPENAI, "https://api.openai.com/v1/chat/completions"),
    "anthropic": (Shape.ANTHROPIC, "https://api.anthropic.com/v1/messages"),
    "google": (Shape.GOOGLE, _GOOGLE),
    "bedrock": (Shape.BEDROCK, _BEDROCK),
    "azure-openai": (Shape.OPENAI, "https://contoso.openai.azure.com/openai/deployments/{}/chat/completions"),
    "groq": (Shape.OPENAI, "https://api.groq.com/openai/v1/chat/completions"),
    "mistral-ai": (Shape.OPENAI, "https://api.mistral.ai/v1/chat/completions"),
    "deepseek": (Shape.OPENAI, "https://api.deepseek.com/v1/chat/completions"),
    "ollama": (Shape.OPENAI, "http://models.internal:11434/v1/chat/completions"),
}
_OTHER: dict[Kind, str] = {
    Kind.EMBEDDING: "https://api.openai.com/v1/embeddings",
    Kind.IMAGE: "https://api.openai.com/v1/images/generations",
}
_READS, _WRITES, _THINKS = "reads cache", "writes cache", "reasons"


def _model(
    ai_org: str, name: str, tokens: tuple[int, int], ms: tuple[int, int], *traits: str, kind: Kind = Kind.CHAT
) -> Model:
    shape, url = _CHAT[ai_org]
    return Model(
        ai_org=ai_org,
        name=name,
        url=_OTHER.get(kind, url.format(name)),
        shape=shape,
        kind=kind,
        input_tokens=float(tokens[0]),
        output_tokens=float(tokens[1]),
        first_token_ms=float(ms[0]),
        per_token_ms=float(ms[1]),
        caches=_READS in traits or _WRITES in traits,
        writes_cache=_WRITES in traits,
        reasons=_THINKS in traits,
    )


MODELS: tuple[Model, ...] = (
    _model("openai", "gpt-4o-mini", (900, 220), (420, 9), _READS),
    _model("anthropic", "claude-sonnet-4-5", (2600, 420), (620, 15), _WRITES),
    _model("openai", "gpt-5-mini", (1500, 610), (700, 10), _READS, _THINKS),
    _model("openai", "gpt-4o", (1100, 260), (450, 13), _READS),
    _model("google", "gemini-2.5-flash", (1900, 330), (380, 6), _READS, _THINKS),
    _model("anthropic", "claude-haiku-4-5", (1300, 240), (400, 7), _WRITES),
    _model("openai", "text-embedding-3-small", (380, 0), (130, 0), kind=Kind.EMBEDDING),
    _model("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", (3100, 380), (700, 16), _WRITES),
    _model("azure-openai", "gpt-4o", (1000, 250), (480, 14), _READS),
    _model("openai", "gpt-4.1", (2200, 340), (460, 12), _READS),
    _model("groq", "llama-3.3-70b-versatile", (800, 220), (160, 3)),
    _model("google", "gemini-2.5-pro", (4200, 900), (900, 11), _READS, _THINKS),
    _model("anthropic", "claude-opus-4-1", (3800, 700), (900, 24), _WRITES),
    _model("mistral-ai", "mistral-small-latest", (700, 200), (300, 8)),
    _model("azure-openai", "gpt-4o-mini", (900, 220), (430, 10), _READS),
    _model("bedrock", "amazon.nova-lite-v1:0", (1200, 220), (330, 7)),
    _model("openai", "o4-mini", (1400, 1300), (900, 11), _READS, _THINKS),
    _model("deepseek", "deepseek-chat", (1700, 420), (800, 22), _READS),
    _model("openai", "gpt-image-1", (55, 1056), (9000, 10), kind=Kind.IMAGE),
    _model("groq", "openai/gpt-oss-120b", (1100, 520), (180, 2), _THINKS),
)
"""Most used first; use falls off by Zipf's law."""

UNKNOWN = _model("ollama", "acme-assistant-7b", (900, 220), (420, 18))
"""A model of one's own that no price book knows."""
UNKNOWN_SHARE = 0.01
