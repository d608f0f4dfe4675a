"""Text is compared and sorted by its code points on every database, as SQLite does.

Whatever collation a database was made with, our tables get the binary one: on MySQL and MariaDB as they are created
(those of earlier releases before a migration refers to them), on PostgreSQL after the migrations.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import MetaData, inspect
from sqlalchemy import types as sqltypes
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import AddConstraint, CreateTable, DDLElement, DropConstraint
from sqlalchemy.sql.compiler import DDLCompiler

from api.tables import METADATA

CHARSET = "utf8mb4"
_MARIADB, _MYSQL, _MYSQL_OLD = "utf8mb4_nopad_bin", "utf8mb4_0900_bin", "utf8mb4_bin"
_FIRST_WITH_0900_BIN = (8, 0, 17)
_POSTGRESQL = "C"
_OF_MYSQL = frozenset({"mysql", "mariadb"})


def collation_of(dialect: Any) -> str:
    """The binary collation of this MySQL or MariaDB in which 'a' and 'a ' differ, where it has one."""
    if getattr(dialect, "is_mariadb", False):
        return _MARIADB
    return _MYSQL if (dialect.server_version_info or ()) >= _FIRST_WITH_0900_BIN else _MYSQL_OLD


class ConvertTable(DDLElement):
    """A table of MySQL or MariaDB in another collation."""

    def __init__(self, name: str, collation: str) -> None:
        self.name, self.collation = name, collation


class CollateColumn(DDLElement):
    """A text column of PostgreSQL in the collation of code points."""

    def __init__(self, table: str, column: str, type_: sqltypes.TypeEngine[Any]) -> None:
        self.table, self.column, self.type = table, column, type_


@compiles(CreateTable, "mysql")
@compiles(CreateTable, "mariadb")
def _create_table(element: CreateTable, compiler: DDLCompiler, **kw: Any) -> str:
    created = compiler.visit_create_table(element, **kw).rstrip()
    return f"{created} DEFAULT CHARSET={CHARSET} COLLATE={collation_of(compiler.dialect)}\n\n"


@compiles(ConvertTable)
def _convert_table(element: ConvertTable, compiler: DDLCompiler, **_kw: Any) -> str:
    name = compiler.preparer.quote(element.name)
    return " ".join(("ALTER TABLE", name, "CONVERT TO CHARACTER SET", CHARSET, "COLLATE", element.collation))


@compiles(CollateColumn)
def _collate_column(element: CollateColumn, compiler: DDLCompiler, **_kw: Any) -> str:
    table, column = (compiler.preparer.quote(name) for name in (element.table, element.column))
    type_ = compiler.dialect.type_compiler_instance.process(element.type)
    collation = compiler.preparer.quote_identifier(_POSTGRESQL)
    return " ".join(("ALTER TABLE", table, "ALTER COLUMN", column, "TYPE", type_, "COLLATE", collation))


def collate_tables(connection: Connection) -> None:
    """MySQL and MariaDB: tables that an earlier release made in another collation get ours."""
    if connection.dialect.name not in _OF_MYSQL:
        return
    wanted = collation_of(connection.dialect)
    options = inspect(connection).get_multi_table_options(filter_names=sorted(METADATA.tables))
    names = [name for (_schema, name), given in options.items() if _collation_in(given) not in {wanted, None}]
    if names:
        convert_tables(connection, names, wanted)


def convert_tables(connection: Connection, names: Iterable[str], collation: str) -> None:
    """MySQL and MariaDB: tables get a collation; what refers to them is taken away for that time."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in METADATA.tables)
    references = [reference for table in found.sorted_tables for reference in table.foreign_key_constraints]
    for reference in references:
        connection.execute(DropConstraint(reference))
    for name in sorted(names):
        connection.execute(ConvertTable(name, collation))
    for reference in references:
        connection.execute(AddConstraint(reference))


def restore_references(connection: Connection) -> None:
    """MySQL and MariaDB: what a process took away to convert a table, and died before it gave it back."""
    if connection.dialect.name not in _OF_MYSQL:
        return
    kept = inspect(connection).get_multi_foreign_keys(filter_names=sorted(METADATA.tables))
    for table in METADATA.sorted_tables:
        known = {tuple(reference["constrained_columns"]) for reference in kept.get((None, table.name), ())}
        for reference in table.foreign_key_constraints:
            if tuple(reference.column_keys) not in known:
                connection.execute(AddConstraint(reference))


def collate_columns(connection: Connection) -> None:
    """PostgreSQL: text columns in another collation get that of code points."""
    if connection.dialect.name != "postgresql":
        return
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in METADATA.tables)
    for table in found.sorted_tables:
        for column in table.columns:
            type_ = column.type
            if isinstance(type_, sqltypes.String) and type_.collation != _POSTGRESQL:
                type_.collation = None  # it would be rendered beside ours
                connection.execute(CollateColumn(table.name, column.name, type_))


def _collation_in(options: Any) -> str | None:
    return next((str(value) for name, value in options.items() if name.endswith("collate")), None)
