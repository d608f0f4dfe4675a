"""Why a database did not let us in: which mode met what, in words, and never with a password."""

import ssl
from collections.abc import Iterator

from sqlalchemy.engine import URL

from api.database_settings import TlsMode

_WRONG_NAME = (62, 64)
"""OpenSSL's hostname and IP address mismatch."""
_OUT_OF_DATE = (9, 10)

_ACCESS_DENIED = 1045
_INSECURE_TRANSPORT = 3159
_UNKNOWN_DATABASE = 1049
_TLS_FAILED = 2026


def refusal(url: URL, mode: TlsMode | None, error: BaseException) -> str:
    """One sentence or two: where, by which mode, what it met, what to do."""
    where = f"{url.host or 'the local socket'}" + (f":{url.port}" if url.port else "")
    said = f"DB_SSL={mode}" if mode else "no DB_SSL"
    return f"The database at {where} ({said}) refused us: {_met(url, mode, error)}"


def _met(url: URL, mode: TlsMode | None, error: BaseException) -> str:
    return _by_certificate(url, error) or _by_code(url, error) or _by_text(url, mode, _texts(error))


def _by_certificate(url: URL, error: BaseException) -> str | None:
    failed = next((cause for cause in _chain(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if failed is None:
        return None
    if failed.verify_code in _WRONG_NAME:
        return _wrong_name(url)
    if failed.verify_code in _OUT_OF_DATE:
        return f"its certificate is out of date ({failed.verify_message})."
    return _wrong_authority(failed.verify_message)


def _by_code(url: URL, error: BaseException) -> str | None:
    code = error.args[0] if error.args else None
    if code == _TLS_FAILED:
        return _no_tls()
    if code == _ACCESS_DENIED:
        return (
            f"user '{url.username}' was denied: a wrong password, no right from this host, or an account that requires "
            "TLS or a client certificate (DB_SSL, DB_SSL_CERT, DB_SSL_KEY)."
        )
    if code == _INSECURE_TRANSPORT:
        return _needs_tls()
    if code == _UNKNOWN_DATABASE:
        return f"it has no database '{url.database}'."
    return None


def _by_text(url: URL, mode: TlsMode | None, text: str) -> str:
    lower = text.lower()
    if "does not support ssl" in lower:
        return _no_tls()
    if "does not match host name" in lower:
        return _wrong_name(url)
    if "certificate verify failed" in lower:
        return _wrong_authority("certificate verify failed")
    if "client certificate" in lower or "certificate required" in lower or "handshake failure" in lower:
        return "it requires a client certificate; set DB_SSL_CERT and DB_SSL_KEY."
    if "unknown ca" in lower or "eof occurred" in lower:
        return "it hung up on us: it does not accept the client certificate (DB_SSL_CERT) that it was shown."
    if "no encryption" in lower or "ssl off" in lower or "insecure transport" in lower:
        return _needs_tls()
    if "password authentication failed" in lower:
        return f"user '{url.username}' was denied: a wrong password."
    if isinstance(mode, TlsMode) and ("ssl" in lower or "tls" in lower):
        return f"TLS did not come about: {_shown(url, text)}"
    return _shown(url, text)


def _shown(url: URL, text: str) -> str:
    # A driver does not quote the password; should it ever, this hides it.
    line = " ".join(text.split())
    return line.replace(url.password, "***") if url.password else line


def _wrong_name(url: URL) -> str:
    return (
        f"its certificate is trusted but not made out for '{url.host}'. Name the host as the certificate does, or take "
        "DB_SSL=VERIFY_CA, which does not look at names."
    )


def _wrong_authority(why: str) -> str:
    return f"its certificate is not signed by an authority we trust ({why}). DB_SSL_CA names the authority."


def _no_tls() -> str:
    return "it offers no TLS, and this mode does not go without. Nothing was sent; DB_SSL=DISABLED would."


def _needs_tls() -> str:
    return "it lets nobody in without TLS; set DB_SSL=REQUIRED, or better VERIFY_IDENTITY."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__


def _texts(error: BaseException) -> str:
    parts = [str(part) for part in error.args] or [type(error).__name__]
    return " ".join(parts)
