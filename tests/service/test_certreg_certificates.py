# SPDX-License-Identifier: Apache-2.0
"""Registration with proof of possession, by the openssl program, and the readable tree."""
import concurrent.futures
import json
import os
import stat

import pytest

from conftest import wait_for
from certreg_stack import is_problem
from certreg_stack import algo, certreg, globex, new_key, owner  # noqa: F401 (fixtures)


def mirrored(folder, record):
    """The record as the readable tree shows it; its file is the second of the two."""
    file = folder / f"{record['spki'][7:]}.json"
    wait_for(file.exists, "the mirrored record")
    return json.loads(file.read_text())


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
    assert mirrored(folder, record)["id"] == record["id"]
    assert (folder / f"{record['spki'][7:]}.pem").read_bytes() == pem.body


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
    for method, action, body in (("GET", "", None), ("PUT", "", {"name": "x", "labels": {}}), ("POST", ":revoke", {})):
        answers = [globex.ask(method, f"/v1/certificates/{id_}{action}", body, If_Match="*") for id_ in (there, nowhere)]
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
    cases = {"not a certificate": "cert.syntax", pem[:-60]: "cert.syntax",
             pem.replace("CERTIFICATE", "X509 CRL"): "cert.syntax", "": "json.invalid_fields"}
    for text, code in cases.items():
        answer = algo.post("/v1/certificates", {"certificate_pem": text, "proof": algo.proof(key)})
        assert answer.status == 400 and answer.code in (code, "cert.syntax"), answer.body


def test_names_reach_no_terminal(algo, new_key):
    key = new_key()
    body = {"certificate_pem": key.certificate("x"), "name": "a\u001b[2J", "proof": algo.proof(key)}
    assert is_problem(algo.post("/v1/certificates", body), 400, "name.invalid")


def test_revoked_certificate(certreg, algo, owner, new_key):
    key = new_key()
    record = algo.register(key).json
    target = f"/v1/certificates/{record['id']}"
    data = certreg.client("acme-data")
    assert is_problem(data.revoke(record["id"]), 403, "auth.role_missing")
    assert is_problem(owner.revoke(record["id"], reason="because"), 400, "certificate.bad_reason")
    assert is_problem(owner.post(f"{target}:revoke", {}, If_Match='"r99"'), 412, "resource.changed")
    revoked = owner.revoke(record["id"], reason="keyCompromise", comment="laptop stolen")
    assert revoked.status == 200 and revoked.json["state"] == "revoked"
    assert revoked.json["revocation_reason"] == "keyCompromise" and revoked.json["revoked_at"]
    assert owner.revoke(record["id"], reason="superseded").json == revoked.json  # final
    assert is_problem(algo.register(key), 409, "certificate.revoked")
    assert record["id"] in [row["subject"] for row in certreg.ask("GET", "/internal/v1/auth-state").json["revoked"]]
    assert record["id"] in [item["id"] for item in algo.get("/v1/certificates?state=revoked").json["items"]]
    wait_for(lambda: mirrored(certreg.mirror / "acme" / "algo", record)["state"] == "revoked", "the mirrored revocation")


def test_idempotent_registration(algo, new_key):
    key = new_key()
    body = {"certificate_pem": key.certificate("x"), "proof": algo.proof(key)}
    first = algo.post("/v1/certificates", body, Idempotency_Key=key.spki())
    again = algo.post("/v1/certificates", body, Idempotency_Key=key.spki())
    assert first.status == 201 and again.status == 200 and first.json == again.json


# --- labels, names, lists ---

def test_describe(algo, owner, certreg, new_key):
    record = algo.register(new_key(), body={"name": "first", "labels": {"team": "blue", "stage": "test"}}).json
    target = f"/v1/certificates/{record['id']}"
    assert record["labels"] == {"stage": "test", "team": "blue"} and record["name"] == "first"
    body = {"name": "first, renamed", "labels": {"team": "red"}}
    assert is_problem(algo.ask("PUT", target, body), 428, "resource.if_match_missing")
    assert is_problem(algo.ask("PUT", target, body, If_Match='"r9"'), 412, "resource.changed")
    assert is_problem(certreg.client("acme-data").ask("PUT", target, body, If_Match="*"), 403, "auth.role_missing")
    changed = algo.ask("PUT", target, body, If_Match=record["etag"])
    assert changed.status == 200 and changed.json["name"] == "first, renamed" and changed.json["labels"] == {"team": "red"}
    for labels in ({"a b": "x"}, {"a": "\u0007"}, {"a": 1}, {"a" * 64: "x"}, {f"k{n}": "" for n in range(65)}):
        assert is_problem(algo.ask("PUT", target, {"name": "x", "labels": labels}, If_Match="*"), 400, "label.invalid")


def test_name_belongs_to_one_certificate(algo, owner, globex, new_key):
    first = algo.register(new_key("a"), body={"name": "signing key"}).json
    second = owner.register(new_key("b"), body={"name": "signing key"})
    assert is_problem(second, 409, "certificate.name_taken")
    assert globex.register(new_key("c"), body={"name": "signing key"}).status == 201
    other = algo.register(new_key("d")).json
    rename = algo.ask("PUT", f"/v1/certificates/{other['id']}", {"name": "signing key", "labels": {}}, If_Match="*")
    assert is_problem(rename, 409, "certificate.name_taken")
    algo.revoke(first["id"])
    assert algo.register(new_key("e"), body={"name": "signing key"}).status == 201


def test_list_filters(certreg, algo, new_key):
    def ids(query):
        return {item["id"] for item in algo.get(f"/v1/certificates?{query}").json["items"]}

    blue = algo.register(new_key("a"), body={"labels": {"team": "blue", "list": "1"}}).json["id"]
    red = algo.register(new_key("b"), body={"labels": {"team": "red", "list": "1"}}).json["id"]
    assert ids("label=list=1") == {blue, red} and ids("label=list=1&label=team=red") == {red}
    certreg.postgres.sql("UPDATE certreg.certificate SET not_after = now() + interval '2 days' WHERE id = %s", red)
    soon = certreg.postgres.sql("SELECT to_char(now() + interval '3 days', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")[0][0]
    assert ids(f"label=list=1&expires_before={soon}") == {red}
    certreg.postgres.sql("UPDATE certreg.certificate SET not_after = now() WHERE id = %s", red)
    assert ids("label=list=1&state=expired") == {red} and ids("label=list=1&state=active") == {blue}
    for query in ("state=gone", "expires_before=tomorrow", "expires_before=2030-01-01T00:00:00Z;"):
        assert is_problem(algo.get(f"/v1/certificates?{query}"), 400, "certificate.bad_filter")
    assert is_problem(algo.get("/v1/certificates?label=list"), 400, "label.invalid")


# --- known certificates ---

def test_known_certificate_needs_no_proof(algo, owner, globex, new_key):
    key = new_key()
    pem = key.certificate("x")
    assert is_problem(algo.post("/v1/certificates", {"certificate_pem": pem}), 422, "certificate.proof_missing")
    record = algo.post("/v1/certificates", {"certificate_pem": pem, "proof": algo.proof(key)}).json
    for member in (algo, owner):
        again = member.post("/v1/certificates", {"certificate_pem": pem})
        assert again.status == 200 and again.json == record
    assert is_problem(globex.post("/v1/certificates", {"certificate_pem": pem}), 422, "certificate.proof_missing")
    algo.revoke(record["id"])
    assert is_problem(algo.post("/v1/certificates", {"certificate_pem": pem}), 409, "certificate.revoked")


def test_known_certificates_asked_for_together(algo, owner, globex, new_key):
    """They share a round trip; each gets its own caller's answer."""
    key, other = new_key(), new_key()
    record = algo.register(key, body={"certificate_pem": (pem := key.certificate("x"))}).json
    theirs = other.certificate("x")
    asked = [(algo, pem, 200), (globex, pem, 422), (owner, pem, 200), (algo, theirs, 422)] * 6
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda one: one[0].post("/v1/certificates", {"certificate_pem": one[1]}), asked))
    assert [answer.status for answer in answers] == [status for _, _, status in asked]
    assert all(answer.json == record for answer in answers if answer.status == 200)


def test_a_proof_by_another_spelling_of_its_name(algo, new_key):
    """The edge looks for its plain name only, to tell registrations from questions."""
    key = new_key()
    body = json.dumps({"certificate_pem": key.certificate("x"), "proof": algo.proof(key)}).replace('"proof"', '"pr\\u006fof"')
    assert algo.post("/v1/certificates", body).status == 201


def test_a_question_with_an_idempotency_key(algo, new_key):
    key = new_key()
    pem = key.certificate("x")
    record = algo.register(key, body={"certificate_pem": pem}).json
    assert algo.post("/v1/certificates", {"certificate_pem": pem}, Idempotency_Key="q").json == record


# --- rotation ---

def test_rotation(certreg, algo, new_key):
    old_key, new = new_key("old"), new_key("new")
    old = algo.register(old_key, body={"name": "rotating", "labels": {"a": "b"}}).json
    made = algo.post(f"/v1/certificates/{old['id']}:rotate", algo.rotation(old_key, new, overlap_seconds=3600))
    assert made.status == 201, made.body
    record, before = made.json, algo.certificate(old["id"])
    assert record["replaces"] == old["id"] and before["replaced_by"] == record["id"]
    assert record["name"] == "rotating" and record["labels"] == {"a": "b"} and record["state"] == "active"
    assert before["state"] == "retiring" and before["retires_at"] > before["created_at"]
    again = algo.post(f"/v1/certificates/{old['id']}:rotate", algo.rotation(old_key, new_key("third")))
    assert is_problem(again, 409, "certificate.not_active")
    certreg.postgres.sql("UPDATE certreg.certificate SET retires_at = now() WHERE id = %s", old["id"])
    assert algo.certificate(old["id"])["state"] == "retired"


def test_rotation_needs_both_keys(algo, owner, globex, certreg, new_key):
    old_key, new, thief = new_key("old"), new_key("new"), new_key("thief")
    old = algo.register(old_key).json
    target = f"/v1/certificates/{old['id']}:rotate"
    stolen = algo.rotation(thief, new)
    assert is_problem(algo.post(target, stolen), 422, "certificate.proof_invalid")
    forged = algo.rotation(old_key, new)
    forged["proof"]["signature"] = forged["proof_old"]["signature"]
    assert is_problem(algo.post(target, forged), 422, "certificate.proof_invalid")
    same = algo.rotation(old_key, old_key)
    assert is_problem(algo.post(target, same), 409, "certificate.key_known")
    data = certreg.client("acme-data")
    assert is_problem(data.post(target, data.rotation(old_key, new)), 403, "auth.role_missing")
    assert is_problem(globex.post(target, globex.rotation(old_key, new)), 404, "certificate.not_found")
    assert is_problem(algo.post(target, algo.rotation(old_key, new, overlap_seconds=31 * 86400)), 400, "json.invalid_fields")
    assert algo.certificate(old["id"])["state"] == "active"


def test_retried_rotation(algo, new_key):
    old_key, new = new_key("old"), new_key("new")
    old = algo.register(old_key).json
    body = algo.rotation(old_key, new)
    answers = [algo.post(f"/v1/certificates/{old['id']}:rotate", body, Idempotency_Key=new.spki()) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 200] and answers[0].json == answers[1].json


# --- the mirror ---

def test_killed_between_commit_and_mirror(certreg, algo, new_key):
    """A pipe in the place of the file holds the mirror where it has not yet written what the client was told."""
    key = new_key()
    folder = certreg.mirror / "acme" / "algo"
    mirrored(folder, algo.register(new_key("first")).json)
    pem, record_file = folder / f"{key.spki()[7:]}.pem", folder / f"{key.spki()[7:]}.json"
    os.mkfifo(pem)
    assert algo.register(key).status == 201
    certreg.kill()
    assert not record_file.exists()
    pem.unlink()
    certreg.start()
    assert b"BEGIN CERTIFICATE" in pem.read_bytes() and json.loads(record_file.read_text())["spki"] == key.spki()
    assert algo.register(key).status == 200



def test_mirror_after_kill(certreg, algo, new_key):
    key = new_key()
    record = algo.register(key).json
    folder = certreg.mirror / "acme" / "algo"
    pem, record_file = folder / f"{record['spki'][7:]}.pem", folder / f"{record['spki'][7:]}.json"
    mirrored(folder, record)
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
