"""Records that were kept one by one (quarantine, spool) become rows the way their own format makes them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from warehouse.ingest.fields import REPORTED_COST_FIELDS
from warehouse.ingest.formats.base import Format, read_rows
from warehouse.ingest.normalise import COST_UNIT, MILLISECOND_FIELDS, TIME_UNIT, UNITS
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.records import BadRecord, Original, Piece, RawRow, Singles

Lookup = Callable[[str], Format]

DEFAULTS = "defaults"
"""In a record's context: values of columns that the record leaves empty."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept record, or why it cannot be read at all, and whose it is."""

    original: Original
    owner: Ownership | None = None
    error: BadRecord | None = None


def read_kept(source_name: str, base_name: str, kept: Sequence[Kept], lookup: Lookup) -> Iterator[Piece]:
    """The pieces of some kept records: one for each dataset and owner among them."""
    groups: dict[tuple[str, int], list[Kept]] = {}
    owners = {id(one.owner): one.owner for one in kept}
    for one in kept:
        name = "" if one.error else one.original.format
        groups.setdefault((name, id(one.owner)), []).append(one)
    for (name, owner), members in groups.items():
        chunk = Singles(source_name, base_name, [one.original for one in members])
        if not name:
            yield Piece(chunk, None, (), [(i, one.error or _no_format()) for i, one in enumerate(members)])
            continue
        form = lookup(name)
        piece = read_rows(chunk, lambda original, form=form: _row(form, original), dataset=form.dataset)
        yield Piece(chunk, None, piece.rows, piece.bad, form.dataset, owners[owner])


def _no_format() -> BadRecord:
    return BadRecord("no format fits", "it came from a source that could not be read")


def _row(form: Format, original: Original) -> RawRow:
    row = dict(form.row_of(original.data, original.context))
    constants = _texts(original.context.get("constants"))
    for name, value in constants.items():
        if name in UNITS:
            _scale(row, name, UNITS[name].get(value.strip().lower(), 1))
        else:
            row[name] = value
    defaults = _texts(original.context.get(DEFAULTS))
    theirs, ours = row.get("organisation_id"), defaults.get("organisation_id")
    if ours and isinstance(theirs, str) and theirs.strip() and theirs != ours:
        # Also when an operator, who may write everywhere, loads it again from the quarantine.
        raise BadRecord("not the organisation of its key", theirs)
    for name, value in defaults.items():
        if not row.get(name):
            row[name] = value
    return row


def _texts(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(name): item for name, item in value.items() if isinstance(item, str)}  # pyright: ignore[reportUnknownArgumentType]


def _scale(row: dict[str, str | list[str] | None], unit: str, factor: int) -> None:
    names = {COST_UNIT: REPORTED_COST_FIELDS, TIME_UNIT: MILLISECOND_FIELDS}[unit]
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            try:
                row[name] = format(Decimal(value) * factor, "f")
            except InvalidOperation:
                continue
