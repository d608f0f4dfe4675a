"""Segments of the spool: lines that name owners, and lines that hold a record, its id and when it came."""

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import orjson
from typing_extensions import override

from warehouse.ingest.fields import parse_object
from warehouse.ingest.formats.base import Format, ReadOptions
from warehouse.ingest.formats.envelopes import DEFAULTS, Kept, Lookup, read_kept
from warehouse.ingest.framing import JsonLines
from warehouse.ingest.opening import Container, Opened
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.records import BadRecord, Original, Piece, RawRow

VERSION_FIELD = "gateledger_spool"
VERSION = 1
FORMAT_OF_KIND: Mapping[str, str] = {
    "generations": "metrics",
    "logs": "log_objects",
    "feedbacks": "feedbacks",
    "hooks": "hook",
    "custom_logs": "custom_logs",
    "otlp": "otlp",
}
AUDIT_LOGS = "audit_logs"
"""The kind of records that gateledger writes itself; they have a spool and a loader of their own."""
ID_FIELDS: Mapping[str, tuple[str, ...]] = {
    "generations": ("id", "_id"),
    "logs": ("_id", "id"),
    "feedbacks": ("id", "feedbackID", "feedback_id"),
    "hooks": ("id",),
    "custom_logs": ("_id",),
    "otlp": ("_id",),
    "audit_logs": ("id",),
}
_OWN_TRACE = frozenset({"logs", "custom_logs"})
"""Kinds whose records are a trace of their own where they name none."""
_OWNER, _CONTENT = "owner", "is"
_ORGANISATION, _NAME, _WORKSPACE, _KNOWN = "organisation_id", "organisation_name", "workspace_slug", "known"
_KIND, _ID, _AT, _TEXT, _BASE64 = "kind", "id", "at", "text", "base64"


def owner_content(owner: Ownership) -> bytes:
    """An owner as JSON, the same for equal ones."""
    told = {
        _ORGANISATION: owner.organisation_id,
        _NAME: owner.organisation_name,
        _WORKSPACE: owner.workspace_slug,
        _KNOWN: {organisation: sorted(slugs) for organisation, slugs in owner.known.items()},
    }
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def owner_line(number: int, content: bytes) -> bytes:
    """The line that gives an owner a number for the rest of the segment."""
    return b'{"%b":%d,"%b":%b}\n' % (_OWNER.encode(), number, _CONTENT.encode(), content)


def record_line(owner: int, at: str, kind: str, identifier: str, record: bytes) -> bytes:
    """The line of a record."""
    line: dict[str, object] = {_KIND: kind, _OWNER: owner, _ID: identifier, _AT: at}
    try:
        line[_TEXT] = record.decode()
    except UnicodeDecodeError:
        line[_BASE64] = base64.b64encode(record).decode()
    return orjson.dumps(line) + b"\n"


def record_of_line(line: bytes) -> bytes | None:
    """The bytes of the record that a line holds; None for lines that hold none. Raises: BadRecord."""
    told = parse_object(line)
    return None if VERSION_FIELD in told or _KIND not in told else _content(told)


@dataclass(frozen=True, slots=True)
class SpooledRecord:
    """A record of a segment, and what the spool knows of it."""

    kind: str
    id: str
    at: str
    """When it came, as ISO 8601."""
    owner: Ownership
    data: bytes


def spooled_records(lines: Iterable[bytes], kinds: Collection[str]) -> Iterator[SpooledRecord]:
    """The records of these kinds in a segment; lines that cannot be read are left out (the loader tells of them)."""
    owners: dict[int, Ownership] = {}
    for line in lines:
        try:
            told = parse_object(line)
        except BadRecord:
            continue
        number = told.get(_OWNER)
        if VERSION_FIELD in told or not isinstance(number, int):
            continue
        if _KIND not in told:
            owners[number] = _owner(cast("Mapping[str, object]", told[_CONTENT]))
        elif told[_KIND] in kinds and number in owners:
            yield SpooledRecord(str(told[_KIND]), str(told[_ID]), str(told[_AT]), owners[number], _content(told))


class SpoolSegment(Format):
    name = "spool"
    description = "A segment of the API's spool."

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    @override
    def fits(self, opened: Opened, options: ReadOptions) -> bool:
        return opened.is_json and any(VERSION_FIELD in record for record in opened.samples)

    @override
    def row_of(self, data: bytes, context: Mapping[str, object]) -> RawRow:
        raise BadRecord("not a line of a spool segment")

    @override
    def pieces(self, opened: Opened, options: ReadOptions) -> Iterator[Piece]:
        if opened.container is Container.EMPTY:
            return
        owners: dict[int, Ownership] = {}
        for chunk in opened.json_chunks():
            kept = [one for original in chunk.originals() if (one := _kept(original, chunk, owners)) is not None]
            yield from read_kept(chunk.source_name, chunk.base_name, kept, self._lookup)


def _kept(line: Original, chunk: JsonLines, owners: dict[int, Ownership]) -> Kept | None:
    """The record of a line; None for lines that hold none."""
    try:
        told = parse_object(line.data)
    except BadRecord as error:
        return Kept(line, error=error)
    if VERSION_FIELD in told:
        return None
    number = told.get(_OWNER)
    if not isinstance(number, int):
        return Kept(line, error=BadRecord("not a line of a spool segment"))
    if _KIND not in told:
        owners[number] = _owner(cast("Mapping[str, object]", told[_CONTENT]))
        return None
    owner = owners.get(number)
    if owner is None:
        return Kept(line, error=BadRecord("not a line of a spool segment", "its owner is not named before it"))
    return Kept(_original(line, told, chunk.source_name, owner), owner)


def _owner(told: Mapping[str, object]) -> Ownership:
    known = cast("Mapping[str, list[str]]", told[_KNOWN])
    return Ownership(
        organisation_id=str(told[_ORGANISATION]),
        organisation_name=str(told[_NAME]),
        workspace_slug=str(told[_WORKSPACE]),
        known={organisation: frozenset(slugs) for organisation, slugs in known.items()},
    )


def _original(line: Original, told: Mapping[str, object], source_name: str, owner: Ownership) -> Original:
    data = _content(told)
    defaults = {
        "id": str(told[_ID]),
        "created_at": str(told[_AT]),
        "organisation_id": owner.organisation_id,
        "organisation_name": owner.organisation_name,
        "workspace_slug": owner.workspace_slug,
    }
    if told[_KIND] in _OWN_TRACE:
        defaults["trace_id"] = defaults["id"]
    form = FORMAT_OF_KIND[str(told[_KIND])]
    return Original(line.record, line.offset, data, source_name, form, {DEFAULTS: defaults})


def _content(told: Mapping[str, object]) -> bytes:
    text, encoded = told.get(_TEXT), told.get(_BASE64)
    return text.encode() if isinstance(text, str) else base64.b64decode(str(encoded))
