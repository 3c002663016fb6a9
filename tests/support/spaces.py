# SPDX-License-Identifier: Apache-2.0
"""Two tenants of a whole stack in one space, by the words that both sign (proto/README.md 1.3)."""
import base64
import datetime
import secrets
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local_stack import unique
from trust import Key, digest, envelope, jcs, nonce


def certificate_of(key):
    """Self-signed, PEM."""
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")]), datetime.datetime.utcnow()
    made = x509.CertificateBuilder(name, name, key.private.public_key(), x509.random_serial_number(),
                                   now - datetime.timedelta(minutes=1), now + datetime.timedelta(days=30))
    return made.sign(key.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


class Party:
    """A member of the stack with a registered certificate."""

    def __init__(self, client):
        self.client, self.key, self.tenant = client, Key(), client.get("/v1/tenants/self").json()
        challenge, word = client.made("/v1/challenges", {"spki": self.key.spki}), secrets.token_hex(32)
        message = (f"strongroom-cert-pop-v1\n{client.stack.url}\n{self.tenant['name']}\n{self.key.spki}\n{challenge['nonce']}\n"
                   f"{word}\n")
        signature = self.key.private.sign(message.encode(), ec.ECDSA(hashes.SHA256()))
        self.certificate = client.made("/v1/certificates", {"certificate_pem": certificate_of(self.key), "proof": {
            "challenge": challenge["id"], "client_nonce": word, "signature": base64.b64encode(signature).decode()}})

    def sign(self, typ, payload):
        return envelope(self.key, typ, {**payload, "spki": self.key.spki})


def invite(founder, space, spki):
    """The record of the invitation, its envelope and its digest."""
    now = int(time.time())
    payload = {"space": space["id"], "name": space["name"], "tenant": founder.tenant["name"], "to": spki, "nonce": nonce(),
               "iat": now, "exp": now + 3600}
    signed = founder.sign("strongroom-space-invitation+jws", payload)
    record = founder.client.made(f"/v1/spaces/{space['id']}/invitations", {"invitation": signed})
    return record, signed, digest(jcs({**payload, "spki": founder.key.spki}))


def join(guest, space, signed, invitation_digest):
    accepted = guest.sign("strongroom-space-acceptance+jws", {
        "invitation": invitation_digest, "tenant": guest.tenant["name"], "iat": int(time.time())})
    return guest.client.made(f"/v1/spaces/{space['id']}:join", {"invitation": signed, "acceptance": accepted})


def found(founder):
    return founder.client.made("/v1/spaces", {"name": unique("space")})


def found_together(founder, guest):
    space = found(founder)
    _, signed, hashed = invite(founder, space, guest.key.spki)
    join(guest, space, signed, hashed)
    for party in (founder, guest):
        party.client.tokens.clear()  # new ones name the space
    return space


# --- fixtures, for tests that import them ---

@pytest.fixture(scope="module")
def acme(stack):
    return Party(stack.client("acme-owner"))


@pytest.fixture(scope="module")
def globex(stack):
    return Party(stack.client("globex-owner"))


@pytest.fixture(scope="module")
def space(acme, globex):
    """The id of one that both are in."""
    return found_together(acme, globex)["id"]
