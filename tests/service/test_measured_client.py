# SPDX-License-Identifier: Apache-2.0
"""The client believes a measured sandbox by itself: its own nonce and credential, a real boot, and reference values that it
predicted from the guest's files. Then the same boot, judged by somebody who expects another one."""
import json

import pytest

from client_project import Project
from local_stack import BUILD, LocalStack, unique
from support import vtpm
from support.trust import digest

PROGRAM = BUILD / "bin/strongroom"
PARTS = ["postgres", "redis", "certreg", "provisioner", "edge"]
PLAN = """
- name: {name}
  tasks:
    - get-certs: {{name: client}}
      register: cert
    - set-sandbox-specs: {{name: {name}, template_id: measured-small, accept_evidence: {accept}, wait_seconds: 280}}
      register: box
"""


@pytest.fixture(scope="module")
def stack():
    with LocalStack(PARTS) as running:
        yield running


def prepare(project, accept):
    project.configure()
    (project.folder / "answers.yml").write_text("template: measured-small\n")
    project.run("setup", "--answers", "answers.yml")
    (project.folder / "box.yml").write_text(PLAN.format(name=unique("box"), accept=accept))


@pytest.fixture(scope="module")
def project(stack, tmp_path_factory):
    """A project whose sandbox was made and believed."""
    made = Project(PROGRAM, stack, tmp_path_factory.mktemp("project"))
    prepare(made, "software-tpm")
    done = made.run("--json", "sandbox", "create", "--plan", "box.yml", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made.lines = [json.loads(line) for line in done.stdout.splitlines()]
    yield made
    made.run("sandbox", "delete", made.state()["sandbox"]["id"])


def attest(project, *options):
    done = project.run("--json", "sandbox", "attest", "--plan", "box.yml", *options, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    tables = [line for line in lines if line["type"] == "attestation"]
    return done.returncode, tables, [line["code"] for line in lines if line["type"] == "error"]


def results(table):
    return {check["code"]: check["result"] for check in table["checks"]}


def trusting(project, change):
    """Changes the profile's trust file for one question, and puts it back."""
    path = project.profile() / "trust.json"
    before = path.read_text()
    trust = json.loads(before)
    change(trust)
    path.write_text(json.dumps(trust))
    try:
        return attest(project)
    finally:
        path.write_text(before)


def test_create_verifies_with_a_credential_of_its_own(project):
    table = [line for line in project.lines if line["type"] == "attestation"][-1]
    found = results(table)
    assert found.pop("evidence.hardware") == "not_measured" and set(found.values()) == {"ok"}
    assert found["evidence.activation"] == "ok" and found["evidence.pcr_9"] == "ok"
    said, = [line for line in project.lines if line["type"] == "evidence"]
    assert said["class"] == "software-tpm" and said["operator_can_read"]
    assert said["text"] == "measured, not confidential: the host's root can read everything"
    assert project.state()["sandbox"]["class"] == "software-tpm"


def test_attest_asks_again_and_keeps_the_evidence(project):
    first, second = (attest(project, "--out", name) for name in ("one.json", "two.json"))
    assert first[0] == second[0] == 0, second[2]
    assert results(first[1][0])["evidence.activation"] == "ok"
    one, two = (json.loads((project.folder / name).read_text()) for name in ("one.json", "two.json"))
    assert one["nonce"] != two["nonce"] and one["sig"] == two["sig"] == project.state()["sandbox"]["sig"]
    done = project.run("--json", "evidence", "verify", "one.json", "--nonce", one["nonce"])
    table, = [line for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "attestation"]
    assert results(table)["evidence.activation"] == "not_provable_offline" and table["class"] == "software-tpm"
    stale = project.run("evidence", "verify", "one.json", "--nonce", two["nonce"], check=False)
    assert stale.returncode == 7 and "evidence.nonce" in stale.stderr


@pytest.mark.parametrize("member, value, code", [
    ("cmdline", "console=ttyS0", "evidence.cmdline"), ("kernel", digest(b"other"), "evidence.kernel"),
    ("dxe", digest(b"other"), "evidence.firmware"), ("pei", digest(b"other"), "evidence.memory"),
    ("initramfs", {"size": 4096, "state": "00" * 32}, "evidence.initrd")])
def test_another_boot_than_expected_is_refused(project, member, value, code):
    def change(trust):
        trust["templates"]["measured-small"]["references"][0][member] = value
    status, tables, errors = trusting(project, change)
    assert status == 7 and errors == [code] and tables[0]["class"] == "none"


def test_trust_is_the_clients_own(project):
    def other_ca(trust):
        trust["vtpm_ca"] = vtpm.Ca().pem

    def no_values(trust):
        del trust["templates"]["measured-small"]["references"]

    assert trusting(project, other_ca)[2] == ["evidence.ek_chain"]
    assert trusting(project, no_values)[2] == ["evidence.no_reference"]


def test_other_machine_keys_than_the_verified_ones_are_refused(project):
    path = project.folder / ".pbstate"
    before = path.read_text()
    state = json.loads(before)
    state["sandbox"]["enc"]["x"] = "A" * 43
    path.write_text(json.dumps(state))
    try:
        status, _, errors = attest(project)
    finally:
        path.write_text(before)
    assert status == 7 and errors == ["evidence.other_machine"]


def test_another_size_by_values_that_were_learned(stack, tmp_path):
    """Of a size that nobody shipped a value for: refused until the client has learned it from a boot of its own."""
    project = Project(PROGRAM, stack, tmp_path)
    prepare(project, "software-tpm")
    plan = project.folder / "box.yml"
    plan.write_text(plan.read_text().replace("template_id: measured-small,", "template_id: measured-small, parameters: {memory_mib: 640, vcpus: 2},"))
    refused = project.run("sandbox", "create", "--plan", "box.yml", check=False)
    assert refused.returncode == 7 and "evidence.no_reference" in refused.stderr
    measure = ["template", "measure", "--guest", BUILD / "guest", "--memory", "640", "--vcpus", "2"]
    unknown = project.run(*measure, check=False)
    assert unknown.returncode != 0 and "firmware.no_golden" in unknown.stderr
    learned = json.loads(project.run(*measure, "--learn").stdout)
    assert (learned["memory_mib"], learned["vcpus"]) == (640, 2)
    path = project.profile() / "trust.json"
    trust = json.loads(path.read_text())
    trust["templates"]["measured-small"]["references"].append(learned)
    path.write_text(json.dumps(trust))
    done = project.run("--json", "sandbox", "create", "--plan", "box.yml", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    status, (table,), _ = attest(project)
    assert status == 0 and results(table)["evidence.memory"] == results(table)["evidence.pcr_0"] == "ok"
    project.run("sandbox", "delete", project.state()["sandbox"]["id"])


def test_a_project_that_asks_for_a_tee_gets_none_of_this(stack, tmp_path):
    strict = Project(PROGRAM, stack, tmp_path)
    prepare(strict, "tee")
    done = strict.run("sandbox", "create", "--plan", "box.yml", check=False)
    assert done.returncode == 7 and "evidence.class_too_low" in done.stderr
    assert "sandbox" not in strict.state()
