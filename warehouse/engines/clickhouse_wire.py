"""What the steps of the ClickHouse engine need of a connection."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Protocol

import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.model import Dataset
from warehouse.engines.base import Limits
from warehouse.engines.clickhouse_address import Address
from warehouse.errors import WarehouseError
from warehouse.storage.ddl import Topology

Parameters = Mapping[str, str | int]
"""What rides on a request: a session, a query id, settings."""


class Wire(Protocol):
    """One connection, which nobody else uses meanwhile."""

    @property
    def address(self) -> Address: ...

    @property
    def topology(self) -> Topology: ...

    def ask(self, tree: exp.Query, limits: Limits = ..., parameters: Parameters = ...) -> pa.Table:
        """The answer to a lowered query. Raises: QueryTooLarge, WarehouseError."""
        ...

    def run(self, statement: exp.Expr, parameters: Parameters = ...) -> int | None:
        """Runs a statement that answers nothing; the rows it wrote, where that is known. Raises: WarehouseError."""
        ...

    def upload(self, dataset: Dataset, name: str, rows: pa.Table, parameters: Parameters = ...) -> None:
        """Fills an empty table with rows, each of them once. Raises: WarehouseError."""
        ...


def clean_up(wire: Wire, statements: Iterable[exp.Expr], parameters: Parameters) -> None:
    """Runs what follows a step; a failure here must not hide why the step failed, and `maintain` comes again."""
    for statement in statements:
        with suppress(WarehouseError):
            wire.run(statement, parameters)
