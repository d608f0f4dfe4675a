"""Who calls: the credential of a request becomes a principal, and refusals are counted, limited and recorded."""

from typing import TYPE_CHECKING, cast

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api import structured_log
from api.audit import Recorded, Trail
from api.errors import RateLimited, Unauthorised
from api.principal import Principal, credential_of

if TYPE_CHECKING:
    from api.services import Services

SIGN_IN = Recorded("organisation", "manage")
"""What the record of a refused token says on a route that is not audited by itself."""


async def caller_of(services: "Services", request: Request, records: Recorded | None) -> Principal:
    """The caller. Raises: Unauthorised, RateLimited (its credential fails, and too many did before)."""
    credential = credential_of(request.headers)
    now, operations = request.state.now, services.operations
    try:
        found = services.gatekeeper.remembered(credential, now)
        operations.metrics.looked_up(is_remembered=found is not None)
        if found is None:
            found = await run_in_threadpool(services.gatekeeper.look_up, credential, now)
    except Unauthorised as refusal:
        address = operations.proxies.client(request.scope)
        answer = operations.refusals.answer(refusal, address, credential)
        operations.metrics.refused(is_limited=isinstance(answer, RateLimited))
        if refusal.reason and refusal.organisation_id and answer is refusal:
            trail = Trail((records or SIGN_IN).resource_type, (records or SIGN_IN).action)
            trail.refused(refusal.organisation_id, refusal.reason)
            request.state.audit = trail
        raise answer from None
    trail = cast("Trail | None", getattr(request.state, "audit", None))
    if trail is not None:
        trail.by(found)
    structured_log.name_caller(found.organisation_id, found.key_id)
    return found
