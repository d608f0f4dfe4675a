"""The engine that the settings ask for."""

from collections.abc import Mapping
from types import MappingProxyType

from warehouse.engines.base import Engine, Limits
from warehouse.errors import ConfigurationError
from warehouse.settings import WarehouseSettings

_AS_IT_IS: Mapping[str, str] = MappingProxyType({})
_LAKE = ("", "file", "s3")
_CLICKHOUSE = ("clickhouse", "clickhouses", "chdb")
_SERVER_CONCURRENCY = 16
"""Queries that one process asks a server at a time; the server has limits of its own."""


def open_engine(settings: WarehouseSettings, environment: Mapping[str, str] = _AS_IT_IS) -> Engine:
    """The engine of the warehouse URL: the lake for a path, file:// or s3://, else ClickHouse or chDB.

    A lake in a bucket takes the `AWS_…` variables of `environment`; those it lacks are taken from the process's own.

    Raises: ConfigurationError for another scheme or a package that is not installed.
    """
    url = settings.resolved_warehouse_url()
    scheme = url.split("://", 1)[0] if "://" in url else ""
    if scheme in _LAKE:
        return _open_lake(url, settings, environment)
    if scheme in _CLICKHOUSE:
        return _open_clickhouse(url, settings)
    raise ConfigurationError(
        f"WAREHOUSE_URL begins with '{scheme}://'; allowed: a path, file://, s3://, "
        "clickhouse://user:password@host:port/database, clickhouses:// (TLS), chdb:///path"
    )


def limits_of(settings: WarehouseSettings) -> Limits:
    """What one question that somebody waits for may cost."""
    return Limits(timeout_s=settings.query_timeout_s, memory_mb=settings.query_memory_mb)


def _open_lake(url: str, settings: WarehouseSettings, environment: Mapping[str, str]) -> Engine:
    from warehouse.engines.duckdb import DuckDBEngine

    return DuckDBEngine(
        url,
        threads=settings.query_threads,
        concurrency=settings.query_concurrency,
        queue=settings.query_queue,
        memory_mb=settings.query_memory_mb,
        environment=environment,
        cache=settings.home / "cache" / "lake",
    )


def _open_clickhouse(url: str, settings: WarehouseSettings) -> Engine:
    try:
        from warehouse.engines.clickhouse import ClickHouseEngine
    except ImportError as error:
        raise ConfigurationError(f"A ClickHouse warehouse needs the package clickhouse-connect: {error}") from error
    from warehouse.storage.ddl import Topology

    embedded = url.startswith("chdb:")
    return ClickHouseEngine.connect(
        url,
        topology=Topology(
            replicated=settings.clickhouse_replication_enabled,
            sharded=settings.clickhouse_sharding_enabled,
            cluster=settings.clickhouse_cluster_name,
            retention_days=settings.clickhouse_retention_days,
        ),
        threads=settings.query_threads if embedded else None,
        concurrency=settings.query_concurrency if embedded else _SERVER_CONCURRENCY,
        queue=settings.query_queue,
    )
