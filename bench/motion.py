# SPDX-License-Identifier: Apache-2.0
"""A thousand sandboxes that change their state at the same time."""
import concurrent.futures
import time

import trust
from figures import Table, cpu_seconds, percentile
from local_stack import wait_for
from pool import provisioner
from sandbox import claim

COUNT, CLIENTS = 1000, 2  # more of Python would wait for each other


def change(client, method, path):
    """Seconds of one request that changes a state."""
    started = time.monotonic()
    answer = client.ask(method, path)
    assert answer.status_code == 202, answer.text
    return time.monotonic() - started


def all_of(bench, ids, method, verb=""):
    clients = [bench.stack.client("acme-owner") for _ in range(CLIENTS)]
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda pair: change(clients[pair[0] % CLIENTS], method, f"/v1/sandboxes/{pair[1]}{verb}"),
                             enumerate(ids)))


def states(bench):
    return dict(bench.stack.sql("SELECT state, count(*) FROM provisioner.sandbox WHERE name = 'motion' GROUP BY state"))


def peak_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def run(bench):
    table = Table(f"{COUNT} sandboxes in motion", [
        f"{COUNT} rows that wait for the one place that their tenant has are cancelled by {CLIENTS} clients, and while these stop, deleted: "
        "queued, stopping, stopped, deleting, deleted, each step by the loop with the driver `process` behind it, which has nothing to end. "
        "A state change is one request (`:cancel`, `DELETE`) at the edge. Memory is the most that the provisioner had at any time."])
    owner, operator = trust.Key(), bench.stack.client("system-operator")
    tenant = bench.owner.get("/v1/quotas/self").json()["tenant"]
    provisioner(bench.stack)
    operator.ask("PUT", f"/v1/quotas/{tenant}", json={"sandboxes": 1})
    try:
        body = {"template": "process-dev", "name": "motion"}
        ids = [bench.owner.made("/v1/sandboxes", {**body, "claim": claim(owner)})["id"] for _ in range(COUNT)]
        cpu, started = cpu_seconds([bench.pid("provisioner")]), time.monotonic()
        seconds = all_of(bench, ids, "POST", ":cancel") + all_of(bench, ids, "DELETE")
        wait_for(lambda: set(states(bench)) == {"deleted"}, "the end of all", 600)
    finally:
        operator.ask("PUT", f"/v1/quotas/{tenant}", json={})
    wall = time.monotonic() - started
    p99, peak = 1000 * percentile(seconds, 0.99), peak_mib(bench.pid("provisioner"))
    table.add("a state change, p50", f"{1000 * percentile(seconds, 0.5):.1f} ms")
    table.add("a state change, p99", f"{p99:.1f} ms", "", "50 ms", p99 < 50)
    table.add("all are gone", f"{wall:.0f} s", f"{cpu_seconds([bench.pid('provisioner')]) - cpu:.1f} CPU-s")
    table.add("the provisioner's memory", f"{peak:.1f} MiB", "", "40 MiB", peak < 40)
    return table
