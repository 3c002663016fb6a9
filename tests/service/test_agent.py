# SPDX-License-Identifier: Apache-2.0
"""The agent as an ordinary process against a hostile operator: it runs what people signed, through every cut line, and refuses the
rest by name. Running an app takes root (mounts, users)."""
import base64
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import time

import pytest

from conftest import BUILD, ROOT, wait_for

sys.path.insert(0, str(ROOT / "tests/support"))
import trust  # noqa: E402
from operator_edge import Image, Operator, PublicKey, open_stream, seal_stream  # noqa: E402
from trust import b64url, digest, from_b64url, jcs  # noqa: E402

# ThreadSanitizer keeps a thread of its own, and a process with threads may not enter a user namespace.
NO_JAIL = pytest.mark.skipif(os.environ.get("SAN") == "thread", reason="no jail under ThreadSanitizer")

AGENT = BUILD / "bin/strongroom-agent"
SANDBOX, SPACE = "sbx_0190f1c2000070008000000000000002", "spc_0190f1c2000070008000000000000001"
DATASET, OBJECT = "dst_0190f1c2000070008000000000000003", "obj_0190f1c2000070008000000000000004"
PIPELINE = "pip_0190f1c2000070008000000000000006"
BUSYBOX = pathlib.Path("/bin/busybox")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="an app's cage takes root")
SCRIPT = b"""#!/bin/sh
set -e
sort /input/rows/rows.csv > /output/sorted.csv
dd if=/dev/urandom of=/output/noise bs=65536 count=100 2>/dev/null
echo lines $(wc -l < /input/rows/rows.csv)
exit 3
"""


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """A CA, a server certificate with the CA behind it, and the CA's key digest."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*arguments):
        return subprocess.run(["openssl", *map(str, arguments)], check=True, cwd=folder, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    for name in ("ca", "edge", "other"):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
    openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-out", "ca.pem")
    openssl("req", "-x509", "-new", "-key", "edge.key", "-subj", "/CN=edge", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "leaf.pem")
    (folder / "edge.pem").write_bytes((folder / "leaf.pem").read_bytes() + (folder / "ca.pem").read_bytes())

    def spki(name):
        return digest(openssl("pkey", "-in", f"{name}.key", "-pubout", "-outform", "der"))
    return folder, spki


class Sandbox:
    """One boot: the agent's process, its operator, and the owner's world."""

    def __init__(self, folder, pki, pin="ca", claimed_for=None):
        self.folder, self.log = folder, folder / "log"
        self.operator = Operator(folder, pki[0] / "edge.pem", pki[0] / "edge.key")
        self.world = trust.World(SPACE, repository="acme/app")
        self.fence = 0
        self.operator.claim = {"v": "strongroom-claim-1", "owner": self.world.author.spki, "policy": claimed_for,
                               "nonce": trust.nonce()}
        self.initdata = {"v": "strongroom-initdata-1", "template": {"id": "small", "version": 1}, "sandbox": SANDBOX,
                         "edge": {"host": "127.0.0.1", "port": self.operator.port, "ca_spki": pki[1](pin)},
                         "classes": ["none"]}

    def __enter__(self):
        (self.folder / "initdata.json").write_bytes(jcs(self.initdata))
        (self.folder / "secret").write_text(self.operator.secret)
        (self.folder / "work").mkdir()
        # A mount namespace of its own: what the agent mounts for its app goes with it, however it ends.
        alone = ["unshare", "--mount", "--propagation", "private"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            [*alone, AGENT, "--initdata", self.folder / "initdata.json", "--secret-file", self.folder / "secret",
             "--work", self.folder / "work"], stdin=subprocess.DEVNULL, stderr=self.log.open("wb"))
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.operator.close()

    def enrolled(self):
        operator = self.operator
        operator.wait(lambda: operator.evidence, "evidence")
        self.world.enc, self.world.sig = (PublicKey(operator.evidence[0][use]) for use in ("enc", "sig"))
        return self

    def prepare(self, rows=b"b\na\n"):
        """An image, an input and the policy over both."""
        world, operator = self.world, self.operator
        world.openings["input/rows"] = trust.opening("input/rows", {"key": b64url(os.urandom(32))})
        image_key = PublicKey({k: v for k, v in world.openings["image"]["secret"]["jwk"].items() if k != "d"})
        applets = {f"bin/{name}": BUSYBOX.read_bytes() for name in ("sh", "sort", "dd", "wc")} if os.geteuid() == 0 else {}
        operator.image = Image(image_key, {**applets, "app.sh": SCRIPT})
        aad = jcs({"v": "strongroom-data-1", "role": "input", "dataset": DATASET, "version": 1})
        sealed = seal_stream(from_b64url(world.openings["input/rows"]["secret"]["key"]), aad, rows)
        operator.inputs[OBJECT] = sealed
        agent = digest(AGENT.read_bytes())
        world.policy["limits"]["memory_bytes"] = 1 << 46  # a sanitizer's shadow counts as the app's until it is executed
        world.policy.update({
            "image": {"repository": "acme/app", **operator.image.words},
            "process": {"argv": ["/bin/sh", "/app.sh"], "env": {"PATH": "/bin"}, "cwd": "/"},
            "slots": {slot: {"commitment": digest(jcs(opening)), "mode": "once", "owner": world.author.spki}
                      for slot, opening in world.openings.items()},
            "inputs": [{"slot": "input/rows", "dataset": DATASET, "version": 1, "object": OBJECT, "file": "rows.csv",
                        "digest": digest(sealed), "size": len(sealed)}],
            "measurements": {"encrypt-output": agent, "decrypt-input": agent, "decrypt-output": digest(b"client")}})
        return self

    def papers(self):
        world = self.world
        self.fence += 1
        return {"run": {"id": "run_0190f1c2000070008000000000%06d" % self.fence, "fence": self.fence, "pipeline": PIPELINE},
                "policy": jcs(world.policy).decode(), "approvals": [world.approval()], "order": world.order(),
                "grants": world.grants(), "inputs": [{"slot": "input/rows", "object": OBJECT}]}

    def run(self, papers):
        before = len(self.operator.results)
        self.operator.give(papers)
        self.operator.wait(lambda: len(self.operator.results) > before, "a result", 120)
        return self.operator.results[-1]

    def steps(self):
        return [(event["step"], event["state"]) for event in self.operator.events]


@pytest.fixture
def sandbox(tmp_path, pki):
    tmp_path.chmod(0o755)
    with Sandbox(tmp_path, pki) as made:
        yield made.enrolled().prepare()
        assert made.process.poll() is None, made.log.read_text()
        assert not made.operator.complaints
        log = made.log.read_text()
        for secret in [made.operator.secret, *(o["secret"].get("key", "\0") for o in made.world.openings.values())]:
            assert secret not in log


def statement_of(receipt, key):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    body, kind = base64.b64decode(receipt["payload"]), receipt["payloadType"]
    raw = base64.b64decode(receipt["signatures"][0]["sig"])
    key.public_key().verify(encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
                            b"DSSEv1 %d %s %d " % (len(kind), kind.encode(), len(body)) + body, ec.ECDSA(hashes.SHA256()))
    return json.loads(body)


def opened_output(sandbox, result):
    world, stored = sandbox.world, sandbox.operator.objects[result["output"]["object"]]["data"]
    assert digest(stored) == result["output"]["digest"] and len(stored) == result["output"]["size"]
    aad = jcs({"v": "strongroom-data-1", "role": "output", "policy": world.hash, "run_nonce": world.run_nonce,
               "name": "output"})
    plain = open_stream(from_b64url(world.openings["output"]["secret"]["key"]), aad, stored)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}


def check_good_run(sandbox, result):
    files = opened_output(sandbox, result)
    assert files["stdout"] == b"lines 2\n", (files["stderr"], files["result.json"])
    assert files["output/sorted.csv"] == b"a\nb\n"
    assert json.loads(files["result.json"])["returncode"] == 3 and len(files["output/noise"]) == 6553600
    statement = statement_of(result["receipt"], sandbox.world.sig)
    predicate = statement["predicate"]
    assert statement["subject"][0]["digest"]["sha256"] == result["output"]["digest"][7:]
    assert predicate["exit_code"] == 3 and predicate["policy"] == sandbox.world.hash
    assert predicate["run_nonce"] == sandbox.world.run_nonce and predicate["evidence"] == digest(
        jcs(sandbox.operator.evidence[0]))
    assert predicate["log_head"] == sandbox.operator.log_head
    steps = [step for step, state in sandbox.steps() if state == "done"]
    assert steps == ["verify", "grants", "pull", "input", "execute", "output"]
    assert [event["seq"] for event in sandbox.operator.events] == list(range(1, 13))
    wait_for(lambda: not list((sandbox.folder / "work").iterdir()), "an empty work folder")


@AS_ROOT
@NO_JAIL
def test_run(sandbox):
    check_good_run(sandbox, sandbox.run(sandbox.papers()))
    assert len(sandbox.operator.evidence) == 1


@AS_ROOT
@NO_JAIL
def test_run_through_a_failing_edge(tmp_path, pki):
    tmp_path.chmod(0o755)
    made = Sandbox(tmp_path, pki)
    made.operator.faults = {
        ("POST", "/claim"): ["down", "deaf"], ("POST", r"/v1/enrolments/sbx_\w+$"): ["deaf", "down"],
        ("POST", "/v1/token"): ["down", (401, "auth.invalid_credentials"), "deaf"], ("GET", "/work"): ["down", (401, "auth.expired")],
        ("POST", "/v1/registry-token"): ["down", "deaf"], ("GET", "/manifests/"): ["down", "cut", (401, "x")],
        ("GET", "/blobs/"): ["cut", "down", "cut", "cut", (401, "x")], ("GET", "/v1/agent/objects"): ["down", "cut", "deaf"],
        ("POST", "/v1/agent/objects"): ["deaf"], ("PATCH", "/objects/"): ["deaf", "down", "deaf"], ("HEAD", "/objects/"): ["down"],
        ("PUT", "/objects/"): ["deaf", "down"], ("POST", "/events"): ["deaf", "down"], ("POST", "/result"): ["down", "deaf"]}
    with made:
        made.enrolled().prepare()
        result = made.run(made.papers())
        assert "output" in result, (result, made.operator.complaints, made.operator.requests[-6:])
        assert not [fault for faults in made.operator.faults.values() for fault in faults], "faults that nothing met"
        check_good_run(made, result)
        assert len({jcs(evidence) for evidence in made.operator.evidence}) == 1, "other keys at the second try"
        assert len(made.operator.objects) == 1 and not made.operator.complaints


def test_other_server(tmp_path, pki):
    """An edge whose CA is not the measured one hears no secret."""
    made = Sandbox(tmp_path, pki, pin="other")
    with made:
        wait_for(lambda: "upstream.tls" in made.log.read_text(), "the refusal of the agent")
        assert not made.operator.requests and made.process.poll() is None


def test_secret_refused(tmp_path, pki):
    made = Sandbox(tmp_path, pki)
    made.operator.faults = {("POST", "/claim"): [(401, "enrolment.denied")]}
    with made:
        assert made.process.wait(30) == 1
        assert "enrolment.denied" in made.log.read_text()


def ask(made, **more):
    """A member's question, and what the agent answers."""
    operator, before = made.operator, len(made.operator.answers)
    with operator.lock:
        operator.question = {"id": "att_" + os.urandom(16).hex(), "nonce": trust.nonce(), "credential": None, **more}
        question = operator.question
        operator.lock.notify_all()
    operator.wait(lambda: len(operator.answers) > before, "an answer")
    return question, operator.answers[-1]


def test_evidence_for_somebodys_nonce(tmp_path, pki):
    """Each question has an answer of its own, by the same keys and for the same claim, through cut lines; and no TPM is no TPM."""
    made = Sandbox(tmp_path, pki)
    with made:
        first = made.enrolled().operator.evidence[0]
        made.operator.faults = {("GET", "/attestations"): ["cut", "deaf", (401, "auth.expired")], ("PUT", "/attestations"): ["down"]}
        question, answer = ask(made)
        evidence = answer["evidence"]
        assert list(answer) == ["evidence"] and evidence["nonce"] == question["nonce"] and evidence["report"] is None
        assert {name: evidence[name] for name in ("enc", "sig", "claim", "initdata", "class")} == \
            {name: first[name] for name in ("enc", "sig", "claim", "initdata", "class")}
        assert evidence["jws"]["payload"] != first["jws"]["payload"]
        assert ask(made, credential={"blob": "AAAA", "secret": "AAAA"})[1]["failure"]["code"] == "tpm.missing"
        assert ask(made, nonce="short")[1]["failure"]["code"] == "evidence.nonce"
        assert not made.operator.complaints and made.process.poll() is None


def test_measured_initdata_without_a_tpm(tmp_path, pki):
    """Who promises evidence of a TPM and has none says nothing to anybody."""
    made = Sandbox(tmp_path, pki)
    made.initdata["classes"] = ["software-tpm"]
    with made:
        assert made.process.wait(30) == 1
        assert "tpm.missing" in made.log.read_text() and not made.operator.requests


# --- refusals ---

def alter_policy(sandbox, papers):
    papers["policy"] = papers["policy"].replace('"max_runs":100', '"max_runs":900')


def swap_grant(sandbox, papers):
    world = sandbox.world
    true = world.openings["output"]
    world.openings["output"] = trust.opening("output", {"key": b64url(os.urandom(32))})
    papers["grants"][1] = world.grant("output")
    world.openings["output"] = true


def forget_grant(sandbox, papers):
    papers["grants"].pop()


def alter_approval(sandbox, papers):
    papers["approvals"] = []


def decline_later(sandbox, papers):
    now = int(time.time())
    papers["approvals"].append(sandbox.world.approval(decision="decline", reason="no", iat=now + 1))


def flip_decline(sandbox, papers):
    """Whoever has the database makes an approval of a decline."""
    declined = sandbox.world.approval(decision="decline", reason="no")
    words = json.loads(trust.from_b64url(declined["jws"]["payload"]))
    declined["jws"]["payload"] = trust.b64url(trust.jcs({**words, "decision": "approve", "reason": None}))
    papers["approvals"] = [declined]


def order_for_others(sandbox, papers):
    papers["order"] = sandbox.world.order(enc=trust.Key("enc").thumbprint)


def alter_manifest(sandbox, papers):
    sandbox.operator.image.manifest += b" "


def alter_layer(sandbox, papers):
    layer = bytearray(sandbox.operator.image.layer)
    layer[len(layer) // 2] ^= 1
    sandbox.operator.image.layer = bytes(layer)


def alter_input(sandbox, papers):
    sandbox.operator.inputs[OBJECT] = sandbox.operator.inputs[OBJECT][:-1] + b"\0"


def alter_early_segment(sandbox, papers):
    sandbox.prepare(os.urandom(3 << 20))
    papers.update(sandbox.papers())
    sealed = bytearray(sandbox.operator.inputs[OBJECT])
    sealed[1000] ^= 1
    sandbox.operator.inputs[OBJECT] = bytes(sealed)


def lengthen_input(sandbox, papers):
    sandbox.operator.inputs[OBJECT] += b"\0"


def withhold_image(sandbox, papers):
    sandbox.operator.faults = {("GET", "/blobs/"): [(404, "x")]}


@pytest.mark.parametrize("alter, code, step", [
    (alter_policy, "approval.wrong_policy", "verify"),
    (alter_approval, "approval.quorum", "verify"),
    (decline_later, "approval.declined", "verify"),
    (flip_decline, "trust.signature", "verify"),
    (order_for_others, "order.wrong_machine", "verify"),
    (swap_grant, "grant.commitment", "grants"),
    (forget_grant, "grant.missing", "grants"),
    (alter_manifest, "image.manifest", "pull"),
    (alter_layer, "image.digest", "pull"),
    (withhold_image, "image.unavailable", "pull"),
    (alter_input, "input.digest", "input"),
    (alter_early_segment, "aead.tampered", "input"),
    (lengthen_input, "input.digest", "input"),
])
def test_refusals(sandbox, alter, code, step):
    papers = sandbox.papers()
    alter(sandbox, papers)
    result = sandbox.run(papers)
    assert result["refusal"]["code"] == code and "output" not in result
    assert sandbox.steps()[-1] == (step, "failed") and ("execute", "started") not in sandbox.steps()
    assert not sandbox.operator.objects


@pytest.mark.parametrize("word, code", [("inner", "image.inner_digest"), ("diff_id", "image.diff_id")])
def test_layer_of_another_policy(sandbox, word, code):
    sandbox.world.policy["image"]["layers"][0][word] = digest(b"other")
    assert sandbox.run(sandbox.papers())["refusal"]["code"] == code


def test_replay_and_second_policy(sandbox):
    papers = sandbox.papers()
    forget_grant(sandbox, papers)
    assert sandbox.run(papers)["refusal"]["code"] == "grant.missing"
    again = sandbox.papers()
    assert sandbox.run(again)["refusal"]["code"] == "order.replayed"
    sandbox.world.policy["max_runs"] = 7
    sandbox.world.run_nonce = trust.nonce()
    assert sandbox.run(sandbox.papers())["refusal"]["code"] == "agent.other_policy"


def test_lost_run(sandbox):
    """The fence was raised: nothing is sent for this run any more, the next one is taken."""
    operator = sandbox.operator
    operator.faults = {("POST", "/events"): [None, None, None, (409, "run.stale_fence")]}
    operator.give(sandbox.papers())
    wait_for(lambda: not operator.faults[("POST", "/events")], "the fence")
    sandbox.world.run_nonce = trust.nonce()
    papers = sandbox.papers()
    forget_grant(sandbox, papers)
    assert sandbox.run(papers)["refusal"]["code"] == "grant.missing"
    assert len(operator.results) == 1


@pytest.mark.parametrize("alter", [
    lambda papers: papers.update(later={}), lambda papers: papers.pop("grants"), lambda papers: papers["run"].update(more=1),
    lambda papers: papers.update(policy=[])])
def test_work_of_another_shape_is_refused(sandbox, alter):
    papers = sandbox.papers()
    alter(papers)
    result = sandbox.run(papers)
    assert result["refusal"]["code"] == "work.not_understood" and result["fence"] == sandbox.fence
    assert f"POST /v1/agent/runs/{papers['run']['id']}/result" in sandbox.operator.requests and not sandbox.operator.events


def test_work_that_names_no_run_is_asked_for_with_growing_pauses(sandbox):
    """The first pause is a second; what is handed out between them is not told from each other."""
    operator = sandbox.operator
    for number, bad in enumerate(({"work": 2}, {"run": {"id": "run_1", "fence": 1}}, {"run": {"id": 7}}, {"later": {}}), 1):
        operator.give(bad)
        operator.wait(lambda: len(operator.handed) == number, "the agent to ask again")
    pauses = [after - before for before, after in zip(operator.handed, operator.handed[1:])]
    assert all(pause >= least for pause, least in zip(pauses, (1, 2, 4))), pauses
    assert not operator.results and not operator.events
    papers = sandbox.papers()
    forget_grant(sandbox, papers)
    assert sandbox.run(papers)["refusal"]["code"] == "grant.missing"


@AS_ROOT
@NO_JAIL
def test_cancelled_run(sandbox):
    """The app is killed in mid-sleep, hours before its limit; nothing of it is sent, and the next run is taken. An edge that
    is down, or an error of another kind, is no reason to kill it."""
    operator, limits = sandbox.operator, sandbox.world.policy["limits"]
    sandbox.world.policy["process"]["argv"] = ["/bin/sh", "-c", "echo said; while :; do :; done"]
    limits["wall_seconds"] = limits["cpu_seconds"] = 36000
    asked = ("GET", "/v1/agent/runs/run_")
    operator.faults = {asked: ["down", (401, "auth.expired"), (404, "x")]}
    operator.give(sandbox.papers())
    wait_for(lambda: sum(asked[1] in line and "/events" not in line for line in operator.requests) > 3, "the question after them")
    assert sandbox.steps()[-1] == ("execute", "started")
    sandbox.world.run_nonce = trust.nonce()
    papers = sandbox.papers()
    forget_grant(sandbox, papers)
    assert sandbox.run(papers)["refusal"]["code"] == "grant.missing"  # given out under the next fence
    assert len(operator.results) == 1 and not operator.objects
    assert ("execute", "failed") not in sandbox.steps() and ("output", "started") not in sandbox.steps()
    wait_for(lambda: not list((sandbox.folder / "work").iterdir()), "an empty work folder")
