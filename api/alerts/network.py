"""A POST to a URL that somebody chose: to public addresses only, to the one that was checked, without redirects.

The name is looked up once and the connection goes to the address that was found good: a name that answers differently
the second time leads nowhere. Operators may let organisations reach private networks, and what the environment names
is the operator's own.
"""

import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Self

import httpx2

from api.mail.transport import NotDelivered

MOST_BYTES = 64 << 10
LONGEST_RETRY_S = 3600.0
LONGEST_URL = 2000
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_TRANSLATED = tuple(IPv6Network(each) for each in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
"""IPv6 addresses that stand for IPv4 ones: what they lead to cannot be seen."""

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]


class Busy(NotDelivered):
    """The receiver asks to be left alone for a while."""

    def __init__(self, reason: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason, is_final=False)


def addresses_of(host: str, port: int) -> list[str]:
    """Every address of a name. Raises: OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: Address) -> bool:
    """Whether the address is one of the internet's, for everybody."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, and whether the operator chose it."""

    url: str
    is_trusted: bool = False

    def __repr__(self) -> str:
        return f"Target({checked_host(self.url)})"


def checked_host(url: str) -> str:
    """The host of a URL; blank when there is none."""
    try:
        return httpx2.URL(url).host
    except (httpx2.InvalidURL, ValueError):
        return ""


def problem_of(url: str, *, private_networks: bool) -> str | None:
    """What is wrong with a URL that an organisation chose, as far as can be seen without asking anybody."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        return "not a URL"
    schemes = ("https", "http") if private_networks else ("https",)
    if parsed.scheme not in schemes or not parsed.host or len(url) > LONGEST_URL:
        return f"must be {' or '.join(f'{scheme}://' for scheme in schemes)} with a host, at most {LONGEST_URL} long"
    if parsed.userinfo:
        return "must not hold a user or password"
    try:
        address = ip_address(parsed.host)
    except ValueError:
        return None if _NAME.fullmatch(parsed.raw_host.decode("ascii", "replace")) else "has no name of a host"
    return None if private_networks or is_public(address) else "must not lead into a private network"


class Poster:
    """Sends JSON to targets, with a limit on time, bytes and places."""

    def __init__(
        self, *, timeout_s: float, private_networks: bool, verify: object = True, resolve: Resolve = addresses_of
    ) -> None:
        self._timeout_s, self._private_networks, self._resolve = timeout_s, private_networks, resolve
        self._verify = verify
        self._http: httpx2.Client | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._http is not None:
            self._http.close()

    def _client(self) -> httpx2.Client:
        """Made when there is something to send: most have nowhere to send it."""
        with self._lock:
            if self._http is None:
                self._http = httpx2.Client(
                    timeout=httpx2.Timeout(self._timeout_s),
                    headers={"user-agent": "gateledger", "content-type": "application/json"},
                    follow_redirects=False,
                    # A proxy would look the name up again, and connect to whatever it finds.
                    trust_env=False,
                    verify=self._verify,  # type: ignore[arg-type]
                )
            return self._http

    def send(self, target: Target, body: bytes, headers: Mapping[str, str]) -> None:
        """Nothing, once the receiver has said 2xx. Raises: NotDelivered, whose reason holds nothing of the URL."""
        try:
            url, more, extensions = self._pinned(target)
            self._post(url, body, {**headers, **more}, extensions)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, ValueError) as error:
            raise NotDelivered(f"{type(error).__name__}: {str(error)[:200]}", is_final=False) from error

    def _pinned(self, target: Target) -> tuple[httpx2.URL, dict[str, str], dict[str, str]]:
        """The URL by its checked address, with what names the host still."""
        url = httpx2.URL(target.url)
        if target.is_trusted:
            return url, {}, {}
        problem = problem_of(target.url, private_networks=self._private_networks)
        if problem is not None:
            raise NotDelivered(f"the URL {problem}", is_final=True)
        found = self._resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        addresses = [ip_address(each.partition("%")[0]) for each in found]
        if not addresses:
            raise OSError("the name has no address")
        if not self._private_networks and not all(is_public(each) for each in addresses):
            raise NotDelivered("the URL leads into a private network", is_final=False)
        return url.copy_with(host=str(addresses[0])), {"host": url.netloc.decode()}, {"sni_hostname": url.host}

    def _post(self, url: httpx2.URL, body: bytes, headers: Mapping[str, str], extensions: dict[str, str]) -> None:
        until = time.monotonic() + 2 * self._timeout_s
        with self._client().stream("POST", url, content=body, headers=headers, extensions=extensions) as response:
            size = 0
            for chunk in response.iter_raw():
                size += len(chunk)
                if size > MOST_BYTES or time.monotonic() > until:
                    break  # what it says does not matter, only that it answered
            _judge(response.status_code, response.headers.get("retry-after"))


def _judge(status: int, retry_after: str | None) -> None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    reason = f"the receiver answered {status}"
    if status == HTTPStatus.GONE:
        raise NotDelivered(reason, is_final=True)
    if retry_after is not None and retry_after.strip().isdigit():
        raise Busy(reason, min(float(retry_after), LONGEST_RETRY_S))
    # Receivers answer 404 or 403 while they are being put up again: that is no reason to give up.
    raise NotDelivered(reason, is_final=False)
