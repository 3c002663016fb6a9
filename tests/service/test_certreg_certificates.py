# SPDX-License-Identifier: Apache-2.0
"""Registration with proof of possession, by the openssl program, and the readable tree."""
import concurrent.futures
import json
import os
import stat

import pytest

from certreg_stack import is_problem
from certreg_stack import algo, certreg, globex, new_key, owner  # noqa: F401 (fixtures)


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


@pytest.mark.parametrize("start, end, code", [
    ("20200101000000Z", "20200201000000Z", "certificate.expired"),
    ("20900101000000Z", "20900201000000Z", "certificate.not_yet_valid"),
])
def test_certificate_out_of_its_time(algo, new_key, start, end, code):
    key = new_key()
    body = {"certificate_pem": key.certificate_between(start, end), "proof": algo.proof(key)}
    assert is_problem(algo.post("/v1/certificates", body), 422, code)


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


# --- the mirror ---

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
