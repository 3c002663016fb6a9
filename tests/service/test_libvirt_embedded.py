# SPDX-License-Identifier: Apache-2.0
"""The driver `libvirt` where no daemon is: libvirt within the provisioner. A domain outlives that, and goes with the stack."""
import os
import subprocess

import pytest

from local_stack import LocalStack, alive, unique, wait_for
from sandbox_remains import remains
from test_sandboxes import claim, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or os.path.exists("/run/libvirt/libvirt-sock") or os.environ.get("SAN") == "thread",
                                reason="takes root, no libvirtd, and no ThreadSanitizer (see test_libvirt.py)")


def make(owner):
    record = owner.made("/v1/sandboxes", {"template": "libvirt-measured", "name": unique("box"), "claim": claim()})
    path = f"/v1/sandboxes/{record['id']}"
    up = until(owner, path, {"ready", "failed"})
    assert up["state"] == "ready", up["failure"]
    assert up["verdict"]["class"] == "software-tpm"
    return record["id"], path


def qemu_of(stack, id):
    return int(next((stack.folder / "sandboxes/libvirt/.embed").glob(f"**/{id}.pid")).read_text())


def second_copy(stack, folder):
    """Of the provisioner: the folder is the first one's, which it says, and it can end cleanly."""
    with open(folder / "log", "wb") as log:
        copy = subprocess.Popen([stack.folder / "bin/strongroom-provisioner", "--config", stack.folder / "etc/provisioner.conf"],
                                env={**os.environ, "STRONGROOM_LISTEN": f"unix:{folder}/http.sock"}, stdout=log, stderr=log)
    wait_for(lambda: "libvirt.in_use" in (folder / "log").read_text() or copy.poll() is not None, "its word")
    copy.terminate()
    assert copy.wait(60) == 0, (folder / "log").read_text()


def test_a_domain_outlives_its_libvirt(stack, owner, tmp_path):
    id, path = make(owner)
    qemu = qemu_of(stack, id)
    second_copy(stack, tmp_path)
    stack.kill("provisioner")
    stack.command("up")
    assert alive(qemu)
    owner.tokens.clear()
    assert owner.post(f"{path}:stop").status_code == 202
    assert until(owner, path, {"stopped"})["failure"] is None, "it was not ready any more"
    wait_for(lambda: not alive(qemu), "the end of the domain")
    owner.delete(path)
    until(owner, path, {"deleted"})
    wait_for(lambda: remains(stack, id) == [], "the end of its relay")


def test_no_domain_outlives_the_stack():
    with LocalStack(["postgres", "redis", "certreg", "provisioner", "edge"]) as stack:
        id, _ = make(stack.client("acme-owner"))
        qemu = qemu_of(stack, id)
        assert f"stopped the domain of {id}" in stack.command("down").stdout
        assert not alive(qemu)
