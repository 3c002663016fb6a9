# SPDX-License-Identifier: Apache-2.0
"""What no row owns is found and removed, whatever is left of it; and what a sandbox needs to be itself is not replaced by something
of the same name."""
import os
import shutil
import subprocess
import uuid

import pytest

from local_stack import alive, wait_for
from sandbox_remains import remains
from test_sandbox_lifecycle import body as process_body, path_of
from test_sandboxes import body, claim, until, vm_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="uids and mounts take root")


def vtpms(stack, where):
    return {path.name for path in (stack.folder / "sandboxes/.vtpms").glob(f"*/{where}/sbx_*")}


def test_a_uid_and_a_vtpm_of_nobody(stack):
    link = stack.folder / f"sandboxes/.users/{int((stack.folder / 'etc/provisioner.conf').read_text().split('sandbox_uid = ')[1].split()[0]) + 200}"
    link.parent.mkdir(mode=0o700, exist_ok=True)
    id = f"sbx_{uuid.uuid4().hex}"
    link.symlink_to(id)
    wait_for(lambda: len(vtpms(stack, "ready")) == 2, "the vTPMs made ahead")
    taken, = (stack.folder / "sandboxes/.vtpms").glob("*/taken")
    (taken / id).mkdir()
    (taken / id / "tpm2-00.permall").write_text("of a row that never came")
    wait_for(lambda: not os.path.lexists(link) and not (taken / id).exists(), "the uid is free and the vTPM gone")


def test_a_vtpm_made_ahead(stack, owner):
    """It goes to the next measured sandbox, to no other kind and to no second one, and goes with it."""
    wait_for(lambda: len(vtpms(stack, "ready")) == 2, "the vTPMs made ahead")
    waiting = vtpms(stack, "ready")
    plain = owner.made("/v1/sandboxes", process_body())
    made = owner.made("/v1/sandboxes", body(template="measured-small", parameters={}))
    assert plain["id"] not in waiting and made["id"] in waiting and made["id"] not in vtpms(stack, "ready")
    for record in (plain, made):
        assert owner.delete(path_of(record)).status_code == 202
        until(owner, path_of(record), {"deleted"})
    wait_for(lambda: remains(stack, made["id"]) == [], "the end of its relay")
    wait_for(lambda: len(vtpms(stack, "ready")) == 2, "another one in its place")
    assert waiting - vtpms(stack, "ready") == {made["id"]}


def test_a_vm_without_a_folder(stack, owner):
    record = owner.made("/v1/sandboxes", body())
    assert until(owner, path_of(record), {"ready", "failed"})["state"] == "ready"
    vm = vm_of(stack, record["id"])
    stack.kill("provisioner")
    shutil.rmtree(stack.folder / "sandboxes" / record["id"])
    stack.sql("UPDATE provisioner.sandbox SET state = 'deleted' WHERE id = %s", record["id"])
    stack.command("up", "provisioner", "edge")
    wait_for(lambda: not alive(vm), "the end of the VM")
    wait_for(lambda: remains(stack, record["id"]) == [], "nothing is left")


def test_no_other_ca_of_vtpms(stack, owner):
    """With its key gone swtpm_localca would make a new one: neither a sandbox nor the service starts."""
    key = stack.folder / "keys/vtpm/signkey.pem"
    kept = key.read_bytes()
    owned = key.stat()
    key.unlink()
    try:
        record = owner.made("/v1/sandboxes", body(template="measured-small", parameters={}))
        failed = until(owner, path_of(record), {"failed", "ready"})
        assert (failed["state"], failed["failure"]["code"]) == ("failed", "sandbox.vtpm_ca")
        done = subprocess.run([stack.folder / "bin/strongroom-provisioner", "--config", stack.folder / "etc/provisioner.conf"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                              env={**os.environ, "STRONGROOM_LISTEN": f"unix:{stack.folder}/none.sock"})
        assert done.returncode == 1 and "sandbox.vtpm_ca" in done.stderr
        assert not key.exists()
    finally:
        key.write_bytes(kept)
        key.chmod(0o600)
        os.chown(key, owned.st_uid, owned.st_gid)
    owner.delete(path_of(record))
    until(owner, path_of(record), {"deleted"})


def test_disk_full_below_a_process(stack, owner):
    """A process that cannot be written down fails with a code, and with room again the same sandbox starts."""
    record = owner.made("/v1/sandboxes", process_body())
    assert until(owner, path_of(record), {"ready", "failed"})["state"] == "ready"
    owner.post(f"{path_of(record)}:stop")
    until(owner, path_of(record), {"stopped"})
    folder = stack.folder / "sandboxes/process"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=711", "full", folder], check=True)
    try:
        owner.post(f"{path_of(record)}:start", {"claim": claim()})
        failed = until(owner, path_of(record), {"ready", "failed"})
        assert failed["state"] == "failed" and failed["failure"]["code"].startswith("sandbox."), failed["failure"]
    finally:
        subprocess.run(["umount", folder], check=True)
    owner.post(f"{path_of(record)}:retry")
    assert until(owner, path_of(record), {"ready", "failed"})["state"] == "ready"
    owner.delete(path_of(record))
    until(owner, path_of(record), {"deleted"})
    wait_for(lambda: remains(stack, record["id"]) == [], "the end of its processes")
