"""Requests of the SDKs, as they were recorded, are answered as they were: every field, every number."""

import json
from collections.abc import Generator
from math import isclose
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.permissions import KeyKind
from tests.factories import recorded
from tests.factories.app import auth, installed, serving, store
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS


@pytest.fixture
def asked(tmp_path: Path) -> Generator[tuple[TestClient, str, str]]:
    """A client, a key of the workspace that asked, and that workspace's id."""
    with installed(tmp_path) as here, serving(here) as client:
        place = here.workspace("Recorded", slug=recorded.SLUG).id
        generations, feedbacks = recorded.traffic(here)
        store(client, GENERATIONS, generations, "generations")
        store(client, FEEDBACKS, feedbacks, "feedbacks")
        yield client, here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=place), place


@pytest.mark.parametrize("sdk", recorded.SDKS)
def test_each_request_is_answered_as_recorded(asked: tuple[TestClient, str, str], sdk: str) -> None:
    client, key, place = asked
    ids = {"{workspace}": place}
    requests = recorded.load(sdk)
    for request in requests:
        written = json.dumps([request["path"], request["body"]])
        for name, id_ in ids.items():
            written = written.replace(name, id_)
        path, body = json.loads(written)
        content = None if body is None else json.dumps(body)
        answer = client.request(request["method"], path, headers={**request["headers"], **auth(key)}, content=content)
        assert answer.status_code == request["status"], (path, answer.text)
        said = answer.json()
        assert is_same(recorded.settled(said), request["answer"]), (path, said)
        if "feedback_ids" in said:
            ids.setdefault("{feedback}", said["feedback_ids"][0])
        elif request["method"] == "POST" and "id" in said:
            ids.setdefault("{export}", said["id"])
    assert {"{export}", "{feedback}"} <= ids.keys()
    assert len(requests) > 30


def is_same(found: Any, wanted: Any) -> bool:
    """Whether two answers are the same; how sums of floats are rounded hangs on the order of rows."""
    if isinstance(found, float) and isinstance(wanted, float):
        return isclose(found, wanted, rel_tol=1e-12)
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(is_same(value, wanted[name]) for name, value in found.items())
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(is_same, found, wanted))
    return found == wanted
