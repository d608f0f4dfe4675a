"""Records that cannot be rows, kept with the reason and their bytes, in a file that can be loaded again."""

import base64
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, cast

import orjson

from warehouse.ingest.credentials import without_credentials
from warehouse.ingest.records import BadRecord, Original, Reject
from warehouse.storage.disk import sync_folder

VERSION_FIELD = "gateledger_quarantine"
VERSION = 1


class Quarantine:
    """One file per load, made with the first reject."""

    def __init__(self, folder: Path, load_id: str, now: datetime) -> None:
        self._folder = folder
        self._path = folder / f"{now:%Y%m%dT%H%M%S}-{load_id}.ndjson"
        self._at = now.isoformat()
        self._file: IO[bytes] | None = None

    @property
    def path(self) -> Path | None:
        """The file, when anything was put in it."""
        return self._path if self._file is not None else None

    def put(self, rejects: Sequence[Reject]) -> None:
        """Returns once the rejects are on disk."""
        if not rejects:
            return
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Prompts and names of people stand in these records: for the owner's eyes only.
            self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")
            sync_folder(self._folder)
        self._file.write(b"".join(orjson.dumps(entry(reject, self._at)) + b"\n" for reject in rejects))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def entry(reject: Reject, at: str) -> Mapping[str, object]:
    """The line of a reject: why, where, and the bytes (base64 unless they are UTF-8)."""
    line: dict[str, object] = {
        VERSION_FIELD: VERSION,
        "reason": reject.reason,
        "detail": reject.detail,
        "source": reject.source,
        "record": reject.original.record,
        "offset": reject.original.offset,
        "format": reject.format,
        "at": at,
    }
    if reject.context:
        line["context"] = reject.context
    content = without_credentials(reject.original.data)
    try:
        line["data"] = content.decode()
    except UnicodeDecodeError:
        line["base64"] = base64.b64encode(content).decode()
    return line


def original_of(line: Mapping[str, object]) -> Original:
    """The record of a quarantine line as it came. Raises: BadRecord where the line is none."""
    record, offset, source, name = (line.get(key) for key in ("record", "offset", "source", "format"))
    data, encoded, context = line.get("data"), line.get("base64"), line.get("context")
    try:
        content = (
            data.encode() if isinstance(data, str) else base64.b64decode(encoded if isinstance(encoded, str) else "!")
        )
    except ValueError:
        raise BadRecord("not a quarantine entry", "it has no data") from None
    return Original(
        record if isinstance(record, int) else 0,
        offset if isinstance(offset, int) else None,
        content,
        source if isinstance(source, str) else "",
        name if isinstance(name, str) else "",
        cast("Mapping[str, object]", context) if isinstance(context, dict) else {},
    )
