"""A small LLM provider on loopback: OpenAI and Anthropic shapes, streamed or not, with errors on demand.

The number of tokens is a function of the request alone, so a test can work out what every row must say.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ERRORS = {
    "fail-400": (400, "invalid_request_error", "The request body is not what this model takes."),
    "fail-401": (401, "authentication_error", "Incorrect API key provided."),
    "fail-429": (429, "rate_limit_error", "Rate limit reached for requests."),
    "fail-500": (500, "server_error", "The server had an error while processing your request."),
}
"""A prompt that begins with one of these words gets that answer."""
FLAKY = "flaky"
"""A prompt that begins with this word gets a 500 at first, and its answer when it is asked again."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider says a prompt took: `cached` and `cache_write` are in `prompt`, `reasoning` in `output`."""

    prompt: int
    output: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


def tokens_of(prompt: str) -> Tokens:
    """The tokens the provider will report for a prompt, whatever its shape."""
    words = prompt.split()
    size = len(prompt)
    return Tokens(
        prompt=40 + size,
        output=7 + size % 23,
        cached=32 if "cached" in words else 0,
        cache_write=8 if "written" in words else 0,
        reasoning=5 if "think" in words else 0,
    )


@dataclass
class FakeProvider:
    """Where the provider listens, and every request it has answered."""

    port: int
    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def fake_provider() -> Iterator[FakeProvider]:
    """A running provider on a free loopback port."""
    provider = FakeProvider(port=0)

    class Handler(_Handler):
        seen = provider.requests

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        again = any(earlier["body"] == body for earlier in self.seen)
        self.seen.append({"path": self.path, "body": body})
        if self.path == "/v1/embeddings":
            return self._json(200, _embedding(body))
        prompt = str(body["messages"][-1]["content"])
        first_word = prompt.split()[0]
        failure = ERRORS.get("fail-500" if first_word == FLAKY and not again else first_word)
        if failure:
            status, kind, message = failure
            return self._json(status, {"type": "error", "error": {"type": kind, "message": message, "code": kind}})
        anthropic = self.path == "/v1/messages"
        if body.get("stream"):
            return self._stream(_anthropic_events(body, prompt) if anthropic else _openai_events(body, prompt))
        return self._json(200, _anthropic(body, prompt) if anthropic else _openai(body, prompt))

    def _json(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(event.encode())
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keeps the test's output clean."""


def _openai_usage(prompt: str) -> dict[str, Any]:
    tokens = tokens_of(prompt)
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": 0},
    }


def _openai(body: dict[str, Any], prompt: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{time.monotonic_ns()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}],
        "usage": _openai_usage(prompt),
    }


def _openai_events(body: dict[str, Any], prompt: str) -> Iterator[str]:
    base = {
        "id": f"chatcmpl-{time.monotonic_ns()}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": body["model"],
    }
    for word in ("Fine", "."):
        delta = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
        yield f"data: {json.dumps({**base, 'choices': [delta]})}\n\n"
    yield f"data: {json.dumps({**base, 'choices': [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]})}\n\n"
    if body.get("stream_options", {}).get("include_usage"):
        yield f"data: {json.dumps({**base, 'choices': [], 'usage': _openai_usage(prompt)})}\n\n"
    yield "data: [DONE]\n\n"


def _anthropic_usage(prompt: str) -> dict[str, int]:
    tokens = tokens_of(prompt)
    return {
        "input_tokens": tokens.prompt - tokens.cached - tokens.cache_write,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": tokens.cache_write,
        "output_tokens": tokens.output,
    }


def _anthropic(body: dict[str, Any], prompt: str) -> dict[str, Any]:
    return {
        "id": f"msg_{time.monotonic_ns()}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": "Fine."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _anthropic_usage(prompt),
    }


def _anthropic_events(body: dict[str, Any], prompt: str) -> Iterator[str]:
    usage = _anthropic_usage(prompt)
    message = {**_anthropic(body, prompt), "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    usage_end = {"output_tokens": usage["output_tokens"]}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Fine."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage_end},
        {"type": "message_stop"},
    ]
    for event in events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def _embedding(body: dict[str, Any]) -> dict[str, Any]:
    tokens = tokens_of(str(body["input"]))
    return {
        "object": "list",
        "model": body["model"],
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.125]}],
        "usage": {"prompt_tokens": tokens.prompt, "total_tokens": tokens.prompt},
    }
