"""`/health` and `/v1/health`, for probes and people. Source: DECISIONS "health"."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel

from api.dependencies import Parts
from api.health.service import FAILED, VERSION
from api.permissions import PUBLIC
from api.routing import Router


class HealthAnswer(BaseModel):
    """What answers and what doesn't."""

    status: str
    service: str
    version: str
    checks: dict[str, str]


bare = Router("health", base="")
router = Router("health")

_OPTIONS: dict[str, Any] = {
    "response_model": HealthAnswer,
    "summary": "What answers and what doesn't",
    "responses": {503: {"model": HealthAnswer, "description": "A part failed; `status` is `degraded`."}},
}


@bare.get("/health", permission=PUBLIC, operation_id="health_unversioned", **_OPTIONS)
@router.get("/health", permission=PUBLIC, operation_id="health", **_OPTIONS)
def health(parts: Parts) -> Response:
    """`status` is `success`, or `degraded` with status 503 when a part failed."""
    checks = parts.health.results()
    failed = FAILED in checks.values()
    answer = HealthAnswer(
        status="degraded" if failed else "success",
        service=parts.settings.service_name,
        version=VERSION,
        checks=checks,
    )
    status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
    return Response(orjson.dumps(answer.model_dump()), status_code=status, media_type="application/json")
