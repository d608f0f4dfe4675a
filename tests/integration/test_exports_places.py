"""Exports over every warehouse and into every place: the same bytes, resumed after a kill, by URLs that expire."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app, utc_now
from api.exports.payloads import Payloads
from api.exports.running import ExportRunner, Outcome
from tests.factories import rows
from tests.factories.app import Installation, auth, installed, store
from tests.factories.engines import shared_server
from tests.factories.gateway import PartMissing
from tests.factories.object_stores import ObjectStorePlace, seaweed_s3
from tests.factories.parts import lacking, needed
from warehouse.catalog.generations import GENERATIONS
from warehouse.exports.fields import BODIES, FIELDS

ROOT = Path(__file__).parents[2]
COUNT = 1200
PLAIN = [name for name in FIELDS if name not in BODIES]
TABLE = rows.generations(91, COUNT)


@dataclass(frozen=True)
class World:
    here: Installation
    client: TestClient

    def call(self, method: str, path: str, content: Any = None) -> Any:
        answer = self.client.request(method, f"/v1/logs/exports{path}", json=content, headers=auth(self.here.admin_key))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def started(self, form: str = "jsonl") -> str:
        made = self.call("POST", "", {"filters": {}, "requested_data": PLAIN, "format": form})["id"]
        self.call("POST", f"/{made}/start")
        return made

    def run(self, export_id: str) -> Outcome:
        parts = self.client.app.state.services  # type: ignore[attr-defined]
        runner = ExportRunner(
            parts.settings, parts.database, parts.engine, parts.exports, Payloads(parts.logs), parts.clock
        )
        return runner.run(export_id)

    def url(self, export_id: str) -> str:
        return self.call("GET", f"/{export_id}/download")["signed_url"]

    def file(self, form: str) -> bytes:
        export_id = self.started(form)
        assert self.run(export_id) is Outcome.SUCCESS
        answer = self.client.get(self.url(export_id))
        assert answer.status_code == 200
        return answer.content


@contextmanager
def world_of(here: Installation, environment: Mapping[str, str] | None = None) -> Iterator[World]:
    with TestClient(create_app(here.settings, clock=utc_now, environment=environment or {})) as client:
        place = TABLE.schema.get_field_index("organisation_id")
        owner = pa.array([here.first.organisation_id] * COUNT)
        store(client, GENERATIONS, TABLE.set_column(place, TABLE.schema.field(place), owner))
        yield World(here, client)


@pytest.fixture
def clickhouse() -> Generator[str]:
    """The URL of a new database."""
    try:
        server = shared_server()
    except PartMissing as missing:
        lacking(missing)
    database = server.new_database()
    yield server.url(database)
    server.run(f"DROP DATABASE {database} SYNC")


@pytest.mark.slow
def test_both_warehouses_give_the_same_bytes(tmp_path: Path, clickhouse: str) -> None:
    files: dict[str, list[bytes]] = {}
    for name in ("lake", "clickhouse"):
        with installed(tmp_path / name) as here:
            url = SecretStr(clickhouse) if name == "clickhouse" else None
            warehouse = here.settings.warehouse.model_copy(update={"warehouse_url": url})
            here = replace(here, settings=here.settings.model_copy(update={"warehouse": warehouse}))
            with world_of(here) as world:
                files[name] = [world.file(form) for form in ("jsonl", "csv", "parquet")]
    assert files["lake"] == files["clickhouse"]
    assert len(files["lake"][0].splitlines()) == COUNT


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Generator[ObjectStorePlace]:
    with needed(seaweed_s3(tmp_path_factory.mktemp("seaweed"))) as place:
        yield place


@pytest.mark.slow
def test_a_bucket_keeps_exports_resumes_them_and_signs_their_urls(
    tmp_path: Path, s3: ObjectStorePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"{s3.url}/{uuid.uuid4().hex}"
    for name in ("WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "LOG_STORE_URL", "LOG_STORE"):
        monkeypatch.delenv(name, raising=False)
    with installed(tmp_path / "home", log_exports_bucket=bucket, export_url_lifetime_s=60) as here:
        with world_of(here, s3.environment) as world:
            export_id = world.started()
            killed_after_parts(here, export_id, bucket, s3.environment)
            assert world.run(export_id) is Outcome.NOT_DUE
            forget_lease(here, export_id)
            assert world.run(export_id) is Outcome.SUCCESS
            url = world.url(export_id)
            content = httpx.get(url, timeout=30).content
        with installed(tmp_path / "folder") as other, world_of(other) as world:
            assert world.file("jsonl") == content
    assert urlsplit(url).netloc == urlsplit(s3.environment["AWS_ENDPOINT_URL"]).netloc
    query = dict(parse_qsl(urlsplit(url).query))
    assert query["X-Amz-Expires"] == "60"
    for changed in ({"X-Amz-Expires": "600"}, {"X-Amz-Signature": "0" * 64}, {"X-Amz-Date": "20200101T000000Z"}):
        forged = urlunsplit(urlsplit(url)._replace(query=urlencode(query | changed)))
        assert httpx.get(forged, timeout=30).status_code == 403, changed


def forget_lease(here: Installation, export_id: str) -> None:
    """As time does."""
    from sqlalchemy import update

    from api.exports.rows import Export

    with here.database.transaction() as session:
        session.execute(update(Export).where(Export.id == export_id).values(lease_until=None))


def killed_after_parts(here: Installation, export_id: str, bucket: str, environment: Mapping[str, str]) -> None:
    """A worker writes two parts into the bucket and dies."""
    command = [sys.executable, "-m", "tests.integration.export_worker", export_id]
    variables = {**os.environ, **environment, "GATELEDGER_HOME": str(here.settings.home), "LOG_EXPORTS_BUCKET": bucket}
    if (url := here.settings.database.url) is not None:
        variables["DATABASE_URL"] = url.get_secret_value()
    process = subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(3)]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert 0 < told[-1] < COUNT
