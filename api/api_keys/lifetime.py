"""How long keys of people live, and how many each may have. Source: controlplane contract 3, DECISIONS.

`user_api_key_ttl`: seconds that a key lives when its maker names no end. `user_api_key_max_ttl`: seconds that it may
live, counted from its making. `user_api_key_count`: keys per workspace and user. 0, 0 and -1 mean no limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api.analytics.rendering import instant
from api.api_keys.rows import ApiKey
from api.errors import InvalidRequest
from api.permissions import KeyKind
from api.workspaces.rows import Workspace

EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class UserKeyRules:
    """What holds for keys of people in a workspace. Units: seconds."""

    most: int
    ttl_s: int
    max_ttl_s: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """By the effective settings of the workspace."""
        return cls(
            most=int(settings.get("user_api_key_count", -1)),
            ttl_s=int(settings.get("user_api_key_ttl", 0)),
            max_ttl_s=int(settings.get("user_api_key_max_ttl", 0)),
        )

    def end_of_new(self, wanted: datetime | None, now: datetime) -> tuple[datetime | None, bool]:
        """When a new key expires, and whether the settings made it so. Raises: InvalidRequest."""
        if wanted is not None:
            return self.checked(wanted, now), False
        spans = [seconds for seconds in (self.ttl_s, self.max_ttl_s) if seconds > 0]
        return (now + timedelta(seconds=min(spans)), True) if spans else (None, False)

    def checked(self, wanted: datetime | None, made_at: datetime) -> datetime | None:
        """The end, when the cap allows it. Raises: InvalidRequest."""
        if self.max_ttl_s > 0:
            latest = made_at + timedelta(seconds=self.max_ttl_s)
            if wanted is None or wanted > latest:
                raise InvalidRequest(
                    f"expires_at: keys of users live at most {self.max_ttl_s} seconds here (user_api_key_max_ttl); "
                    f"the latest end is {instant(latest)}"
                )
        return wanted


def require_room(session: Session, workspace_id: str, user_id: str, rules: UserKeyRules, now: datetime) -> None:
    """Nothing, when the user may have one more key in the workspace. Raises: InvalidRequest."""
    if rules.most < 0:
        return
    # The lock makes others wait who make a key in this workspace; the ids are read with it, since a plain read in a
    # repeatable-read transaction would not see what they made.
    session.execute(select(Workspace.id).where(Workspace.id == workspace_id).with_for_update())
    held = session.scalars(
        select(ApiKey.id)
        .where(ApiKey.workspace_id == workspace_id, ApiKey.user_id == user_id, ApiKey.deleted_at.is_(None))
        .where(ApiKey.type == KeyKind.WORKSPACE_USER.value, ApiKey.status != EXPIRED)
        .where(or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now))
        .with_for_update()
    ).all()
    if len(held) >= rules.most:
        raise InvalidRequest(f"This user has {len(held)} keys in the workspace; user_api_key_count allows {rules.most}")
