"""A client that asks the same thing over and over.

`python -m tests.factories.load PORT PATH KEY SECONDS CONNECTIONS [BODY]`: with a body, which is JSON, it is a POST.
Prints JSON: requests in all, and requests per second and latencies once warm. One answer is awaited per connection
before the next question.
"""

import asyncio
import json
import sys
import time
from typing import Any

WARM_UP = 0.3


class Asking(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes) -> None:
        self._request, self._buffer, self._asked_at = request, b"", 0.0
        self.latencies: list[float] = []
        self.refused = 0
        self.stops = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self.latencies.append(time.perf_counter() - self._asked_at)
        self.refused += not head.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        if self.stops:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._ask()

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(self._request)


def _request(path: str, key: str, body: str) -> bytes:
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: localhost"]
    if key:
        lines.append(f"x-portkey-api-key: {key}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body]).encode()


async def measured(
    port: int, path: str, key: str, seconds: float, connections: int, body: str = ""
) -> dict[str, float]:
    """Requests per second, and latencies in ms. Raises: RuntimeError when an answer is not 200."""
    request = _request(path, key, body)
    loop = asyncio.get_running_loop()
    asking: list[Asking] = []
    for _ in range(connections):
        _, one = await loop.create_connection(lambda: Asking(request), "127.0.0.1", port)
        asking.append(one)
    await asyncio.sleep(seconds * WARM_UP)
    while not all(one.latencies for one in asking):
        await asyncio.sleep(0.01)
    before, began = [len(one.latencies) for one in asking], time.perf_counter()
    await asyncio.sleep(seconds)
    while sum(len(one.latencies) for one in asking) == sum(before):
        await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    counted = sorted(late for one, first in zip(asking, before, strict=True) for late in one.latencies[first:])
    for one in asking:
        one.stops = True
    await asyncio.gather(*(one.done for one in asking))
    if any(one.refused for one in asking):
        raise RuntimeError(f"{path} was refused")
    return {
        "requests": sum(len(one.latencies) for one in asking),
        "requests_per_s": len(counted) / took,
        "p50_ms": counted[len(counted) // 2] * 1000,
        "p99_ms": counted[int(len(counted) * 0.99)] * 1000,
    }


if __name__ == "__main__":
    port, path, key, seconds, connections, *body = sys.argv[1:]
    print(json.dumps(asyncio.run(measured(int(port), path, key, float(seconds), int(connections), *body))))
