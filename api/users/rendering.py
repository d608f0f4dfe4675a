"""People on the wire. Source: controlplane contract 2.1."""

from collections.abc import Sequence

from api.analytics.rendering import instant
from api.users.schemas import UserAnswer
from api.users.service import Person


def user(person: Person, workspace_slugs: Sequence[str]) -> UserAnswer:
    """The person as the organisation sees it: the times are those of its place there."""
    return UserAnswer.model_validate(
        {
            "id": person.user.id,
            "first_name": person.user.first_name,
            "last_name": person.user.last_name,
            "role": person.place.role,
            "email": person.user.email,
            "status": person.place.status,
            "created_at": instant(person.place.created_at),
            "last_updated_at": instant(person.place.last_updated_at),
            "workspace_ids": list(workspace_slugs),
        }
    )
