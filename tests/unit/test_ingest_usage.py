"""Usage reports of every provider become buckets that add up."""

import pytest

from warehouse.ingest.asked import Asked, Makes
from warehouse.ingest.bodies import answer_of
from warehouse.ingest.records import BadRecord
from warehouse.ingest.units import INPUT_BUCKETS, OUTPUT_BUCKETS
from warehouse.ingest.usage import usage_of

CASES = {
    "openai chat": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 300,
            "total_tokens": 1300,
            "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 50},
            "completion_tokens_details": {"reasoning_tokens": 120, "audio_tokens": 30},
        },
        (1000, 300, 1300),
        {
            "uncached_input_tokens": 550,
            "cache_read_tokens": 400,
            "audio_input_tokens": 50,
            "output_tokens": 150,
            "reasoning_tokens": 120,
            "audio_output_tokens": 30,
        },
    ),
    "openai responses": (
        {
            "input_tokens": 90,
            "output_tokens": 40,
            "total_tokens": 130,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens_details": {"reasoning_tokens": 30},
        },
        (90, 40, 130),
        {"uncached_input_tokens": 26, "cache_read_tokens": 64, "output_tokens": 10, "reasoning_tokens": 30},
    ),
    "openai embeddings": ({"prompt_tokens": 8, "total_tokens": 8}, (8, 0, 8), {"uncached_input_tokens": 8}),
    "openai images": (
        {"input_tokens": 50, "output_tokens": 272, "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}},
        (50, 272, 322),
        {"uncached_input_tokens": 10, "image_input_tokens": 40, "output_tokens": 272},
    ),
    "openai realtime, cached audio": (
        {
            "input_tokens": 100,
            "output_tokens": 20,
            "input_token_details": {
                "cached_tokens": 60,
                "audio_tokens": 80,
                "cached_tokens_details": {"text_tokens": 20, "audio_tokens": 40},
            },
            "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
        },
        (100, 20, 120),
        {
            "cache_read_tokens": 20,
            "cache_read_audio_tokens": 40,
            "audio_input_tokens": 40,
            "output_tokens": 5,
            "audio_output_tokens": 15,
        },
    ),
    "openai, cached and audio that cannot both fit": (
        {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 80, "audio_tokens": 50}},
        (100, 0, 100),
        {"cache_read_tokens": 50, "cache_read_audio_tokens": 30, "audio_input_tokens": 20},
    ),
    "anthropic": (
        {
            "input_tokens": 10,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 2000,
            "output_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        },
        (2310, 50, 2360),
        {
            "uncached_input_tokens": 10,
            "cache_read_tokens": 2000,
            "cache_write_tokens": 100,
            "cache_write_1h_tokens": 200,
            "output_tokens": 50,
        },
    ),
    "anthropic as a gateway reshapes it, cache left out of the prompt": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 7,
            "total_tokens": 167,
            "prompt_tokens_details": {"cached_tokens": 50},
            "cache_read_input_tokens": 50,
            "cache_creation_input_tokens": 100,
        },
        (160, 7, 167),
        {"uncached_input_tokens": 10, "cache_read_tokens": 50, "cache_write_tokens": 100, "output_tokens": 7},
    ),
    "anthropic as a gateway reshapes it, cache in the prompt": (
        {
            "prompt_tokens": 160,
            "completion_tokens": 7,
            "total_tokens": 167,
            "cache_read_input_tokens": 50,
            "cache_creation_input_tokens": 100,
        },
        (160, 7, 167),
        {"uncached_input_tokens": 10, "cache_read_tokens": 50, "cache_write_tokens": 100, "output_tokens": 7},
    ),
    "google": (
        {
            "promptTokenCount": 500,
            "cachedContentTokenCount": 200,
            "candidatesTokenCount": 40,
            "thoughtsTokenCount": 60,
            "toolUsePromptTokenCount": 30,
            "totalTokenCount": 630,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 400}, {"modality": "AUDIO", "tokenCount": 100}],
        },
        (530, 100, 630),
        {
            "uncached_input_tokens": 230,
            "cache_read_tokens": 200,
            "audio_input_tokens": 100,
            "output_tokens": 40,
            "reasoning_tokens": 60,
        },
    ),
    "google as a gateway reshapes it, reasoning on top": (
        {
            "prompt_tokens": 20,
            "completion_tokens": 5,
            "total_tokens": 40,
            "completion_tokens_details": {"reasoning_tokens": 15},
        },
        (20, 20, 40),
        {"uncached_input_tokens": 20, "output_tokens": 5, "reasoning_tokens": 15},
    ),
    "bedrock converse": (
        {
            "inputTokens": 30,
            "outputTokens": 20,
            "totalTokens": 150,
            "cacheReadInputTokens": 60,
            "cacheWriteInputTokens": 40,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 15}, {"ttl": "5m", "inputTokens": 25}],
        },
        (130, 20, 150),
        {
            "uncached_input_tokens": 30,
            "cache_read_tokens": 60,
            "cache_write_tokens": 25,
            "cache_write_1h_tokens": 15,
            "output_tokens": 20,
        },
    ),
    "deepseek": (
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        (100, 5, 105),
        {"uncached_input_tokens": 36, "cache_read_tokens": 64, "output_tokens": 5},
    ),
    "cohere": (
        {"billed_units": {"input_tokens": 12, "output_tokens": 3}},
        (12, 3, 15),
        {"uncached_input_tokens": 12, "output_tokens": 3},
    ),
    "ollama": (
        {"prompt_eval_count": 26, "eval_count": 298},
        (26, 298, 324),
        {"uncached_input_tokens": 26, "output_tokens": 298},
    ),
    "numbers as text and floats": (
        {"prompt_tokens": "7", "completion_tokens": 2.0},
        (7, 2, 9),
        {"uncached_input_tokens": 7, "output_tokens": 2},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_report_becomes_buckets_that_sum_to_its_units(case) -> None:
    report, units, buckets = case
    usage = usage_of(report)
    assert usage is not None
    assert (usage.req_units, usage.res_units, usage.total_units) == units
    assert {name: tokens for name, tokens in usage.buckets.items() if tokens} == buckets
    assert sum(usage.buckets[name] for name in INPUT_BUCKETS) == usage.req_units
    assert sum(usage.buckets[name] for name in OUTPUT_BUCKETS) == usage.res_units


@pytest.mark.parametrize("report", [{}, {"seconds": 3}, {"type": "duration"}])
def test_a_report_without_tokens_is_no_usage(report) -> None:
    assert usage_of(report) is None


@pytest.mark.parametrize("value", [-1, 1.5, "many", True, {"a": 1}, float("inf"), float("nan")])
def test_a_count_that_is_none_is_refused(value) -> None:
    with pytest.raises(BadRecord, match="usage"):
        usage_of({"prompt_tokens": value, "completion_tokens": 1})


def test_output_of_an_image_request_without_details_is_image_tokens() -> None:
    usage = usage_of({"input_tokens": 5, "output_tokens": 100, "input_tokens_details": {}}, Makes.IMAGES)
    assert usage is not None
    assert usage.buckets["image_output_tokens"] == 100


OPENAI_STREAM = [
    {"model": "gpt-4o-2024-08-06", "choices": [{"delta": {"content": "hi"}}], "usage": None},
    {"model": "gpt-4o-2024-08-06", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
]
ANTHROPIC_SSE = (
    'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-x","usage":'
    '{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n'
    'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":42}}\n\ndata: [DONE]\n\n'
)
RESPONSES_SSE = (
    'data: {"type":"response.created","response":{"model":"gpt-4.1","usage":null}}\n\n'
    'data: {"type":"response.completed","response":{"model":"gpt-4.1","service_tier":"flex","output":'
    '[{"type":"web_search_call"},{"type":"message"}],"usage":{"input_tokens":9,"output_tokens":2,'
    '"input_tokens_details":{"cached_tokens":1}}}}\n\n'
)


def test_the_usage_of_a_stream_is_in_its_last_chunks() -> None:
    answer = answer_of(OPENAI_STREAM)
    assert answer.model == "gpt-4o-2024-08-06"
    assert answer.usage is not None
    assert (answer.usage.req_units, answer.usage.res_units) == (3, 4)


def test_the_usage_of_an_event_stream_is_put_together_from_its_events() -> None:
    answer = answer_of(ANTHROPIC_SSE)
    assert answer.model == "claude-x"
    assert answer.usage is not None
    assert (answer.usage.req_units, answer.usage.res_units) == (15, 42)


def test_a_stream_of_responses_tells_its_tier_and_its_searches() -> None:
    answer = answer_of(RESPONSES_SSE)
    assert answer.usage is not None
    assert (answer.usage.req_units, answer.tier, dict(answer.units)) == (9, "flex", {"web_search": 1})


def test_stream_chunks_of_google_and_bedrock() -> None:
    google = answer_of(
        [
            {"modelVersion": "gemini-2.5-pro", "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}},
            {"usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 6, "totalTokenCount": 10}},
        ],
    )
    assert google.usage is not None
    assert (google.model, google.usage.req_units, google.usage.res_units) == ("gemini-2.5-pro", 4, 6)
    bedrock = answer_of([{"messageStart": {}}, {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2}}}])
    assert bedrock.usage is not None
    assert (bedrock.usage.req_units, bedrock.usage.res_units) == (1, 2)


def test_images_that_were_made_are_counted() -> None:
    answer = answer_of({"created": 1, "data": [{"url": "a"}, {"b64_json": "b"}]}, Asked("/v1/images/generations"))
    assert (answer.images, answer.usage) == (2, None)


@pytest.mark.parametrize("body", [None, "", "not json", "{broken", 5, [], {}, "data: {broken\n\n"])
def test_a_body_that_says_nothing_is_no_error(body) -> None:
    answer = answer_of(body)
    assert (answer.model, answer.usage) == (None, None)
