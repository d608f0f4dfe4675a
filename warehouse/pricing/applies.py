"""Whose requests an agreement is about."""

from dataclasses import dataclass
from enum import StrEnum

from warehouse.pricing.names import model_keys, provider_slug


class Target(StrEnum):
    """What an agreement is made for; a narrower one counts before a wider one."""

    VIRTUAL_KEY = "virtual_key"
    INTEGRATION = "integration"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Applies:
    """Whose requests an agreement is about. An integration's slug is what records carry as their virtual key."""

    organisation_id: str
    target: Target
    slug: str
    workspace_slug: str | None = None
    """None: every workspace of the organisation."""

    def covers(self, organisation: str | None, workspace: str | None, virtual_key: str | None, ai_org: str) -> bool:
        """Whether a request of that owner, through that virtual key to that provider, is meant."""
        if organisation != self.organisation_id or self.workspace_slug not in (None, workspace):
            return False
        if self.target is Target.PROVIDER:
            return provider_slug(ai_org) == provider_slug(self.slug)
        return virtual_key == self.slug

    @property
    def strength(self) -> tuple[int, int]:
        """Larger counts first: the virtual key before the integration before the provider, the workspace before all."""
        return -list(Target).index(self.target), int(self.workspace_slug is not None)


def is_named(wanted: str | None, provider: str, model: str) -> bool:
    """Whether an agreement on the model `wanted` (None: on all) is about a request's model, by any of its names."""
    return wanted is None or any(key.casefold() == wanted.casefold() for key in model_keys(provider, model))
