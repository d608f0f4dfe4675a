"""What is said of a crossed limit: to people by mail, to systems by webhook, to Slack, and to the audit log. Pure.

Source: controlplane contract 10.5 (values of the mails), docs/alerts.md (the webhook).
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from api.analytics.rendering import instant
from api.limits.machine import EXHAUSTED_KIND, Crossing
from api.mail.templates import Template

_TEMPLATES: Mapping[str, tuple[Template, Template]] = {
    "api_key": (Template.API_KEY_THRESHOLD, Template.API_KEY_EXHAUSTED),
    "virtual_key": (Template.VIRTUAL_KEY_THRESHOLD, Template.VIRTUAL_KEY_EXHAUSTED),
}
_ENTITY = (Template.ENTITY_THRESHOLD, Template.ENTITY_EXHAUSTED)
WORDS: Mapping[str, str] = {
    "api_key": "API key",
    "virtual_key": "virtual key",
    "workspace": "workspace",
    "integration_workspace": "integration",
    "policy": "policy",
}
_CENTS = Decimal("0.01")


def amount(value: Decimal, type_: str) -> str:
    """`$12.50`, or `1,000 tokens`; fractions of a cent are only shown where there are any."""
    if type_ != "cost":
        return f"{value.normalize():,f} {type_}"
    rounded = value.quantize(_CENTS) if abs(value) < Decimal(10) ** 20 else value
    return f"${rounded:,f}" if rounded == value else f"${value.normalize():,f}"


def template_of(crossing: Crossing) -> Template:
    """The mail that tells of it."""
    return _TEMPLATES.get(crossing.entity_type, _ENTITY)[crossing.kind == EXHAUSTED_KIND]


def mail_values(crossing: Crossing, organisation_name: str, key_type: str = "") -> dict[str, str]:
    """What the mail is filled with, but for the recipient's name."""
    threshold = crossing.alert_threshold
    names: Mapping[str, dict[str, str]] = {
        "api_key": {"apiKey": crossing.entity_name, "apiKeyType": key_type},
        "virtual_key": {"virtualKeyName": crossing.entity_name},
    }
    entity = {"entityName": crossing.entity_name, "entityType": WORDS[crossing.entity_type]}
    return {
        **names.get(crossing.entity_type, entity),
        "organisationName": organisation_name,
        "creditThreshold": "" if threshold is None else amount(threshold, crossing.type),
        "creditLimit": amount(crossing.credit_limit, crossing.type),
    }


def event(crossing: Crossing, alert_id: str, organisation_name: str, now: datetime) -> dict[str, Any]:
    """The body of a webhook. Amounts are exact, as text. Shape: docs/alerts.md."""
    threshold = crossing.alert_threshold
    return {
        "id": alert_id,
        "type": f"usage_limit.{crossing.kind}",
        "timestamp": instant(now),
        "data": {
            "organisation_id": crossing.organisation_id,
            "organisation_name": organisation_name,
            "workspace_id": crossing.workspace_id,
            "entity": {"type": crossing.entity_type, "id": crossing.entity_id, "name": crossing.entity_name},
            "value_key": crossing.value_key,
            "limit_id": crossing.limit_id,
            "limit_type": crossing.type,
            "unit": "usd" if crossing.type == "cost" else crossing.type,
            "usage": format(crossing.usage, "f"),
            "credit_limit": format(crossing.credit_limit, "f"),
            "alert_threshold": None if threshold is None else format(threshold, "f"),
            "period_started_at": instant(crossing.period_started_at),
        },
    }


def slack(crossing: Crossing, organisation_name: str) -> dict[str, Any]:
    """The body for Slack, and for what understands the same."""
    entity = f"{WORDS[crossing.entity_type]} *{_escaped(crossing.entity_name)}*"
    if crossing.value_key:
        entity += f" (`{_escaped(crossing.value_key)}`)"
    limit, used = amount(crossing.credit_limit, crossing.type), amount(crossing.usage, crossing.type)
    if crossing.kind == EXHAUSTED_KIND:
        said = f"has used up its budget of {limit}"
    else:
        said = f"has used more than {amount(crossing.alert_threshold or crossing.usage, crossing.type)} of {limit}"
    since = f"{crossing.period_started_at:%Y-%m-%d %H:%M} UTC"
    return {"text": f"{_escaped(organisation_name)}: {entity} {said}. Used since {since}: {used}."}


def reason(crossing: Crossing) -> str:
    """What the audit log says."""
    parts = {
        "kind": crossing.kind,
        "type": crossing.type,
        "usage": format(crossing.usage, "f"),
        "credit_limit": format(crossing.credit_limit, "f"),
        "alert_threshold": None if crossing.alert_threshold is None else format(crossing.alert_threshold, "f"),
        "period_started_at": instant(crossing.period_started_at),
        "value_key": crossing.value_key,
        "limit_id": crossing.limit_id,
    }
    return " ".join(f"{name}={value}" for name, value in parts.items() if value is not None)


def _escaped(text: str) -> str:
    """Slack reads &, < and > as its own; a quoted name must not call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
