"""API keys on the wire. Source: controlplane contract 3, "ApiKey"."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from api.analytics.rendering import instant
from api.api_keys.lifetime import EXPIRED
from api.api_keys.rotation import in_transition
from api.api_keys.rows import ApiKey
from api.api_keys.schemas import ApiKeyAnswer
from api.limits.rendering import usage_limit
from api.limits.rows import Limit
from api.limits.schemas import render_rate_limits


def api_key(row: ApiKey, limits: Sequence[Limit], now: datetime) -> ApiKeyAnswer:
    """The key with its mask and its limit of usage."""
    transition = row.previous_key_expires_at if in_transition(row, now) else None
    override = None if row.defaults is None else row.defaults.get("allow_config_override")
    fields: dict[str, Any] = {
        "id": row.id,
        "key": row.key_mask,
        "name": row.name,
        "description": row.description,
        "type": row.type,
        "organisation_id": row.organisation_id,
        "workspace_id": row.workspace_id,
        "user_id": row.user_id,
        "status": status_of(row, now),
        "created_at": instant(row.created_at),
        "last_updated_at": instant(row.last_updated_at),
        "creation_mode": row.creation_mode,
        "rate_limits": render_rate_limits(row.rate_limits),
        "usage_limits": usage_limit(limits, now),
        "expires_at": moment(row.expires_at),
        "last_reset_at": moment(row.last_reset_at),
        "next_usage_reset_at": moment(limits[0].next_reset_at) if limits else None,
        "alert_emails": row.alert_emails,
        "expiry_enforced": int(row.expiry_enforced),
        "allow_config_override": None if override is None else int(override),
        "api_key_defaults_id": None,
        "scopes": row.scopes,
        "defaults": defaults(row.defaults),
        "rotation_policy": row.rotation_policy,
        "key_transition_expires_at": moment(transition),
    }
    return ApiKeyAnswer.model_validate(fields)


def status_of(row: ApiKey, now: datetime) -> str:
    """The status; a key past its end is expired before anybody wrote it down."""
    return EXPIRED if row.expires_at is not None and row.expires_at <= now else row.status


def defaults(stored: dict[str, Any] | None) -> dict[str, Any]:
    """What requests with the key get, complete."""
    said = stored or {}
    override = said.get("allow_config_override")
    return {
        "metadata": said.get("metadata"),
        "config_id": said.get("config_id"),
        "allow_config_override": True if override is None else override,
    }


def moment(value: datetime | None) -> str | None:
    """The instant as the wire has it."""
    return None if value is None else instant(value)
