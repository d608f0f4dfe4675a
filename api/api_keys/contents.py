"""What a key carries for its requests: limits, metadata, a config. Source: controlplane contract 2.3, 3."""

from datetime import datetime
from typing import Any

from api.api_keys.schemas import KeyChanges, KeyDefaults, NewKeyBody
from api.limits.schemas import parse_rate_limits, parse_usage_limits
from api.metadata_schema import API_KEY_SCHEMA, conforming
from api.organisations.rows import Organisation


def merged_defaults(stored: dict[str, Any] | None, wanted: KeyDefaults | None) -> dict[str, Any] | None:
    """The defaults after a change: what was left out stays, null clears; null instead of an object clears all."""
    if wanted is None:
        return None
    merged = {**(stored or {}), **{name: getattr(wanted, name) for name in wanted.model_fields_set}}
    return {name: value for name, value in merged.items() if value is not None}


def conforming_defaults(organisation: Organisation, defaults: dict[str, Any] | None) -> dict[str, Any] | None:
    """The defaults with metadata as the organisation's schema wants it. Raises: InvalidRequest."""
    metadata = conforming((defaults or {}).get("metadata"), organisation.settings.get(API_KEY_SCHEMA))
    return defaults if metadata is None else {**(defaults or {}), "metadata": metadata}


def checked_limits(
    wanted: KeyChanges | NewKeyBody, now: datetime
) -> tuple[dict[str, Any] | None, list[dict[str, Any]] | None]:
    """The usage limit and the rate limits of a body, as they are stored. Raises: InvalidRequest."""
    return parse_usage_limits(wanted.usage_limits, shape="object", now=now), parse_rate_limits(wanted.rate_limits)
