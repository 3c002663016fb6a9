# SPDX-License-Identifier: Apache-2.0
"""From the intent to a ready sandbox, beside the bare boot of the same kernel and initramfs under the same QEMU arguments."""
import os
import pathlib
import time

import trust
from figures import RUNS, Table, cpu_seconds, median, timed


def claim(owner):
    return {"v": "strongroom-claim-1", "owner": owner.spki, "policy": None, "nonce": trust.nonce()}


def vm_pid(stack, sandbox):
    return int((stack.folder / f"sandboxes/{sandbox}/qemu.pid").read_text().split()[0])


def wait_ready(client, sandbox):
    record = client.get(f"/v1/sandboxes/{sandbox}")
    while record.json()["state"] == "creating":
        record = client.ask("GET", f"/v1/sandboxes/{sandbox}?wait=30s", headers={"If-None-Match": record.headers["ETag"]})
        if record.status_code == 304:
            record = client.get(f"/v1/sandboxes/{sandbox}")
    assert record.json()["state"] == "ready", record.text


def remove(client, sandbox):
    etag = client.get(f"/v1/sandboxes/{sandbox}").headers["ETag"]
    assert client.delete(f"/v1/sandboxes/{sandbox}", etag).status_code == 202


def intent(bench, owner):
    """(wall, QEMU's CPU seconds, QEMU's arguments) of one sandbox."""
    started = time.monotonic()
    sandbox = bench.owner.made("/v1/sandboxes", {"template": "small", "claim": claim(owner)})["id"]
    wait_ready(bench.owner, sandbox)
    wall, pid = time.monotonic() - started, vm_pid(bench.stack, sandbox)
    cpu, arguments = cpu_seconds([pid]), pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    remove(bench.owner, sandbox)
    return wall, cpu, arguments


def bare(arguments, guest, console):
    """The same arguments without initdata and secret, and the kernel's word to the agent to power off once it is up."""
    argv = list(arguments)
    where = argv.index("-fw_cfg")
    del argv[where:where + 2]
    argv[argv.index("-name") + 1] = "bare"
    argv[argv.index("-initrd") + 1] = str(guest / "initramfs.img")
    argv[argv.index("-append") + 1] += " strongroom.probe=1"
    argv[argv.index("-chardev") + 1] = f"file,id=console,path={console}"
    return argv


def run(bench):
    table = Table("Intent to sandbox ready", [
        "From `POST /v1/sandboxes` at the edge until a long poll shows `ready`: VM started in its cage, booted, claim fetched, keys born, "
        "evidence registered. Bare boot: QEMU with the arguments of that very VM, without initdata and secret, and "
        "`strongroom.probe=1`, until it has powered off by itself. Taken in turns; emulated (TCG) unless the machine has KVM."])
    owner, console = trust.Key(), bench.folder / "console"
    ready, boots = [intent(bench, owner)], []
    for _ in range(RUNS):
        boots.append(timed(bare(ready[-1][2], bench.build / "guest", console), cwd="/"))
        assert "probe ok" in console.read_text(errors="replace")
        ready.append(intent(bench, owner))
    ready = ready[1:]
    os.unlink(console)
    ratio = median([one[0] / boot[0] for one, boot in zip(ready, boots)])
    table.add("bare boot", f"{median([b[0] for b in boots]):.2f} s", f"{median([b[1] for b in boots]):.2f} CPU-s")
    table.add("intent to ready", f"{median([r[0] for r in ready]):.2f} s", f"{median([r[1] for r in ready]):.2f} CPU-s of QEMU")
    table.add("ready : bare boot", f"{ratio:.2f} x", "", "1.3 x", ratio <= 1.3)
    return table
