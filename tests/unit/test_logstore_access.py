"""Which variables open a bucket, without any store."""

import pytest

from warehouse.errors import ConfigurationError
from warehouse.logstore.access import access_of, log_store_url
from warehouse.logstore.store import LogStore

SECRET = "hunter2-hunter2"
KEYS = {"LOG_STORE_ACCESS_KEY": "key", "LOG_STORE_SECRET_KEY": SECRET}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"LOG_STORE_URL": "s3://b/p", "LOG_STORE": "gcs"}, "s3://b/p"),
        ({"LOG_STORE": "s3", "LOG_STORE_GENERATIONS_BUCKET": "b"}, "s3://b"),
        ({"LOG_STORE": "S3_CUSTOM", "LOG_STORE_GENERATIONS_BUCKET": "b"}, "s3://b"),
        ({"LOG_STORE": "gcs", "LOG_STORE_GENERATIONS_BUCKET": "b"}, "gs://b"),
        ({"LOG_STORE": "azure", "AZURE_STORAGE_CONTAINER": "c"}, "az://c"),
    ],
)
def test_the_url_of_the_gateways_own_variables(environment: dict[str, str], expected: str | None) -> None:
    assert log_store_url(environment) == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LOG_STORE": "mongo"}, "LOG_STORE=mongo keeps no objects"),
        ({"LOG_STORE": "s3"}, "LOG_STORE_GENERATIONS_BUCKET"),
        ({"LOG_STORE": "azure"}, "AZURE_STORAGE_CONTAINER"),
    ],
)
def test_a_store_that_cannot_be_read_is_said(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        log_store_url(environment)


def test_the_narrower_variables_win_as_a_pair() -> None:
    aws = {"AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "t"}
    assert access_of("s3", aws).keys == ("other", "x", "t")
    access = access_of("s3", aws | KEYS)
    assert access.keys == ("key", SECRET, "")
    assert SECRET not in repr(access)


def test_endpoints() -> None:
    assert "endpoint" not in access_of("s3", {}).config
    assert access_of("s3", {"LOG_STORE_BASEPATH": "minio.local:9000/"}).config["endpoint"] == "https://minio.local:9000"
    wasabi = access_of("s3", {"LOG_STORE": "wasabi", "LOG_STORE_REGION": "eu-west-2"})
    assert wasabi.config == {"region": "eu-west-2", "endpoint": "https://s3.eu-west-2.wasabisys.com"}


@pytest.mark.parametrize(("said", "allowed"), [(None, True), ("true", True), ("false", False)])
def test_plain_http_is_what_an_http_endpoint_means_unless_forbidden(said: str | None, allowed: bool) -> None:
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"} | ({"AWS_ALLOW_HTTP": said} if said else {})
    assert access_of("s3", environment).allow_http is allowed
    assert access_of("s3", {"AWS_ALLOW_HTTP": "true"}).allow_http is False


def test_gateway_keys_of_google_go_to_its_s3_api() -> None:
    access = access_of("gs", KEYS | {"LOG_STORE": "gcs"})
    assert (access.kind, access.config["endpoint"]) == ("s3", "https://storage.googleapis.com")
    assert access_of("gs", KEYS | {"LOG_STORE": "s3"}).kind == "gs"


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://bucket?x=1", "s3://bucket/x#y"])
def test_urls_that_name_no_bucket(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"s3://bucket/prefix"):
        LogStore.open(url, {})
