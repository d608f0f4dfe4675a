"""What spans of OpenTelemetry call things: the GenAI conventions, old and new, and those of well-known libraries.

Source: OpenTelemetry semantic conventions for generative AI (1.27 to now), OpenLLMetry, OpenInference, OpenLIT.
"""

from collections.abc import Iterator, Mapping

Attributes = Mapping[str, object]

MARKS = ("gen_ai.", "llm.", "openinference.", "traceloop.")
"""A span with an attribute that begins so is about a generative model."""

PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor")
MODEL = (
    "gen_ai.response.model", "gen_ai.request.model", "llm.response.model", "llm.request.model", "llm.model_name",
    "embedding.model_name", "reranker.model_name",
)  # fmt: skip
OPERATION = ("gen_ai.operation.name", "llm.request.type", "openinference.span.kind", "traceloop.span.kind")
INPUT = (
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens", "llm.token_count.prompt",
)  # fmt: skip
OUTPUT = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
    "llm.token_count.completion",
)  # fmt: skip
TOTAL = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total")
CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.cached_tokens",
    "gen_ai.usage.input_tokens.cached", "llm.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)  # fmt: skip
CACHE_WRITE = (
    "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
    "llm.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
)  # fmt: skip
REASONING = (
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens", "llm.token_count.completion_details.reasoning",
)  # fmt: skip
COST_USD = ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.cost.total")
TIER = ("openai.response.service_tier", "gen_ai.openai.response.service_tier", "gen_ai.response.service_tier")
STREAMED = ("gen_ai.request.stream", "gen_ai.request.is_stream", "gen_ai.is_streaming", "llm.is_streaming")
STATUS = ("http.response.status_code", "http.status_code")
URL = ("url.full", "http.url")
HOST = ("server.address", "gen_ai.openai.api_base", "llm.openai.api_base")
USER = ("user.id", "enduser.id", "gen_ai.user.id", "gen_ai.request.user")
ENVIRONMENT = ("deployment.environment.name", "deployment.environment", "gen_ai.environment")
KEPT_AS_METADATA = (
    "service.name", "service.version", "gen_ai.operation.name", "gen_ai.conversation.id", "session.id",
    "gen_ai.agent.name", "gen_ai.agent.id", "gen_ai.tool.name", "gen_ai.workflow.name", "error.type",
)  # fmt: skip
METADATA_PREFIXES = ("metadata.", "portkey.metadata.", "traceloop.association.properties.")
METADATA_JSON = "metadata"
"""OpenInference keeps all of it as one JSON text."""

# A span around others repeats the sum of their usage: counting it too would count it twice.
_AROUND = frozenset(
    {"invoke_agent", "create_agent", "execute_tool", "invoke_workflow", "agent", "chain", "tool", "workflow", "task"}
    | {"retriever", "guardrail", "evaluator", "retrieval"}
)

_PROVIDERS = {
    "aws.bedrock": "bedrock",
    "aws_bedrock": "bedrock",
    "amazon-bedrock": "bedrock",
    "az.ai.openai": "azure-openai",
    "azure.ai.openai": "azure-openai",
    "azure_openai": "azure-openai",
    "azure": "azure-openai",
    "az.ai.inference": "azure-ai",
    "azure.ai.inference": "azure-ai",
    "gcp.vertex_ai": "vertex-ai",
    "vertex_ai": "vertex-ai",
    "vertexai": "vertex-ai",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gemini": "google",
    "google_genai": "google",
    "mistral_ai": "mistral-ai",
    "mistralai": "mistral-ai",
    "mistral": "mistral-ai",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "perplexity": "perplexity-ai",
    "moonshot_ai": "moonshot",
    "ibm.watsonx.ai": "watsonx",
    "together": "together-ai",
    "together_ai": "together-ai",
    "fireworks": "fireworks-ai",
    "fireworks_ai": "fireworks-ai",
    "replicate_ai": "replicate",
}


def first(attributes: Attributes, names: tuple[str, ...]) -> object:
    """The first of these attributes that says something."""
    return next((attributes[name] for name in names if attributes.get(name) not in (None, "")), None)


def first_text(attributes: Attributes, names: tuple[str, ...]) -> str | None:
    """The first of these attributes that is a text, a number or a flag, as text."""
    value = first(attributes, names)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def is_about_a_model(attributes: Attributes) -> bool:
    """True for a span that belongs into the logs."""
    return any(name.startswith(MARKS) for name in attributes)


def is_around_others(attributes: Attributes) -> bool:
    """True for agents, tools and chains: they call models by spans of their own."""
    return str(first(attributes, OPERATION) or "").lower() in _AROUND


def provider_slug(attributes: Attributes) -> str | None:
    """The provider in our words."""
    told = first_text(attributes, PROVIDER)
    return _PROVIDERS.get(told.lower(), told.lower()) if told else None


def metadata_of(attributes: Attributes, resource: Attributes) -> Iterator[tuple[str, object]]:
    """What is worth finding a span by."""
    for name in KEPT_AS_METADATA:
        value = attributes.get(name, resource.get(name))
        if value not in (None, ""):
            yield name, value
    for name, value in attributes.items():
        for prefix in METADATA_PREFIXES:
            if name.startswith(prefix):
                yield name.removeprefix(prefix), value
