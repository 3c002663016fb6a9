# SPDX-License-Identifier: Apache-2.0
"""What orchestration adds to a run: from the client's POST to the agent having the work, and from the agent's POST of the result
to the client seeing it. Both ends are this process (machine.py), so one clock measures, and there is no VM or app to subtract."""
import json
import os
import signal
import threading
import time

import trust
from figures import Table, cpu_seconds, median, percentile
from machine import Machine
from sandbox import claim, remove, vm_pid, wait_ready

COUNT = int(os.environ.get("BENCH_RUN_COUNT", "100"))
STATES = ("succeeded", "failed", "refused", "cancelled")


def wait_for_file(path):
    end = time.monotonic() + 20
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < end, f"no '{path}'"
        time.sleep(0.002)
    return path


def initdata_of(initrd):
    """The last file in the last archive: canonical JSON, so it starts with its first member."""
    data = initrd.read_bytes()
    return json.JSONDecoder().raw_decode(data[data.rfind(b'{"classes"'):].decode(errors="replace"))[0]


def take_place(bench, owner):
    """A sandbox whose VM is stopped before it has booted, and whose keys are ours."""
    request = claim(owner)
    sandbox = bench.owner.made("/v1/sandboxes", {"template": "small", "claim": request})["id"]
    folder = bench.stack.folder / "sandboxes" / sandbox
    wait_for_file(folder / "qemu.pid")
    os.kill(vm_pid(bench.stack, sandbox), signal.SIGSTOP)
    machine = Machine(bench.stack, initdata_of(folder / "initrd.img"), request)
    machine.enrol((folder / "vm/secret").read_text())
    wait_ready(bench.owner, sandbox)
    return machine


class Agent(threading.Thread):
    """Answers every run at once; notes when it got the work and when it posts the result."""

    def __init__(self, machine):
        super().__init__(daemon=True)
        self.machine, self.taken, self.given = machine, {}, {}

    def run(self):
        for _ in range(COUNT):
            work = self.machine.work()
            run = work["run"]
            self.taken[run["id"]] = time.monotonic()
            for seq, state in enumerate(("started", "done")):
                self.machine.report(run, seq + 1, "execute", state)
            output = self.machine.upload(run, os.urandom(4096))
            result = {"fence": run["fence"], "output": output, "receipt": self.machine.receipt(work, output)}
            self.given[run["id"]] = time.monotonic()
            self.machine.ask("POST", f"/v1/agent/runs/{run['id']}/result", (200,), json=result)


def make_pipeline(bench, world):
    world.policy["max_runs"] = COUNT
    policy = bench.owner.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})["id"]
    return policy, bench.owner.made("/v1/pipelines", {"name": "bench", "template": "small", "policy": policy})["id"]


def follow(client, run):
    """Long polls until the run has ended; returns when that was known."""
    etag = ""
    while True:
        answer = client.ask("GET", f"/v1/runs/{run}?wait=30s", headers={"If-None-Match": etag} if etag else {})
        seen = time.monotonic()
        if answer.status_code == 200:
            etag, record = answer.headers["ETag"], answer.json()
            if record["state"] in STATES:
                assert record["state"] == "succeeded", record
                return seen


def one_run(bench, world, policy, pipeline, sandbox):
    """(id, POST sent, POST answered, end seen)"""
    world.run_nonce = trust.nonce()
    order = bench.owner.made("/v1/orders", {"policy": policy, "order": world.order(), "grants": world.grants()})["id"]
    started = time.monotonic()
    run = bench.owner.made("/v1/runs", {"pipeline": pipeline, "sandbox": sandbox, "order": order})["id"]
    accepted = time.monotonic()
    return run, started, accepted, follow(bench.owner, run)


def measure(bench):
    world = trust.World(bench.owner.space())
    machine = take_place(bench, world.author)
    world.enc, world.sig = machine.enc, machine.sig
    policy, pipeline = make_pipeline(bench, world)
    agent = Agent(machine)
    agent.start()
    sandbox = machine.initdata["sandbox"]
    runs = [one_run(bench, world, policy, pipeline, sandbox) for _ in range(COUNT)]
    agent.join()
    os.kill(vm_pid(bench.stack, sandbox), signal.SIGCONT)
    remove(bench.owner, sandbox)
    return [(accepted - started, agent.taken[run] - started, seen - agent.given[run])
            for run, started, accepted, seen in runs]


def figure(seconds):
    return f"p50 {median(seconds) * 1000:.1f} ms, p95 {percentile(seconds, 0.95) * 1000:.1f} ms"


def run(bench):
    table = Table("Orchestration overhead of a run", [
        f"{COUNT} runs one after the other, everything real but the machine: a sandbox whose QEMU is stopped before it boots, and in its "
        "place a thread of the measuring process with keys enrolled by the sandbox's own secret, speaking the agent's HTTP with DPoP "
        "through the edge's TLS. Dispatch: client sends `POST /v1/runs` to agent has the work (long poll). Ending: agent sends "
        "the result with its receipt to client sees `succeeded` (long poll). The sum takes VM and app time out; it has the "
        "two Python clients' own time in it. CPU: the five services, per run, the order and the output's upload included."])
    services = [bench.pid(name) for name in ("certreg", "provisioner", "registry-gw", "policy", "orchestrator")]
    before = cpu_seconds(services)
    runs = measure(bench)
    cpu = f"{(cpu_seconds(services) - before) / COUNT * 1000:.1f} CPU-ms"
    both = [dispatch + ending for _, dispatch, ending in runs]
    table.add("POST /v1/runs answered", figure([one[0] for one in runs]))
    table.add("dispatch", figure([one[1] for one in runs]))
    table.add("ending", figure([one[2] for one in runs]))
    table.add("overhead", figure(both), cpu, "p50 50 ms", median(both) <= 0.05)
    return table
