"""An identity provider: an RSA key, tokens that it signs, and its key set over real HTTPS."""

import base64
import json
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from joserfc import jws
from joserfc.jwk import RSAKey


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
    certificate, key = _certificate(folder)
    served = KeyServer("", certificate)

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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
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


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keys")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "keys.crt", folder / "keys.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path
