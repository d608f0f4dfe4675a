"""What can go wrong below HTTP. Each error says what was wrong, where, and what is allowed.

`api/errors.py` alone knows which status code each becomes.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class GateledgerError(Exception):
    """Base of every error that gateledger raises on purpose."""


class InvalidInput(GateledgerError):
    """The caller sent something that cannot be done; the message says what is allowed."""


class UnknownName(InvalidInput):
    """A name (column, measure, dimension, filter, format) is not in the catalog."""

    def __init__(self, what: str, name: str, allowed: Iterable[str]) -> None:
        self.what, self.name, self.allowed = what, name, tuple(allowed)
        near = get_close_matches(name, self.allowed, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"Unknown {what} '{name}'.{hint} Allowed: {', '.join(self.allowed)}.")


class ConfigurationError(GateledgerError):
    """The environment or a settings file is wrong; the message names the setting."""


class SourceError(GateledgerError):
    """A source of rows cannot be read: missing, refused, not of the format it claims."""


class WarehouseError(GateledgerError):
    """The warehouse cannot answer: unreachable, refused, broken."""


class WarehouseBusy(WarehouseError):
    """Too many queries wait already; ask again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int = 1) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"Too many queries are waiting; try again in {retry_after_s} s.")


class QueryTooLarge(WarehouseError):
    """A query passed its time, row or memory limit."""


class PricingError(GateledgerError):
    """A price file cannot be used; the message names provider, model and path in the file."""
