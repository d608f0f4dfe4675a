"""Where a ClickHouse is, and what its errors mean in plain words."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from warehouse.errors import (
    ConfigurationError,
    GateledgerError,
    InvalidInput,
    QueryTooLarge,
    WarehouseBusy,
    WarehouseError,
)

SCHEMES = ("clickhouse", "clickhouses", "chdb")
HTTP_PORT, HTTPS_PORT = 8123, 8443
_FORMS = "clickhouse://user:password@host:8123/database, clickhouses://… for TLS, or chdb:///absolute/path"

_TOO_LARGE = {158, 159, 160, 162, 191, 241, 307, 396}
"""Rows read, time, speed, set size, memory, bytes read, result rows or bytes."""
_BUSY = {202, 203, 209, 210}
_ALREADY_RUNNING = 216
_REFUSED = {192, 193, 194, 516}
_UNKNOWN_DATABASE, _UNKNOWN_TABLE, _UNKNOWN_COLUMN = 81, 60, {16, 47}
_DENIED, _READ_ONLY, _NO_SPACE, _TABLE_READ_ONLY = 497, 164, {243, 1000}, 242

_LOGICAL_ERROR, _NETWORK = 49, {209, 210, 279}
_OURS = {None, _UNKNOWN_DATABASE, _UNKNOWN_TABLE, _DENIED, _TABLE_READ_ONLY, _LOGICAL_ERROR} | _NO_SPACE | _NETWORK
"""What no query of a caller can be blamed for."""

_SHOWN = re.compile(r"(: (while|in scope|in query)| In (scope|query)|:? ?Maybe you meant).*", re.DOTALL | re.IGNORECASE)
"""Where a server begins to repeat the query as it was sent."""
_SAID = re.compile(r"\A.*?DB::Exception: ", re.DOTALL)
"""What clients put before a server's own words."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server and a database on it, or a folder for chDB. The password never shows in its text."""

    host: str
    port: int = HTTP_PORT
    database: str = "default"
    user: str = "default"
    password: str = field(default="", repr=False)
    tls: bool = False
    path: str | None = None

    @classmethod
    def parse(cls, url: str) -> "Address":
        """The address that a URL names. Raises: ConfigurationError, which never repeats the password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ConfigurationError(
                f"The warehouse URL cannot be read (is the port a number?); allowed: {_FORMS}"
            ) from None
        if parts.scheme == "chdb":
            options = dict(parse_qsl(parts.query, keep_blank_values=True))
            if parts.netloc or not parts.path.strip("/") or not options.keys() <= {"database"}:
                raise ConfigurationError(
                    f"A chdb URL holds an absolute path and at most ?database=NAME; allowed: {_FORMS}"
                )
            return cls(host="", path=unquote(parts.path), database=options.get("database") or "default")
        if parts.scheme not in SCHEMES:
            raise ConfigurationError(f"The warehouse URL begins with '{parts.scheme}'; allowed: {_FORMS}")
        database = unquote(parts.path.strip("/")) or "default"
        if not parts.hostname or "/" in database or parts.query or parts.fragment:
            raise ConfigurationError(f"The warehouse URL needs a host and at most one database; allowed: {_FORMS}")
        tls = parts.scheme == "clickhouses"
        return cls(
            host=parts.hostname,
            port=port or (HTTPS_PORT if tls else HTTP_PORT),
            database=database,
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            tls=tls,
        )

    def __str__(self) -> str:
        if self.path is not None:
            return f"chdb://{self.path}?database={self.database}"
        scheme = "clickhouses" if self.tls else "clickhouse"
        return f"{scheme}://{self.user}@{self.host}:{self.port}/{self.database}"


class AlreadyRunning(WarehouseBusy):
    """A query of the same id runs on the server already."""


def translate(code: int | None, message: str, address: Address, *, fenced: bool = False) -> GateledgerError:
    """The error of ours that a ClickHouse error code means; `message` is what the server said.

    When the query was a caller's own (`fenced`), what is wrong with it is the caller's fault.
    """
    said = _SAID.sub("", message, count=1) if code else message
    said = said.split(" (version ")[0].split(" (for url ")[0].strip()
    if address.password:
        said = said.replace(address.password, "…")
    if code == _ALREADY_RUNNING:
        return AlreadyRunning()
    if code in _BUSY:
        return WarehouseBusy()
    if code in _TOO_LARGE:
        return QueryTooLarge(f"The query passed a limit of time, memory or rows: {said}")
    if code in _REFUSED:
        return WarehouseError(f"ClickHouse at {address} refused user '{address.user}': wrong user or password.")
    if fenced and code not in _OURS:
        return InvalidInput(f"The query cannot be answered: {' '.join(_SHOWN.sub('', said).split())[:300]}")
    if code == _UNKNOWN_DATABASE:
        return WarehouseError(
            f"ClickHouse at {address} has no database '{address.database}'; create it or name another."
        )
    if code == _UNKNOWN_TABLE:
        return WarehouseError(
            f"ClickHouse at {address} lacks a table; bring the schema up with `gateledger init`: {said}"
        )
    if code in _UNKNOWN_COLUMN:
        return WarehouseError(
            f"A table at {address} lacks a column; bring the schema up with `gateledger init`: {said}"
        )
    if code in {_DENIED, _READ_ONLY}:
        return WarehouseError(f"User '{address.user}' lacks a right at {address}: {said}")
    if code in _NO_SPACE:
        return WarehouseError(f"ClickHouse at {address} has no disk space left: {said}")
    if code == _TABLE_READ_ONLY:
        return WarehouseError(f"A replicated table at {address} is read-only; is Keeper reachable? {said}")
    if code is None:
        return WarehouseError(f"ClickHouse at {address} cannot be reached: {said}")
    return WarehouseError(f"ClickHouse at {address} failed: {said}")
