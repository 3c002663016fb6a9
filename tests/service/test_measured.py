# SPDX-License-Identifier: Apache-2.0
"""Measured sandboxes for real: OVMF and Linux measure themselves into a vTPM of the sandbox's own, the agent proves it, and what
goes wrong with TPM, VM or agent ends in a state with a code. The verifier here is tests/support/tpm.py, not the project's."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

import tpm
from local_stack import BUILD, alive, problem, unique, wait_for
from test_sandboxes import claim, until
from operator_edge import PublicKey
from trust import b64url, digest, from_b64url, jcs, nonce

LIMIT_S = 240
CMDLINE = json.loads((BUILD / "guest/guest.json").read_text())["cmdline"] if (BUILD / "guest/guest.json").exists() else ""


def body(template="measured-small", **more):
    return {"template": template, "name": unique("box"), "claim": claim(), **more}


def pid_of(stack, sandbox_id, program):
    return int((stack.folder / f"sandboxes/{sandbox_id}/{program}.pid").read_text().split()[0])


def arguments_of(stack, sandbox_id):
    return pathlib.Path(f"/proc/{pid_of(stack, sandbox_id, 'qemu')}/cmdline").read_text().replace("\0", " ")


def start(owner, path, state="ready"):
    wanted = claim()
    assert owner.post(f"{path}:start", {"claim": wanted}).status_code == 202
    record = until(owner, path, {"ready", "failed"})
    assert record["state"] == state, record["failure"]
    return record, wanted


def attest(owner, path, **question):
    answer = owner.post(f"{path}:attest", question)
    assert answer.status_code == 202, answer.text
    return answer.json()


def answered(owner, path, asked):
    for _ in range(6):
        record = owner.get(f"{path}/attestations/{asked['id']}?wait=30s").json()
        if record["state"] != "pending":
            return record
    raise AssertionError(record)


def binding(evidence):
    return hashlib.sha256(jcs({
        "v": "strongroom-evidence-1", "enc": PublicKey(evidence["enc"]).thumbprint, "sig": PublicKey(evidence["sig"]).thumbprint,
        "nonce": evidence["nonce"], "initdata": digest(jcs(evidence["initdata"])), "claim": digest(jcs(evidence["claim"]))})).digest()


def check_evidence(stack, evidence, wanted_claim, wanted_nonce):
    """All that a stranger can check with the files of the guest; PCR 0 and 4 are the C verifier's, in the verdict."""
    report, sandbox_id = evidence["report"], evidence["initdata"]["sandbox"]
    assert evidence["class"] == "software-tpm" and report["type"] == "tpm2"
    assert evidence["claim"] == wanted_claim and evidence["nonce"] == wanted_nonce
    certificate = x509.load_der_x509_certificate(from_b64url(report["ek_certificate"]))
    issuer, = (x509.load_der_x509_certificate(from_b64url(one)) for one in report["ek_chain"])
    root = x509.load_pem_x509_certificate((stack.folder / "pki/vtpm-ca.pem").read_bytes())
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == sandbox_id
    for child, parent in ((certificate, issuer), (issuer, root)):
        parent.public_key().verify(child.signature, child.tbs_certificate_bytes, ec.ECDSA(child.signature_hash_algorithm))
    quoted = tpm.check_quote(report, binding(evidence))
    pcrs = tpm.replayed(from_b64url(report["event_log"]), evidence["claim"])
    assert tpm.pcr_digest(pcrs) == quoted
    predicted = tpm.pcr9(stack.folder / "guest", CMDLINE, evidence["initdata"])
    assert pcrs[9] == predicted
    other = {**evidence["initdata"], "sandbox": "sbx_" + "0" * 32}
    assert tpm.pcr9(stack.folder / "guest", CMDLINE, other) != predicted, "PCR 9 is not this sandbox's"
    assert tpm.pcr_digest({**pcrs, 14: tpm.extended(hashlib.sha256(jcs(claim())).digest())}) != quoted


@pytest.fixture(scope="module")
def measured(stack):
    """One measured sandbox with two processors, and the claim of its first boot."""
    owner, wanted = stack.client("acme-owner"), body(parameters={"vcpus": 2})
    made = owner.made("/v1/sandboxes", wanted)
    path, secret = f"/v1/sandboxes/{made['id']}", stack.folder / "sandboxes" / made["id"] / "vm/secret"
    stack.measured_secret = wait_for(lambda: secret.exists() and secret.read_text(), "the secret", LIMIT_S)
    record = until(owner, path, {"ready", "failed"})
    assert record["state"] == "ready", (record["failure"], owner.get(f"{path}/console").text)
    yield path, record, wanted["claim"]
    owner.delete(path)
    until(owner, path, {"deleted"})
    assert not (stack.folder / "sandboxes" / made["id"]).exists()


def test_evidence_at_enrolment(stack, measured):
    path, record, wanted = measured
    check_evidence(stack, record["evidence"], wanted, wanted["nonce"])
    verdict = record["verdict"]
    assert (verdict["class"], verdict["failed"], verdict["operator_can_read"]) == ("software-tpm", None, True)
    results = {check["code"]: check["result"] for check in verdict["checks"]}
    assert {code for code, result in results.items() if result != "ok"} == {"evidence.hardware"}, verdict
    assert record["takes"]["vcpus"] == 2 and " -smp 2 " in arguments_of(stack, record["id"])


def signed_by_the_provisioner(owner, token):
    """The claims of an EAR, checked with the key that is published for everybody."""
    (key,) = owner.http.get(f"{owner.stack.url}/v1/attestation-keys").json()["keys"]
    head, claims, signature = token.split(".")
    header = json.loads(from_b64url(head))
    assert header == {"alg": "ES256", "typ": "ear+jwt", "kid": key["kid"]}
    raw = from_b64url(signature)
    pair = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    numbers = ec.EllipticCurvePublicNumbers(*(int.from_bytes(from_b64url(key[name]), "big") for name in "xy"), ec.SECP256R1())
    numbers.public_key().verify(encode_dss_signature(*pair), f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    return json.loads(from_b64url(claims))


def test_the_provisioners_word(stack, owner, measured):
    """Signed, for this tenant, this sandbox, this nonce and this machine key; and none for what is not measured."""
    path, record, wanted = measured
    said = signed_by_the_provisioner(owner, record["ear"])
    tenant = owner.get("/v1/quotas/self").json()["tenant"]
    assert (said["aud"], said["sub"], said["eat_nonce"]) == (tenant, record["id"], wanted["nonce"])
    assert said["cnf"]["jwk"] == record["sig_jwk"] and said["submods"]["sandbox"]["ear_status"] == "affirming"
    assert said["iss"] == stack.url
    mine = nonce()
    done = answered(owner, path, attest(owner, path, boot=record["boot"], nonce=mine))
    said = signed_by_the_provisioner(owner, done["ear"])
    assert said["eat_nonce"] == mine and said["submods"]["sandbox"]["ear_status"] == "affirming"
    checks = {check["code"]: check["result"] for check in said["submods"]["sandbox"]["strongroom_checks"]}
    assert checks["evidence.activation"] == "not_provable_offline" and checks["evidence.nonce"] == "ok"


def test_who_enrols_has_opened_the_credential(stack, owner, measured):
    """The secret of the boot alone does not do: neither for another TPM nor for none."""
    record = measured[1]
    said, header = record["evidence"], {"Authorization": f"Enrolment {stack.measured_secret}"}
    url = f"{stack.url}/v1/enrolments/{record['id']}"
    for activated in ({}, {"activated": b64url(os.urandom(32))}):
        problem(owner.http.post(url, json={"boot": 1, "evidence": said, **activated}, headers=header), 422, "enrolment.not_activated")
    identity = {name: said["report"][name] for name in ("ek_certificate", "ak")}
    other = {**identity, "ak": b64url(from_b64url(identity["ak"])[:-1] + b"\0")}
    for body_, status, code in (({}, 422, "enrolment.no_tpm"), ({"ak": identity["ak"]}, 422, "enrolment.no_tpm"),
                                (other, 409, "enrolment.other_keys"), (identity, 409, "enrolment.other_keys"),
                                ({**identity, "ak": "AAAA"}, 422, "tpm.structure"),
                                ({**identity, "ek_certificate": "AAAA"}, 422, "evidence.ek_certificate")):
        problem(owner.http.post(f"{url}/claim", json=body_, headers=header), status, code)
    assert owner.get(measured[0]).json()["evidence"] == said


def test_processes_of_a_measured_sandbox(stack, measured):
    """Each has a user and a root of its own, and QEMU no way to the vTPM's state."""
    if os.geteuid() != 0:
        pytest.skip("needs root for users of their own")
    sandbox_id = measured[1]["id"]
    qemu, swtpm = (pid_of(stack, sandbox_id, program) for program in ("qemu", "swtpm"))
    users = [pathlib.Path(f"/proc/{pid}").stat().st_uid for pid in (qemu, swtpm)]
    assert 0 not in users and users[1] == users[0] + 2 * 256
    folder = (stack.folder / "sandboxes" / sandbox_id).resolve()
    assert (folder / "tpm").stat().st_uid == users[1] and (folder / "tpm").stat().st_mode & 0o77 == 0
    seen = pathlib.Path(f"/proc/{swtpm}/root")
    assert {path.name for path in (seen / "usr/bin").iterdir()} == {"swtpm"}
    assert {path.name for path in pathlib.Path(f"{seen}{folder}").iterdir()} == {"tpm"}
    assert not pathlib.Path(f"/proc/{qemu}/root{folder}/tpm").exists()
    assert sorted(path.name for path in (seen / "dev").iterdir()) == ["null", "urandom"]
    private = stack.folder / "keys/vtpm/signkey.pem"
    assert private.stat().st_mode & 0o77 == 0 and private.parent.stat().st_mode & 0o77 == 0


def test_a_members_own_nonce_and_credential(stack, owner, measured):
    path, record, wanted = measured
    identity = owner.post(f"{path}:attest", {}).json()
    assert identity == {"boot": record["boot"], **{name: record["evidence"]["report"][name]
                                                   for name in ("ek_certificate", "ek_chain", "ak")}}
    secret, mine = os.urandom(32), nonce()
    asked = attest(owner, path, boot=identity["boot"], nonce=mine, credential=tpm.make_credential(identity, secret))
    done = answered(owner, path, asked)
    assert done["state"] == "done" and done["failure"] is None, done
    assert from_b64url(done["activated"]) == secret
    check_evidence(stack, done["evidence"], wanted, mine)
    assert done["evidence"]["enc"] == record["enc_jwk"] and done["evidence"]["sig"] == record["sig_jwk"]
    assert done["evidence"]["report"]["quote"] != record["evidence"]["report"]["quote"]


@pytest.mark.parametrize("spoil", [
    lambda identity, good: {"blob": "AAAA", "secret": "AAAA"},
    lambda identity, good: {**good, "secret": b64url(os.urandom(256))},
    lambda identity, good: {**good, "blob": b64url(from_b64url(good["blob"])[:-1] + b"\0")},
    lambda identity, good: tpm.make_credential({**identity, "ak": b64url(from_b64url(identity["ak"])[:-1] + b"\0")}, bytes(32)),
    lambda identity, good: {"blob": b64url(bytes(700)), "secret": good["secret"]},
], ids=["short", "other TPM", "integrity", "other key", "long"])
def test_a_credential_that_is_not_for_it(owner, measured, spoil):
    path, record, _ = measured
    identity = owner.post(f"{path}:attest", {}).json()
    bad = spoil(identity, tpm.make_credential(identity, os.urandom(32)))
    done = answered(owner, path, attest(owner, path, boot=identity["boot"], nonce=nonce(), credential=bad))
    assert (done["state"], done["failure"]["code"], done["activated"], done["evidence"]) == ("failed", "tpm.credential", None, None)


def test_questions_of_another_shape(owner, stranger, stack, measured):
    path, record, _ = measured
    good = {"boot": record["boot"], "nonce": nonce()}
    for change, status, code in (({"boot": record["boot"] + 1}, 409, "attestation.other_boot"),
                                 ({"nonce": "AAAA"}, 400, "attestation.bad_nonce"), ({"nonce": "!" * 43}, 400, "attestation.bad_nonce"),
                                 ({"credential": {"blob": "AAAA"}}, 400, "json.invalid_fields"),
                                 ({"more": 1}, 400, "json.invalid_fields")):
        problem(owner.post(f"{path}:attest", {**good, **change}), status, code)
    problem(owner.post(f"{path}:attest", {"boot": 1}), 400, "attestation.bad_nonce")
    problem(stranger.post(f"{path}:attest", {}), 404, "sandbox.not_found")
    problem(stack.client("acme-audit").post(f"{path}:attest", {}), 403, "auth.role_missing")
    asked = attest(owner, path, **good)
    problem(stranger.get(f"{path}/attestations/{asked['id']}"), 404, "attestation.not_found")
    problem(owner.get(f"{path}/attestations/att_{'0' * 32}"), 404, "attestation.not_found")
    assert answered(owner, path, asked)["state"] == "done"
    assert attest(owner, path, **good)["id"] == asked["id"], "the same question again"


def test_an_agent_that_does_not_answer(stack, owner, measured):
    """One question of a member waits at a time, and not for ever."""
    path, record, _ = measured
    qemu = pid_of(stack, record["id"], "qemu")
    os.kill(qemu, signal.SIGSTOP)
    try:
        question = {"boot": record["boot"], "nonce": nonce()}
        asked = attest(owner, path, **question)
        refused = owner.post(f"{path}:attest", {**question, "nonce": nonce()})
        problem(refused, 429, "attestation.too_many")
        assert int(refused.headers["Retry-After"]) > 0
        assert attest(owner, path, **question)["id"] == asked["id"]
        stack.sql("UPDATE provisioner.attestation SET created_at = created_at - interval '2 minutes' WHERE id = %s", asked["id"])
        late = owner.get(f"{path}/attestations/{asked['id']}").json()
        assert (late["state"], late["failure"]["code"]) == ("failed", "attestation.expired")
        attest(owner, path, **{**question, "nonce": nonce()})
    finally:
        os.kill(qemu, signal.SIGCONT)


def test_restart_and_its_keys(stack, owner, measured):
    """Another boot: other machine keys, another claim in PCR 14, the same TPM. Then each way in which it may end."""
    path, first, _ = measured
    again, wanted = start(owner, path)
    check_evidence(stack, again["evidence"], wanted, wanted["nonce"])
    assert again["verdict"]["class"] == "software-tpm"
    assert again["enc_jwk"] != first["enc_jwk"] and again["sig_jwk"] != first["sig_jwk"]
    assert {name: again["evidence"]["report"][name] for name in ("ak", "ek_certificate")} == \
        {name: first["evidence"]["report"][name] for name in ("ak", "ek_certificate")}
    problem(owner.post(f"{path}:attest", {"boot": first["boot"], "nonce": nonce()}), 409, "attestation.other_boot")

    swtpm, qemu = (pid_of(stack, first["id"], program) for program in ("swtpm", "qemu"))
    os.kill(swtpm, signal.SIGKILL)
    gone = until(owner, path, {"stopped"})
    assert gone["failure"]["code"] == "sandbox.vtpm_died"
    wait_for(lambda: not alive(qemu), "the end of the VM whose TPM ended")
    problem(owner.post(f"{path}:attest", {}), 409, "attestation.not_ready")

    third, wanted = start(owner, path)
    check_evidence(stack, third["evidence"], wanted, wanted["nonce"])
    assert third["evidence"]["report"]["ak"] == first["evidence"]["report"]["ak"], "the TPM's state did not survive"
    swtpm, qemu = (pid_of(stack, first["id"], program) for program in ("swtpm", "qemu"))
    os.kill(qemu, signal.SIGKILL)
    assert until(owner, path, {"stopped"})["failure"]["code"] == "sandbox.died"
    wait_for(lambda: not alive(swtpm), "the end of the TPM whose VM ended")


def test_no_answer_before_the_keys(stack, owner):
    """A VM that hangs before it enrols fails in time, and a TPM that dies then is told apart."""
    made = owner.made("/v1/sandboxes", body())
    path, folder = f"/v1/sandboxes/{made['id']}", stack.folder / "sandboxes" / made["id"]
    wait_for((folder / "qemu.pid").exists, "the VM", LIMIT_S)
    os.kill(pid_of(stack, made["id"], "qemu"), signal.SIGSTOP)
    wait_for(lambda: stack.sql("SELECT launched_boot FROM provisioner.sandbox WHERE id = %s", made["id"]) == [(1,)], "the launch")
    stack.sql("UPDATE provisioner.sandbox SET launched_at = launched_at - interval '2 minutes' WHERE id = %s", made["id"])
    assert until(owner, path, {"failed"})["failure"]["code"] == "sandbox.boot_timeout"
    assert owner.post(f"{path}:start", {"claim": claim()}).status_code == 202
    wait_for(lambda: stack.sql("SELECT launched_boot FROM provisioner.sandbox WHERE id = %s", made["id"]) == [(2,)], "the launch")
    os.kill(pid_of(stack, made["id"], "swtpm"), signal.SIGKILL)
    failed = until(owner, path, {"failed", "ready"})
    assert failed["state"] == "failed" and failed["failure"]["code"] in ("sandbox.vtpm_died", "sandbox.died")
    owner.delete(path)
    until(owner, path, {"deleted"})


def test_no_vtpm_can_be_made(stack, owner):
    """With a CA's key that is none a sandbox fails with a code, and with the right one the same sandbox starts."""
    key = stack.folder / "keys/vtpm/signkey.pem"
    good = key.read_bytes()
    stock = stack.folder / "sandboxes/.vtpms"
    waiting = wait_for(lambda: len(found := list(stock.glob("*/ready/*"))) == 2 and found, "the vTPMs made ahead")
    key.write_text("no key\n")
    for ahead in waiting:
        shutil.rmtree(ahead)
    try:
        made = owner.made("/v1/sandboxes", body())
        path = f"/v1/sandboxes/{made['id']}"
        failed = until(owner, path, {"failed", "ready"})
        assert failed["state"] == "failed" and failed["failure"]["code"] == "sandbox.vtpm", failed
        folder = stack.folder / "sandboxes" / made["id"]
        assert not (folder / "tpm").exists() and (folder / "vtpm.log").read_text()
    finally:
        key.write_bytes(good)
    start(owner, path)
    owner.delete(path)
    until(owner, path, {"deleted"})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a full disk")
def test_disk_full_below_the_vtpm(stack, owner):
    """A TPM that cannot keep its state gives no evidence; with room again the sandbox is the same."""
    made = owner.made("/v1/sandboxes", body())
    path, state = f"/v1/sandboxes/{made['id']}", stack.folder / "sandboxes" / made["id"] / "tpm"
    first = until(owner, path, {"ready", "failed"})
    assert first["state"] == "ready", first["failure"]
    assert owner.post(f"{path}:stop").status_code == 202
    until(owner, path, {"stopped"})
    whole, user = (state / "tpm2-00.permall").read_bytes(), state.stat().st_uid
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=4k,nr_inodes=2,uid={user},gid={user},mode=700", "full", state], check=True)
    try:
        (state / "tpm2-00.permall").write_bytes(whole[:4096])
        failed = start(owner, path, "failed")[0]
        assert failed["failure"]["code"].startswith("sandbox."), failed
    finally:
        subprocess.run(["umount", state], check=True)
    again = start(owner, path)[0]
    assert again["evidence"]["report"]["ak"] == first["evidence"]["report"]["ak"]
    owner.delete(path)
    until(owner, path, {"deleted"})
