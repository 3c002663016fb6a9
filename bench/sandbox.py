# SPDX-License-Identifier: Apache-2.0
"""From the intent to a machine key that a stranger has verified, beside the bare measured boot of the same VM."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

import trust
from figures import RUNS, Table, cpu_seconds, median, timed

VARS = pathlib.Path("/usr/share/OVMF/OVMF_VARS.fd")
TEMPLATE = "measured-small"


def claim(owner):
    return {"v": "strongroom-claim-1", "owner": owner.spki, "policy": None, "nonce": trust.nonce()}


def vm_pid(stack, sandbox):
    return int((stack.folder / f"sandboxes/{sandbox}/qemu.pid").read_text().split()[0])


def wait_ready(client, sandbox):
    record = client.get(f"/v1/sandboxes/{sandbox}")
    while record.json()["state"] in ("queued", "creating"):
        record = client.ask("GET", f"/v1/sandboxes/{sandbox}?wait=30s", headers={"If-None-Match": record.headers["ETag"]})
        if record.status_code == 304:
            record = client.get(f"/v1/sandboxes/{sandbox}")
    assert record.json()["state"] == "ready", record.text


def remove(client, sandbox):
    etag = client.get(f"/v1/sandboxes/{sandbox}").headers["ETag"]
    assert client.delete(f"/v1/sandboxes/{sandbox}", etag).status_code == 202


def verify(bench, record, claim_of_it):
    """As anybody can who has the trust file: nothing here is the server's word."""
    file = bench.folder / "evidence.json"
    file.write_text(json.dumps(record["evidence"]))
    subprocess.run([bench.build / "bin/strongroom", "evidence", "verify", file, "--reference", bench.stack.folder / "credentials/trust.json",
                    "--nonce", claim_of_it["nonce"]], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def intent(bench, owner):
    """(wall until ready, until verified, QEMU's CPU seconds, QEMU's arguments) of one sandbox; its vTPM's state is kept."""
    started, wanted = time.monotonic(), claim(owner)
    sandbox = bench.owner.made("/v1/sandboxes", {"template": TEMPLATE, "claim": wanted})["id"]
    wait_ready(bench.owner, sandbox)
    ready, record = time.monotonic() - started, bench.owner.get(f"/v1/sandboxes/{sandbox}").json()
    verify(bench, record, wanted)
    verified, pid = time.monotonic() - started, vm_pid(bench.stack, sandbox)
    cpu, arguments = cpu_seconds([pid]), pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    shutil.rmtree(bench.folder / "tpm", ignore_errors=True)
    shutil.copytree(bench.stack.folder / f"sandboxes/{sandbox}/tpm", bench.folder / "tpm")
    remove(bench.owner, sandbox)
    return ready, verified, cpu, arguments


def swtpm(folder, end):
    return subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--ctrl", f"type=unixio,clientfd={end.fileno()}",
                             "--terminate", "--flags", "startup-clear"], pass_fds=[end.fileno()], stdin=subprocess.DEVNULL)


def bare(bench, arguments, console):
    """(wall, CPU seconds) of the same arguments without initdata and secret, with fresh variables and a TPM of its own, and the kernel's
    word to the agent to power off once it is up."""
    argv, kept = list(arguments), bench.folder / "vars.fd"
    where = argv.index("-fw_cfg")
    del argv[where:where + 2]
    argv[argv.index("-name") + 1] = "bare"
    argv[argv.index("-initrd") + 1] = str(bench.build / "guest/initramfs.img")
    argv[argv.index("-append") + 1] += " strongroom.probe=1"
    shutil.copy(VARS, kept)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        changed = {"file,id=console,": f"file,id=console,path={console}", "socket,id=tpm,": f"socket,id=tpm,fd={ours.fileno()}",
                   "if=pflash,format=raw,unit=1,": f"if=pflash,format=raw,unit=1,file={kept}"}
        argv = [next((value for start, value in changed.items() if text.startswith(start)), text) for text in argv]
        tpm = swtpm(bench.folder / "tpm", theirs)
        theirs.close()
        found = timed(argv, cwd="/", pass_fds=[ours.fileno()])
    tpm.wait(10)
    assert "probe ok" in console.read_text(errors="replace")
    return found


def run(bench):
    table = Table("Intent to verified machine key", [
        f"From `POST /v1/sandboxes` for `{TEMPLATE}` at the edge until a long poll shows `ready` (vTPM manufactured, VM started in its cage, "
        "booted and measured, credential opened, claim fetched, keys born, quote made, evidence registered), and until `strongroom evidence "
        "verify` has believed its evidence. Bare boot: QEMU with the arguments of that very VM and a copy of its vTPM, without initdata "
        "and secret, and `strongroom.probe=1`, until it has powered off by itself. Taken in turns; emulated (TCG) unless the machine has KVM."])
    owner, console = trust.Key(), bench.folder / "console"
    keys, boots = [intent(bench, owner)], []
    for _ in range(RUNS):
        boots.append(bare(bench, keys[-1][3], console))
        keys.append(intent(bench, owner))
    keys = keys[1:]
    os.unlink(console)
    ratio = median([one[1] / boot[0] for one, boot in zip(keys, boots)])
    table.add("bare measured boot", f"{median([b[0] for b in boots]):.2f} s", f"{median([b[1] for b in boots]):.2f} CPU-s")
    table.add("intent to ready", f"{median([k[0] for k in keys]):.2f} s", f"{median([k[2] for k in keys]):.2f} CPU-s of QEMU")
    table.add("intent to verified", f"{median([k[1] for k in keys]):.2f} s")
    table.add("verified : bare boot", f"{ratio:.2f} x", "", "1.15 x", ratio <= 1.15)
    return table
