"""Where a request comes from, when proxies stand between: only those that are trusted are believed."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

from warehouse.errors import ConfigurationError

Network = IPv4Network | IPv6Network
_FORWARDED_FOR = b"x-forwarded-for"
_COUNTRIES = (b"cf-ipcountry", b"cloudfront-viewer-country", b"x-vercel-ip-country", b"x-appengine-country")
_COUNTRY_LENGTH = 2
UNKNOWN = ""


class Proxies:
    """The proxies that may say for whom they ask. Raises: ConfigurationError on what is no address or network."""

    def __init__(self, addresses: str = "") -> None:
        self._networks = tuple(_network(part.strip()) for part in addresses.split(",") if part.strip())

    def client(self, scope: Scope) -> str:
        """The caller's address: the last in X-Forwarded-For that is no trusted proxy; blank where none is known."""
        peer = _address(str((scope.get("client") or ("",))[0]))
        if peer is None:
            return UNKNOWN
        if not self._trusts(peer):
            return str(peer)
        caller = peer
        for part in reversed(_values(scope, _FORWARDED_FOR)):
            before = _address(part)
            if before is None:
                break
            caller = before
            if not self._trusts(before):
                break
        return str(caller)

    def country(self, scope: Scope) -> str | None:
        """The caller's country as a trusted proxy tells it, by its code of two letters."""
        peer = _address(str((scope.get("client") or ("",))[0]))
        if peer is None or not self._trusts(peer):
            return None
        for name in _COUNTRIES:
            for value in _values(scope, name):
                if len(value) == _COUNTRY_LENGTH and value.isascii() and value.isalpha():
                    return value.upper()
        return None

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(
            f"GATELEDGER_TRUSTED_PROXIES: '{text}' is not an address or network such as 10.0.0.0/8"
        ) from None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _values(scope: Scope, name: bytes) -> Sequence[str]:
    given = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return [part.strip() for value in given for part in value.split(",") if part.strip()]
