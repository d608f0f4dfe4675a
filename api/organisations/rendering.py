"""Organisations as clients read them."""

from api.analytics.rendering import instant
from api.organisations.administration import GUARDRAILS
from api.organisations.rows import Organisation
from api.organisations.schemas import AuthSettings, Defaults, OrganisationAnswer, Retention
from api.security_settings.registry import CATEGORIES
from api.security_settings.service import effective, organisation_settings
from api.settings import ApiSettings


def organisation(row: Organisation, settings: ApiSettings) -> OrganisationAnswer:
    """The organisation with every setting that counts."""
    auth, defaults = row.auth_settings or {}, row.defaults or {}
    return OrganisationAnswer(
        id=row.id,
        name=row.name,
        status=row.status,
        settings=organisation_settings(row),
        security_settings=effective(row),
        workspace_overrides={category.value: bool(row.workspace_overrides.get(category)) for category in CATEGORIES},
        defaults=Defaults(**{name: defaults.get(name) for name in GUARDRAILS}),
        auth_settings=AuthSettings(jwks_url=auth.get("jwks_url"), jwks=auth.get("jwks")),
        retention=Retention(logs_days=settings.log_retention_display, metrics_days=settings.metrics_retention_display),
        features=settings.features.described(),
        created_at=instant(row.created_at),
        last_updated_at=instant(row.last_updated_at),
    )
