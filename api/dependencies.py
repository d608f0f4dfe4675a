"""What a handler can ask for in its signature. None of them costs a thread."""

from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from api.audit import Trail as AuditTrail
from api.principal import Principal
from api.services import Services


async def _principal(request: Request) -> Principal:
    return cast("Principal", request.state.principal)


async def _now(request: Request) -> datetime:
    return cast("datetime", request.state.now)


async def _session(request: Request) -> Session:
    return cast("Session", request.state.work.session)


async def _services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


async def _trail(request: Request) -> AuditTrail:
    return cast("AuditTrail", request.state.audit)


Caller = Annotated[Principal, Depends(_principal)]
"""Who calls; only on routes that need a key."""
Now = Annotated[datetime, Depends(_now)]
"""The present: one instant for the whole request."""
Db = Annotated[Session, Depends(_session)]
"""The session of the request; it commits when the handler returns."""
Parts = Annotated[Services, Depends(_services)]
"""What the API holds."""
Trail = Annotated[AuditTrail, Depends(_trail)]
"""What the audit log will say of this call; only on routes that change something."""
