"""Tokens of an organisation's own identity provider, as callers. Source: controlplane contract 1.5.

The organisation that a token names says which keys count; nothing else in a token says where a key is (`jku`, `x5u`,
`jwk` and `x5c` are not read). Only then is anything else in it believed.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.api_keys.service import hash_of
from api.jwt.claims import Claims, checked, organisation_of
from api.jwt.fetching import KeySets
from api.jwt.keys import ALGORITHM, usable
from api.jwt.refusals import TokenOutOfReach, TokenRefused
from api.jwt.settings import INLINE, URL
from api.organisations.rows import Organisation
from api.permissions import KeyKind
from api.principal import Principal
from api.workspaces.rows import ARCHIVED, Workspace

ACTIVE = "active"
LONGEST_HEADER = 4096
_HASH_DIGITS = 16


class _Registry(jws.JWSRegistry):
    max_header_length = LONGEST_HEADER


_REGISTRY = _Registry(algorithms=[ALGORITHM], strict_check_header=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """A token taken apart; nothing of it is proven."""

    kid: str
    claims: Mapping[str, Any]
    signature: jws.CompactSignature


class Tokens:
    """Verifies tokens. Safe to share by threads."""

    def __init__(self, key_sets: KeySets) -> None:
        self._key_sets = key_sets

    def principal_of_token(self, session: Session, token: str, now: datetime) -> Principal:
        """The caller: a workspace's, with the rights of a service key. Raises: TokenRefused, TokenOutOfReach."""
        opened = opened_token(token)
        organisation_id = organisation_of(opened.claims)
        organisation = session.get(Organisation, organisation_id)
        if organisation is None or organisation.status != ACTIVE:
            raise TokenRefused("Organisation Not Found")
        try:
            key = self._key(organisation.auth_settings, opened.kid, now)
            _verify(opened, key)
            claims = checked(opened.claims, now)
        except TokenRefused as refused:
            refused.organisation_id = organisation.id
            raise
        return _principal(session, organisation, claims, token)

    def _key(self, settings: Mapping[str, Any] | None, kid: str, now: datetime) -> RSAKey:
        if not settings:
            raise TokenRefused("JWT Authentication Is Not Set Up")
        url = settings.get(URL)
        found = self._key_sets.key(url, kid, now) if url else usable(settings.get(INLINE)).get(kid)
        if found is None:
            raise TokenRefused("Signing Key Not Found")
        return found


def opened_token(token: str) -> Opened:
    """Header and claims of a token that could be one of ours. Raises: TokenRefused."""
    parts = token.split(".")
    if len(parts) != 3 or len(parts[0]) > LONGEST_HEADER:
        raise TokenRefused("Not A JWT")
    header, claims = _object(parts[0]), _object(parts[1])
    if header.get("alg") != ALGORITHM:
        raise TokenRefused(f"Algorithm Is Not {ALGORITHM}")
    if str(header.get("typ", "JWT")).upper() != "JWT" or "crit" in header or "b64" in header:
        raise TokenRefused("Header Is Not Supported")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise TokenRefused("Key Id Is Missing")
    try:
        return Opened(kid, claims, jws.extract_compact(token.encode("ascii"), registry=_REGISTRY))
    except (JoseError, ValueError, RecursionError) as error:
        raise TokenRefused("Not A JWT") from error


def _object(part: str) -> Mapping[str, Any]:
    try:
        text = base64.b64decode(part.rstrip("=") + "=" * (-len(part.rstrip("=")) % 4), altchars=b"-_", validate=True)
        value = orjson.loads(text)
    except (ValueError, binascii.Error) as error:
        raise TokenRefused("Not A JWT") from error
    if not isinstance(value, dict):
        raise TokenRefused("Not A JWT")
    return cast("Mapping[str, Any]", value)


def _verify(opened: Opened, key: RSAKey) -> None:
    try:
        good = jws.validate_compact(opened.signature, key, algorithms=[ALGORITHM], registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise TokenRefused("Signature Is Not Valid") from error
    if not good:
        raise TokenRefused("Signature Is Not Valid")


def _principal(session: Session, organisation: Organisation, claims: Claims, token: str) -> Principal:
    workspace = session.scalars(
        select(Workspace).where(Workspace.organisation_id == organisation.id, Workspace.slug == claims.workspace_slug)
    ).first()
    if workspace is None or workspace.status == ARCHIVED:
        raise TokenOutOfReach("Workspace Not Found", organisation_id=organisation.id)
    return Principal(
        kind=KeyKind.WORKSPACE_SERVICE,
        key_id=f"jwt:{hash_of(token)[:_HASH_DIGITS]}",
        organisation_id=organisation.id,
        scopes=claims.scopes,
        workspace_id=workspace.id,
        workspace_slug=workspace.slug,
        expires_at=claims.expires_at,
        email=claims.identity,
        via="jwt",
        limits=claims.limits,
    )
