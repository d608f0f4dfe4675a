"""What the name of a data file tells: its day, its fingerprint, its schema; a file list needs no look inside.

A name is `day=<day>/<token>.<schema>.<nonce>.parquet`. Tokens are random numbers of 128 bits; the fingerprint of a day
is the sum of the tokens of its live files. A compaction gives its files tokens with the same sum, so a fingerprint
changes when rows do and not when they are only laid out anew.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from warehouse.errors import WarehouseError

PARTITION = "day"
_TOKENS = 1 << 128
_NAME = re.compile(r"day=(\d{4}-\d{2}-\d{2})/([0-9a-f]{32})\.([0-9a-f]{8})\.[0-9a-f]{12}\.parquet")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file of a table, named relative to the table's folder."""

    path: str
    day: date
    token: int
    schema_id: str


def parse(path: str) -> DataFile:
    """The data file that a path (relative or absolute) names. Raises: WarehouseError."""
    relative = "/".join(path.split("/")[-2:])
    match = _NAME.fullmatch(relative)
    if match is None:
        raise WarehouseError(f"the lake holds a file that gateledger did not write: {path}")
    return DataFile(relative, date.fromisoformat(match[1]), int(match[2], 16), match[3])


def new_file(day: date, schema: pa.Schema, token: int | None = None) -> DataFile:
    """A name that no file has yet."""
    chosen = secrets.randbits(128) if token is None else token
    identity = schema_id(schema)
    path = f"{PARTITION}={day.isoformat()}/{chosen:032x}.{identity}.{secrets.token_hex(6)}.parquet"
    return DataFile(path, day, chosen, identity)


def token_sum(files: Iterable[DataFile]) -> int:
    """The sum of the tokens, which stays the same when files are only laid out anew."""
    return sum(file.token for file in files) % _TOKENS


def fingerprint(files: Iterable[DataFile]) -> str:
    """The token sum as text."""
    return f"{token_sum(files):032x}"


def schema_id(schema: pa.Schema) -> str:
    """A short text that two schemas share exactly when their columns, types and order are the same."""
    described = "\n".join(f"{field.name}\t{field.type}" for field in schema)
    return hashlib.sha256(described.encode()).hexdigest()[:8]
