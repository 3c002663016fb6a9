# SPDX-License-Identifier: Apache-2.0
"""certreg against a real Postgres and Redis: keys, tokens, proof of possession by the openssl program, the mirror."""
import base64
import concurrent.futures
import hashlib
import json
import os
import re
import secrets
import stat

import pytest

from certreg_stack import BASE_URL, P256, certreg_process, claims_of, key_id, unix_now
from conftest import short_folder, wait_for

SANDBOX = "sbx_0190f1c2aaaa7bbb8cccdddddddddddd"
MANIFEST = "sha256:" + "a" * 64


@pytest.fixture(scope="module")
def certreg(postgres, redis):
    with short_folder("sr-crt-") as folder, certreg_process(folder, postgres, redis) as running:
        yield running


@pytest.fixture(scope="module")
def owner(certreg):
    return certreg.client("acme-owner")


@pytest.fixture(scope="module")
def algo(certreg):
    return certreg.client("acme-algo")


@pytest.fixture(scope="module")
def globex(certreg):
    return certreg.client("globex-owner")


@pytest.fixture
def new_key(tmp_path):
    return lambda name="key", **kind: P256(tmp_path / f"{name}.pem", **kind)


def is_problem(answer, status, code):
    assert (answer.status, answer.code) == (status, code), answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    return True


def make_api_key(client, **more):
    """The client's side: the secret stays here, its hash goes out."""
    digits = secrets.token_hex(6) + "7" + secrets.token_hex(2)[:3] + "8" + secrets.token_hex(8)[:15]
    shown, text = f"key_{digits}", f"sr_{digits}_{base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b'=').decode()}"
    answer = client.post("/v1/keys", {"name": "test", "id": shown, "hash": "sha256:" + hashlib.sha256(text.encode()).hexdigest(),
                                      **more})
    return answer, text


# --- bootstrap ---

def test_bootstrap_makes_private_files_once(certreg):
    before = {path.name: path.read_bytes() for path in certreg.keys.iterdir()}
    assert set(before) == {f"{who}.key" for who in ("acme-owner", "acme-algo", "acme-data", "acme-audit", "globex-owner",
                                                    "globex-operator")}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in certreg.keys.iterdir())
    assert all(re.fullmatch(rb"sr_[0-9a-f]{32}_[A-Za-z0-9_-]{43}\n", text) for text in before.values())
    rows = certreg.postgres.sql("SELECT count(*) FROM certreg.api_key")
    certreg.bootstrap()
    assert before == {path.name: path.read_bytes() for path in certreg.keys.iterdir()}
    assert certreg.postgres.sql("SELECT count(*) FROM certreg.api_key") == rows


def test_bootstrap_gives_a_lone_key_file_its_row(certreg):
    """As after a kill between file and row."""
    certreg.postgres.sql("DELETE FROM certreg.api_key WHERE id = %s", key_id(certreg.key("acme-audit")))
    certreg.postgres.sql("DELETE FROM certreg.key_id WHERE id = %s", key_id(certreg.key("acme-audit")))
    certreg.bootstrap()
    assert certreg.token_answer(certreg.key("acme-audit")).status == 200


def test_no_secret_is_stored(certreg):
    stored = str(certreg.postgres.sql("SELECT array_agg(k::text) FROM certreg.api_key k"))
    for path in certreg.keys.iterdir():
        secret = path.read_text().strip()
        assert secret[36:] not in stored
        assert hashlib.sha256(secret.encode()).hexdigest() not in stored


# --- member tokens ---

def test_token_has_the_members_claims(certreg):
    answer = certreg.token_answer(certreg.key("acme-algo"), audience="policy", scope="read")
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
    assert answer.json["token_type"] == "Bearer" and answer.json["expires_in"] == 600
    claims = claims_of(answer.json["access_token"])
    assert claims["iss"] == BASE_URL and claims["aud"] == "policy" and claims["scope"] == "read"
    assert claims["roles"] == "algorithm-owner" and claims["tenant_name"] == "acme"
    assert claims["sub"].startswith("mbr_") and claims["tenant"].startswith("tnt_") and claims["space"].startswith("spc_")
    assert claims["key"] == key_id(certreg.key("acme-algo")) and claims["exp"] - claims["iat"] == 600


def test_token_verifies_by_the_published_keys(certreg):
    jwt = pytest.importorskip("jwt")
    token = certreg.token_answer(certreg.key("acme-owner")).json["access_token"]
    keys = certreg.ask("GET", "/.well-known/jwks.json").json["keys"]
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt" and header["alg"] == "ES256" and header["kid"] == keys[0]["kid"]
    assert "d" not in keys[0]
    public = jwt.PyJWK.from_dict(keys[0]).key
    assert jwt.decode(token, public, ["ES256"], audience="certreg")["iss"] == BASE_URL


def test_basic_credentials_work_too(certreg):
    key = certreg.key("acme-owner")
    basic = base64.b64encode(f"{key_id(key)}:{key}".encode()).decode()
    answer = certreg.token_request({"Authorization": f"Basic {basic}"}, grant_type="client_credentials", audience="certreg")
    assert answer.status == 200


def test_wrong_and_unknown_keys_look_the_same(certreg):
    real = certreg.key("acme-owner")
    unknown = "sr_0190f1c2aaaa7bbb8cccdddddddddddd_" + real[36:]
    wrong = certreg.token_answer(real[:-1] + ("A" if real[-1] != "A" else "B"))
    nobody = certreg.token_answer(unknown)
    for answer in (wrong, nobody):
        assert is_problem(answer, 401, "auth.invalid_client")
    varies = ("request_id",)
    assert {k: v for k, v in wrong.json.items() if k not in varies} == {k: v for k, v in nobody.json.items() if k not in varies}


@pytest.mark.parametrize("form, status, code", [
    ({"grant_type": "password", "audience": "policy"}, 400, "token.bad_grant"),
    ({"audience": "policy"}, 400, "token.bad_grant"),
    ({"grant_type": "client_credentials", "audience": "policy"}, 401, "auth.missing"),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "audience": "policy", "assertion": "a.b.c"}, 400,
     "token.bad_audience"),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "audience": "orchestrator", "assertion": "a.b.c"}, 401,
     "auth.invalid_client"),
])
def test_bad_token_requests(certreg, form, status, code):
    assert is_problem(certreg.token_request(**form), status, code)


def test_token_for_no_or_another_audience(certreg):
    key = certreg.key("acme-owner")
    assert is_problem(certreg.token_answer(key, audience="policy registry-gw"), 400, "token.bad_audience")
    assert is_problem(certreg.client("acme-owner", audience="policy").get("/v1/tenants/self"), 401, "auth.wrong_audience")


@pytest.mark.parametrize("body, status, code", [
    (b"grant_type=%zz", 400, "form.syntax"),
    (b"grant_type=a%00b", 400, "form.syntax"),
    (b"grant_type=\xff\xfe", 400, "form.syntax"),
    (b"=x", 400, "form.syntax"),
    (b"scope=a&scope=b", 400, "form.repeated"),
    (b"&".join(b"m%d=1" % i for i in range(17)), 400, "form.too_many"),
    (b"scope=" + b"a" * 9000, 413, "request.body_too_large"),
])
def test_malformed_forms(certreg, body, status, code):
    answer = certreg.ask("POST", "/v1/token", body, Content_Type="application/x-www-form-urlencoded")
    assert is_problem(answer, status, code)


def test_form_of_another_type(certreg):
    assert is_problem(certreg.ask("POST", "/v1/token", b"{}", Content_Type="application/json"), 415, "request.not_form")


def test_scope_narrows_what_a_token_may(certreg):
    reader = certreg.client("acme-owner", scope="read")
    assert reader.get("/v1/members").status == 200
    assert is_problem(reader.post("/v1/challenges", {"spki": "sha256:" + "0" * 64}), 403, "auth.scope_missing")
    assert is_problem(certreg.token_answer(certreg.key("acme-owner"), scope="everything"), 400, "scope.unknown")


# --- tenants, members, keys ---

def test_tenant_and_members(owner, globex):
    tenant = owner.get("/v1/tenants/self").json
    assert tenant["name"] == "acme" and tenant["id"] == owner.claims["tenant"] and tenant["space"] == owner.claims["space"]
    assert globex.get("/v1/tenants/self").json["space"] != tenant["space"]
    names = {member["name"]: member["roles"] for member in owner.get("/v1/members").json["items"]}
    assert names == {"owner": ["owner"], "algo": ["algorithm-owner"], "data": ["data-owner"], "audit": ["auditor"]}
    assert owner.get("/v1/members/self").json["id"] == owner.claims["sub"]


def test_pages(owner):
    first = owner.get("/v1/members?page_size=3").json
    second = owner.get(f"/v1/members?page_size=3&page_token={first['next_page_token']}").json
    assert len(first["items"]) == 3 and len(second["items"]) == 1 and second["next_page_token"] is None


def test_key_life(certreg, owner):
    answer, text = make_api_key(owner, scopes=["read"])
    assert answer.status == 201 and answer.json["scopes"] == ["read"] and answer.json["state"] == "active"
    assert answer.headers["Location"] == f"/v1/keys/{answer.json['id']}"
    token = certreg.token_answer(text)
    assert token.status == 200 and claims_of(token.json["access_token"])["scope"] == "read"
    target = f"/v1/keys/{answer.json['id']}"
    assert is_problem(owner.ask("DELETE", target), 428, "resource.if_match_missing")
    assert is_problem(owner.ask("DELETE", target, If_Match='"r99"'), 412, "resource.changed")
    revoked = owner.ask("DELETE", target, If_Match=answer.json["etag"])
    assert revoked.status == 200 and revoked.json["state"] == "revoked"
    assert is_problem(certreg.token_answer(text), 401, "auth.invalid_client")


def test_revoked_key_reaches_auth_state_and_kills_tokens(certreg, owner):
    answer, text = make_api_key(owner)
    client = type(owner)(certreg, certreg.token_answer(text).json["access_token"])
    before = certreg.ask("GET", "/internal/v1/auth-state").json
    assert client.get("/v1/tenants/self").status == 200
    owner.ask("DELETE", f"/v1/keys/{answer.json['id']}", If_Match="*")
    state = certreg.ask("GET", "/internal/v1/auth-state").json
    assert state["epoch"] > before["epoch"] and state["jwks"] == certreg.ask("GET", "/.well-known/jwks.json").json
    row = [row for row in state["revoked"] if row["subject"] == answer.json["id"]]
    assert row and row[0]["before"] > client.claims["iat"]
    wait_for(lambda: client.get("/v1/tenants/self").status == 401, "the token is refused")
    assert is_problem(client.get("/v1/tenants/self"), 401, "auth.revoked")


def test_expired_key(certreg, owner):
    answer, text = make_api_key(owner, expires_at="2099-01-01T00:00:00Z")
    assert answer.json["expires_at"] == "2099-01-01T00:00:00Z"
    certreg.postgres.sql("UPDATE certreg.api_key SET expires_at = now() + interval '100 seconds' WHERE id = %s", key_id(text))
    assert 90 <= certreg.token_answer(text).json["expires_in"] <= 100
    certreg.postgres.sql("UPDATE certreg.api_key SET expires_at = now() WHERE id = %s", key_id(text))
    assert is_problem(certreg.token_answer(text), 401, "auth.invalid_client")
    assert is_problem(make_api_key(owner, expires_at="2001-01-01T00:00:00Z")[0], 400, "key.bad_expiry")
    assert is_problem(make_api_key(owner, expires_at="tomorrow")[0], 400, "key.bad_expiry")


def test_keys_of_others(owner, algo, globex):
    mine = make_api_key(owner)[0].json
    for other in (algo, globex):
        assert is_problem(other.get(f"/v1/keys/{mine['id']}"), 404, "key.not_found")
        assert is_problem(other.ask("DELETE", f"/v1/keys/{mine['id']}", If_Match="*"), 404, "key.not_found")
        assert mine["id"] not in [key["id"] for key in other.get("/v1/keys").json["items"]]
    assert is_problem(make_api_key(algo, member=owner.claims["sub"])[0], 403, "auth.role_missing")
    assert is_problem(make_api_key(globex, member=algo.claims["sub"])[0], 404, "member.not_found")
    made, _ = make_api_key(owner, member=algo.claims["sub"])
    assert made.status == 201 and made.json["member"] == algo.claims["sub"]
    assert algo.get(f"/v1/keys/{made.json['id']}").status == 200


def test_a_key_id_is_taken_once(owner, globex):
    first, _ = make_api_key(owner)
    stolen = globex.post("/v1/keys", {"name": "x", "id": first.json["id"], "hash": "sha256:" + "0" * 64})
    assert is_problem(stolen, 409, "key.exists")


def test_a_key_has_no_more_scopes_than_its_maker(certreg, owner):
    answer, _ = make_api_key(certreg.client("acme-owner", scope="write"), scopes=["read", "write"])
    assert answer.json["scopes"] == ["write"]


def test_idempotency_key_makes_one_key(owner):
    body = {"name": "once", "hash": "sha256:" + "1" * 64}
    first = owner.post("/v1/keys", body, Idempotency_Key="once-1")
    again = owner.post("/v1/keys", body, Idempotency_Key="once-1")
    assert first.status == again.status == 201 and first.json == again.json
    assert again.headers["Idempotent-Replayed"] == "true"


# --- bad input ---

@pytest.mark.parametrize("body, status, code", [
    (b"{", 400, "json.syntax"),
    (b"[]", 400, "json.invalid_fields"),
    (b'{"spki":1}', 400, "json.invalid_fields"),
    (b'{"spki":"sha256:00"}', 400, "json.invalid_fields"),
    (b'{"spki":"sha256:%s","more":1}' % (b"0" * 64), 400, "json.invalid_fields"),
    (b'{"spki":"a","spki":"b"}', 400, "json.duplicate"),
    (b'{"spki":"\xff"}', 400, "json.not_utf8"),
    (b'{"spki":' + b"[" * 40 + b"]" * 40 + b"}", 400, "json.too_deep"),
    (b'{"spki":"' + b"a" * 9000 + b'"}', 413, "request.body_too_large"),
])
def test_malformed_json(owner, body, status, code):
    assert is_problem(owner.ask("POST", "/v1/challenges", body), status, code)


def test_bad_fields_are_all_named(owner):
    answer = owner.post("/v1/keys", {"name": 1, "hash": "no", "extra": True})
    assert {field["pointer"] for field in answer.json["errors"]} == {"/name", "/hash", "/extra"}


@pytest.mark.parametrize("headers, code", [
    ({}, "auth.missing"), ({"Authorization": "Bearer x"}, "auth.invalid_token"),
    ({"Authorization": "Bearer a.b.c"}, "auth.invalid_token"), ({"Authorization": "Basic eDp5"}, "auth.missing"),
])
def test_bad_tokens(certreg, headers, code):
    assert is_problem(certreg.ask("GET", "/v1/members", **headers), 401, code)


def test_tampered_token(certreg, owner):
    head, body, tail = owner.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims["roles"] = "owner admin"
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert is_problem(certreg.ask("GET", "/v1/members", Authorization=f"Bearer {head}.{other}.{tail}"), 401,
                      "auth.invalid_token")


# --- certificates ---

KINDS = {"ec256": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "ec384": ("EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
         "rsa": ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"), "ed25519": ("ED25519",)}


@pytest.mark.parametrize("kind", KINDS)
def test_register_by_openssl(certreg, algo, new_key, kind):
    key = new_key(kind=KINDS[kind])
    made = algo.register(key)
    assert made.status == 201, made.body
    record = made.json
    assert record["spki"] == key.spki() and record["subject"] == "CN=somebody" and record["state"] == "active"
    assert record["member"] == algo.claims["sub"] and made.headers["ETag"] == record["etag"]
    shown = algo.get(f"/v1/certificates/{record['id']}")
    assert shown.json == record
    pem = algo.get(f"/v1/certificates/{record['id']}", Accept="application/x-pem-file")
    assert pem.headers["Content-Type"] == "application/x-pem-file" and b"BEGIN CERTIFICATE" in pem.body
    folder = certreg.mirror / "acme" / "algo"
    assert (folder / f"{record['spki'][7:]}.pem").read_bytes() == pem.body
    assert json.loads((folder / f"{record['spki'][7:]}.json").read_text())["id"] == record["id"]


def test_same_key_is_the_same_record(algo, owner, new_key):
    key = new_key()
    first = algo.register(key)
    again = algo.register(key, "-set_serial", "77")
    assert (first.status, again.status) == (201, 200) and first.json == again.json
    assert owner.register(key).json["id"] == first.json["id"]


def test_same_key_at_the_same_time(certreg, algo, new_key):
    key = new_key()
    bodies = [{"certificate_pem": key.certificate("x"), "proof": algo.proof(key)} for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda body: algo.post("/v1/certificates", body), bodies))
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json["id"] for answer in answers}) == 1


def test_same_key_in_another_tenant_is_independent(algo, globex, new_key):
    key = new_key()
    first, second = algo.register(key), globex.register(key)
    assert (first.status, second.status) == (201, 201) and first.json["id"] != second.json["id"]


def test_another_tenants_certificate_looks_like_none(algo, globex, new_key):
    there = algo.register(new_key()).json["id"]
    nowhere = "crt_0190f1c2aaaa7bbb8cccdddddddddddd"
    for method, headers in (("GET", {}), ("DELETE", {"If_Match": "*"})):
        answers = [globex.ask(method, f"/v1/certificates/{id_}", **headers) for id_ in (there, nowhere)]
        assert all(is_problem(answer, 404, "certificate.not_found") for answer in answers)
        assert answers[0].json["detail"] == answers[1].json["detail"]
    assert there not in [item["id"] for item in globex.get("/v1/certificates").json["items"]]


@pytest.mark.parametrize("wrong", [
    {"nonce": "0" * 64}, {"tenant": "globex"}, {"base_url": "https://evil.test"}, {"spki": "sha256:" + "0" * 64},
])
def test_wrong_message(algo, new_key, wrong):
    assert is_problem(algo.register(new_key(), **wrong), 422, "certificate.proof_invalid")


def test_proof_by_another_key(algo, new_key):
    key, thief = new_key(), new_key("thief")
    proof = algo.proof(thief, challenge=algo.post("/v1/challenges", {"spki": key.spki()}).json, spki=key.spki())
    assert is_problem(algo.post("/v1/certificates", {"certificate_pem": key.certificate("x"), "proof": proof}), 422,
                      "certificate.proof_invalid")


def test_challenge_is_for_one_try(algo, new_key):
    key = new_key()
    body = {"certificate_pem": key.certificate("x"), "proof": algo.proof(key)}
    assert algo.post("/v1/certificates", body).status == 201
    assert is_problem(algo.post("/v1/certificates", body), 409, "challenge.used")
    challenge = algo.post("/v1/challenges", {"spki": key.spki()}).json
    algo.register(key, challenge=challenge, nonce="0" * 64)
    assert is_problem(algo.register(key, challenge=challenge), 409, "challenge.used")


def test_challenge_of_somebody_else(algo, owner, globex, new_key):
    key = new_key()
    challenge = algo.post("/v1/challenges", {"spki": key.spki()}).json
    for other in (owner, globex):
        assert is_problem(other.register(key, challenge=challenge), 404, "challenge.not_found")
    assert algo.register(key, challenge=challenge).status == 201


def test_challenge_of_another_key(algo, new_key):
    key, other = new_key(), new_key("other")
    challenge = algo.post("/v1/challenges", {"spki": other.spki()}).json
    assert is_problem(algo.register(key, challenge=challenge), 422, "challenge.other_key")


def test_expired_challenge(certreg, algo, new_key):
    key = new_key()
    challenge = algo.post("/v1/challenges", {"spki": key.spki()}).json
    certreg.postgres.sql("UPDATE certreg.challenge SET expires_at = now() WHERE id = %s", challenge["id"])
    assert is_problem(algo.register(key, challenge=challenge), 410, "challenge.expired")


def test_certificates_that_are_none(algo, new_key):
    key = new_key()
    pem = key.certificate("x")
    cases = {"not a certificate": "cert.syntax", pem + pem: "cert.syntax", pem[:-60]: "cert.syntax",
             pem.replace("CERTIFICATE", "X509 CRL"): "cert.syntax", "": "json.invalid_fields"}
    for text, code in cases.items():
        answer = algo.post("/v1/certificates", {"certificate_pem": text, "proof": algo.proof(key)})
        assert answer.status == 400 and answer.code in (code, "cert.syntax"), answer.body
    big = algo.post("/v1/certificates", {"certificate_pem": "a" * 40000, "proof": {}})
    assert is_problem(big, 413, "request.body_too_large")


def test_expired_certificate(algo, new_key):
    key = new_key()
    body = {"certificate_pem": key.certificate("x", "-days", "-1"), "proof": algo.proof(key)}
    assert is_problem(algo.post("/v1/certificates", body), 422, "certificate.expired")


def test_names_reach_no_terminal(algo, new_key):
    key = new_key()
    body = {"certificate_pem": key.certificate("x"), "name": "a\u001b[2J", "proof": algo.proof(key)}
    assert is_problem(algo.post("/v1/certificates", body), 400, "name.invalid")


def test_revoked_certificate(certreg, algo, owner, new_key):
    key = new_key()
    record = algo.register(key).json
    target = f"/v1/certificates/{record['id']}"
    data = certreg.client("acme-data")
    assert is_problem(data.ask("DELETE", target, If_Match="*"), 403, "auth.role_missing")
    revoked = owner.ask("DELETE", target, If_Match=record["etag"])
    assert revoked.status == 200 and revoked.json["state"] == "revoked"
    assert is_problem(algo.register(key), 409, "certificate.revoked")
    assert record["id"] in [row["subject"] for row in certreg.ask("GET", "/internal/v1/auth-state").json["revoked"]]
    assert record["id"] in [item["id"] for item in algo.get("/v1/certificates?state=revoked").json["items"]]
    mirrored = certreg.mirror / "acme" / "algo" / f"{record['spki'][7:]}.json"
    assert json.loads(mirrored.read_text())["state"] == "revoked"


def test_idempotent_registration(algo, new_key):
    key = new_key()
    body = {"certificate_pem": key.certificate("x"), "proof": algo.proof(key)}
    first = algo.post("/v1/certificates", body, Idempotency_Key=key.spki())
    again = algo.post("/v1/certificates", body, Idempotency_Key=key.spki())
    assert first.status == 201 and again.status == 200 and first.json == again.json


# --- agents ---

@pytest.fixture
def machine(certreg, owner, new_key):
    key = new_key("machine")
    certreg.provisioner.table[f"/internal/v1/sandboxes/{SANDBOX}"] = {
        "id": SANDBOX, "tenant": owner.claims["tenant"], "space": owner.claims["space"], "state": "ready", "boot": 1,
        "sig_jwk": key.jwk(), "enc_jwk": None, "sig": None, "enc": None}
    yield key
    certreg.provisioner.table.clear()
    certreg.orchestrator.table.clear()


def assertion(key, typ="strongroom-agent-assertion+jwt", **claims):
    now = unix_now()
    return key.jwt(typ, {"iss": SANDBOX, "sub": SANDBOX, "aud": f"{BASE_URL}/v1/token", "iat": now, "exp": now + 60,
                         "jti": secrets.token_hex(16), **claims})


def agent_token(certreg, text, audience="orchestrator"):
    return certreg.token_request(grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", audience=audience, assertion=text)


def test_agent_token(certreg, machine):
    answer = agent_token(certreg, assertion(machine))
    assert answer.status == 200 and answer.json["token_type"] == "DPoP", answer.body
    claims = claims_of(answer.json["access_token"])
    members = json.dumps({k: machine.jwk()[k] for k in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
    assert claims["sub"] == SANDBOX and claims["aud"] == "orchestrator" and claims["cnf"] == {"jkt": thumbprint}
    assert certreg.provisioner.seen[-1].startswith("Bearer ")
    assert claims_of(certreg.provisioner.seen[-1])["aud"] == "provisioner"


def test_assertion_is_used_once(certreg, machine):
    text = assertion(machine)
    assert agent_token(certreg, text).status == 200
    assert is_problem(agent_token(certreg, text), 401, "auth.invalid_client")


@pytest.mark.parametrize("change", [
    {"aud": "https://evil.test/v1/token"}, {"iss": "sbx_0190f1c2aaaa7bbb8ccceeeeeeeeeeee"}, {"exp": 1}, {"iat": 1},
    {"jti": ""}, {"iat": 4000000000, "exp": 4000000060}, {"more": 1},
])
def test_assertion_with_other_claims(certreg, machine, change):
    assert is_problem(agent_token(certreg, assertion(machine, **change)), 401, "auth.invalid_client")


def test_assertion_by_another_key_or_of_another_type(certreg, machine, new_key):
    assert is_problem(agent_token(certreg, assertion(new_key("thief"))), 401, "auth.invalid_client")
    assert is_problem(agent_token(certreg, assertion(machine, typ="dpop+jwt")), 401, "auth.invalid_client")


def test_sandbox_that_is_not_ready_or_not_there(certreg, machine):
    certreg.provisioner.table[f"/internal/v1/sandboxes/{SANDBOX}"]["state"] = "stopping"
    assert is_problem(agent_token(certreg, assertion(machine)), 401, "auth.invalid_client")
    certreg.provisioner.table.clear()
    assert is_problem(agent_token(certreg, assertion(machine)), 401, "auth.invalid_client")


# --- registry tokens ---

def registry_token(certreg, who, *scopes, user="anything", password=None):
    password = password or certreg.key(who)
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    query = "service=registry-gw&account=x&" + "&".join(f"scope={scope}" for scope in scopes)
    return certreg.ask("GET", f"/v1/registry-token?{query}", Authorization=f"Basic {basic}")


def access_of(answer):
    assert answer.status == 200, answer.body
    return {row["name"]: row["actions"] for row in claims_of(answer.json["token"])["access"]}


def test_registry_token(certreg):
    answer = registry_token(certreg, "acme-algo", "repository:acme/app:pull,push")
    assert answer.json["token"] == answer.json["access_token"] and answer.json["expires_in"] == 300
    claims = claims_of(answer.json["token"])
    assert claims["aud"] == "registry-gw" and claims["tenant_name"] == "acme" and "image" not in claims
    assert claims["access"] == [{"type": "repository", "name": "acme/app", "actions": ["pull", "push"]}]


@pytest.mark.parametrize("who, scopes, access", [
    ("acme-owner", ["repository:acme/a:pull,push,delete"], {"acme/a": ["pull", "push", "delete"]}),
    ("acme-audit", ["repository:acme/a:pull,push,delete"], {"acme/a": ["pull"]}),
    ("acme-data", ["repository:acme/a:pull,push"], {"acme/a": ["pull"]}),
    ("globex-operator", ["repository:globex/a:pull"], {}),
    ("acme-owner", ["repository:globex/a:pull", "repository:acme/a:pull"], {"acme/a": ["pull"]}),
    ("acme-owner", ["repository:acme/a:pull%20repository:acme/b:push"], {"acme/a": ["pull"], "acme/b": ["push"]}),
    ("acme-owner", ["repository:acmeevil/a:pull", "repository:acme/../globex/a:pull", "repository:acme:pull"], {}),
    ("acme-owner", ["registry:catalog:*"], {}),
    ("acme-owner", [], {}),
])
def test_registry_token_is_an_intersection(certreg, who, scopes, access):
    assert access_of(registry_token(certreg, who, *scopes)) == access


def test_registry_token_with_the_key_id_as_user(certreg):
    key = certreg.key("acme-owner")
    assert registry_token(certreg, "acme-owner", "repository:acme/a:pull", user=key_id(key)).status == 200


def test_registry_token_refusals(certreg):
    anonymous = certreg.ask("GET", "/v1/registry-token?service=registry-gw&scope=repository:acme/a:pull")
    wrong = registry_token(certreg, "acme-owner", password="sr_0190f1c2aaaa7bbb8cccdddddddddddd_" + "A" * 43)
    for answer, code in ((anonymous, "auth.missing"), (wrong, "auth.invalid_client")):
        assert is_problem(answer, 401, code)
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="strongroom"')
    assert is_problem(registry_token(certreg, "acme-owner", "nonsense"), 400, "registry.bad_scope")
    other = certreg.ask("GET", "/v1/registry-token?service=elsewhere")
    assert is_problem(other, 400, "registry.bad_service")


def test_agents_registry_token_is_for_its_image(certreg, machine):
    def ask_for(scope):
        return certreg.ask("GET", f"/v1/registry-token?service=registry-gw&scope={scope}&assertion={assertion(machine)}")

    assert access_of(ask_for("repository:acme/app:pull")) == {}
    certreg.orchestrator.table[f"/internal/v1/sandboxes/{SANDBOX}/image"] = {"repository": "acme/app", "manifest": MANIFEST}
    answer = ask_for("repository:acme/app:pull,push")
    assert access_of(answer) == {"acme/app": ["pull"]}
    assert claims_of(answer.json["token"])["image"] == {"digest": MANIFEST}
    assert access_of(ask_for("repository:acme/other:pull")) == {}


# --- faults ---

def test_mirror_after_kill(certreg, algo, new_key):
    key = new_key()
    record = algo.register(key).json
    folder = certreg.mirror / "acme" / "algo"
    pem, record_file = folder / f"{record['spki'][7:]}.pem", folder / f"{record['spki'][7:]}.json"
    whole = pem.read_bytes()
    certreg.kill()
    pem.write_bytes(whole[:100])
    record_file.unlink()
    strangers = [folder / f"{record['spki'][7:]}.pem.Xy12Zz", folder / ("0" * 64 + ".pem")]
    for stranger in strangers:
        stranger.write_text("half")
        os.utime(stranger, (1, 1))
    certreg.start()
    assert pem.read_bytes() == whole and json.loads(record_file.read_text())["id"] == record["id"]
    assert not any(stranger.exists() for stranger in strangers)
    assert stat.S_IMODE(pem.stat().st_mode) == 0o644 and stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_postgres_goes_away_and_comes_back(certreg, owner):
    certreg.postgres.restart()
    wait_for(lambda: owner.get("/v1/tenants/self").status == 200, "certreg found Postgres again")
    assert certreg.token_answer(certreg.key("acme-owner")).status == 200


def test_stop_is_clean_and_logs_no_secret(certreg):
    certreg.stop()
    log = certreg.log.read_text()
    for path in certreg.keys.iterdir():
        assert path.read_text().strip()[36:] not in log
    assert "Bearer" not in log and "eyJ" not in log
    certreg.start()
