"""What a log store says when it is refused: who, what, and which variables to look at; soon, and without secrets."""

import time
from collections.abc import Mapping

import pytest

from tests.factories.gateway import free_port
from tests.factories.object_stores import BUCKET, S3_KEY, ObjectStorePlace
from warehouse.errors import ConfigurationError, SourceError
from warehouse.ingest.discover import sources_of
from warehouse.logstore.access import log_store_url
from warehouse.logstore.store import LogStore

WRONG = "a-wrong-secret-that-nobody-may-see"


def refusal_of(url: str, environment: Mapping[str, str], within_s: float = 60) -> str:
    started = time.monotonic()
    with pytest.raises(SourceError) as refused:
        LogStore.open(url, environment).check()
    assert time.monotonic() - started < within_s
    message = str(refused.value)
    assert WRONG not in message
    assert url.split("/team")[0] in message
    return message


def test_right_credentials_in_either_spelling(s3_place: ObjectStorePlace) -> None:
    LogStore.open(s3_place.url, s3_place.environment).put("either/x.json", b"{}")
    gateway = {
        "LOG_STORE": "s3_custom",
        "LOG_STORE_ACCESS_KEY": S3_KEY,
        "LOG_STORE_SECRET_KEY": s3_place.secret,
        "LOG_STORE_REGION": "us-east-1",
        "LOG_STORE_BASEPATH": s3_place.environment["AWS_ENDPOINT_URL"],
        "LOG_STORE_GENERATIONS_BUCKET": BUCKET,
        "AWS_ACCESS_KEY_ID": "somebody-else",
        "AWS_SECRET_ACCESS_KEY": WRONG,
        "AWS_SESSION_TOKEN": WRONG,
    }
    url = log_store_url(gateway)
    assert url == f"s3://{BUCKET}"
    assert [found.path for found in LogStore.open(url, gateway).list("team/logs/either")] == ["team/logs/either/x.json"]


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_s3_credentials(s3_place: ObjectStorePlace, variable: str) -> None:
    environment = {**s3_place.environment, variable: WRONG}
    message = refusal_of(s3_place.url, environment)
    assert f"{s3_place.environment['AWS_ENDPOINT_URL']} answered 403" in message
    assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, LOG_STORE_ACCESS_KEY" in message
    assert s3_place.secret not in message
    with pytest.raises(SourceError, match=r"Cannot (list|read) .*refused"):
        list(sources_of([s3_place.url], None, environment))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=r"Cannot write .*credentials were refused"):
        LogStore.open(s3_place.url, environment).put("y.json", b"{}")


def test_a_missing_s3_bucket(s3_place: ObjectStorePlace) -> None:
    assert "there is no such bucket" in refusal_of("s3://no-such-bucket/team", s3_place.environment)


def test_no_s3_credentials_at_all(s3_place: ObjectStorePlace) -> None:
    environment = {
        "AWS_ENDPOINT_URL": s3_place.environment["AWS_ENDPOINT_URL"],
        "AWS_METADATA_ENDPOINT": f"http://127.0.0.1:{free_port()}",
    }
    message = refusal_of(s3_place.url, environment)
    assert "no credentials are set" in message
    assert "AWS_ACCESS_KEY_ID" in message


def test_half_a_pair_of_keys(s3_place: ObjectStorePlace) -> None:
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not"):
        LogStore.open(s3_place.url, {"AWS_ACCESS_KEY_ID": "x"})


def test_a_host_that_is_not_there() -> None:
    port = free_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": WRONG,
    }
    message = refusal_of("s3://bucket/team", environment)
    assert f"http://127.0.0.1:{port} did not answer" in message
    assert "AWS_ENDPOINT_URL" in message


def test_azure_refusals(azure_place: ObjectStorePlace) -> None:
    environment = {**azure_place.environment, "AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmctc2VjcmV0"}
    message = refusal_of(azure_place.url, environment)
    assert "answered 403" in message
    assert "AZURE_STORAGE_ACCOUNT_KEY" in message
    assert "there is no such bucket" in refusal_of("az://nothing/team", azure_place.environment)
    with pytest.raises(ConfigurationError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        LogStore.open(azure_place.url, {})


def test_gcs_refusals(gcs_place: ObjectStorePlace) -> None:
    assert "there is no such bucket" in refusal_of("gs://nothing/team", gcs_place.environment)
    nowhere = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{free_port()}"}
    message = refusal_of(gcs_place.url, nowhere)
    assert "did not answer" in message
    assert "STORAGE_EMULATOR_HOST" in message
