"""The request row: one line per column, dimension, measure, ratio and filter.

Source: dataplane contract 4.3 (columns), 2.4 (group-bys and opt-in columns), 1.5 (filters), 1.6 (units).
"""

from sqlglot import exp

from warehouse.catalog.functions import call, column, text
from warehouse.catalog.model import Column, Dataset, Dimension, Filter, Kind, Measure, Operator, Origin, Ratio, Unit

_OURS = Origin.GATELEDGER
_TEXT, _INT, _BOOL, _MONEY = Kind.TEXT, Kind.INTEGER, Kind.BOOLEAN, Kind.MONEY
_MS, _TOKENS, _CENTS = Unit.MILLISECONDS, Unit.TOKENS, Unit.CENTS

IDENTITY = (
    Column("organisation_id", _TEXT, "Organisation that owns the request."),
    Column("created_at", Kind.INSTANT, "When the gateway received the request, to the millisecond.", Unit.UTC),
    Column("workspace_slug", _TEXT, "Workspace of the request, by slug."),
    Column("id", _TEXT, "Id of the log, unique within the warehouse."),
)

REQUEST = (
    Column("organisation_name", _TEXT, "Name of the organisation as the gateway knew it."),
    Column("user_id", _TEXT, "Owner of the user API key that made the request."),
    Column("api_key_id", _TEXT, "Id of the API key that made the request."),
    Column("ai_org", _TEXT, "Provider slug, for example openai."),
    Column("ai_model", _TEXT, "Model that answered."),
    Column("ai_org_auth_hash", _TEXT, "Hash of the provider credential."),
    Column("virtual_key", _TEXT, "Slug of the virtual key, which the console calls provider."),
    Column("config", _TEXT, "Slug of the gateway config."),
    Column("config_id", _TEXT, "Id of the gateway config."),
    Column("config_version_id", _TEXT, "Version of the gateway config."),
    Column("prompt_slug", _TEXT, "Slug of the prompt."),
    Column("prompt_id", _TEXT, "Id of the prompt."),
    Column("prompt_version_id", _TEXT, "Version of the prompt."),
    Column("is_success", _BOOL, "True for a response status from 200 to 299."),
    Column("response_status_code", _INT, "HTTP status of the response."),
    Column("response_time", _INT, "Time from request to whole response.", _MS),
    Column("request_url", _TEXT, "URL that was called."),
    Column("request_method", _TEXT, "HTTP method that was called."),
    Column("is_proxy_call", _BOOL, "True when the gateway only passed the call through."),
    Column("stream_mode", _BOOL, "True when the response was streamed."),
    Column("cache_status", _TEXT, "HIT, SEMANTIC HIT, MISS, SEMANTIC MISS, REFRESH or DISABLED."),
    Column("cache_type", _TEXT, "Kind of cache: simple or semantic."),
    Column("retry_success_count", _INT, "Retry that succeeded; 0 for none, -1 when all failed."),
    Column("mode", _TEXT, "Routing: single, fallback or loadbalance."),
    Column("last_used_option_index", _INT, "Index of the routing target that answered."),
    Column("trace_id", _TEXT, "Trace of the request.", distinct=True, looked_up=True),
    Column("span_id", _TEXT, "Span of the request.", distinct=True),
    Column("parent_span_id", _TEXT, "Parent of the span; empty for a root.", distinct=True),
    Column("span_name", _TEXT, "Name of the span."),
    Column("internal_trace_id", _TEXT, "Trace id that the gateway uses within itself.", distinct=True),
    Column("metadata.key", Kind.TEXT_LIST, "Keys of the request metadata."),
    Column("metadata.value", Kind.TEXT_LIST, "Values of the request metadata, in the order of the keys."),
    Column("_environment", _TEXT, "Metadata key _environment."),
    Column("_user", _TEXT, "Metadata key _user: the end user."),
    Column("_organisation", _TEXT, "Metadata key _organisation."),
    Column("_prompt", _TEXT, "Metadata key _prompt."),
    Column("extra_key", _TEXT, "Key of the legacy custom field."),
    Column("extra_value", _TEXT, "Value of the legacy custom field."),
    Column("source", _TEXT, "Part of the gateway that wrote the row."),
    Column("runtime", _TEXT, "Runtime of the calling SDK."),
    Column("runtime_version", _TEXT, "Version of that runtime."),
    Column("sdk_version", _TEXT, "Version of the calling SDK."),
    Column("license_id", _TEXT, "Licence of the gateway."),
    Column("gateway_version", _TEXT, "Version of the gateway."),
    Column("log_store_file_path_format", _TEXT, "Path format of the log object: v1 or v2."),
    Column("request_parsing_time", _INT, "Time to parse the request.", _MS),
    Column("pre_processing_time", _INT, "Time before the provider was called.", _MS),
    Column("cache_processing_time", _INT, "Time spent on the cache.", _MS),
    Column("response_parsing_time", _INT, "Time to parse the response.", _MS),
    Column("gateway_processing_time", _INT, "Time spent in the gateway.", _MS),
    Column("upstream_response_time", _INT, "Time the provider took.", _MS),
    Column("ttlt", _INT, "Time to the last token.", _MS),
    Column("req_units", _INT, "Input tokens, cached ones included.", _TOKENS),
    Column("res_units", _INT, "Output tokens, reasoning included.", _TOKENS),
    Column("total_units", _INT, "Input and output tokens.", _TOKENS),
    Column("cost_currency", _TEXT, "Currency of the cost: always USD."),
)

BUCKETS = (
    Column("uncached_input_tokens", _INT, "Text input tokens that no cache served.", _TOKENS, _OURS),
    Column("cache_read_tokens", _INT, "Text input tokens read from the provider's prompt cache.", _TOKENS, _OURS),
    Column("cache_write_tokens", _INT, "Input tokens written to the prompt cache for 5 minutes.", _TOKENS, _OURS),
    Column("cache_write_1h_tokens", _INT, "Input tokens written to the prompt cache for 1 hour.", _TOKENS, _OURS),
    Column("audio_input_tokens", _INT, "Audio input tokens that no cache served.", _TOKENS, _OURS),
    Column("cache_read_audio_tokens", _INT, "Audio input tokens read from the prompt cache.", _TOKENS, _OURS),
    Column("image_input_tokens", _INT, "Image input tokens that no cache served.", _TOKENS, _OURS),
    Column("cache_read_image_tokens", _INT, "Image input tokens read from the prompt cache.", _TOKENS, _OURS),
    Column("output_tokens", _INT, "Text output tokens without reasoning.", _TOKENS, _OURS),
    Column("reasoning_tokens", _INT, "Reasoning tokens.", _TOKENS, _OURS),
    Column("audio_output_tokens", _INT, "Audio output tokens.", _TOKENS, _OURS),
    Column("image_output_tokens", _INT, "Image output tokens.", _TOKENS, _OURS),
    Column("generated_images", _INT, "Images that were generated.", Unit.IMAGES, _OURS),
)

SERVED = (
    Column("execution_mode", _TEXT, "How the provider served it: batch, priority, flex, fast or provisioned; empty for standard.", origin=_OURS, since=3),
    Column("region", _TEXT, "Region of the provider that served it, where its price may depend on it.", origin=_OURS, since=3),
    Column("image_quality", _TEXT, "Quality of the generated images.", origin=_OURS, since=3),
    Column("image_size", _TEXT, "Size of the generated images or videos, for example 1024x1792.", origin=_OURS, since=3),
    Column("units.name", Kind.TEXT_LIST, "What was used beside tokens and images, for example web_search or audio_seconds.", origin=_OURS, since=3),
    Column("units.quantity", Kind.TEXT_LIST, "How much of each, in the order of the names: decimal numbers as text.", origin=_OURS, since=3),
)  # fmt: skip
"""What, besides the buckets, a price may depend on: kept so that a request can be priced again."""

COST = (
    Column("cost", _MONEY, "What the request counts as cost; NULL when it has no price.", _CENTS, _OURS),
    Column("cost_source", _TEXT, "Where cost is from: computed, reported, cache, ptu, or empty.", origin=_OURS),
    Column("computed_cost", _MONEY, "Cost by the price book; NULL when it has no price.", _CENTS, _OURS),
    Column("reported_cost", _MONEY, "Cost as the gateway reported it.", _CENTS, _OURS),
    Column("uncached_input_cost", _MONEY, "Cost of uncached_input_tokens.", _CENTS, _OURS),
    Column("cache_read_cost", _MONEY, "Cost of cache_read_tokens.", _CENTS, _OURS),
    Column("cache_write_cost", _MONEY, "Cost of cache_write_tokens and cache_write_1h_tokens.", _CENTS, _OURS),
    Column("output_cost", _MONEY, "Cost of output_tokens.", _CENTS, _OURS),
    Column("reasoning_cost", _MONEY, "Cost of reasoning_tokens.", _CENTS, _OURS),
    Column("audio_cost", _MONEY, "Cost of all audio tokens.", _CENTS, _OURS),
    Column("image_cost", _MONEY, "Cost of image tokens and generated images.", _CENTS, _OURS),
    Column("other_cost", _MONEY, "Cost of all that is not a token or an image.", _CENTS, _OURS),
    Column("cache_saved_cost", _MONEY, "What a gateway cache hit would have cost.", _CENTS, _OURS, since=2),
    Column(
        "cost_low",
        _MONEY,
        "The cost; without one, the usage at the lowest rates of its provider.",
        _CENTS,
        _OURS,
        since=4,
    ),
    Column(
        "cost_high",
        _MONEY,
        "The cost; without one, the usage at the highest rates of its provider; NULL when there is no bound.",
        _CENTS,
        _OURS,
        since=4,
    ),
    Column("price_id", _TEXT, "The price row that made computed_cost.", origin=_OURS),
    Column("unpriced_reason", _TEXT, "Why computed_cost is NULL; empty when it is not.", origin=_OURS),
)

PROVENANCE = (
    Column("ingest_source", _TEXT, "File, object or endpoint that the record came from.", origin=_OURS),
    Column("batch_id", _TEXT, "Batch that stored the row.", origin=_OURS),
    Column("ingested_at", Kind.INSTANT, "When the batch was made.", Unit.UTC, _OURS),
    Column("repriced_at", Kind.INSTANT, "When the cost was last corrected; empty as loaded.", Unit.UTC, _OURS, since=5),
)

_OK = column("is_success")
_CACHE = call("GL_LOWER", "cache_status")
_HITS = {"simple": _CACHE.copy().eq(text("hit")), "semantic": _CACHE.copy().eq(text("semantic hit"))}
_HIT = exp.In(this=_CACHE.copy(), expressions=[text("hit"), text("semantic hit")])
_NO_HIT = exp.Not(this=exp.Coalesce(this=_HIT.copy(), expressions=[exp.false()]))
_CACHE_ON = exp.and_(
    exp.Not(this=exp.Is(this=column("cache_status"), expression=exp.Null())),
    exp.Not(this=exp.In(this=_CACHE.copy(), expressions=[text("disabled"), text("")])),
)


def _missing(name: str) -> exp.Expr:
    return exp.Is(this=column(name), expression=exp.Null())


def _known(name: str) -> exp.Expr:
    return exp.Not(this=_missing(name))


def _either(name: str) -> exp.Expr:
    """A bound, or the cost for a row that was stored before there were bounds."""
    return exp.Coalesce(this=column(name), expressions=[column("cost")])


def _only(condition: exp.Expr, name: str) -> exp.Expr:
    """The value of a column where a condition holds, else NULL."""
    return exp.Case(ifs=[exp.If(this=condition.copy(), true=column(name))])


def _both(*conditions: exp.Expr) -> exp.Expr:
    return exp.and_(*(condition.copy() for condition in conditions))


_USER = exp.Nullif(this=column("_user"), expression=text(""))
_RETRIED = _both(_OK, exp.GT(this=column("retry_success_count"), expression=exp.Literal.number(0)))
_FELL_BACK = _both(
    _OK,
    call("GL_LOWER", "mode").eq(text("fallback")),
    exp.GT(this=column("last_used_option_index"), expression=exp.Literal.number(0)),
)
_ONE_PROVIDER = exp.Case(
    ifs=[exp.If(this=call("GL_MIN", "ai_org").eq(call("GL_MAX", "ai_org")), true=call("GL_MIN", "ai_org"))]
)
_UNPRICED_TOKENS = exp.Case(
    ifs=[exp.If(this=_missing("cost"), true=column("total_units"))], default=exp.Literal.number(0)
)

DIMENSIONS = (
    Dimension("ai_service", "ai_org", "Provider slug."),
    Dimension("model", "ai_model", "Model that answered."),
    Dimension("status_code", "response_status_code", "HTTP status of the response.", kind=_INT),
    Dimension("api_key", "api_key_id", "API key that made the request."),
    Dimension("config", "config", "Gateway config."),
    Dimension("workspace", "workspace_slug", "Workspace."),
    Dimension("provider", "virtual_key", "Virtual key, which the console calls provider."),
    Dimension("prompt", "prompt_slug", "Prompt."),
    Dimension("unpriced_reason", "unpriced_reason", "Why a request has no computed cost."),
    Dimension("user", "_user", "End user, the metadata key _user."),
    Dimension("retries", "retry_success_count", "Retry that succeeded; 0 for none, -1 when all failed.", kind=_INT),
)

MEASURES = (
    Measure("requests", _INT, call("GL_COUNT"), "Requests.", Unit.REQUESTS, additive=True),
    Measure("cost", _MONEY, call("GL_SUM_MONEY", "cost"), "Sum of the known costs; NULL when none is known.", _CENTS, additive=True, beside="unpriced_requests"),
    Measure("unpriced_requests", _INT, call("GL_COUNT_IF", _missing("cost")), "Requests without a cost.", Unit.REQUESTS, additive=True),
    Measure("priced_requests", _INT, call("GL_COUNT_IF", _known("cost")), "Requests with a cost.", Unit.REQUESTS, additive=True, since=4),
    Measure("unpriced_tokens", _INT, call("GL_SUM_INT", _UNPRICED_TOKENS), "Tokens of requests without a cost.", _TOKENS, additive=True, since=4),
    Measure("cost_low", _MONEY, call("GL_SUM_MONEY", _either("cost_low")), "Least that the requests cost: known costs, and the others at the lowest rates of their provider.", _CENTS, additive=True, beside="unpriced_requests", since=4),
    Measure("cost_high", _MONEY, call("GL_SUM_MONEY", _either("cost_high")), "Most that the requests cost: known costs, and the others at the highest rates of their provider.", _CENTS, additive=True, beside="unbounded_requests", since=4),
    Measure("unbounded_requests", _INT, call("GL_COUNT_IF", exp.Is(this=_either("cost_high"), expression=exp.Null())), "Requests without a cost and without an upper bound of it: cost_high lacks them.", Unit.REQUESTS, additive=True, since=4),
    Measure("total_tokens", _INT, call("GL_SUM_INT", "total_units"), "Input and output tokens.", _TOKENS, additive=True),
    Measure("input_units", _INT, call("GL_SUM_INT", "req_units"), "Input tokens.", _TOKENS, additive=True, internal=True),
    Measure("output_units", _INT, call("GL_SUM_INT", "res_units"), "Output tokens.", _TOKENS, additive=True, internal=True),
    Measure("latency_sum", _INT, call("GL_SUM_INT", "response_time"), "Sum of response times.", _MS, additive=True, internal=True),
    Measure("latency_count", _INT, call("GL_COUNT_IF", _known("response_time")), "Requests with a response time.", Unit.REQUESTS, additive=True, internal=True),
    Measure("successes", _INT, call("GL_COUNT_IF", _OK.copy()), "Requests that succeeded.", Unit.REQUESTS, additive=True, internal=True),
    Measure("error_count", _INT, call("GL_COUNT_IF", exp.Not(this=_OK.copy())), "Requests that failed.", Unit.REQUESTS, additive=True),
    Measure("cache_hits", _INT, call("GL_COUNT_IF", _HIT), "Requests that a gateway cache answered.", Unit.REQUESTS, additive=True),
    Measure("cache_lookups", _INT, call("GL_COUNT_IF", _CACHE_ON), "Requests that asked a gateway cache.", Unit.REQUESTS, additive=True, internal=True),
    Measure("simple_hits", _INT, call("GL_COUNT_IF", _HITS["simple"]), "Requests that the exact cache answered.", Unit.REQUESTS, additive=True, since=7),
    Measure("semantic_hits", _INT, call("GL_COUNT_IF", _HITS["semantic"]), "Requests that the semantic cache answered.", Unit.REQUESTS, additive=True, since=7),
    Measure("simple_cache_savings", _MONEY, call("GL_SUM_MONEY", _only(_HITS["simple"], "cache_saved_cost")), "What the hits of the exact cache would have cost.", _CENTS, additive=True, beside="unpriced_hits", since=7),
    Measure("semantic_cache_savings", _MONEY, call("GL_SUM_MONEY", _only(_HITS["semantic"], "cache_saved_cost")), "What the hits of the semantic cache would have cost.", _CENTS, additive=True, beside="unpriced_hits", since=7),
    Measure("unpriced_hits", _INT, call("GL_COUNT_IF", _both(_HIT, _missing("cache_saved_cost"))), "Cache hits that have no price: the savings lack them.", Unit.REQUESTS, additive=True, since=7),
    Measure("hit_latency_sum", _INT, call("GL_SUM_INT", _only(_HIT, "response_time")), "Sum of the response times of cache hits.", _MS, additive=True, internal=True, since=7),
    Measure("hit_latency_count", _INT, call("GL_COUNT_IF", _both(_HIT, _known("response_time"))), "Cache hits with a response time.", Unit.REQUESTS, additive=True, internal=True, since=7),
    Measure("miss_latency_sum", _INT, call("GL_SUM_INT", _only(_NO_HIT, "response_time")), "Sum of the response times of all that is no cache hit.", _MS, additive=True, internal=True, since=7),
    Measure("miss_latency_count", _INT, call("GL_COUNT_IF", _both(_NO_HIT, _known("response_time"))), "Requests with a response time that are no cache hit.", Unit.REQUESTS, additive=True, internal=True, since=7),
    Measure("rescued_by_retry", _INT, call("GL_COUNT_IF", _RETRIED), "Requests that succeeded at a retry.", Unit.REQUESTS, additive=True, since=7),
    Measure("rescued_by_fallback", _INT, call("GL_COUNT_IF", _FELL_BACK), "Requests that succeeded at a fallback target.", Unit.REQUESTS, additive=True, since=7),
    Measure("user_requests", _INT, call("GL_COUNT_IF", exp.NEQ(this=column("_user"), expression=text(""))), "Requests that name their end user.", Unit.REQUESTS, additive=True, since=7),
    Measure("users", _INT, call("GL_COUNT_DISTINCT", _USER), "Distinct end users.", Unit.USERS),
    Measure("error_codes", _INT, call("GL_COUNT_DISTINCT", _only(exp.Not(this=_OK.copy()), "response_status_code")), "Distinct HTTP statuses of failed requests."),
    Measure("only_provider", _TEXT, _ONE_PROVIDER, "The provider, where the requests have just one."),
    Measure("p50_latency", Kind.FLOAT, call("GL_QUANTILE", "response_time", 0.5), "Median response time.", _MS),
    Measure("p90_latency", Kind.FLOAT, call("GL_QUANTILE", "response_time", 0.9), "90th percentile of response time.", _MS),
    Measure("p95_latency", Kind.FLOAT, call("GL_QUANTILE", "response_time", 0.95), "95th percentile of response time.", _MS),
    Measure("p99_latency", Kind.FLOAT, call("GL_QUANTILE", "response_time", 0.99), "99th percentile of response time.", _MS),
    Measure("last_seen", Kind.INSTANT, call("GL_MAX", "created_at"), "Time of the last request.", Unit.UTC, merge="max"),
    Measure("first_seen", Kind.INSTANT, call("GL_MIN", "created_at"), "Time of the first request.", Unit.UTC, merge="min"),
    Measure("feedbacks", _INT, call("GL_SUM_INT", "feedbacks"), "Feedbacks on the traces of the requests, whenever given.", through="feedbacks"),
    Measure("requests_with_feedback", _INT, call("GL_SUM_INT", "requests"), "Requests whose trace has feedback.", Unit.REQUESTS, through="feedbacks"),
    Measure("weighted_sum", Kind.FLOAT, call("GL_SUM_FLOAT", "weighted_sum"), "Sum of the weighted values of feedbacks on the traces.", internal=True, through="feedbacks"),
    Measure("weighted_count", _INT, call("GL_SUM_INT", "weighted_count"), "Feedbacks with a weighted value.", internal=True, through="feedbacks"),
)  # fmt: skip

RATIOS = (
    Ratio("avg_tokens", "total_tokens", "requests", "Tokens per request.", _TOKENS),
    Ratio("avg_input_tokens", "input_units", "requests", "Input tokens per request.", _TOKENS),
    Ratio("avg_output_tokens", "output_units", "requests", "Output tokens per request.", _TOKENS),
    Ratio("avg_cost", "cost", "requests", "Known cost per request.", _CENTS),
    Ratio("avg_latency", "latency_sum", "latency_count", "Mean response time.", _MS),
    Ratio("avg_hit_latency", "hit_latency_sum", "hit_latency_count", "Mean response time of cache hits.", _MS),
    Ratio("avg_miss_latency", "miss_latency_sum", "miss_latency_count", "Mean response time of all that is no cache hit.", _MS),
    Ratio("error_rate", "error_count", "requests", "Share of requests that failed.", Unit.PERCENT, scale=100),
    Ratio("requests_per_user", "user_requests", "users", "Requests per end user, of those that name one.", Unit.REQUESTS),
    Ratio("avg_weighted_feedback", "weighted_sum", "weighted_count", "Mean of value times weight over the feedbacks on the traces, each once."),
    Ratio("success_rate", "successes", "requests", "Share of requests that succeeded.", Unit.PERCENT, scale=100),
    Ratio("cache_hit_rate", "cache_hits", "cache_lookups", "Share of cache look-ups that hit.", Unit.PERCENT, scale=100),
)  # fmt: skip

_AT_LEAST, _AT_MOST, _ONE_OF = Operator.AT_LEAST, Operator.AT_MOST, Operator.ONE_OF

FILTERS = (
    Filter("total_units_min", _AT_LEAST, ("total_units",), _INT, "Least tokens of a request.", _TOKENS, minimum=0),
    Filter("total_units_max", _AT_MOST, ("total_units",), _INT, "Most tokens of a request.", _TOKENS, minimum=0),
    Filter("cost_min", _AT_LEAST, ("cost",), _MONEY, "Least cost of a request.", _CENTS, minimum=0),
    Filter("cost_max", _AT_MOST, ("cost",), _MONEY, "Most cost of a request.", _CENTS, minimum=0),
    Filter("prompt_token_min", _AT_LEAST, ("req_units",), _INT, "Least input tokens.", _TOKENS, minimum=0),
    Filter("prompt_token_max", _AT_MOST, ("req_units",), _INT, "Most input tokens.", _TOKENS, minimum=0),
    Filter("completion_token_min", _AT_LEAST, ("res_units",), _INT, "Least output tokens.", _TOKENS, minimum=0),
    Filter("completion_token_max", _AT_MOST, ("res_units",), _INT, "Most output tokens.", _TOKENS, minimum=0),
    Filter("status_code", _ONE_OF, ("response_status_code",), _INT, "Comma-separated HTTP statuses.", minimum=0, maximum=999),
    Filter("weighted_feedback_min", _AT_LEAST, ("weighted",), Kind.FLOAT, "Least mean weighted feedback of the trace.", minimum=-10, maximum=10, through="feedbacks"),
    Filter("weighted_feedback_max", _AT_MOST, ("weighted",), Kind.FLOAT, "Most mean weighted feedback of the trace.", minimum=-10, maximum=10, through="feedbacks"),
    Filter("virtual_keys", _ONE_OF, ("virtual_key",), _TEXT, "Comma-separated slugs of virtual keys."),
    Filter("configs", _ONE_OF, ("config",), _TEXT, "Comma-separated slugs of configs."),
    Filter("prompt_slug", _ONE_OF, ("prompt_slug",), _TEXT, "Comma-separated slugs of prompts."),
    Filter("api_key_ids", _ONE_OF, ("api_key_id",), _TEXT, "Comma-separated ids of API keys."),
    Filter("metadata", Operator.ALL_PAIRS, ("metadata.key", "metadata.value"), _TEXT, "JSON object; every pair must match."),
    Filter("ai_org_model", Operator.MODEL_OF_PROVIDER, ("ai_org", "ai_model"), _TEXT, "Comma-separated provider__model pairs."),
    Filter("trace_id", _ONE_OF, ("trace_id",), _TEXT, "Comma-separated trace ids."),
    Filter("span_id", _ONE_OF, ("span_id",), _TEXT, "Comma-separated span ids."),
    Filter("cost_source", _ONE_OF, ("cost_source",), _TEXT, "Comma-separated sources of the cost.", allowed=("computed", "reported", "cache", "ptu")),
    Filter("cache_status", Operator.ONE_OF_IGNORING_CASE, ("cache_status",), _TEXT, "Comma-separated cache statuses, in any case.", allowed=("HIT", "SEMANTIC HIT", "MISS", "SEMANTIC MISS", "REFRESH", "DISABLED")),
)  # fmt: skip

GENERATIONS = Dataset(
    name="generations",
    description="One row per LLM request.",
    columns=(*IDENTITY, *REQUEST, *BUCKETS, *SERVED, *COST, *PROVENANCE),
    sort_by=("organisation_id", "workspace_slug", "created_at"),
    revision_column="repriced_at",
    dimensions=DIMENSIONS,
    measures=MEASURES,
    ratios=RATIOS,
    filters=FILTERS,
)
