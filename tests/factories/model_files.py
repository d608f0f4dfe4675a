"""A host of model files on loopback that can be made to misbehave, and price files to serve."""

import json
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.factories.prices import default, entry


def price_file(rate: float | str, *models: str, **entries: Any) -> str:
    """A whole price file whose models cost `rate` for a token in or out."""
    listed = {model: entry(request_token=float(rate), response_token=float(rate)) for model in models or ("m",)}
    return json.dumps({"default": default(), **listed, **entries})


class ModelFileHost:
    """Answers `/pricing/<name>` and `/general/<name>` from `files`, unless `misbehave` says otherwise."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, str] = {}
        """Path without the leading slash → text."""
        self.misbehave = ""
        """`error`, `slow`, `drip`, `html`, `truncated`, `cut`, `huge`, `error-object`, `empty`, `list`, or nothing."""
        self.asked: Counter[str] = Counter()

    def total(self) -> int:
        return self.asked.total()


class _Handler(BaseHTTPRequestHandler):
    host: ModelFileHost
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host = self.host
        path = self.path.lstrip("/")
        host.asked[path] += 1
        text = host.files.get(path)
        body = None if text is None else text.encode()
        manner = {
            "error": lambda: self._send(500, b'{"error":"boom"}'),
            "slow": lambda: (time.sleep(3), self._send(200, b"{}")),
            "drip": self._drip,
            "html": lambda: self._send(200, b"<html><body>It works!</body></html>"),
            "truncated": lambda: self._send(200, (body or b"{}")[: len(body or b"{}") // 2]),
            "cut": lambda: self._send(200, body or b"{}", declared=10 * len(body or b"{}")),
            "huge": self._huge,
            "error-object": lambda: self._send(200, b'{"error": {"message": "try later", "code": 7}}'),
            "empty": lambda: self._send(200, b"{}"),
            "list": lambda: self._send(200, b"[1, 2]"),
        }.get(host.misbehave)
        if manner is not None:
            manner()
        elif body is None:
            self._send(404, b'{"error":"not found"}')
        else:
            self._send(200, body)

    def _send(self, status: int, body: bytes, declared: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body) if declared is None else declared))
        if declared is not None:
            self.close_connection = True
        self.end_headers()
        self._write(body)

    def _write(self, body: bytes) -> bool:
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        return True

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        for _ in range(40):
            if not self._write(b" "):
                return
            time.sleep(0.1)
        self.close_connection = True

    def _huge(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(1 << 30))
        self.end_headers()
        while self._write(b" " * (1 << 20)):
            pass

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        pass


@contextmanager
def model_file_host() -> Generator[ModelFileHost]:
    """A running host; stopped at the end."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.host = host = ModelFileHost(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
