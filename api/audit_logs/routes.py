"""`GET /audit-logs`. Source: controlplane contract 10.4, dataplane contract 3.8."""

from typing import Annotated, Any

import orjson
from fastapi import Request, Response

from api.audit_logs import service
from api.audit_logs.schemas import AuditRecords
from api.dependencies import Caller, Db, Now, Parts
from api.errors import Forbidden
from api.feature_flags import Feature
from api.paging import Page, paged
from api.permissions import needs
from api.routing import Router
from warehouse.engines.open import limits_of
from warehouse.query.audit import find_records

router = Router("audit logs")

OnePage = Annotated[Page, paged(default=100, largest=100)]

_FILTERS = {
    "start_time": "First instant, included; a date is its start. Default: 30 days before end_time.",
    "end_time": "Last instant, included; a date is its end. Default: now.",
    "organisation_id": "Your own organisation.",
    "method": "POST, PUT, DELETE, PATCH or GET.",
    "uri": "Path that was called.",
    "request_id": "Id of the request.",
    "user_id": "User, or API key where no user stands behind it.",
    "user_type": "user or api_key.",
    "actor_id": "User or API key.",
    "workspace_id": "Id or slug of a workspace.",
    "response_status_code": "Status of the answer.",
    "resource_type": "Kind of thing, such as workspaces, api_keys or configs.",
    "resource_id": "Id or slug of the thing.",
    "action": "create, update, delete, publish, export, rotate, duplicate or manage.",
    "client_ip": "Address of the caller.",
    "country": "Country of the caller, by its code of two letters.",
}
_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in _FILTERS.items()
    ]
}


@router.get(
    "/audit-logs",
    permission=needs("audit_logs.list"),
    feature=Feature.AUDIT_LOGS,
    operation_id="list_audit_logs",
    summary="Who changed what, the newest first",
    response_model=AuditRecords,
    openapi_extra=_PARAMETERS,
)
def list_audit_logs(request: Request, caller: Caller, parts: Parts, session: Db, now: Now, page: OnePage) -> Response:
    """Every call that changed something or tried to, and every token that was refused. Secrets are masked.

    A filter takes several values, comma-separated.
    """
    if not caller.is_organisation_admin:
        raise Forbidden
    question = service.question(session, caller.organisation_id, request.query_params, page, now)
    answer = find_records(parts.engine, question, limits_of(parts.settings.warehouse))
    return Response(orjson.dumps(service.rendered(session, answer, page)), media_type="application/json")
