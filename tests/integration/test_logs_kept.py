"""A log that was taken is kept whole: through kill -9, a log store that is away, and in a store of one's own choice."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.permissions import KeyKind
from tests.factories.app import Installation, auth, installed, serving
from tests.factories.server import live_server
from warehouse.errors import SourceError
from warehouse.logstore.folder import FolderStore
from warehouse.logstore.paths import PathFormat, parse_path

TIME = {"time_of_generation_min": "2020-01-01", "time_of_generation_max": "2030-01-01"}


def log(number: object) -> dict[str, Any]:
    return {
        "request": {"url": "chat/completions", "provider": "openai", "body": {"model": "gpt-4o", "n": number}},
        "response": {"body": {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}, "response_time": "0001"},
        "start_time": 1775126400,
    }


def eventually(check: Callable[[], Any], timeout_s: float = 60) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := check()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def workspace_key(here: Installation) -> str:
    return here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)


@pytest.mark.slow
def test_no_log_is_lost_when_a_server_is_killed(tmp_path: Path) -> None:
    """Killed at any time while several clients send: what was answered is there afterwards, once, with its body."""
    with installed(tmp_path) as here:
        key = workspace_key(here)
        taken: dict[str, str] = {}
        for round_ in range(3):
            with live_server(tmp_path) as server:
                url = f"{server.url}/v1/logs"

                def send(batch: int, url: str = url, round_: int = round_) -> None:
                    names = [f"{round_}-{batch}-{index}" for index in range(25)]
                    try:
                        answer = httpx.post(url, json=[log(name) for name in names], headers=auth(key), timeout=30)
                    except httpx.TransportError:
                        return  # killed before it answered: whether it was taken nobody was told
                    if answer.status_code == 200:
                        taken.update(zip(answer.json()["log_ids"], names, strict=True))

                with ThreadPoolExecutor(4) as clients:
                    sent = [clients.submit(send, batch) for batch in range(12)]
                    eventually(lambda sent=sent: sum(one.done() for one in sent) >= 6)
                    server.kill()
                    for one in sent:
                        one.result()
        assert len(taken) >= 150
        with serving(here) as client:
            spool = client.app.state.services.spool  # type: ignore[attr-defined]
            assert eventually(lambda: not spool.backlog()[0])
            found: dict[str, int] = {}
            cursor = ""
            while True:
                query = {**TIME, "page_size": "100", "include_total": "false", "cursor": cursor}
                page = client.get("/v1/logs", params=query, headers=auth(key)).json()
                for line in page["data"]:
                    found[line["id"]] = found.get(line["id"], 0) + 1
                cursor = page["next_cursor"] or ""
                if not cursor:
                    break
            assert set(found.values()) == {1}
            assert taken.keys() <= found.keys()
            for log_id, name in list(taken.items())[::7]:
                shown = client.get(f"/v1/logs/{log_id}", headers=auth(key)).json()
                assert (shown["log_format"], shown["request"]["body"]["n"]) == ("full", name)


def test_a_log_store_that_is_away_keeps_no_row_from_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    is_away = True
    put_new = FolderStore.put_new

    def put(self: FolderStore, objects: Any) -> None:
        if is_away:
            raise SourceError("away")
        put_new(self, objects)

    monkeypatch.setattr(FolderStore, "put_new", put)
    with installed(tmp_path) as here, serving(here) as client:
        key = workspace_key(here)
        spool = client.app.state.services.spool  # type: ignore[attr-defined]
        [log_id] = client.post("/v1/logs", json=log(1), headers=auth(key)).json()["log_ids"]

        def read() -> dict[str, Any]:
            answer = client.get(f"/v1/logs/{log_id}", headers=auth(key))
            return answer.json() if answer.status_code == 200 else {}

        shown = eventually(read)
        assert shown["log_format"] == "metrics"
        assert spool.backlog()[0] == 1
        is_away = False
        assert eventually(lambda: read()["log_format"] == "full")
        assert eventually(lambda: spool.backlog()[0] == 0)
        assert client.get("/v1/logs", params=TIME, headers=auth(key)).json()["total"] == 1


@pytest.mark.parametrize("form", ["v1", "v2"])
def test_log_objects_go_where_the_log_store_is(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "bucket"
    folder.mkdir()
    home = tmp_path / "home"
    with installed(home) as here:
        placed = {"log_store_url": SecretStr(str(folder)), "log_store_file_path_format": PathFormat(form)}
        warehouse = here.settings.warehouse.model_copy(update=placed)
        here = replace(here, settings=here.settings.model_copy(update={"warehouse": warehouse}))
        check_place(here, folder, form)


def check_place(here: Installation, folder: Path, form: str) -> None:
    with serving(here) as client:
        key = workspace_key(here)
        [log_id] = client.post("/v1/logs", json=log(1), headers=auth(key)).json()["log_ids"]
        assert eventually(lambda: client.get(f"/v1/logs/{log_id}", headers=auth(key)).status_code == 200)
        shown = client.get(f"/v1/logs/{log_id}", headers=auth(key)).json()
        assert (shown["log_format"], shown["metrics"]["log_store_file_path_format"]) == ("full", form)
    [stored] = FolderStore(folder).list()
    path = parse_path(stored.path)
    assert path is not None
    assert (path.format, path.organisation_id, path.log_id) == (form, here.first.organisation_id, log_id)


def test_many_objects_at_once_are_put_whole_and_only_where_nothing_is(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a/0.json", b"first")
    store.put_new((f"{'abc'[number % 3]}/{number}.json", b"%d" % number) for number in range(5000))
    names = {found.path for found in store.list()}
    assert names == {f"{'abc'[number % 3]}/{number}.json" for number in range(5000)}
    assert store.read("a/0.json") == b"first"
    assert store.read("b/4999.json") == b"4999"
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / "taken").write_bytes(b"a file where a folder should be")
    with pytest.raises(SourceError, match="Cannot write"):
        store.put_new([("fine/1.json", b"1"), ("taken/2.json", b"2")])
