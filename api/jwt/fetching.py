"""JWKS from an organisation's URL: fetched rarely, bounded in time and size, kept while the place is out of reach."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus

import httpx2
import orjson
from cachetools import LRUCache
from joserfc.jwk import RSAKey

from api.jwt.keys import KeySet, usable

logger = logging.getLogger("api.jwt")

TIMEOUT_S = 3.0
LONGEST_S = 6.0
"""For all of one fetch: a server that sends byte by byte does not hold a request for ever."""
MOST_BYTES = 256 << 10
MOST_URLS = 1000
FRESH = timedelta(hours=1)
BETWEEN = timedelta(seconds=30)
"""At least, from one fetch of a URL to the next, whatever tokens ask for."""
STALE = timedelta(hours=24)
"""For so long keys count that could not be fetched again."""


@dataclass
class _Held:
    keys: KeySet | None = None
    fetched_at: datetime | None = None
    tried_at: datetime | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class KeySets:
    """Key sets by URL, shared by all threads. An unknown `kid` fetches anew, since the keys may have been rotated."""

    def __init__(self, elapsed: Callable[[], float], http: httpx2.Client | None = None) -> None:
        """`http`: a client of the caller's, instead of one that is made when it is first needed."""
        self._elapsed, self._http = elapsed, http
        self._held: LRUCache[str, _Held] = LRUCache(maxsize=MOST_URLS)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give the connections back."""
        if self._http is not None:
            self._http.close()

    def key(self, url: str, kid: str, now: datetime) -> RSAKey | None:
        """The key of this `kid`; None when the place does not have it, or has not answered for too long."""
        with self._lock:
            held = self._held.setdefault(url, _Held())
        found = self._known(held, kid, now)
        if found is not None and held.fetched_at is not None and now - held.fetched_at < FRESH:
            return found
        # Whoever waited finds what the first one fetched. Where there are keys, nobody waits: a slow place must not
        # hold the threads of everybody else.
        if held.lock.acquire(blocking=held.keys is None, timeout=LONGEST_S if held.keys is None else -1):
            try:
                if held.tried_at is None or now - held.tried_at >= BETWEEN:
                    held.tried_at = now
                    self._refresh(held, url, now)
            finally:
                held.lock.release()
        return self._known(held, kid, now)

    @staticmethod
    def _known(held: _Held, kid: str, now: datetime) -> RSAKey | None:
        if held.keys is None or held.fetched_at is None or now - held.fetched_at >= STALE:
            return None
        return held.keys.get(kid)

    def _refresh(self, held: _Held, url: str, now: datetime) -> None:
        try:
            held.keys, held.fetched_at = usable(orjson.loads(self._fetched(url))), now
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError) as error:
            logger.warning("the keys of tokens cannot be fetched", extra={"url": url, "why": str(error)[:300]})

    def _fetched(self, url: str) -> bytes:
        until = self._elapsed() + LONGEST_S
        with self._client().stream("GET", url) as response:
            if response.status_code != HTTPStatus.OK:
                raise ValueError(f"status {response.status_code}")
            text = bytearray()
            for chunk in response.iter_bytes():
                text += chunk
                if len(text) > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES} bytes")
                if self._elapsed() > until:
                    raise ValueError(f"took more than {LONGEST_S} seconds")
            return bytes(text)

    def _client(self) -> httpx2.Client:
        """With short waits and no redirects (they could lead anywhere). Most have no tokens: none is made for them."""
        with self._lock:
            if self._http is None:
                headers = {"accept": "application/json", "user-agent": "gateledger"}
                self._http = httpx2.Client(timeout=httpx2.Timeout(TIMEOUT_S), headers=headers, follow_redirects=False)
            return self._http
