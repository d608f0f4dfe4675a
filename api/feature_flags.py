"""Which parts of the product this installation has switched off. Source: controlplane contract 10.5.

Every part is on; its variable set to OFF makes its routes answer 403 AB03, naming the variable.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from api.errors import Forbidden


class Feature(StrEnum):
    """A part that can be switched off, by the variable that does it."""

    GUARDRAILS = "GUARDRAILS_ENABLED"
    API_ACCESS = "API_ACCESS_ENABLED"
    DATA_EXPORTS = "DATA_EXPORTS_ENABLED"
    USAGE_LIMITS = "USAGE_LIMITS_ENABLED"
    AUDIT_LOGS = "AUDIT_LOGS_ENABLED"
    SCIM = "SCIM_ENABLED"
    POLICY = "POLICY_ENABLED"


NAMES = {
    Feature.GUARDRAILS: "Guardrails",
    Feature.API_ACCESS: "Managing API keys",
    Feature.DATA_EXPORTS: "Data exports",
    Feature.USAGE_LIMITS: "Usage limits",
    Feature.AUDIT_LOGS: "Audit logs",
    Feature.SCIM: "SCIM",
    Feature.POLICY: "Policies",
}
_PLURAL = frozenset(
    {Feature.GUARDRAILS, Feature.DATA_EXPORTS, Feature.USAGE_LIMITS, Feature.AUDIT_LOGS, Feature.POLICY}
)


@dataclass(frozen=True, slots=True)
class Features:
    """What is switched off here."""

    off: frozenset[Feature] = frozenset()

    def has(self, feature: Feature) -> bool:
        """Whether a part is on."""
        return feature not in self.off

    def require(self, feature: Feature) -> None:
        """Nothing, when the part is on. Raises: Forbidden, naming the variable."""
        if not self.has(feature):
            verb = "are" if feature in _PLURAL else "is"
            raise Forbidden(f"{NAMES[feature]} {verb} disabled by {feature}=OFF")

    def check_limits(self, *usage_limits: Any) -> None:
        """Nothing, unless a body sets usage limits where there are none; null and [] clear, which is always allowed.

        Raises: Forbidden.
        """
        if any(usage_limits):
            self.require(Feature.USAGE_LIMITS)

    def described(self) -> dict[str, bool]:
        """Each variable → whether its part is on."""
        return {feature.value: self.has(feature) for feature in Feature}
