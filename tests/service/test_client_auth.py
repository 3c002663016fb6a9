# SPDX-License-Identifier: Apache-2.0
"""Registered certificates as credentials: by assertion (RFC 7523), by the TLS handshake (RFC 8705); tokens bound to them;
the issuer's keys taking turns; nothing that tells who exists."""
import base64
import hashlib
import json
import secrets
import time
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from certreg_stack import BASE_URL, P256, Client, b64url, certreg_process, claims_of, is_problem, key_id, unix_now
from certreg_stack import certreg, globex, new_key, owner  # noqa: F401 (fixtures)
from conftest import short_folder, wait_for

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
NOBODY = "crt_0190f1c2aaaa7bbb8cccdddddddddddd"


class Registered:
    """A key with its certificate, and the record that certreg has of it."""

    def __init__(self, client, key):
        self.key = key
        self.pem = key.certificate("somebody")
        self.record = client.post("/v1/certificates", {"certificate_pem": self.pem, "proof": client.proof(key)}).json
        self.id, self.spki = self.record["id"], self.record["spki"]

    @property
    def shown(self):
        """X-Client-Cert as nginx writes it."""
        return {"X-Client-Cert": urllib.parse.quote(self.pem, safe="")}

    @property
    def x5t(self):
        der = x509.load_pem_x509_certificate(self.pem.encode()).public_bytes(serialization.Encoding.DER)
        return b64url(hashlib.sha256(der).digest())


@pytest.fixture
def mine(owner, new_key):
    return Registered(owner, new_key("mine"))


@pytest.fixture
def theirs(globex, new_key):
    return Registered(globex, new_key("theirs"))


def claims_for(certificate_id, **change):
    now = unix_now()
    return {"iss": certificate_id, "sub": certificate_id, "aud": f"{BASE_URL}/v1/token", "iat": now, "exp": now + 60,
            "jti": secrets.token_hex(16), **change}


def assertion(who, typ="client-authentication+jwt", kid=None, key=None, **change):
    return (key or who.key).jwt(typ, claims_for(change.pop("id", who.id), **change), kid=kid or who.spki)


def ask_by(certreg, text, headers=None, **form):
    form = {"grant_type": "client_credentials", "audience": "certreg", "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": text, **form}
    return certreg.token_request(headers, **form)


def revoke(client, who):
    path = f"/v1/certificates/{who.id}"
    answer = client.ask("POST", f"{path}:revoke", {"reason": "keyCompromise"}, If_Match=client.get(path).headers["ETag"])
    assert answer.status == 200, answer.body


# --- by assertion ---

def test_token_by_assertion(certreg, owner, mine):
    answer = ask_by(certreg, assertion(mine), client_id=mine.id, scope="read")
    assert answer.status == 200 and answer.json["token_type"] == "Bearer", answer.body
    claims = claims_of(answer.json["access_token"])
    assert claims["crt"] == mine.id and "key" not in claims and "cnf" not in claims and claims["scope"] == "read"
    assert claims["sub"] == owner.claims["sub"] and claims["spaces"] == [claims["space"]]
    assert Client(certreg, answer.json["access_token"]).get("/v1/members/self").json["id"] == owner.claims["sub"]
    assert ask_by(certreg, assertion(mine, aud=BASE_URL)).status == 200


class OtherKey(P256):
    """P-384 or RSA, signing by its own JOSE algorithm."""

    def jwt(self, typ, claims, **header):
        private = serialization.load_pem_private_key(self.file.read_bytes(), None)
        is_rsa = isinstance(private, rsa.RSAPrivateKey)
        head = {"alg": "PS256" if is_rsa else "ES384", "typ": typ, **header}
        text = f"{b64url(json.dumps(head).encode())}.{b64url(json.dumps(claims).encode())}"
        if is_rsa:
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
            return f"{text}.{b64url(private.sign(text.encode(), pss, hashes.SHA256()))}"
        r, s = utils.decode_dss_signature(private.sign(text.encode(), ec.ECDSA(hashes.SHA384())))
        return f"{text}.{b64url(r.to_bytes(48, 'big') + s.to_bytes(48, 'big'))}"


@pytest.mark.parametrize("kind", [("EC", "-pkeyopt", "ec_paramgen_curve:P-384"), ("RSA", "-pkeyopt", "rsa_keygen_bits:2048")])
def test_token_by_other_kinds_of_keys(certreg, owner, tmp_path, kind):
    who = Registered(owner, OtherKey(tmp_path / "key.pem", kind))
    assert ask_by(certreg, assertion(who)).status == 200
    # the algorithm is the key's, never the sender's choice
    assert is_problem(ask_by(certreg, P256(tmp_path / "p.pem").jwt("client-authentication+jwt", claims_for(who.id),
                                                                  kid=who.spki)), 401, "auth.invalid_client")


@pytest.mark.parametrize("change, code", [
    ({"aud": "https://evil.test/v1/token"}, "auth.wrong_audience"),
    ({"aud": [BASE_URL]}, "auth.wrong_audience"),
    ({"exp": 1}, "auth.expired"),
    ({"iat": 4000000000, "exp": 4000000060}, "auth.clock_skew"),
    ({"nbf": 4000000000}, "auth.not_yet_valid"),
    ({"exp": unix_now() + 7200}, "auth.lives_too_long"),
    ({"iss": NOBODY}, "auth.invalid_token"),
    ({"jti": None}, "auth.invalid_token"),
    ({"more": 1}, "auth.invalid_token"),
    ({"jti": "a" * 9300}, "auth.too_large"),
    ({"typ": "at+jwt"}, "auth.wrong_type"),
    ({"id": NOBODY}, "auth.invalid_client"),
    ({"kid": "sha256:" + "0" * 64}, "auth.invalid_client"),
])
def test_bad_assertions(certreg, mine, change, code):
    assert is_problem(ask_by(certreg, assertion(mine, **change)), 401, code)


def test_assertions_that_are_not_by_the_certificate(certreg, mine, theirs, new_key):
    assert is_problem(ask_by(certreg, assertion(mine, key=new_key("thief"))), 401, "auth.invalid_client")
    # the key of another tenant's certificate, by its own name and by mine
    assert is_problem(ask_by(certreg, assertion(theirs, id=mine.id)), 401, "auth.invalid_client")
    assert is_problem(ask_by(certreg, assertion(theirs, id=mine.id, kid=mine.spki)), 401, "auth.invalid_client")
    assert is_problem(ask_by(certreg, assertion(mine), client_id=theirs.id), 401, "auth.invalid_token")
    head, body, signature = assertion(mine).split(".")
    none = b64url(json.dumps({"alg": "none", "typ": "client-authentication+jwt", "kid": mine.spki}).encode())
    assert is_problem(ask_by(certreg, f"{none}.{body}."), 401, "auth.wrong_algorithm")
    assert is_problem(ask_by(certreg, f"{head}.{body}.{signature[:-8]}AAAAAAAA"), 401, "auth.invalid_client")
    for text in ("", "a.b", "a.b.c.d", "...."):
        assert is_problem(ask_by(certreg, text), 401, "auth.invalid_token")
    assert is_problem(ask_by(certreg, "\u00e9"), 400, "form.syntax")


def test_assertion_is_used_once(certreg, mine):
    text = assertion(mine)
    assert ask_by(certreg, text).status == 200
    assert is_problem(ask_by(certreg, text), 401, "auth.replayed")


def test_assertion_with_another_credential_or_type(certreg, owner, mine):
    basic = base64.b64encode(b"key_1:x").decode()
    assert is_problem(ask_by(certreg, assertion(mine), client_secret="x"), 400, "token.two_credentials")
    assert is_problem(ask_by(certreg, assertion(mine), {"Authorization": f"Basic {basic}"}), 400, "token.two_credentials")
    assert is_problem(ask_by(certreg, assertion(mine), client_assertion_type="jwt"), 400, "token.bad_assertion_type")


def test_revoked_certificate_buys_nothing(certreg, owner, mine):
    revoke(owner, mine)
    assert is_problem(ask_by(certreg, assertion(mine)), 401, "auth.invalid_client")
    assert is_problem(by_handshake(certreg, mine), 401, "auth.invalid_client")


# --- by handshake, and bound tokens ---

def by_handshake(certreg, who, client_id=None, **form):
    return certreg.token_request(who.shown if who else None, grant_type="client_credentials",
                                 **{"audience": "certreg", "client_id": client_id or who.id, **form})


def test_token_by_handshake_is_bound(certreg, mine, theirs):
    answer = by_handshake(certreg, mine)
    assert answer.status == 200, answer.body
    token = Client(certreg, answer.json["access_token"])
    assert token.claims["crt"] == mine.id and token.claims["cnf"] == {"x5t#S256": mine.x5t, "crt": mine.id}
    assert token.get("/v1/members/self", **mine.shown).status == 200
    assert is_problem(token.get("/v1/members/self"), 401, "auth.certificate_missing")
    assert is_problem(token.get("/v1/members/self", X_Client_Cert=""), 401, "auth.certificate_missing")
    assert is_problem(token.get("/v1/members/self", **theirs.shown), 401, "auth.certificate_mismatch")
    assert is_problem(token.get("/v1/members/self", X_Client_Cert="nonsense"), 400, "auth.bad_client_certificate")


def test_handshake_by_others(certreg, mine, theirs):
    assert is_problem(by_handshake(certreg, None, mine.id), 401, "auth.certificate_missing")
    assert is_problem(by_handshake(certreg, theirs, mine.id), 401, "auth.invalid_client")
    assert is_problem(by_handshake(certreg, mine, NOBODY), 401, "auth.invalid_client")


def test_token_by_key_is_bound_when_a_certificate_is_shown(certreg, mine, theirs):
    key = certreg.key("acme-owner")

    def token(headers):
        answer = certreg.token_request(headers, grant_type="client_credentials", audience="certreg", client_id=key_id(key),
                                       client_secret=key)
        return Client(certreg, answer.json["access_token"])

    bound = token(mine.shown)
    assert bound.claims["key"] == key_id(key) and bound.claims["cnf"]["x5t#S256"] == mine.x5t
    assert is_problem(bound.get("/v1/members/self"), 401, "auth.certificate_missing")
    assert "cnf" not in token(theirs.shown).claims  # not this member's: binds nothing
    revoke(bound_client(bound, mine), mine)
    wait_for(lambda: is_problem(bound.get("/v1/members/self", **mine.shown), 401, "auth.revoked")
             if bound.get("/v1/members/self", **mine.shown).status != 200 else None, "the token is dead")


def bound_client(client, who):
    """The same client, showing its certificate with each request."""
    plain = client.ask
    shown = Client(client.certreg, client.token)
    shown.ask = lambda method, target, body=None, **headers: plain(method, target, body, **headers, **who.shown)
    return shown


def test_registry_token_is_bound_too(certreg, mine):
    key = certreg.key("acme-owner")
    basic = base64.b64encode(f"{key_id(key)}:{key}".encode()).decode()
    answer = certreg.ask("GET", "/v1/registry-token?service=registry-gw", Authorization=f"Basic {basic}", **mine.shown)
    assert claims_of(answer.json["token"])["cnf"]["x5t#S256"] == mine.x5t


# --- nobody learns who exists ---

def test_unknown_and_wrong_credentials_take_the_same_statements(certreg, mine, new_key, postgres):
    key, thief = certreg.key("acme-owner"), new_key("thief")
    unknown = "sr_0190f1c2aaaa7bbb8cccdddddddddddd_" + key[36:]
    pairs = [
        (lambda: certreg.token_answer(key[:-1] + ("A" if key[-1] != "A" else "B")), lambda: certreg.token_answer(unknown)),
        (lambda: ask_by(certreg, assertion(mine, key=thief)), lambda: ask_by(certreg, assertion(mine, key=thief, id=NOBODY))),
        (lambda: by_handshake(certreg, mine, NOBODY), lambda: by_handshake(certreg, Impostor(mine, thief), mine.id)),
    ]
    for there, not_there in pairs:
        seen = []
        for attempt in (there, not_there):
            for answer in (attempt(), attempt()):  # statements are prepared on first use
                assert is_problem(answer, 401, "auth.invalid_client")
            with postgres.statements_of("certreg") as statements:
                answer = attempt()
            texts = {k: v for k, v in answer.json.items() if k != "request_id"}
            heads = {k: v for k, v in answer.headers.items() if k not in ("X-Request-Id", "traceparent")}
            seen.append((texts, heads, own_statements(statements)))
        assert seen[0] == seen[1] and len(seen[0][2]) == 2


def own_statements(statements):
    """Those of credentials: without what background loops run meanwhile."""
    ours = ("FROM api_key WHERE id = $", "FROM api_key k JOIN", "FROM certificate WHERE id = $", "FROM certificate_usable",
            "INTO assertion")
    return [one for one in statements if any(text in one[0] for text in ours)]


class Impostor(Registered):
    def __init__(self, of, key):
        self.id, self.pem = of.id, key.certificate("somebody")


# --- the issuer's keys take turns ---

def kids(certreg):
    return [key["kid"] for key in certreg.ask("GET", "/.well-known/jwks.json").json["keys"]]


def kid_of(client):
    return json.loads(base64.urlsafe_b64decode(client.token.split(".")[0] + "=="))["kid"]


def test_signing_keys_take_turns(certreg):
    old = certreg.client("acme-owner")
    assert kids(certreg) == [kid_of(old)]
    certreg.run("--new-signing-key")
    made = max(certreg.signing_keys.glob("*.pem"))
    assert made.stat().st_mode & 0o777 == 0o600
    assert 60 < int(made.stem) - time.time() <= 120
    # published before it signs
    wait_for(lambda: len(kids(certreg)) == 2, "the successor is published")
    assert kids(certreg)[0] == kid_of(old) == kid_of(certreg.client("acme-owner"))
    # its time comes: both tokens are good
    made = made.rename(made.with_name(f"{unix_now() - 1}.pem"))
    fresh = wait_for(lambda: (lambda one: one if kid_of(one) != kid_of(old) else None)(certreg.client("acme-owner")),
                     "the successor signs")
    wait_for(lambda: fresh.get("/v1/members/self").status == 200, "the service knows the successor")
    assert old.get("/v1/members/self").status == 200 and kids(certreg) == [kid_of(fresh), kid_of(old)]
    # the predecessor's last token has died
    made.rename(made.with_name(f"{unix_now() - 700}.pem"))
    wait_for(lambda: kids(certreg) == [kid_of(fresh)], "the predecessor is withdrawn")
    wait_for(lambda: old.get("/v1/members/self").status == 401, "its tokens are dead")
    assert is_problem(old.get("/v1/members/self"), 401, "auth.unknown_key")
    certreg.run("--new-signing-key")
    assert len(list(certreg.signing_keys.glob("*.pem"))) == 2  # the dead one's file is gone


def test_unusable_signing_keys_change_nothing(certreg):
    before = kids(certreg)
    (certreg.signing_keys / "notatime.pem").write_text("x")
    wait_for(lambda: "config.bad_signing_key" in certreg.log.read_text(), "the failure is logged")
    assert kids(certreg) == before
    (certreg.signing_keys / "notatime.pem").unlink()


# --- limits ---

@pytest.fixture
def limited(postgres, redis):
    """certreg with small limits."""
    with short_folder("sr-lim-") as folder, certreg_process(folder, postgres, redis) as running:
        running.stop()
        with running.conf.open("a") as conf:
            conf.write("rate_per_key = 1\nrate_per_source = 4\n")
        running.start()
        yield running


def attempt(certreg, key, source):
    return certreg.token_request({"X-Forwarded-For": source}, grant_type="client_credentials", audience="certreg",
                                 client_id=key_id(key), client_secret=key)


def first_refusal(ask, most):
    for number in range(most):
        answer = ask()
        if answer.status == 429:
            assert is_problem(answer, 429, "limit.exceeded") and int(answer.headers["Retry-After"]) >= 1
            return number
    raise AssertionError(f"{most} requests in a row were taken")


def test_attempts_are_limited_by_address_and_id(limited):
    key = limited.key("acme-owner")
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert first_refusal(lambda: attempt(limited, wrong, "192.0.2.1"), 60) >= 5
    # the owner, from elsewhere, is not kept out; nor is another key at that address
    assert attempt(limited, key, "192.0.2.2").status == 200
    assert attempt(limited, limited.key("acme-data"), "192.0.2.1").status == 200
    # other ids do not help who tries many; all of an IPv6 network is one address
    ids = iter(range(1000))
    assert first_refusal(lambda: attempt(limited, f"sr_{next(ids):032x}_" + "A" * 43, f"2001:db8::{next(ids):x}"), 200) >= 20
    assert attempt(limited, key, "2001:db8:0:1::1").status == 200


def test_other_public_routes_are_limited_by_address(limited):
    """What costs a signature or tries a secret, without a token."""
    id_ = "inv_01a201f1a0407852a490f84aece3a061"
    asks = [("POST", f"/v1/invitations/{id_}:accept", json.dumps({"secret": "x", "key": {"name": "k", "hash": "sha256:" + 64 * "0"}}),
             "application/json"), ("GET", "/v1/crl", None, None), ("POST", "/v1/ocsp", b"x", "application/ocsp-request"),
            ("POST", "/.well-known/est/simplereenroll", b"x", "application/pkcs10"),
            ("POST", "/v1/audit/cosignatures", json.dumps({"size": 1, "signature": "x\n"}), "application/json")]
    for number, (method, target, body, kind) in enumerate(asks):
        headers = {"X_Forwarded_For": f"192.0.2.{10 + number}", **({"Content_Type": kind} if kind else {})}
        assert first_refusal(lambda: limited.ask(method, target, body, **headers), 60) >= 5


def test_requests_of_a_key_are_limited(limited):
    owner, data = limited.client("acme-owner"), limited.client("acme-data")
    again = limited.client("acme-owner")
    assert first_refusal(lambda: owner.get("/v1/members/self"), 200) >= 5
    assert first_refusal(lambda: again.get("/v1/members/self"), 200) < 5  # another token of the key is the same key
    assert data.get("/v1/members/self").status == 200
