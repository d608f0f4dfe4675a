"""What each `DB_SSL` mode asks of the drivers, and what a refused connection means, in words without secrets.

PyMySQL takes an `ssl.SSLContext`, and then refuses a server without TLS before any password is sent; libpq takes
`sslmode` and paths, so PEM content goes to a private folder that lives as long as the database is open.
"""

import ssl
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from api.database_settings import DatabaseTls, Pem, TlsMode
from warehouse.errors import ConfigurationError

RDS_BUNDLE = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"

_LIBPQ_MODES: Mapping[TlsMode, str] = {
    TlsMode.DISABLED: "disable",
    TlsMode.PREFERRED: "prefer",
    TlsMode.REQUIRED: "require",
    TlsMode.VERIFY_CA: "verify-ca",
    TlsMode.VERIFY_IDENTITY: "verify-full",
    TlsMode.AMAZON_RDS: "verify-full",
}


def connect_arguments(url: URL, tls: DatabaseTls, opened: ExitStack) -> dict[str, Any]:
    """What the driver's `connect` gets for this mode; `opened` holds the files that were written for it.

    Raises: ConfigurationError when a certificate is missing or unreadable, or the database has no connections.
    """
    if tls.mode is None:
        return {}
    backend = url.get_backend_name()
    if backend == "sqlite":
        raise ConfigurationError("DB_SSL is set, but the database is a SQLite file; leave it out or set DATABASE_URL")
    authority, certificate, key = (tls.pem(name) for name in ("authority", "certificate", "key"))
    if tls.mode is TlsMode.AMAZON_RDS and authority is None:
        raise ConfigurationError(
            f"DB_SSL=Amazon RDS checks the server with Amazon's certificates: set DB_SSL_CA to them ({RDS_BUNDLE})"
        )
    if backend == "postgresql":
        return _for_libpq(tls.mode, authority, certificate, key, opened)
    return _for_pymysql(tls.mode, authority, certificate, key)


def _for_pymysql(mode: TlsMode, authority: Pem | None, certificate: Pem | None, key: Pem | None) -> dict[str, Any]:
    if mode is TlsMode.DISABLED:
        return {"ssl_disabled": True}
    if mode is TlsMode.PREFERRED:
        return {}  # what the driver does by itself: TLS where the server has it, unchecked
    context = _trusting(authority) if mode.verifies else ssl.create_default_context()
    # Certificates that MySQL makes for itself lack what newer Pythons insist on; the chain is checked all the same.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = mode.verifies_name
    context.verify_mode = ssl.CERT_REQUIRED if mode.verifies else ssl.CERT_NONE
    if certificate is not None and key is not None:
        with ExitStack() as files:
            folder = _private_folder(files)
            paths = [_as_file(pem, folder / name) for pem, name in ((certificate, "cert.pem"), (key, "key.pem"))]
            try:
                context.load_cert_chain(*paths)
            except (ssl.SSLError, OSError) as error:
                raise ConfigurationError(
                    f"DB_SSL_CERT and DB_SSL_KEY are not a certificate and its key: {_reason(error)}"
                ) from error
    return {"ssl": context}


def _trusting(authority: Pem | None) -> ssl.SSLContext:
    try:
        if authority is None:
            return ssl.create_default_context()
        if authority.is_content:
            return ssl.create_default_context(cadata=authority.content)
        return ssl.create_default_context(cafile=authority)
    except ssl.SSLError as error:
        raise ConfigurationError(f"DB_SSL_CA holds no certificate in PEM form: {_reason(error)}") from error


def _for_libpq(
    mode: TlsMode, authority: Pem | None, certificate: Pem | None, key: Pem | None, opened: ExitStack
) -> dict[str, Any]:
    arguments: dict[str, Any] = {"sslmode": _LIBPQ_MODES[mode]}
    if mode.verifies:
        _trusting(authority)  # libpq would say later, and less
        if authority is None:
            arguments["sslrootcert"] = _system_authorities()
    given = {"sslrootcert": authority, "sslcert": certificate, "sslkey": key}
    if any(pem is not None and pem.is_content for pem in given.values()):
        folder = _private_folder(opened)
        arguments |= {name: _as_file(pem, folder / f"{name}.pem") for name, pem in given.items() if pem is not None}
    else:
        arguments |= {name: str(pem) for name, pem in given.items() if pem is not None}
    return arguments


def _system_authorities() -> str:
    paths = ssl.get_default_verify_paths()
    found = paths.cafile or paths.openssl_cafile
    if not Path(found).exists():
        raise ConfigurationError("DB_SSL: this machine has no file of trusted authorities; set DB_SSL_CA")
    return found


def _private_folder(opened: ExitStack) -> Path:
    return Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="gateledger-tls-")))


def _as_file(pem: Pem, path: Path) -> str:
    if not pem.is_content:
        return str(pem)
    path.touch(mode=0o600)
    path.write_text(pem.content)
    return str(path)


def _reason(error: BaseException) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
