"""Every graph, one row each: where it is, what it counts, and the fields of its answer.

Source: dataplane contract 2.1; the other spellings are those of the Node SDK.
"""

from dataclasses import dataclass

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset


@dataclass(frozen=True, slots=True)
class Field:
    """One number: its name on the wire and the measure behind it; `running` ones add up from bucket to bucket."""

    name: str
    measure: str
    running: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """A list within a point: for each value of the graph's dimension that counts anything, the value and the count."""

    name: str
    key: str
    measure: str
    count: str = "count"


@dataclass(frozen=True, slots=True)
class Graph:
    """A summary and points; a point is a bucket of time or, where the graph has a `key`, a value of its dimension."""

    path: str
    title: str
    summary: tuple[Field, ...]
    points: tuple[Field | Stack, ...]
    aliases: tuple[str, ...] = ()
    dimension: str = ""
    key: str = ""
    """The field that holds a point's value of the dimension. A point whose first field is 0 is left out."""
    dataset: Dataset = GENERATIONS

    @property
    def measures(self) -> tuple[str, ...]:
        """Everything the graph needs; where there is money, also how many requests there are."""
        named = dict.fromkeys(each.measure for each in (*self.summary, *self.points))
        return (*named, *((self.dataset.count.name,) if "cost" in named else ()))


_TOTAL = (Field("total", "requests"),)
_COST = (Field("total", "cost"), Field("avg", "avg_cost"), Field("unpriced_requests", "unpriced_requests"))
_LATENCY = tuple(Field(name, f"{name}_latency") for name in ("avg", "p50", "p90", "p99"))
_TOKENS = (Field("total", "total_tokens"), Field("avg", "avg_tokens"))
_USERS = (Field("total", "users"),)
_ERRORS = (Field("total", "error_count"),)
_ERROR_RATE = (Field("rate", "error_rate"),)
_GIVEN = (Field("total", "feedbacks"),)
_WEIGHTED = (Field("avg", "avg_weighted_feedback"),)

GRAPHS: tuple[Graph, ...] = (
    Graph("requests", "Requests", _TOTAL, _TOTAL),
    Graph("cost", "Cost", _COST, _COST),
    Graph("latency", "Response time: mean, median and percentiles", _LATENCY, _LATENCY),
    Graph("tokens", "Tokens", _TOKENS, _TOKENS),
    Graph("users", "Distinct end users", _USERS, _USERS),
    Graph(
        "users/requests",
        "Requests per end user, of the requests that name one",
        (Field("total", "user_requests"), Field("unique", "users"), Field("avg", "requests_per_user")),
        (Field("avg", "requests_per_user"),),
        aliases=("users-requests",),
    ),
    Graph("errors", "Failed requests", _ERRORS, _ERRORS),
    Graph("errors/rate", "Share of requests that failed", _ERROR_RATE, _ERROR_RATE, aliases=("errors-rate",)),
    Graph(
        "errors/stacks",
        "Failed requests by HTTP status",
        _ERRORS,
        (Stack("stats", "response_status_code", "error_count"),),
        aliases=("errors-stack",),
        dimension="status_code",
    ),
    Graph(
        "errors/status-codes",
        "HTTP statuses of failed requests",
        (Field("total_errors", "error_count"), Field("unique_error_codes", "error_codes")),
        (Field("count", "error_count"),),
        aliases=("errors-status-code",),
        dimension="status_code",
        key="status_code",
    ),
    Graph(
        "requests/rescued",
        "Requests that succeeded at a retry or a fallback target",
        (Field("retry", "rescued_by_retry"), Field("fallback", "rescued_by_fallback")),
        (Stack("retry", "retry_success_count", "rescued_by_retry"), Field("fallback", "rescued_by_fallback")),
        aliases=("requests-rescued",),
        dimension="retries",
    ),
    Graph(
        "cache/hit-rate",
        "Cache hits, their share of all look-ups, and what they saved so far",
        (Field("total", "cache_hits"), Field("rate", "cache_hit_rate"), Field("unpriced_hits", "unpriced_hits")),
        (
            Field("simple_hits", "simple_hits"),
            Field("semantic_hits", "semantic_hits"),
            Field("rate", "cache_hit_rate"),
            Field("cumulative_simple_cache_savings", "simple_cache_savings", running=True),
            Field("cumulative_semantic_cache_savings", "semantic_cache_savings", running=True),
            Field("unpriced_hits", "unpriced_hits"),
        ),
        aliases=("cache-hit-rate",),
    ),
    Graph(
        "cache/latency",
        "Mean response time of cache hits",
        (),
        (Field("avg", "avg_hit_latency"),),
        aliases=("cache-latency",),
    ),
    Graph("feedbacks", "Feedbacks, by when they were given", _GIVEN, _GIVEN, dataset=FEEDBACKS),
    Graph(
        "feedbacks/scores",
        "Feedbacks by score",
        _GIVEN,
        _GIVEN,
        aliases=("feedbacks/score",),
        dimension="score",
        key="score",
        dataset=FEEDBACKS,
    ),
    Graph("feedbacks/weighted", "Mean of value times weight", _WEIGHTED, _WEIGHTED, dataset=FEEDBACKS),
    Graph(
        "feedbacks/ai-models",
        "Feedbacks on the traces of each model's requests, whenever given",
        (),
        (Field("total", "feedbacks"), Field("avg_weighted_feedback", "avg_weighted_feedback")),
        dimension="model",
        key="ai_model",
    ),
)


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers of the whole time, in one answer."""

    path: str
    title: str
    fields: tuple[Field, ...]


SPEEDUP = "cache_speedup"
"""The field that says how much faster a cache hit is, in percent of what is no hit. Source: dataplane contract 2.2."""

_OVERVIEW = (
    "requests", "cost", "unpriced_requests", "cost_low", "cost_high", "unbounded_requests", "avg_cost", "total_tokens",
    "avg_tokens", "avg_input_tokens", "avg_output_tokens", "unpriced_tokens", "avg_latency", "p50_latency",
    "p90_latency", "p95_latency", "p99_latency", "error_count", "error_rate", "success_rate", "users", "cache_hits",
    "cache_hit_rate", "rescued_by_retry", "rescued_by_fallback",
)  # fmt: skip

SUMMARIES: tuple[Summary, ...] = (
    Summary(
        "cache",
        "What caches answered, and how much faster",
        (
            Field("hits", "cache_hits"),
            Field("avg_latency", "avg_hit_latency"),
            Field("total_requests", "requests"),
            Field(SPEEDUP, "avg_miss_latency"),
        ),
    ),
    Summary("overview", "Everything at a glance", tuple(Field(name, name) for name in _OVERVIEW)),
)
