"""What was used beside tokens, and how it was served: from requests and answers as providers write them."""

from decimal import Decimal

import pytest

from warehouse.ingest.asked import Asked, Makes
from warehouse.ingest.bodies import answer_of
from warehouse.ingest.served import served

RESPONSES = "https://api.openai.com/v1/responses"
GROUNDED = {"groundingMetadata": {"webSearchQueries": ["a", "b"], "groundingChunks": [{"maps": {}}]}}
UNITS = {
    "searches, of which one only opens a page; one file search; two calls in one container": (
        {
            "output": [
                {"type": "web_search_call", "action": {"type": "search"}},
                {"type": "web_search_call", "action": {"type": "open_page"}},
                {"type": "file_search_call"},
                {"type": "code_interpreter_call", "container_id": "c1"},
                {"type": "code_interpreter_call", "container_id": "c1"},
            ],
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
        Asked(RESPONSES),
        {"web_search": 1, "file_search": 1, "code_execution": 1},
    ),
    "anthropic's tools": (
        {"usage": {"input_tokens": 1, "server_tool_use": {"web_search_requests": 3, "code_execution_requests": 1}}},
        Asked(),
        {"web_search": 3, "code_execution": 1},
    ),
    "tools that are reported and listed": (
        {
            "output": [{"type": "web_search_call"}, {"type": "x_search_call"}],
            "usage": {
                "input_tokens": 1,
                "server_side_tool_usage_details": {"web_search_calls": 2, "x_search_calls": 1},
            },
        },
        Asked(),
        {"web_search": 2, "x_search": 1},
    ),
    "gemini 2 is billed per grounded prompt": (
        {"modelVersion": "gemini-2.5-pro", "candidates": [GROUNDED], "usageMetadata": {"promptTokenCount": 1}},
        Asked(),
        {"web_search": 1, "maps": 1},
    ),
    "gemini 3 is billed per query": (
        {"modelVersion": "gemini-3-pro-preview", "candidates": [GROUNDED], "usageMetadata": {"promptTokenCount": 1}},
        Asked(),
        {"web_search": 2, "maps": 1},
    ),
    "perplexity by context": (
        {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "search_context_size": "high"}},
        Asked(),
        {"web_search_high_context": 1},
    ),
    "perplexity's deep research": (
        {
            "usage": {
                "prompt_tokens": 1,
                "num_search_queries": 18,
                "citation_tokens": 5028,
                "search_context_size": "low",
            }
        },
        Asked(),
        {"web_search": 18, "citation_token": 5028},
    ),
    "a model that searches every time": (
        {"model": "gpt-4o-search-preview-2025-03-11", "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
        Asked(),
        {"web_search": 1},
    ),
    "rerank": ({"meta": {"billed_units": {"search_units": 2}}}, Asked(), {"rerank_searches": 2}),
    "pages": ({"usage_info": {"pages_processed": 7}}, Asked("/v1/ocr"), {"document_pages": 7}),
    "speech without a token count": (
        None,
        Asked("/v1/audio/speech", body={"input": "Grüße", "voice": "alloy"}),
        {"input_characters": 5},
    ),
    "speech with a token count": (
        {"usage": {"input_tokens": 5, "output_tokens": 100, "total_tokens": 105}},
        Asked("/v1/audio/speech", body={"input": "hello"}),
        {},
    ),
    "seconds of audio": (
        {"text": "hi", "usage": {"type": "duration", "seconds": 7}},
        Asked("/v1/audio/transcriptions"),
        {"audio_seconds": 7},
    ),
    "seconds of audio with a fraction": (
        {"text": "hi", "duration": 8.470000267028809},
        Asked("/v1/audio/translations"),
        {"audio_seconds": Decimal("8.470000267028809")},
    ),
    "a video": (
        {"object": "video", "seconds": "8", "size": "1280x720", "status": "queued"},
        Asked("https://api.openai.com/v1/videos", body={"model": "sora-2", "seconds": "8"}),
        {"video_seconds": 8},
    ),
    "a look at a video": (
        {"object": "video", "seconds": "8", "status": "completed"},
        Asked("https://api.openai.com/v1/videos/v1", "GET"),
        {},
    ),
    "two videos of five seconds": (
        {"name": "operations/1"},
        Asked("https://x/models/veo:predictLongRunning", body={"parameters": {"durationSeconds": 5, "sampleCount": 2}}),
        {"video_seconds": 10},
    ),
    "videos of unsaid length": (
        {"name": "operations/1"},
        Asked("https://x/models/veo:predictLongRunning", body={"parameters": {"sampleCount": 2}}),
        {"generated_videos": 2},
    ),
    "a video of which nothing is said": (
        {"name": "operations/1"},
        Asked("https://x/models/veo:predictLongRunning", body={"instances": [{}]}),
        {"video_requests": 1},
    ),
    "video tokens": (
        {
            "usageMetadata": {
                "promptTokenCount": 9,
                "promptTokensDetails": [{"modality": "VIDEO", "tokenCount": 6}, {"modality": "TEXT", "tokenCount": 3}],
            }
        },
        Asked(),
        {"video_input_tokens": 6},
    ),
    "a router": (
        {"model": "gpt-4.1", "usage": {"prompt_tokens": 12, "completion_tokens": 1}},
        Asked("https://x.openai.azure.com/openai/deployments/model-router/chat/completions"),
        {"routing_units": 12},
    ),
    "a fine-tuning job that is done": (
        {"object": "fine_tuning.job", "status": "succeeded", "trained_tokens": 5768},
        Asked("https://api.openai.com/v1/fine_tuning/jobs"),
        {"training_tokens": 5768},
    ),
}


@pytest.mark.parametrize("case", UNITS.values(), ids=UNITS.keys())
def test_what_was_used_beside_tokens(case) -> None:
    body, asked, units = case
    assert answer_of(body, asked).units == units


SERVED = {
    "standard": ({"service_tier": "default"}, Asked(RESPONSES, body={"service_tier": "priority"}), {}),
    "priority": ({"service_tier": "priority"}, Asked(RESPONSES), {"execution_mode": "priority"}),
    "asked for, nothing said": ({}, Asked(RESPONSES, body={"service_tier": "flex"}), {"execution_mode": "flex"}),
    "anthropic's batch tier": (
        {"usage": {"input_tokens": 1, "service_tier": "batch"}},
        Asked(),
        {"execution_mode": "batch"},
    ),
    "anthropic's fast mode, in the United States": (
        {"usage": {"input_tokens": 1, "service_tier": "standard", "speed": "fast", "inference_geo": "us"}},
        Asked(),
        {"execution_mode": "fast", "region": "us"},
    ),
    "vertex provisioned": (
        {"usageMetadata": {"promptTokenCount": 1, "trafficType": "PROVISIONED_THROUGHPUT"}},
        Asked("https://us-central1-aiplatform.googleapis.com/v1/models/gemini:generateContent"),
        {"execution_mode": "provisioned", "region": "us-central1"},
    ),
    "vertex on demand, without a host": (
        {"usageMetadata": {"promptTokenCount": 1, "trafficType": "ON_DEMAND_FLEX"}},
        Asked("https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/x/models/y:generateContent"),
        {"execution_mode": "flex", "region": "global"},
    ),
    "bedrock provisioned": (
        {"usage": {"inputTokens": 1, "outputTokens": 1}},
        Asked("https://bedrock-runtime.eu-west-1.amazonaws.com/model/arn:aws:bedrock:eu-west-1:1:provisioned-model%2Fx/converse"),
        {"execution_mode": "provisioned", "region": "eu-west-1"},
    ),
    "bedrock's tiers": (
        {"usage": {"inputTokens": 1, "outputTokens": 1}, "serviceTier": {"type": "priority"}},
        Asked("https://bedrock-runtime.us-east-1.amazonaws.com/model/x/converse"),
        {"execution_mode": "priority", "region": "us-east-1"},
    ),
    "azure provisioned": (
        {},
        Asked("https://x.openai.azure.com/", answered={"azure-openai-deployment-utilization": "34.2%"}),
        {"execution_mode": "provisioned"},
    ),
    "azure provisioned, spilled over": (
        {},
        Asked(
            "https://x.openai.azure.com/",
            answered={"azure-openai-deployment-utilization": "100%", "x-ms-spillover-from-main": "true"},
        ),
        {},
    ),
    "openai in a region": ({}, Asked("https://eu.api.openai.com/v1/responses"), {"region": "eu"}),
    "an image as it was made": (
        {"data": [{}], "quality": "high", "size": "1024x1536"},
        Asked("/v1/images/generations", body={"quality": "auto", "size": "auto"}),
        {"image_quality": "high", "image_size": "1024x1536"},
    ),
    "an image as it was asked for": (
        {"data": [{}]},
        Asked("/v1/images/generations", body={"quality": "hd", "size": "1024x1792"}),
        {"image_quality": "hd", "image_size": "1024x1792"},
    ),
    "the size of a video": (
        {"id": "1"},
        Asked("/v1/models/veo:predictLongRunning", body={"parameters": {"resolution": "1080p"}}),
        {"image_size": "1080p"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVED.values(), ids=SERVED.keys())
def test_how_a_request_was_served(case) -> None:
    body, asked, told = case
    found = served(asked, answer_of(body, asked))
    assert {name: value for name, value in found.items() if value is not None} == told


def test_images_are_counted_in_the_answer_else_as_asked_for() -> None:
    asked = Asked("/v1/images/generations", body={"n": 3})
    assert answer_of({"data": [{}, {}]}, asked).images == 2
    assert answer_of({"created": 1}, asked).images == 3
    assert answer_of({"error": {"message": "no"}}, asked).images is None
    assert answer_of(None, asked).images is None
    imagen = Asked("https://x/publishers/google/models/imagen-4.0-generate-001:predict")
    assert imagen.makes is Makes.IMAGES
    assert answer_of({"predictions": [{}, {}, {}, {}]}, imagen).images == 4


def test_speech_makes_audio_tokens() -> None:
    answer = answer_of({"usage": {"input_tokens": 14, "output_tokens": 101}}, Asked("/v1/audio/speech"))
    assert answer.usage is not None
    assert answer.usage.buckets["audio_output_tokens"] == 101


def test_the_results_of_a_batch_are_summed() -> None:
    body = "\n".join(
        f'{{"custom_id":"{n}","response":{{"status_code":200,"body":{{"model":"gpt-4o","usage":'
        f'{{"prompt_tokens":{n},"completion_tokens":2}}}}}}}}'
        for n in (10, 20)
    )
    asked = Asked("https://api.openai.com/v1/batches/b1/output", "GET")
    answer = answer_of(body, asked)
    assert answer.usage is not None
    assert (answer.model, answer.usage.req_units, answer.usage.res_units) == ("gpt-4o", 30, 4)
    assert served(asked, answer)["execution_mode"] == "batch"
    anthropic = [
        {
            "custom_id": "a",
            "result": {"type": "succeeded", "message": {"model": "claude-x", "usage": {"input_tokens": 7}}},
        },
        {"custom_id": "b", "result": {"type": "errored"}},
    ]
    answer = answer_of(anthropic, Asked("https://api.anthropic.com/v1/messages/batches/b/results", "GET"))
    assert answer.usage is not None
    assert (answer.model, answer.usage.req_units) == ("claude-x", 7)


@pytest.mark.parametrize(
    "body",
    [
        {"object": "response", "usage": {"input_tokens": 5, "output_tokens": 1}},
        {"object": "batch", "usage": {"input_tokens": 5, "output_tokens": 1}},
    ],
)
def test_a_look_at_an_answer_is_not_billed_again(body) -> None:
    looked = answer_of(body, Asked(f"{RESPONSES}/r1", "GET"))
    assert looked.usage is not None
    assert looked.usage.total_units == 0
    polled = answer_of(body | {"object": "response", "background": True}, Asked(f"{RESPONSES}/r1", "GET"))
    assert polled.usage is not None
    assert polled.usage.total_units == 6


def test_counts_in_headers_and_in_metrics_of_bedrock() -> None:
    headers = {"x-amzn-bedrock-input-token-count": "12", "x-amzn-bedrock-output-token-count": "3"}
    answer = answer_of(
        {"generations": [{"text": "hi"}]}, Asked("https://x/model/cohere.command/invoke", answered=headers)
    )
    assert answer.usage is not None
    assert (answer.usage.req_units, answer.usage.res_units) == (12, 3)
    streamed = [{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 8, "outputTokenCount": 2}}]
    answer = answer_of(streamed)
    assert answer.usage is not None
    assert (answer.usage.req_units, answer.usage.res_units) == (8, 2)


def test_embeddings_of_vertex_and_counts_in_snake_case() -> None:
    answer = answer_of({"predictions": [{"embeddings": {"statistics": {"token_count": n}}} for n in (3, 4)]})
    assert answer.usage is not None
    assert answer.usage.req_units == 7
    snake = {"prompt_token_count": 4, "candidates_token_count": 2, "thoughts_token_count": 3, "total_token_count": 9}
    answer = answer_of({"usage_metadata": snake})
    assert answer.usage is not None
    assert (answer.usage.req_units, answer.usage.res_units, answer.usage.buckets["reasoning_tokens"]) == (4, 5, 3)
