"""Which engine a warehouse URL opens, and what is said about one that opens none."""

from pathlib import Path

import pytest

from warehouse.engines.clickhouse import ClickHouseEngine
from warehouse.engines.clickhouse_address import Address, translate
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.engines.open import open_engine
from warehouse.errors import ConfigurationError, QueryTooLarge, WarehouseBusy, WarehouseError
from warehouse.settings import WarehouseSettings

SECRET = "s3cret/ü"


def settings(**values: object) -> WarehouseSettings:
    return WarehouseSettings.model_validate(values)


def test_an_address_is_read_from_its_url() -> None:
    address = Address.parse("clickhouse://gl:s3cret%2F%C3%BC@db.example:9000/logs")
    assert address == Address(host="db.example", port=9000, database="logs", user="gl", password=SECRET, tls=False)
    assert str(address) == "clickhouse://gl@db.example:9000/logs"
    assert SECRET not in repr(address)


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [("clickhouse://h", 8123, False), ("clickhouses://h", 8443, True), ("clickhouses://h:1/x", 1, True)],
)
def test_an_address_has_the_usual_ports(url: str, port: int, tls: bool) -> None:
    address = Address.parse(url)
    assert (address.port, address.tls, address.user, address.host) == (port, tls, "default", "h")


def test_a_chdb_address_is_a_folder() -> None:
    address = Address.parse("chdb:///var/lib/gate%20ledger")
    assert (address.path, address.database) == ("/var/lib/gate ledger", "default")
    assert Address.parse("chdb:///srv/gl?database=logs").database == "logs"


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse://gl:s3cret@host:port/db",
        "clickhouse:///db",
        "clickhouse://gl:s3cret@h/a/b",
        "clickhouse://gl:s3cret@h/a?x=1",
        "chdb://relative/path",
        "chdb:///",
        "chdb:///srv?user=s3cret",
        "mysql://gl:s3cret@h/db",
    ],
)
def test_a_bad_url_says_what_is_allowed_and_never_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed: .*clickhouse://user:password@host") as raised:
        Address.parse(url)
    assert "s3cret" not in str(raised.value)


def test_the_url_chooses_the_engine(tmp_path: Path) -> None:
    lake = open_engine(settings(warehouse_url=str(tmp_path / "lake")))
    assert isinstance(lake, DuckDBEngine)
    lake.close()
    for url in ("clickhouse://u:p@127.0.0.1:1/db", "clickhouses://127.0.0.1:1", f"chdb://{tmp_path}/c"):
        engine = open_engine(settings(warehouse_url=url))
        assert isinstance(engine, ClickHouseEngine)
        engine.close()


def test_the_clickhouse_variables_make_the_same_url() -> None:
    engine = open_engine(
        settings(
            clickhouse_host="db",
            clickhouse_port=1,
            clickhouse_user="u",
            clickhouse_password=SECRET,
            clickhouse_database="x",
        )
    )
    assert isinstance(engine, ClickHouseEngine)
    assert engine.address == Address(host="db", port=1, database="x", user="u", password=SECRET)
    engine.close()


def test_another_scheme_opens_nothing() -> None:
    with pytest.raises(ConfigurationError, match=r"'postgres://'; allowed: a path, file://, s3://, clickhouse://"):
        open_engine(settings(warehouse_url="postgres://u:p@h/db"))


def test_shards_without_a_cluster_open_nothing() -> None:
    with pytest.raises(ConfigurationError, match="CLICKHOUSE_CLUSTER_NAME"):
        open_engine(settings(warehouse_url="clickhouse://h", clickhouse_sharding_enabled=True))


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (159, QueryTooLarge, "limit of time"),
        (241, QueryTooLarge, "memory"),
        (396, QueryTooLarge, "rows"),
        (202, WarehouseBusy, "try again"),
        (516, WarehouseError, "wrong user or password"),
        (81, WarehouseError, "no database 'logs'"),
        (60, WarehouseError, "lacks a table"),
        (47, WarehouseError, "lacks a column"),
        (497, WarehouseError, "lacks a right"),
        (243, WarehouseError, "no disk space"),
        (242, WarehouseError, "read-only"),
        (None, WarehouseError, "cannot be reached"),
        (9999, WarehouseError, "it broke"),
    ],
)
def test_a_server_error_becomes_plain_words(code: int | None, kind: type[Exception], words: str) -> None:
    address = Address(host="db", database="logs", password=SECRET)
    said = f"HTTP driver: Code: {code}. DB::Exception: it broke with {SECRET} (version 26.9) (for url http://db:8123)"
    error = translate(code, said, address)
    assert type(error) is kind
    assert words in str(error)
    assert SECRET not in str(error)
    assert "for url" not in str(error)
