"""An organisation's settings, read and changed. Source: controlplane contract 7.

Values that are not set are not stored, so that a default is the newest release's default.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.errors import Forbidden, InvalidRequest
from api.identifiers import SLUG
from api.jwt.settings import parse_auth_settings
from api.organisations.rows import Organisation
from api.organisations.schemas import OrganisationChanges
from api.principal import Principal
from api.security_settings import values
from api.security_settings.registry import BY_KEY, BY_OPTION, Category
from api.security_settings.service import check_ttls, organisation_settings
from api.workspaces.rows import Workspace

GUARDRAILS = ("input_guardrails", "output_guardrails")
MOST_GUARDRAILS = 100


def find(session: Session, caller: Principal, organisation_id: str | None, *, to_change: bool = False) -> Organisation:
    """The caller's organisation. Raises: Forbidden when another one is named."""
    if organisation_id is not None and organisation_id.lower() != caller.organisation_id:
        raise Forbidden
    # Settings are read, merged and written back: two writers at once would lose one's keys.
    return session.get_one(Organisation, caller.organisation_id, with_for_update=True if to_change else None)


def change(session: Session, organisation: Organisation, wanted: OrganisationChanges, now: datetime) -> None:
    """Keep what a body sets. Raises: InvalidRequest, naming the field and what is allowed; nothing is kept then."""
    given = wanted.model_fields_set
    if "name" in given:
        organisation.name = wanted.name
    if "settings" in given:
        changes = None if wanted.settings is None else values.options(wanted.settings, workspace=False)
        organisation.settings = values.merged(organisation.settings, changes)
        check_ttls(organisation_settings(organisation))
    if "security_settings" in given:
        security = None if wanted.security_settings is None else values.security_settings(wanted.security_settings)
        organisation.security_settings = values.merged(organisation.security_settings, security)
    if "workspace_overrides" in given:
        _override(session, organisation, wanted.workspace_overrides)
    if "defaults" in given:
        organisation.defaults = _defaults(organisation.defaults, wanted.defaults)
    if "auth_settings" in given:
        organisation.auth_settings = parse_auth_settings(wanted.auth_settings)
    organisation.last_updated_at = now


def _override(session: Session, organisation: Organisation, given: Mapping[str, Any] | None) -> None:
    before = bool(organisation.workspace_overrides.get(Category.LOGS))
    changes = None if given is None else values.overrides(given)
    organisation.workspace_overrides = values.merged(organisation.workspace_overrides, changes)
    if before and not organisation.workspace_overrides.get(Category.LOGS):
        _discard(session, organisation.id, Category.LOGS)


def _discard(session: Session, organisation_id: str, category: Category) -> None:
    """Take away what workspaces set of a category: it does not come back with the next override.

    Source: controlplane contract 7.3, for logging only.
    """
    for workspace in session.scalars(select(Workspace).where(Workspace.organisation_id == organisation_id)):
        for field, known in (("security_settings", BY_KEY), ("settings", BY_OPTION)):
            own: Mapping[str, Any] | None = getattr(workspace, field)
            if own:
                kept = {key: value for key, value in own.items() if known[key].category is not category}
                setattr(workspace, field, kept or None)


def _defaults(stored: Mapping[str, Any] | None, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    changes = None if given is None else values.checked("defaults", given, GUARDRAILS, _guardrails)
    return values.merged(stored, changes) or None


def _guardrails(field: str, name: str, value: object) -> list[str] | None:
    """Slugs or ids, each once. Raises: InvalidRequest."""
    problem = InvalidRequest(f"{field}.{name}: a list of at most {MOST_GUARDRAILS} guardrail slugs or ids, or null")
    if not isinstance(value, list):
        raise problem
    named = cast("list[object]", value)
    kept = [one for one in named if isinstance(one, str) and SLUG.fullmatch(one)]
    if len(kept) != len(named) or len(kept) > MOST_GUARDRAILS:
        raise problem
    return list(dict.fromkeys(kept)) or None
