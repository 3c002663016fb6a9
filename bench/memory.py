# SPDX-License-Identifier: Apache-2.0
"""Resident memory of each service: fresh and idle, and after requests."""
import time

from figures import Table
from local_stack import AUDIENCES

REQUESTS = 1000
IDLE_S = 10
ROUTES = {"certreg": "/v1/members/self", "provisioner": "/v1/templates", "policy": "/v1/policies",
          "orchestrator": "/v1/runs"}


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def ask_gateway(owner):
    answer = owner.http.get(owner.stack.url + "/v2/", headers={})
    assert answer.status_code == 401


def ask(owner, service):
    if service == "registry-gw":
        return ask_gateway(owner)
    assert ROUTES[service].split("/")[2] in AUDIENCES
    assert owner.get(ROUTES[service]).status_code == 200
    return None


def run(bench):
    table = Table("Resident memory of each service (VmRSS)", [
        f"{IDLE_S} s after the stack was ready, and again after {REQUESTS} requests at the edge (a read that the service answers "
        "from its own tables; registry-gw: the challenge of `/v2/`) and 1 s of rest. Shared libraries are counted in full."])
    time.sleep(IDLE_S)
    for service in (*ROUTES, "registry-gw"):
        idle = resident_mib(bench.pid(service))
        for _ in range(REQUESTS):
            ask(bench.owner, service)
        time.sleep(1)
        after = resident_mib(bench.pid(service))
        table.add(service, f"{idle:.1f} MiB idle, {after:.1f} MiB after {REQUESTS}", "", "20 MiB", max(idle, after) <= 20)
    return table
