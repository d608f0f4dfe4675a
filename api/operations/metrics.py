"""What the service measures of itself, for Prometheus. No label names a tenant, a key or a person.

Several workers of one server share their numbers by files: `gateledger serve` names the folder to the client library
(PROMETHEUS_MULTIPROC_DIR) before it starts them. What is read from disk (spools) is the same from every worker.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api.alerts.rows import Status
from warehouse.ingest.spool import Spool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
UNMATCHED = "none"
"""The route of requests that no route fits: their paths are anything, and would make as many series."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The numbers of this process, and of all workers where `shared` names their folder. Safe between threads."""

    def __init__(self, shared: Path | None = None) -> None:
        self._registry, self._disk, self._shared = CollectorRegistry(), CollectorRegistry(), shared
        self.requests = Counter(
            "gateledger_http_requests", "Answered requests.", ("route", "method", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "gateledger_http_request_seconds",
            "From the request's headers to the end of its answer.",
            ("route", "method"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.under_way = Gauge(
            "gateledger_http_requests_under_way",
            "Requests that are being answered.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self.warehouse_seconds = Histogram(
            "gateledger_warehouse_query_seconds",
            "From asking the warehouse to its answer, waiting for a turn included.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.key_lookups = Counter(
            "gateledger_key_lookups",
            "Credentials looked up: remembered, or by the database.",
            ("from",),
            registry=self._registry,
        )
        self.refusals = Counter(
            "gateledger_auth_failures",
            "Refused credentials: unknown, or also over the limit of failures.",
            ("kind",),
            registry=self._registry,
        )
        self._remembered, self._read = self.key_lookups.labels("memory"), self.key_lookups.labels("database")
        self._unknown, self._limited = self.refusals.labels("unknown"), self.refusals.labels("limited")
        # Finding a series by its labels costs more than counting in it.
        self._answered: dict[tuple[str, str, int], Counter] = {}
        self._timed: dict[tuple[str, str], Histogram] = {}

    def looked_up(self, *, is_remembered: bool) -> None:
        """A credential was presented."""
        (self._remembered if is_remembered else self._read).inc()

    def refused(self, *, is_limited: bool) -> None:
        """A credential was refused."""
        (self._limited if is_limited else self._unknown).inc()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        counter = self._answered.get((route, method, status))
        if counter is None:
            counter = self._answered[route, method, status] = self.requests.labels(route, method, str(status))
        counter.inc()
        histogram = self._timed.get((route, method))
        if histogram is None:
            histogram = self._timed[route, method] = self.seconds.labels(route, method)
        histogram.observe(seconds)

    def watch(self, spools: Mapping[str, Spool], clock: Callable[[], datetime]) -> None:
        """Also tell what waits in these spools."""
        self._disk.register(_Waiting(spools, clock))

    def watch_messages(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Also tell how many messages there are, by status."""
        self._disk.register(_Messages(counts))

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        registry = self._registry
        if self._shared is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=str(self._shared))
        return generate_latest(registry) + generate_latest(self._disk)

    def close(self) -> None:
        """Take this process out of what only living ones count for."""
        if self._shared is not None:
            mark_process_dead(os.getpid(), path=str(self._shared))


class _Waiting(Collector):
    """What is in spools and not in the warehouse, read when it is asked for."""

    def __init__(self, spools: Mapping[str, Spool], clock: Callable[[], datetime]) -> None:
        self._spools, self._clock = spools, clock

    def collect(self) -> Iterable[Metric]:
        """One family for each of: segments, bytes, and the age of the oldest record."""
        segments = _family("segments", "Files of the spool that are not in the warehouse yet.")
        sizes = _family("bytes", "Bytes of the spool that are not in the warehouse yet.")
        lag = _family("lag_seconds", "Age of the oldest file with records that are not in the warehouse yet.")
        for name, spool in self._spools.items():
            count, size = spool.backlog()
            oldest = spool.oldest()
            segments.add_metric([name], count)
            sizes.add_metric([name], size)
            lag.add_metric([name], (self._clock() - oldest).total_seconds() if oldest else 0)
        return (segments, sizes, lag)


class _Messages(Collector):
    """What is in the outbox, read when it is asked for; nothing while the database does not answer."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        """The family without numbers: nothing is read before somebody asks."""
        return (self._family(),)

    def collect(self) -> Iterable[Metric]:
        """One family: messages by status."""
        family = self._family()
        try:
            counts = self._counts()
        except SQLAlchemyError:
            return ()
        for status in Status:
            family.add_metric([status.value], counts.get(status.value, 0))
        return (family,)

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily("gateledger_messages", "Alerts and mails, by what became of them.", labels=["status"])


def _family(name: str, description: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"gateledger_spool_{name}", description, labels=["spool"])
