"""Public keys that organisations sign their tokens with: RSA of 2048 bits or more, by `kid`. Source: RFC 7517."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, cast

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

ALGORITHM = "RS256"
LEAST_BITS, MOST_BITS = 2048, 16384
MOST_KEYS = 100
PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
KeySet = Mapping[str, RSAKey]


def usable(document: object) -> KeySet:
    """The keys of a JWKS that can verify a token, by `kid`; others (EC, encryption, short ones) are left out.

    Raises: ValueError when it is no JWKS.
    """
    return {kid: key for kid, key, problem in _each(document) if key is not None and not problem}


def checked(document: object) -> None:
    """Nothing, when each key of a JWKS is public and can verify a token. Raises: ValueError, naming the key."""
    found = list(_each(document))
    if not found:
        raise ValueError("holds no key")
    for index, (_, _, problem) in enumerate(found):
        if problem:
            raise ValueError(f"keys[{index}]: {problem}")
    if len({kid for kid, _, _ in found}) < len(found):
        raise ValueError("two keys have the same kid")


def _each(document: object) -> list[tuple[str, RSAKey | None, str]]:
    """`kid`, key and what is wrong with it, of each key in a JWKS."""
    keys = cast("Mapping[str, object]", document).get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list):
        raise ValueError('is not a JWKS: {"keys": [...]}')
    return [_key(one) for one in cast("list[object]", keys)[:MOST_KEYS]]


def _key(value: object) -> tuple[str, RSAKey | None, str]:
    if not isinstance(value, Mapping):
        return "", None, "is not an object"
    jwk = cast("Mapping[str, Any]", value)
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not kid:
        return "", None, "has no kid"
    if jwk.get("kty") != "RSA" or jwk.get("alg") not in {None, ALGORITHM} or jwk.get("use") not in {None, "sig"}:
        return kid, None, f"is not an RSA key for {ALGORITHM} signatures"
    problem = "has private parameters; give the public key only" if any(name in jwk for name in PRIVATE) else ""
    try:
        modulus, exponent = _number(jwk.get("n")), _number(jwk.get("e"))
        if not LEAST_BITS <= modulus.bit_length() <= MOST_BITS:
            return kid, None, f"has {modulus.bit_length()} bits; allowed: {LEAST_BITS} to {MOST_BITS}"
        if not 3 <= exponent < 1 << 32:
            return kid, None, "has an odd exponent"
        return kid, RSAKey.import_key({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]}), problem
    except (JoseError, ValueError, TypeError):
        return kid, None, "is not a valid RSA key"


def _number(text: object) -> int:
    if not isinstance(text, str):
        raise TypeError
    try:
        padded = text + "=" * (-len(text) % 4)
        return int.from_bytes(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError from error
