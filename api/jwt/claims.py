"""What a token says, checked. Pure. Source: controlplane contract 1.5, RFC 7519."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from api.errors import InvalidRequest
from api.jwt.refusals import TokenRefused
from api.limits.schemas import parse_rate_limits, parse_usage_limits
from api.permissions import GATEWAY_SCOPES, HOLDERS, KeyKind, scopes_of

SKEW = timedelta(seconds=30)
ORGANISATION = ("portkey_oid", "organisation_id")
WORKSPACE = ("portkey_workspace", "workspace_slug")
SCOPES = ("scope", "scopes")
IDENTITY = ("email_id", "sub", "uid")
SCOPE_PREFIX = "portkey."
LONGEST_TEXT = 320

_PUBLISHED = frozenset(
    {
        *("workspaces.read", "workspaces.update", "workspaces.list"),
        *("logs.export", "logs.list", "logs.view", "logs.write", "analytics.view"),
        *("providers.create", "providers.update", "virtual_keys.delete", "virtual_keys.duplicate"),
        *("prompts.render", "completions.write"),
    }
)
_WHOLE = ("configs.", "workspace_users.")
_READABLE = (
    *("configs", "guardrails", "prompts", "providers", "virtual_keys", "mcp_servers"),
    *("organisation_integrations", "workspace_integrations"),
    *("organisation_mcp_integrations", "workspace_mcp_integrations"),
)
TOKEN_SCOPES = GATEWAY_SCOPES | (
    scopes_of(KeyKind.WORKSPACE_SERVICE)
    & (
        _PUBLISHED
        | {f"{resource}.{verb}" for resource in _READABLE for verb in ("read", "list")}
        | {scope for scope in HOLDERS if scope.startswith(_WHOLE)}
    )
)
"""What a token can hold: what is published for tokens, within what a workspace key can hold. It mints no keys."""


@dataclass(frozen=True, slots=True)
class Claims:
    """A token for one workspace. `limits`: `usage_limits`, `rate_limits` and `defaults` as the token brings them."""

    workspace_slug: str
    scopes: frozenset[str]
    expires_at: datetime
    identity: str | None
    limits: Mapping[str, Any]


def organisation_of(claims: Mapping[str, Any]) -> str:
    """The organisation that a token names, before anything of it is believed. Raises: TokenRefused."""
    return _text(claims, ORGANISATION, longest=64)


def checked(claims: Mapping[str, Any], now: datetime) -> Claims:
    """The claims of a token whose signature is good. Raises: TokenRefused."""
    expires_at = _instant(claims, "exp")
    if expires_at is None:
        raise TokenRefused("Claim exp Is Missing")
    if expires_at + SKEW <= now:
        raise TokenRefused("Token Has Expired")
    for name in ("nbf", "iat"):
        moment = _instant(claims, name)
        if moment is not None and moment - SKEW > now:
            raise TokenRefused(f"Token Is Not Valid Yet ({name})")
    return Claims(
        workspace_slug=_text(claims, WORKSPACE),
        scopes=_scopes(claims) & TOKEN_SCOPES,
        expires_at=expires_at + SKEW,
        identity=_identity(claims),
        limits=_limits(claims),
    )


def _text(claims: Mapping[str, Any], names: Sequence[str], longest: int = 255) -> str:
    value = next((claims[name] for name in names if claims.get(name) is not None), None)
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise TokenRefused(f"Claim {' or '.join(names)} Is Missing")
    return value


def _instant(claims: Mapping[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise TokenRefused(f"Claim {name} Is Not A Time")
    latest = datetime(9999, 1, 1, tzinfo=UTC)
    return latest if value >= latest.timestamp() else datetime.fromtimestamp(value, UTC)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    value = next((claims[name] for name in SCOPES if claims.get(name) is not None), None)
    names = value.split() if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in cast("list[object]", names)):
        raise TokenRefused("Claim scope Or scopes Is Missing")
    return frozenset(name.removeprefix(SCOPE_PREFIX) for name in cast("list[str]", names))


def _identity(claims: Mapping[str, Any]) -> str | None:
    for name in IDENTITY:
        value = claims.get(name)
        if isinstance(value, str) and value.isprintable() and value:
            return value[:LONGEST_TEXT]
    return None


def _limits(claims: Mapping[str, Any]) -> dict[str, Any]:
    # A limit that cannot be read must not become no limit: the token is refused.
    try:
        usage = parse_usage_limits(_entries(claims.get("usage_limits")), shape="array")
        rates = parse_rate_limits(claims.get("rate_limits"))
    except InvalidRequest as error:
        raise TokenRefused(f"Limits Are Not Valid ({error.message[:200]})") from error
    ids: list[object] = [entry.get("id") for entry in claims["usage_limits"]] if usage else []
    named = [
        {**limit, "id": one if isinstance(one, str) else None} for limit, one in zip(usage or (), ids, strict=True)
    ]
    return {"usage_limits": named or None, "rate_limits": rates, "defaults": _defaults(claims.get("defaults"))}


def _entries(value: object) -> object:
    """Usage limits of a token have an id each, which is no setting."""
    if not isinstance(value, list):
        return value
    return [
        {name: one for name, one in cast("Mapping[str, object]", entry).items() if name != "id"}
        if isinstance(entry, Mapping)
        else entry
        for entry in cast("list[object]", value)
    ]


def _defaults(value: object) -> dict[str, Any]:
    """Metadata and config of a token's requests; what cannot be read is left out, as the contract has it."""
    given = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
    config, metadata = given.get("config_id"), given.get("metadata")
    texts = {
        name: text
        for name, text in (cast("Mapping[str, object]", metadata) if isinstance(metadata, Mapping) else {}).items()
        if isinstance(text, str)
    }
    return {"config_id": config if isinstance(config, str) and config else None, "metadata": texts or None}
