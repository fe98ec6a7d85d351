"""An issuer of tokens, with keys of its own and a place where it publishes them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://issuer.example"
AUDIENCE = "https://agents.example/mcp"


class Clock:
    """Seconds that a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Signs tokens with RS256 under the key id "rsa", and with ES256 under "ec"."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())

    def jwks(self) -> dict[str, Any]:
        rsa_algorithm, ec_algorithm = jwt.algorithms.RSAAlgorithm, jwt.algorithms.ECAlgorithm
        return {
            "keys": [
                {**rsa_algorithm.to_jwk(self.rsa.public_key(), as_dict=True), "kid": "rsa"},
                {**ec_algorithm.to_jwk(self.ec.public_key(), as_dict=True), "kid": "ec"},
                {"kty": "oct", "kid": "shared", "k": "c2VjcmV0" * 8},
                {"kty": "of the future", "kid": "new"},
            ]
        }

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(self.jwks()))
        return path

    def claims(self, subject: str = "ada", scope: str = "*", **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": now + 600, "scope": scope}
        merged = {**claims, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    def token(self, subject: str = "ada", scope: str = "*", **changes: Any) -> str:
        headers = {"kid": "rsa"}
        return jwt.encode(self.claims(subject, scope, **changes), self.rsa, "RS256", headers)

    def public_pem(self) -> bytes:
        key = self.rsa.public_key()
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed_with_hmac(claims: dict[str, Any], secret: bytes, **header: Any) -> str:
    """Return a token that PyJWT itself would not make: with a public key as a shared secret."""
    parts = [_encoded({"typ": "JWT", "alg": "HS256", **header}), _encoded(claims)]
    signature = hmac.new(secret, ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, _base64(signature)])


def unsigned(claims: dict[str, Any], algorithm: str = "none") -> str:
    return f"{_encoded({'typ': 'JWT', 'alg': algorithm, 'kid': 'rsa'})}.{_encoded(claims)}."


def _encoded(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Published:
    """A server of keys: what it answers with, and how often it was asked."""

    def __init__(self, document: Any) -> None:
        self.status = 200
        self.body = json.dumps(document).encode()
        self.location = ""
        self.asked = 0
        self.url = ""


@contextmanager
def published(document: Any) -> Iterator[Published]:
    """Publish a document at a URL."""
    state = Published(document)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked += 1
            self.send_response(state.status)
            if state.location:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/keys"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
