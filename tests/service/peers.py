# SPDX-License-Identifier: Apache-2.0
"""A service of a whole stack asked by another one, with that one's own key."""
import contextlib
import time

import pytest
import requests
from cryptography.hazmat.primitives import serialization

from certreg_stack import UnixConnection
from trust import Key, b64url, jcs, nonce


class Orchestrator:
    """The orchestrator, as the service `audience` hears it."""

    def __init__(self, stack, audience):
        self.socket, key, now = stack.sockets / audience / "http.sock", Key(), int(time.time())
        key.private = serialization.load_pem_private_key((stack.folder / "keys/orchestrator.pem").read_bytes(), None)
        words = [{"alg": "ES256", "typ": "strongroom-service+jwt", "kid": "orchestrator"},
                 {"iss": "orchestrator", "sub": "orchestrator", "aud": audience, "iat": now, "exp": now + 60, "jti": nonce()}]
        text = ".".join(b64url(jcs(part)) for part in words)
        self.token = f"{text}.{b64url(key.sign(text.encode()))}"

    def get(self, path):
        return self.ask("GET", path)

    def ask(self, method, path):
        with contextlib.closing(UnixConnection(self.socket)) as connection:
            connection.request(method, path, headers={"Authorization": f"Bearer {self.token}"})
            response = connection.getresponse()
            answer = requests.Response()
            answer.status_code, answer.headers, answer._content = response.status, response.headers, response.read()
            return answer


@pytest.fixture(scope="module")
def orchestrator(stack):
    return Orchestrator(stack, "policy")
