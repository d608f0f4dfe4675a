"""Which credentials and endpoint open a bucket: the standard variables of each cloud and the contract's `LOG_STORE_*`.

Source: dataplane contract 4.5. Where both are set, `LOG_STORE_*` wins: it is the narrower one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from warehouse.errors import ConfigurationError

S3_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LOG_STORE_ACCESS_KEY", "LOG_STORE_SECRET_KEY")
GCS_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "LOG_STORE_ACCESS_KEY",
    "LOG_STORE_SECRET_KEY",
)
AZURE_VARIABLES = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN")

_GCS_XML_ENDPOINT = "https://storage.googleapis.com"
_S3_KINDS = ("s3", "s3_assume", "s3_custom", "wasabi")


@dataclass(frozen=True, slots=True)
class Access:
    """How to open a bucket: the kind of store to build, its settings, and the variables to look at when it refuses."""

    kind: str
    config: Mapping[str, Any]
    keys: tuple[str, str, str] | None = field(default=None, repr=False)
    """Access key, secret and session token of S3; None where the store looks for credentials itself."""
    allow_http: bool = False
    credential_variables: tuple[str, ...] = ()
    endpoint_variable: str = ""


def log_store_url(environment: Mapping[str, str]) -> str | None:
    """The log store's URL: `LOG_STORE_URL`, else what the gateway's own variables say, else None.

    Raises: ConfigurationError for a kind of store whose objects cannot be read, and for one without a bucket.
    """
    if environment.get("LOG_STORE_URL"):
        return environment["LOG_STORE_URL"]
    kind = environment.get("LOG_STORE", "").strip().lower()
    if not kind:
        return None
    variable = "LOG_STORE_GENERATIONS_BUCKET"
    if kind in _S3_KINDS:
        scheme = "s3"
    elif kind in ("gcs", "gcs_assume"):
        scheme = "gs"
    elif kind == "azure":
        scheme, variable = "az", "AZURE_STORAGE_CONTAINER"
    else:
        raise ConfigurationError(
            f"LOG_STORE={kind} keeps no objects that can be read. Allowed: {', '.join(_S3_KINDS)}, gcs, gcs_assume, "
            "azure; or give LOG_STORE_URL."
        )
    bucket = environment.get(variable) or environment.get("LOG_STORE_GENERATIONS_BUCKET")
    if not bucket:
        raise ConfigurationError(f"LOG_STORE={kind} needs the name of its bucket in {variable}.")
    return f"{scheme}://{bucket}"


def access_of(scheme: str, environment: Mapping[str, str]) -> Access:
    """What opens a bucket of `s3`, `gs` or `az`. Raises: ConfigurationError for half a pair of keys."""
    return {"s3": _s3, "gs": _gcs, "az": _azure}[scheme](environment)


def _s3(environment: Mapping[str, str]) -> Access:
    kind = environment.get("LOG_STORE", "").lower()
    region = _first(environment, "LOG_STORE_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
    endpoint_variable, endpoint = _named(
        environment, "LOG_STORE_BASEPATH", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"
    )
    if not endpoint and kind == "wasabi":
        endpoint = f"https://s3.{region or 'us-east-1'}.wasabisys.com"
    config: dict[str, Any] = {"region": region or "us-east-1"}
    if endpoint:
        config["endpoint"] = endpoint = _with_scheme(endpoint)
    if metadata := environment.get("AWS_METADATA_ENDPOINT"):
        config["metadata_endpoint"] = metadata
    if role := environment.get("LOG_STORE_AWS_ROLE_ARN"):
        config["role_arn"] = role
    if _yes(environment.get("AWS_SKIP_SIGNATURE")):
        config["skip_signature"] = True
    keys = _pair(environment, "LOG_STORE_ACCESS_KEY", "LOG_STORE_SECRET_KEY")
    token = ""
    if keys is None:
        keys = _pair(environment, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        token = environment.get("AWS_SESSION_TOKEN", "")
    return Access(
        "s3",
        config,
        (*keys, token) if keys else None,
        _http_allowed(endpoint, environment.get("AWS_ALLOW_HTTP")),
        S3_VARIABLES,
        endpoint_variable or "AWS_ENDPOINT_URL",
    )


def _gcs(environment: Mapping[str, str]) -> Access:
    """A bucket of Google; with the gateway's HMAC keys it is opened through its S3-compatible API."""
    keys = _pair(environment, "LOG_STORE_ACCESS_KEY", "LOG_STORE_SECRET_KEY")
    if keys is not None and environment.get("LOG_STORE", "").lower() in ("gcs", "gcs_assume"):
        endpoint = _with_scheme(environment.get("LOG_STORE_BASEPATH") or _GCS_XML_ENDPOINT)
        config = {"region": environment.get("LOG_STORE_REGION") or "auto", "endpoint": endpoint}
        allowed = _http_allowed(endpoint, None)
        return Access("s3", config, (*keys, ""), allowed, GCS_VARIABLES, "LOG_STORE_BASEPATH")
    settings: dict[str, Any] = {}
    for name, variables in {
        "service_account": ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"),
        "service_account_key": ("GOOGLE_SERVICE_ACCOUNT_KEY",),
        "application_credentials": ("GOOGLE_APPLICATION_CREDENTIALS",),
        "bearer_token": ("GOOGLE_BEARER_TOKEN",),
    }.items():
        if value := _first(environment, *variables):
            settings[name] = value
    variable, endpoint = _named(environment, "STORAGE_EMULATOR_HOST", "GOOGLE_BASE_URL")
    if endpoint:
        settings["base_url"] = endpoint = _with_scheme(endpoint)
    if variable == "STORAGE_EMULATOR_HOST":
        # An emulator checks no token; without one, a write would ask this machine's metadata service.
        settings.setdefault("bearer_token", "emulator")
    if _yes(environment.get("GOOGLE_SKIP_SIGNATURE")):
        settings["skip_signature"] = True
    allowed = _http_allowed(endpoint, environment.get("GOOGLE_ALLOW_HTTP"))
    return Access("gs", settings, None, allowed, GCS_VARIABLES, variable or "GOOGLE_BASE_URL")


def _azure(environment: Mapping[str, str]) -> Access:
    settings: dict[str, Any] = {}
    for name, variables in {
        "account_name": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"),
        "account_key": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY"),
        "sas_key": ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"),
        "client_id": ("AZURE_CLIENT_ID", "AZURE_MANAGED_CLIENT_ID"),
        "client_secret": ("AZURE_CLIENT_SECRET",),
        "tenant_id": ("AZURE_TENANT_ID",),
        "federated_token_file": ("AZURE_FEDERATED_TOKEN_FILE",),
    }.items():
        if value := _first(environment, *variables):
            settings[name] = value
    variable, endpoint = _named(environment, "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    if endpoint:
        settings["endpoint"] = endpoint = _with_scheme(endpoint)
    if "account_name" not in settings:
        raise ConfigurationError("An az:// URL needs the name of the storage account in AZURE_STORAGE_ACCOUNT_NAME.")
    allowed = _http_allowed(endpoint, environment.get("AZURE_ALLOW_HTTP"))
    return Access("az", settings, None, allowed, AZURE_VARIABLES, variable or "AZURE_STORAGE_ENDPOINT")


def _named(environment: Mapping[str, str], *variables: str) -> tuple[str, str]:
    """The first variable that is set, and its value; ("", "") when none is."""
    return next(((name, environment[name]) for name in variables if environment.get(name)), ("", ""))


def _first(environment: Mapping[str, str], *variables: str) -> str:
    return _named(environment, *variables)[1]


def _pair(environment: Mapping[str, str], key: str, secret: str) -> tuple[str, str] | None:
    has_key, has_secret = bool(environment.get(key)), bool(environment.get(secret))
    if has_key != has_secret:
        given, missing = (key, secret) if has_key else (secret, key)
        raise ConfigurationError(f"{given} is set but {missing} is not; a log store needs both or neither.")
    return (environment[key], environment[secret]) if has_key else None


def _with_scheme(endpoint: str) -> str:
    return endpoint.rstrip("/") if "://" in endpoint else f"https://{endpoint.rstrip('/')}"


def _http_allowed(endpoint: str, said: str | None) -> bool:
    """True when the endpoint is spelled `http://` and nobody forbade it: who writes that means it."""
    return urlsplit(endpoint).scheme == "http" and (said is None or said == "" or _yes(said))


def _yes(value: str | None) -> bool:
    return (value or "").strip().lower() in ("1", "true", "yes", "on")
