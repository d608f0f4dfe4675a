"""The steps by which the warehouse's schema grew, one module per version, oldest first.

A step only ever adds: a table, or a column that old rows read as NULL. To add a column: write it in the catalog with
`since` one more than the newest version here, then a module that says so; a test compares the two.
"""

from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules


@dataclass(frozen=True, slots=True)
class Migration:
    """One version of the schema: what it adds, and why."""

    version: int
    reason: str
    tables: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    """(dataset, column) of each column that an older table gets."""


def migrations() -> tuple[Migration, ...]:
    """Every step, by version. Raises: ValueError where a version is missing or there twice."""
    names = sorted(module.name for module in iter_modules(__path__))
    found = tuple(import_module(f"{__name__}.{name}").MIGRATION for name in names)
    versions = [step.version for step in found]
    if versions != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations need the versions 1, 2, 3 …, one each; found {versions}")
    return found
