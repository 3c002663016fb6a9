# SPDX-License-Identifier: Apache-2.0
"""A sandbox that waits already (started, its TPM proved) to a member who has just asked for one."""
import subprocess
import time

import trust
from figures import RUNS, Table, percentile
from local_stack import ROOT, wait_for
from sandbox import claim, remove, wait_ready

TEMPLATE = "measured-small"


def provisioner(stack, **env):
    """Kills and starts it, with a pool or without."""
    stack.kill("provisioner")
    subprocess.run([ROOT / "deploy/local/stack", "up", "provisioner", "edge"], env={**stack.env, **env}, check=True, timeout=300,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def one(bench, owner):
    """Seconds until it is handed out, and until its keys are registered."""
    (id,) = wait_for(lambda: [row[0] for row in bench.stack.sql("SELECT id FROM provisioner.warm WHERE state = 'warm'")], "the pool")
    started = time.monotonic()
    made = bench.owner.made("/v1/sandboxes", {"template": TEMPLATE, "claim": claim(owner)})
    handed = time.monotonic() - started
    assert made["id"] == id
    wait_ready(bench.owner, id)
    ready = time.monotonic() - started
    remove(bench.owner, id)
    return handed, ready


def run(bench):
    table = Table("Sandbox out of the pool", [
        f"`POST /v1/sandboxes` for `{TEMPLATE}` at the edge while one waits, to its answer (the sandbox is the caller's) and to `ready` in a "
        "long poll: claim latched and measured, keys born, quote made, evidence registered. The next one boots only behind that."])
    owner = trust.Key()
    provisioner(bench.stack, POOL=f"{TEMPLATE}=1")
    try:
        one(bench, owner)
        found = [one(bench, owner) for _ in range(2 * RUNS)]
    finally:
        provisioner(bench.stack)
    handed, ready = ([1000 * pair[i] for pair in found] for i in (0, 1))
    p50 = percentile(handed, 0.5)
    table.add("handed out, p50", f"{p50:.1f} ms", "", "100 ms", p50 < 100)
    table.add("handed out, the slowest", f"{max(handed):.1f} ms")
    table.add("ready, p50", f"{percentile(ready, 0.5):.0f} ms")
    return table
