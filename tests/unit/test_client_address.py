"""Whose word counts for where a request comes from."""

from typing import Any

import pytest

from api.client_address import Proxies
from warehouse.errors import ConfigurationError


def scope(peer: str | None, *headers: tuple[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        "client": None if peer is None else (peer, 4711),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


FORWARDED = "x-forwarded-for"


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ("", "198.51.100.7", "10.0.0.1", "198.51.100.7"),
        ("10.0.0.0/8", "10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.0/8", "10.1.2.3", "1.1.1.1, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("10.0.0.0/8", "198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.0.0.0/8", "10.1.2.3", "", "10.1.2.3"),
        ("10.0.0.0/8", "10.1.2.3", "nonsense", "10.1.2.3"),
        ("10.0.0.0/8", "10.1.2.3", "nonsense, 10.4.4.4", "10.4.4.4"),
        ("10.0.0.0/8", "10.1.2.3", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.1.2.3", "::ffff:10.1.2.3", "203.0.113.9:55", "203.0.113.9"),
        ("2001:db8::/32", "2001:db8::1", "[2001:4860::8]:443", "2001:4860::8"),
        ("", None, "203.0.113.9", ""),
        ("", "testclient", "203.0.113.9", ""),
    ],
)
def test_only_trusted_proxies_are_believed(trusted: str, peer: str | None, forwarded: str, client: str) -> None:
    assert Proxies(trusted).client(scope(peer, (FORWARDED, forwarded))) == client


def test_several_headers_are_one_list() -> None:
    asked = scope("10.1.2.3", (FORWARDED, "1.1.1.1"), (FORWARDED, "203.0.113.9"))
    assert Proxies("10.0.0.0/8").client(asked) == "203.0.113.9"


def test_a_country_is_believed_from_a_trusted_proxy_only() -> None:
    asked = scope("10.1.2.3", ("cf-ipcountry", "de"))
    assert Proxies("10.0.0.0/8").country(asked) == "DE"
    assert Proxies("").country(asked) is None
    assert Proxies("10.0.0.0/8").country(scope("10.1.2.3", ("cf-ipcountry", "<x>"))) is None


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="GATELEDGER_TRUSTED_PROXIES: 'all'"):
        Proxies("10.0.0.0/8, all")
