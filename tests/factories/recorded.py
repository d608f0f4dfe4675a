"""What the SDKs send, method by method, kept as files; and the rows that the kept answers are about.

`tests/e2e/test_sdk_requests.py` holds the files against the SDKs (and writes them with `UPDATE_GOLDENS=1`);
`tests/contract/test_recorded_requests.py` asks again what they say, without any SDK.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pyarrow as pa

from tests.factories import rows
from tests.factories.app import Installation

FOLDER = Path(__file__).parents[1] / "contract" / "recorded"
SDKS = ("python", "node")
SLUG = "recorded"
"""The workspace that asks."""
_OF_THE_MACHINE = ("api-key", "version", "lang", "package", "runtime", "arch", "os")
"""Parts of names of headers that say who asks, or where."""
_VOLATILE = frozenset(
    {"id", "log_ids", "feedback_ids", "created_at", "last_updated_at", "created_by", "organisation_id", "workspace_id"}
)
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Request:
    """One request as it was sent, whose ids are called by name, and its answer without what differs each time."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    status: int
    answer: Any


@dataclass
class Recorder:
    """Stands between an SDK and a server, and writes down what passes."""

    url: str
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Value → what it is called in the record."""
    passed: list[Request] = field(default_factory=list[Request])

    def requests(self) -> list[Request]:
        """What passed so far."""
        return [
            Request(each.method, self._named(each.path), each.headers, self._named(each.body), each.status, each.answer)
            for each in self.passed
        ]

    def _named(self, value: Any) -> Any:
        written = json.dumps(value)
        for given, name in self.names.items():
            written = written.replace(given, "{" + name + "}")
        return json.loads(written)


@contextmanager
def recording(server: str) -> Generator[Recorder]:
    """A recorder in front of a server's URL, at its own."""

    class Handler(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            answer = httpx.request(
                self.command, f"{server}{self.path}", headers=headers, content=body, timeout=_TIMEOUT_S
            )
            said = json.loads(answer.content)
            recorder.passed.append(
                Request(self.command, self.path, kept(headers), json.loads(body or b"null"), answer.status_code,
                        settled(said))
            )  # fmt: skip
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_DELETE = _pass  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing is told."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    recorder = Recorder(f"http://127.0.0.1:{listening.server_port}")
    thread = Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield recorder
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that say what is asked for."""
    names = {name.lower(): value for name, value in headers.items()}
    asking = {
        name: value
        for name, value in names.items()
        if name.startswith("x-portkey-") and not any(part in name for part in _OF_THE_MACHINE)
    }
    return {**asking, **{name: names[name] for name in ("content-type",) if name in names}}


def settled(answer: Any) -> Any:
    """The answer without what differs each time."""
    if isinstance(answer, list):
        return [settled(one) for one in answer]
    if not isinstance(answer, dict):
        return answer
    return {name: _shape(value) if name in _VOLATILE else settled(value) for name, value in answer.items()}


def _shape(value: Any) -> Any:
    return [_shape(one) for one in value] if isinstance(value, list) else type(value).__name__


def traffic(here: Installation) -> tuple[pa.Table, pa.Table]:
    """Requests of the workspace `SLUG`, and feedback on them: the same each time."""
    generations = rows.generations(31, 200)
    owners = {"organisation_id": here.first.organisation_id, "workspace_slug": SLUG}
    for name, value in owners.items():
        place = generations.schema.get_field_index(name)
        values = pa.array([value] * generations.num_rows)
        generations = generations.set_column(place, generations.schema.field(place), values)
    return generations, rows.feedbacks(32, generations, 60)


def load(sdk: str) -> list[dict[str, Any]]:
    """What an SDK sent, in its order."""
    return json.loads((FOLDER / f"{sdk}.json").read_text())


def save(sdk: str, requests: list[Request]) -> None:
    """Keep what an SDK sent."""
    FOLDER.mkdir(exist_ok=True)
    written = json.dumps([vars(each) for each in requests], indent=1, sort_keys=True)
    (FOLDER / f"{sdk}.json").write_text(written + "\n")
