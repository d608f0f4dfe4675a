"""`/logs/exports`. Source: dataplane contract 3.5."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, BinaryIO

import orjson
from fastapi import Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.analytics.rendering import instant
from api.dependencies import Caller, Db, Now, Parts
from api.errors import ErrorAnswer, NotFound
from api.exports import downloads, rendering, service
from api.exports.downloads import Signed
from api.exports.rows import Export, Status
from api.exports.schemas import (
    ChangedExport,
    ExportDownload,
    ExportItem,
    ExportMessage,
    ExportTotal,
    FieldRestrictions,
    NewExport,
)
from api.exports.service import Asking
from api.exports.storage import file_path
from api.feature_flags import Feature
from api.listing import AdminPage, page_of
from api.paging import ListAnswer
from api.permissions import PUBLIC, needs
from api.principal import Principal
from api.routing import BASE, Router
from api.services import Services
from warehouse.exports.encoding import MEDIA_TYPES, FileFormat
from warehouse.exports.fields import ALIASES, BODIES, FIELDS

router = Router("exports")

EXPORT = needs("logs.export")
_PIECE_BYTES = 1 << 20
_FEATURE: dict[str, Any] = {"permission": EXPORT, "feature": Feature.DATA_EXPORTS}
_ABSENT: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "AB08: there is no such export."}
}

Id = Annotated[str, Path(max_length=255, description="Id of the export.")]
WorkspaceId = Annotated[str | None, Query(max_length=255, description="UUID or slug; only for organisation keys.")]


def _asking(session: Db, parts: Services, caller: Principal, now: Now) -> Asking:
    return Asking(session, parts.engine, parts.settings, caller, now)


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


@router.post(
    "/logs/exports",
    operation_id="create_log_export",
    summary="Describe an export of logs",
    response_model=ExportTotal,
    **_FEATURE,
)
def create_export(wanted: NewExport, caller: Caller, session: Db, parts: Parts, now: Now) -> ExportTotal:
    """A draft, and how many rows it would be of now; it is written once it is started."""
    export = service.create(_asking(session, parts, caller, now), wanted)
    return ExportTotal(id=export.id, total=export.total_records)


@router.get(
    "/logs/exports",
    operation_id="list_log_exports",
    summary="Exports, the newest first",
    response_model=ListAnswer[ExportItem],
    **_FEATURE,
)
def list_exports(
    caller: Caller, session: Db, parts: Parts, now: Now, page: AdminPage, workspace_id: WorkspaceId = None
) -> Response:
    """The exports of the caller's workspace, or organisation; who sees only its own data sees its own exports."""
    rows, total = page_of(session, service.listing(_asking(session, parts, caller, now), workspace_id), page)
    return _json({"object": "list", "total": total, "data": [rendering.item(row[0]) for row in rows]})


@router.get(
    "/logs/exports/field-restrictions",
    operation_id="log_export_field_restrictions",
    summary="Which fields the caller may export",
    response_model=FieldRestrictions,
    **_FEATURE,
)
def field_restrictions(caller: Caller, workspace_id: WorkspaceId = None) -> FieldRestrictions:  # noqa: ARG001
    """All fields by name; requests and responses only for those who may see logs."""
    restricted = frozenset[str]() if caller.visibility.log_bodies else BODIES
    return FieldRestrictions(
        allowed_fields=[name for name in FIELDS if name not in restricted],
        restricted_fields=[name for name in FIELDS if name in restricted],
        aliases=dict(ALIASES),
    )


@router.get(
    "/logs/exports/{id}",
    operation_id="get_log_export",
    summary="One export, and how far it is",
    response_model=ExportItem,
    responses=_ABSENT,
    **_FEATURE,
)
def get_export(id: Id, caller: Caller, session: Db, parts: Parts, now: Now) -> Response:  # noqa: A002
    """`written_records` of `total_records` are in parts already."""
    return _json(rendering.item(service.get(_asking(session, parts, caller, now), id)))


@router.put(
    "/logs/exports/{id}",
    operation_id="update_log_export",
    summary="Describe an export anew",
    response_model=ExportTotal,
    responses=_ABSENT,
    **_FEATURE,
)
def update_export(id: Id, wanted: ChangedExport, caller: Caller, session: Db, parts: Parts, now: Now) -> ExportTotal:  # noqa: A002
    """A draft again. Not while it is being written, and not once it is there."""
    export = service.change(_asking(session, parts, caller, now), id, wanted)
    return ExportTotal(id=export.id, total=export.total_records)


@router.post(
    "/logs/exports/{id}/start",
    operation_id="start_log_export",
    summary="Have an export written",
    response_model=ExportMessage,
    responses=_ABSENT,
    **_FEATURE,
)
def start_export(id: Id, caller: Caller, session: Db, parts: Parts, now: Now) -> ExportMessage:  # noqa: A002
    """From the beginning, with the rows that are there now and that the caller may see; a worker takes it soon."""
    service.start(_asking(session, parts, caller, now), id)
    return ExportMessage(message="Export started successfully")


@router.post(
    "/logs/exports/{id}/cancel",
    operation_id="cancel_log_export",
    summary="Stop an export",
    response_model=ExportMessage,
    responses=_ABSENT,
    **_FEATURE,
)
def cancel_export(id: Id, caller: Caller, session: Db, parts: Parts, now: Now) -> ExportMessage:  # noqa: A002
    """Its worker stops within seconds; it can be started again."""
    service.cancel(_asking(session, parts, caller, now), id)
    return ExportMessage(message="Export cancelled successfully")


@router.get(
    "/logs/exports/{id}/download",
    operation_id="download_log_export",
    summary="A URL of the file, for a while",
    response_model=ExportDownload,
    responses=_ABSENT,
    **_FEATURE,
)
def download_export(
    id: Id,  # noqa: A002
    request: Request,
    caller: Caller,
    session: Db,
    parts: Parts,
    now: Now,
) -> Response:
    """Of the bucket that exports are kept in, else of this server. Whoever has the URL can read the file."""
    export = service.downloadable(_asking(session, parts, caller, now), id)
    lifetime = timedelta(seconds=parts.settings.export_url_lifetime_s)
    url = parts.exports.opened().signed_url(file_path(export), lifetime)
    if url is None:
        start = parts.settings.mail.control_plane_url or str(request.base_url)
        query = downloads.signed_query(session, export, now, lifetime)
        url = f"{start.rstrip('/')}{BASE}/logs/exports/{export.id}/file?{query}"
    return _json({"signed_url": url, "url": url, "expires_at": instant(now + lifetime)})


@router.get(
    "/logs/exports/{id}/file",
    permission=PUBLIC,
    feature=Feature.DATA_EXPORTS,
    operation_id="read_log_export",
    summary="The file of an export, by a signed URL",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {name: {} for name in MEDIA_TYPES.values()}},
        **_ABSENT,
    },
)
def read_export(
    id: Id,  # noqa: A002
    session: Db,
    parts: Parts,
    now: Now,
    run: Annotated[int, Query(ge=0, le=2**31)],
    expires: Annotated[int, Query(ge=0, le=2**53)],
    signature: Annotated[str, Query(max_length=128)],
) -> Response:
    """Needs no key: the signature says who let whom."""
    downloads.check(session, id, Signed(expires, run, signature), now)
    export = session.get(Export, id)
    if export is None or export.runs != run or export.status != Status.SUCCESS:
        raise NotFound("This file is no longer there; ask for a new URL")
    store = parts.exports.opened()
    found = store.find(file_path(export))
    if found is None:
        raise NotFound("This file is no longer there; start the export again")
    form = FileFormat(export.format)
    name = f"export-{export.id}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(found.size)}
    return StreamingResponse(_pieces(store.stream(found)), media_type=MEDIA_TYPES[form], headers=headers)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
