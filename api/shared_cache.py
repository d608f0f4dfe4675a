"""The cache that workers share in Redis, and the word that goes round when something was written.

Every write to an organisation gets the next number of one sequence. What a worker keeps carries the number it saw
before it read the database, and counts only while no later write to its organisation, or to all, is known:

    gateledger:sequence         how many writes there were
    gateledger:written:<org>    the number of its last write; a huge one from just before a commit to just after
    gateledger:kept:<key>       signature + {organisation, number, content}, for `KEPT_S` seconds

Values are signed with a key that only the database holds: who can write to Redis still cannot become anybody.
Redis down costs speed and a warning, never an answer.
"""

import hashlib
import hmac
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from api.written import EVERY_ORGANISATION
from warehouse.errors import ConfigurationError

logger = logging.getLogger("api.shared_cache")

KEPT_S = 10
"""How long a value may be used when a writer was cut off from Redis and could not say so."""
_REMEMBERED_S = 3600
_WRITING = 1 << 53
_WRITING_MS = 15_000
_TIMEOUT_S = 0.25
_PAUSE_S = 1.0
_POLL_S = 0.5
_PREFIX = "gateledger:"
_SEQUENCE = _PREFIX + "sequence"
_CHANNEL = _PREFIX + "forget"
_SIGNATURE_BYTES = hashlib.sha256().digest_size

_Answer = TypeVar("_Answer")


class _Envelope(msgspec.Struct, frozen=True, array_like=True):
    organisation_id: str
    mark: int
    content: bytes


def reach(url: str) -> None:
    """Nothing, when Redis answers. Raises: ConfigurationError that names no password."""
    client: redis.Redis = redis.Redis.from_url(url, socket_timeout=_PAUSE_S, socket_connect_timeout=_PAUSE_S)
    try:
        client.ping()
    except redis.RedisError as error:
        raise ConfigurationError(f"REDIS_URL: {type(error).__name__}: {error}") from error
    finally:
        client.close()


class SharedCache:
    """Redis as the second ring of the caches. A watcher of commits too, so that any process that writes can tell."""

    def __init__(self, url: str, signing_key: bytes, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._client: redis.Redis = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
        self._signing_key, self._timer = signing_key, timer
        self._lock = threading.Lock()
        self._down_until_s: float | None = None
        self._owed: dict[str, int] = {}
        self._debts = 0

    def close(self) -> None:
        """Tell what is owed, if that can be, and give the connections back."""
        self.pay()
        self._client.close()

    def listening(self, forget: Callable[[str], None]) -> "Listener":
        """`forget` hears what other workers write, from `with` to its end."""
        return Listener(self, forget)

    def answers(self) -> bool:
        """Whether Redis works. For health."""
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False

    def mark(self) -> int | None:
        """Where the writes of all workers are now; None when Redis is down."""

        def ask() -> int:
            return int(cast("Any", self._client.get(_SEQUENCE)) or 0)

        return self._asked(ask)

    def read(self, key: str) -> bytes | None:
        """What a worker kept under this key, if no write to its organisation has come since."""

        def ask() -> bytes | None:
            name = _kept(key)
            envelope = self._opened(name, cast("bytes | None", self._client.get(name)))
            if envelope is None:
                return None
            last, last_of_all = cast(
                "list[Any]", self._client.mget(_written(envelope.organisation_id), _written(EVERY_ORGANISATION))
            )
            if last is None or envelope.mark < int(last) or envelope.mark < int(last_of_all or 0):
                return None
            return envelope.content

        return self._asked(ask)

    def keep(self, key: str, organisation_id: str, mark: int, content: bytes) -> None:
        """Share what was read from the database after `mark` was taken."""
        name = _kept(key)
        sealed = self._sealed(name, _Envelope(organisation_id, mark, content))

        def tell() -> None:
            with self._client.pipeline(transaction=False) as pipe:
                # Where Redis has forgotten the last write, what is older than this mark must not come back to life.
                pipe.set(_written(organisation_id), mark, nx=True, ex=_REMEMBERED_S)
                pipe.set(name, sealed, ex=KEPT_S)
                pipe.execute()

        self._asked(tell)

    def writing(self, organisations: frozenset[str]) -> None:
        """Nobody keeps or uses what these organisations have, until `written` or the writer has died."""

        def tell() -> None:
            with self._client.pipeline(transaction=False) as pipe:
                for organisation_id in organisations:
                    pipe.set(_written(organisation_id), _WRITING, px=_WRITING_MS)
                pipe.execute()

        self._asked(tell)

    def written(self, organisations: frozenset[str]) -> None:
        """All workers forget what these organisations had; told later when Redis is down."""
        with self._lock:
            self._debts += 1
            self._owed |= dict.fromkeys(organisations, self._debts)
        self._asked(lambda: None)

    def _asked(self, ask: Callable[[], _Answer]) -> _Answer | None:
        """The answer, after what is owed was told; None while Redis is down."""
        with self._lock:
            if self._down_until_s is not None and self._timer() < self._down_until_s:
                return None
        try:
            self._pay()
            answer = ask()
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return None
        with self._lock:
            was_down, self._down_until_s = self._down_until_s is not None, None
        if was_down:
            logger.warning("Redis answers again")
        return answer

    def _pay(self) -> None:
        with self._lock:
            owed = dict(self._owed)
        if not owed:
            return
        number = self._client.incr(_SEQUENCE)
        with self._client.pipeline(transaction=False) as pipe:
            for organisation_id in owed:
                pipe.set(_written(organisation_id), number, ex=_REMEMBERED_S)
                pipe.publish(_CHANNEL, organisation_id)
            pipe.execute()
        with self._lock:
            # What was written again in the meantime has to be told again.
            self._owed = {name: debt for name, debt in self._owed.items() if owed.get(name) != debt}

    def _failed(self, error: Exception) -> None:
        with self._lock:
            was_up, self._down_until_s = self._down_until_s is None, self._timer() + _PAUSE_S
        if was_up:
            logger.warning(
                "Redis does not answer (%s): each worker remembers by itself for less than a second",
                type(error).__name__,
            )

    def _sealed(self, name: str, envelope: _Envelope) -> bytes:
        content = msgspec.msgpack.encode(envelope)
        return self._signature(name, content) + content

    def _opened(self, name: str, sealed: bytes | None) -> _Envelope | None:
        if sealed is None or len(sealed) <= _SIGNATURE_BYTES:
            return None
        signature, content = sealed[:_SIGNATURE_BYTES], sealed[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(name, content)):
            logger.warning("a value in Redis was not written by this installation; it is not used")
            return None
        return msgspec.msgpack.decode(content, type=_Envelope)

    def _signature(self, name: str, content: bytes) -> bytes:
        return hmac.digest(self._signing_key, name.encode() + b"\0" + content, "sha256")

    def subscription(self) -> Any:
        """A new subscription to what is to be forgotten. Raises: RedisError."""
        subscription = self._client.pubsub(ignore_subscribe_messages=True)
        subscription.subscribe(_CHANNEL)
        return subscription

    def pay(self) -> None:
        """Tell what could not be told."""
        if self._owed:
            self._asked(lambda: None)


class Listener:
    """A thread that forgets what other workers write, from `with` to its end. Runs only where Redis is configured."""

    def __init__(self, shared: SharedCache, forget: Callable[[str], None]) -> None:
        self._shared, self._forget = shared, forget
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shared-cache", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                logger.info("listening to Redis ended (%s); it is tried again", type(error).__name__)
                self._stop.wait(_PAUSE_S)

    def _listen(self) -> None:
        subscription = self._shared.subscription()
        try:
            # Whatever was said while nobody listened is unknown.
            self._forget(EVERY_ORGANISATION)
            while not self._stop.is_set():
                self._shared.pay()
                message = subscription.get_message(timeout=_POLL_S)
                if message is not None and message["type"] == "message":
                    self._forget(message["data"].decode())
        finally:
            subscription.close()


def _kept(key: str) -> str:
    return f"{_PREFIX}kept:{key}"


def _written(organisation_id: str) -> str:
    return f"{_PREFIX}written:{organisation_id}"
