"""`/metrics` for Prometheus. It needs no key, and names no tenant."""

from fastapi import Response
from starlette.exceptions import HTTPException

from api.dependencies import Parts
from api.operations.metrics import CONTENT_TYPE
from api.permissions import PUBLIC
from api.routing import Router

bare = Router("operations", base="")


@bare.get(
    "/metrics",
    permission=PUBLIC,
    operation_id="metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(parts: Parts) -> Response:
    """Requests by route, latencies, spools, queries, key look-ups, refusals. With GATELEDGER_METRICS=OFF: 404."""
    if not parts.settings.operations.metrics:
        raise HTTPException(404)
    return Response(parts.operations.metrics.text(), media_type=CONTENT_TYPE)
