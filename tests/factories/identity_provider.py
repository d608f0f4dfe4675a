"""An identity provider: an RSA key, tokens that it signs, and its key set over real HTTPS."""

import base64
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from joserfc import jws
from joserfc.jwk import RSAKey

from tests.factories.smtp_server import authority_in


@cache
def rsa_key(name: str, bits: int = 2048) -> RSAKey:
    """The same key for the same name: making one takes long."""
    return RSAKey.generate_key(bits, {"kid": name})


@dataclass(frozen=True)
class Provider:
    """Signs tokens of one organisation."""

    organisation_id: str
    workspace_slug: str
    now: datetime
    kid: str = "first"

    @property
    def key(self) -> RSAKey:
        return rsa_key(self.kid)

    @property
    def jwks(self) -> dict[str, Any]:
        """The public half."""
        return {"keys": [{**self.key.as_dict(private=False), "use": "sig", "alg": "RS256"}]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token; None takes one away."""
        claims = {
            "portkey_oid": self.organisation_id,
            "portkey_workspace": self.workspace_slug,
            "scope": "portkey.analytics.view logs.list",
            "iat": int(self.now.timestamp()),
            "exp": int((self.now + timedelta(minutes=5)).timestamp()),
            "sub": "someone@idp.example",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, key: RSAKey | None = None, **changes: Any) -> str:
        """A token, signed."""
        claims = json.dumps(self.claims(**changes)).encode()
        protected = {"alg": "RS256", "typ": "JWT", "kid": self.kid, **(header or {})}
        protected = {name: value for name, value in protected.items() if value is not None}
        if protected["alg"] != "RS256":
            return jws.serialize_compact(protected, claims, key or self.key, algorithms=["RS512", "PS256"])
        # By hand: the library would not sign the headers that some tests want.
        private = (key or self.key).private_key
        assert private is not None
        signed = f"{part(protected)}.{part(claims)}"
        return f"{signed}.{part(private.sign(signed.encode(), PKCS1v15(), hashes.SHA256()))}"


def part(value: Any) -> str:
    """One part of a token."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@dataclass
class KeyServer:
    """What is served, and how often it was asked for."""

    url: str
    authority: Path
    content: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    asked: int = 0


@contextmanager
def key_server(folder: Path) -> Generator[KeyServer]:
    """A server of a key set on a free port, with a certificate of its own authority."""
    authority = authority_in(folder)
    served = KeyServer("", authority.ca_file)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked += 1
            self.send_response(served.status)
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(served.content)))
            self.end_headers()
            self.wfile.write(served.content)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = authority.server.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that goes away is no news
    served.url = f"https://127.0.0.1:{server.server_address[1]}/keys"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
