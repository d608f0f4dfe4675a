"""`/alerts/destinations`: where an organisation's alerts go, beside mails. Source: docs/alerts.md."""

from fastapi import Response

from api.alerts import destinations
from api.alerts.rows import Destination
from api.alerts.schemas import CreatedDestination, DestinationAnswer, NewDestination
from api.analytics.rendering import instant
from api.dependencies import Caller, Db, Now, Parts, Trail
from api.listing import AdminPage
from api.paging import ListAnswer
from api.permissions import needs
from api.routing import Router
from api.text import Reference
from api.users.schemas import Nothing

router = Router("alerts")

DESTINATIONS = "/alerts/destinations"


@router.get(
    DESTINATIONS,
    permission=needs("organisation_settings.read"),
    operation_id="list_alert_destinations",
    summary="Webhooks that hear of crossed limits, the newest first",
    response_model=ListAnswer[DestinationAnswer],
)
def list_destinations(caller: Caller, session: Db, page: AdminPage) -> ListAnswer[DestinationAnswer]:
    """Their URLs are shown up to the host: the rest is a secret."""
    rows, total = destinations.listed(session, caller.organisation_id, page)
    return ListAnswer(total=total, data=[DestinationAnswer.model_validate(_fields(row)) for row in rows])


@router.post(
    DESTINATIONS,
    permission=needs("organisation_settings.update"),
    operation_id="create_alert_destination",
    summary="Send crossed limits to a webhook, or to Slack",
    response_model=CreatedDestination,
)
def create_destination(
    wanted: NewDestination, caller: Caller, session: Db, now: Now, parts: Parts, trail: Trail, response: Response
) -> CreatedDestination:
    """The webhook, and once what its calls are signed with."""
    private_networks = parts.settings.alerts.private_networks
    made = destinations.create(session, caller, wanted, now, private_networks=private_networks)
    trail.resource(id_=made.row.id)
    response.headers["Cache-Control"] = "no-store"
    return CreatedDestination.model_validate(_fields(made.row) | {"secret": made.secret})


@router.delete(
    f"{DESTINATIONS}/{{destination_id}}",
    permission=needs("organisation_settings.update"),
    operation_id="delete_alert_destination",
    summary="Send nothing to a webhook any more",
    response_model=Nothing,
)
def delete_destination(destination_id: Reference, caller: Caller, session: Db) -> Nothing:
    """What waits to go there does not leave."""
    destinations.delete(session, caller.organisation_id, destination_id)
    return Nothing()


def _fields(row: Destination) -> dict[str, str | None]:
    names = ("id", "organisation_id", "workspace_id", "channel", "name")
    return {
        **{name: getattr(row, name) for name in names},
        "url": row.url_mask,
        "created_at": instant(row.created_at),
        "last_updated_at": instant(row.last_updated_at),
    }
