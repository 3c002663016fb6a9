# SPDX-License-Identifier: Apache-2.0
"""The driver `libvirt` with a libvirtd of its own: measured domains that prove it with the same reference values as those of the
driver qemu, adoption and orphans. libvirt within the provisioner itself: test_libvirt_embedded.py."""
import hashlib
import os
import pathlib
import signal
import uuid

import pytest

import tpm
from hooked_provisioner import HookedProvisioner
from libvirt_daemon import Libvirt
from local_stack import alive, unique, wait_for
from sandbox_remains import remains
from test_measured import answered, attest, check_evidence
from test_sandboxes import claim, until
from trust import from_b64url, nonce

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or os.environ.get("SAN") == "thread",
                                reason="libvirtd takes root here; ThreadSanitizer does not see the locks of a libvirt that is not built with it")
AT_REST = {"ready", "failed", "stopped"}


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("libvirt")
    made = Libvirt(folder)
    yield made
    made.end()


@pytest.fixture(scope="module")
def hooked(stack, libvirt, tmp_path_factory):
    made = HookedProvisioner(stack, tmp_path_factory.mktemp("hooked"), libvirt_uri=libvirt.uri)
    made.kill()
    yield made
    made.end()


def path_of(record):
    return f"/v1/sandboxes/{record['id']}"


@pytest.fixture
def make(stack, hooked, owner):
    made = []

    def one(wanted=None):
        record = owner.made("/v1/sandboxes", {"template": "libvirt-measured", "name": unique("box"), "claim": wanted or claim()})
        made.append(record)
        return record
    yield one
    for record in made:
        owner.delete(path_of(record))
    for record in made:
        until(owner, path_of(record), {"deleted"})
        wait_for(lambda id=record["id"]: remains(stack, id) == [], "the end of its relay")


def ready(owner, record, boot=1):
    up = until(owner, path_of(record), AT_REST)
    assert (up["state"], up["boot"]) == ("ready", boot), up["failure"]
    return up


def pid_of(stack, record, program):
    return int((stack.folder / f"sandboxes/libvirt/{record['id']}/{program}.pid").read_text().split()[0])


def user_of(pid):
    return pathlib.Path(f"/proc/{pid}").stat().st_uid


def namespace_of(stack):
    return f"urn:strongroom:sha256:{hashlib.sha256(str(stack.folder / 'sandboxes').encode()).hexdigest()}"


def test_life_of_a_domain(stack, owner, libvirt, make):
    wanted = claim()
    record = make(wanted)
    up = ready(owner, record)
    check_evidence(stack, up["evidence"], wanted, wanted["nonce"])
    assert up["verdict"]["class"] == "software-tpm", up["verdict"]
    assert libvirt.names() == {record["id"]}
    assert record["id"] in libvirt.virsh("metadata", record["id"], namespace_of(stack)).stdout
    users = [user_of(pid) for pid in (libvirt.qemu(record["id"]), pid_of(stack, record, "switch"), pid_of(stack, record, "swtpm"))]
    assert users[0] == users[1] != 0 and users[2] == users[0] + 2 * 256
    secret, mine = os.urandom(32), nonce()
    identity = owner.post(f"{path_of(record)}:attest", {}).json()
    asked = attest(owner, path_of(record), boot=1, nonce=mine, credential=tpm.make_credential(identity, secret))
    done = answered(owner, path_of(record), asked)
    assert done["state"] == "done" and from_b64url(done["activated"]) == secret
    check_evidence(stack, done["evidence"], wanted, mine)
    wait_for(lambda: "enrolled" in owner.get(f"{path_of(record)}/console").text, "the agent's word on the console")
    wait_for(lambda: not (stack.folder / f"sandboxes/libvirt/{record['id']}/vm/secret").exists(), "the end of the secret")

    assert owner.post(f"{path_of(record)}:restart", {"claim": claim()}).status_code == 202
    again = ready(owner, record, boot=2)
    assert again["enc_jwk"] != up["enc_jwk"]
    assert again["evidence"]["report"]["ak"] == up["evidence"]["report"]["ak"], "another TPM"
    assert owner.post(f"{path_of(record)}:stop").status_code == 202
    until(owner, path_of(record), {"stopped"})
    assert libvirt.names() == set()


@pytest.mark.parametrize("what, code", [("swtpm", "sandbox.vtpm_died"), ("switch", "sandbox.died")])
def test_a_part_that_dies(stack, owner, libvirt, make, what, code):
    """Before it has booted, too; of a QEMU, ready: test_the_daemon_dies."""
    record = make()
    wait_for(lambda: stack.sql("SELECT 1 FROM provisioner.sandbox WHERE id = %s AND launched_boot = 1", record["id"]), "the launch")
    os.kill(pid_of(stack, record, what), signal.SIGKILL)
    failed = until(owner, path_of(record), AT_REST)
    assert (failed["state"], failed["failure"]["code"]) == ("failed", code)
    wait_for(lambda: libvirt.names() == set(), "the end of the domain")


@pytest.mark.parametrize("point", ["libvirt:prepared", "libvirt:created", "after:launched"])
def test_killed_at(hooked, owner, libvirt, make, point):
    """The provisioner dies, the domain lives on; the next one ends it, or takes it over when its launch was stored."""
    hooked.arm(point)
    deaths = hooked.deaths
    record = make()
    wait_for(hooked.revive, "the provisioner's death")
    ready(owner, record)
    assert hooked.deaths == deaths + 1 and libvirt.names() == {record["id"]}


def test_the_daemon_dies(owner, libvirt, make):
    """Domains outlive it and are the same afterwards, until they die; without it nothing new comes up, and the reason is told."""
    record = make()
    ready(owner, record)
    pid = libvirt.qemu(record["id"])
    libvirt.kill()
    try:
        failed = until(owner, path_of(make()), AT_REST)
        assert (failed["state"], failed["failure"]["code"]) == ("failed", "libvirt.unreachable")
        assert owner.get(path_of(record)).json()["state"] == "ready"
    finally:
        libvirt.start()
    assert alive(pid) and libvirt.names() == {record["id"]}
    assert owner.get(path_of(record)).json()["state"] == "ready"
    os.kill(pid, signal.SIGKILL)
    assert until(owner, path_of(record), {"stopped"})["failure"]["code"] == "sandbox.died"
    wait_for(lambda: libvirt.names() == set(), "the end of the domain")


DOMAIN = """<domain type='qemu'><name>{name}</name><metadata><s:sandbox xmlns:s='{namespace}' id='{name}'/></metadata>
<memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"""


def test_domains_that_no_sandbox_owns(stack, hooked, libvirt, tmp_path):
    """Also when somebody made one persistent; another Strongroom's and anybody's own stay."""
    orphans, other, own = [f"sbx_{uuid.uuid4().hex}" for _ in range(2)], f"sbx_{uuid.uuid4().hex}", "somebodys"
    for name, whose, verb in ((orphans[0], namespace_of(stack), "create"), (orphans[1], namespace_of(stack), "define"),
                              (other, "urn:strongroom:other", "create"), (own, namespace_of(stack), "create")):
        (tmp_path / "domain.xml").write_text(DOMAIN.format(name=name, namespace=whose))
        libvirt.virsh(verb, tmp_path / "domain.xml")
    libvirt.virsh("start", orphans[1], check=False)  # it may be gone already
    hooked.kill()
    wait_for(lambda: not set(orphans) & libvirt.names(), "the end of the orphans")
    assert {other, own} <= libvirt.names()
    for name in (other, own):
        libvirt.virsh("destroy", name)


CONFIDENTIAL = """id: {id}
version: 1
title: Confidential hardware, as libvirt may have it
driver: libvirt
class: none
parameters:
  - name: memory_mib
    type: integer
    help: Memory in MiB
    min: 256
    max: 1024
    default: "512"
  - name: launch_security
    type: text
    help: Hardware
    enum: [sev-snp, tdx, other]
    default: sev-snp
"""


def test_hardware_that_this_libvirt_does_not_know(stack, hooked, owner, libvirt):
    """Refused by its schema, instead of a VM that is not what was asked for."""
    operator, id = stack.client("system-operator"), unique("confidential")
    answer = operator.ask("POST", "/v1/templates", data=CONFIDENTIAL.format(id=id), headers={"Content-Type": "application/yaml"})
    assert answer.status_code == 201, answer.text
    assert operator.post(f"/v1/templates/{id}/versions/1:publish").status_code == 200
    for hardware, code in (("sev-snp", "libvirt.unsupported"), ("tdx", "libvirt.unsupported"), ("other", "libvirt.bad_security")):
        record = owner.made("/v1/sandboxes", {"template": id, "claim": claim(), "parameters": {"launch_security": hardware}})
        failed = until(owner, path_of(record), AT_REST)
        assert (failed["state"], failed["failure"]["code"]) == ("failed", code)
        assert libvirt.names() == set()
        owner.delete(path_of(record))
        until(owner, path_of(record), {"deleted"})
        wait_for(lambda id=record["id"]: remains(stack, id) == [], "the end of its relay")
