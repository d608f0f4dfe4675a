"""`gateledger workspaces`: made, listed and archived on the server itself, by the same rules as over HTTP."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.api_keys.rows import ApiKey
from api.cli.app import cli
from api.errors import Conflict, Forbidden, InvalidRequest
from api.permissions import KeyKind
from tests.factories.app import Installation, installed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Installation]:
    with installed(tmp_path / "home") as installation:
        monkeypatch.setenv("GATELEDGER_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("DATABASE_URL", installation.database.url.render_as_string(hide_password=False))
        yield installation


def run(*arguments: str) -> Any:
    ran = CliRunner().invoke(cli, ["workspaces", *arguments, "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def test_made_listed_and_archived(here: Installation) -> None:
    made = run("create", "Later", "--slug", "ws-later")
    assert made == {"id": made["id"], "slug": "ws-later", "name": "Later", "status": "active"}
    assert [row["slug"] for row in run("list")["data"]] == [here.first.workspace_slug, "ws-later"]
    here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=made["id"])
    for _ in range(2):
        assert run("archive", "ws-later") == {**made, "status": "archived"}
    assert [row["status"] for row in run("list")["data"]] == ["active", "archived"]
    with here.database.transaction(writes=False) as session:
        assert session.query(ApiKey).filter_by(workspace_id=made["id"]).one().deleted_at is not None


def test_what_cannot_be_done_is_told(here: Installation) -> None:
    run("create", "Later", "--slug", "ws-later")
    with pytest.raises(Conflict, match="a workspace 'ws-later' exists already"):
        run("create", "Again", "--slug", "ws-later")
    with pytest.raises(InvalidRequest, match="must not look like a UUID"):
        run("create", "Again", "--slug", here.first.workspace_id)
    with pytest.raises(Conflict, match="default workspace"):
        run("archive", here.first.workspace_slug, "--force")
    with pytest.raises(Forbidden):
        run("archive", "absent")
