# SPDX-License-Identifier: Apache-2.0
"""Rounds of create, kill and delete while the provisioner and what it started are killed at random: in the end nothing is left of
any of them, no process, socket, folder, uid or cgroup, and no row that is not deleted. SANDBOX_ROUNDS (12) says how many,
SOAK_SEED repeats a choice of faults. Every tenth is a VM, whose QEMU or vTPM is killed. One waits in the pool all the time, and is
handed out, killed and made anew as the others are."""
import contextlib
import os
import pathlib
import random
import signal
import sys
import time

import pytest
import requests

from local_stack import ROOT, LocalStack, wait_for
from sandbox_remains import remains

sys.path.insert(0, str(ROOT / "tests/service"))
from trust import b64url, digest  # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver 'process' takes root")
ROUNDS = int(os.environ.get("SANDBOX_ROUNDS", "12"))
SEED = int(os.environ.get("SOAK_SEED", str(int(time.time()))))
AT_ONCE = 4
LIMIT_S = 300
CROWD = 24


def body():
    return {"template": "process-dev", "claim": {"v": "strongroom-claim-1", "owner": digest(b"somebody"), "policy": None,
                                                 "nonce": b64url(os.urandom(32))}}


class Soak:
    def __init__(self, stack):
        self.stack, self.client, self.random = stack, stack.client("acme-owner"), random.Random(SEED)
        self.alive, self.made = [], []

    def insist(self, method, path, good, **more):
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            try:
                answer = self.client.ask(method, path, **more)
                if answer.status_code in good:
                    return answer
                assert answer.status_code >= 500 or answer.status_code in (401, 412), answer.text
            except (requests.RequestException, AssertionError):
                self.client.tokens.clear()
                time.sleep(0.1)
        raise AssertionError(f"no answer to {method} {path}, seed {SEED}")

    def create(self, number):
        template = "measured-small" if number % 10 == 9 else "process-dev"
        answer = self.insist("POST", "/v1/sandboxes", (202,), json={**body(), "template": template},
                             headers={"Idempotency-Key": f"soak-{SEED}-{number}"})
        self.alive.append(answer.json()["id"])
        self.made.append(self.alive[-1])

    def pids(self, id):
        """What was started for it: QEMU, swtpm, or the process and its relay."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if id.encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        note = self.stack.folder / f"sandboxes/process/{id}/agent.pid"
        with contextlib.suppress(OSError, ValueError, IndexError):
            found.append(int(note.read_text().split()[0]))
        return found

    def hurt(self):
        kind = self.random.choice(["nothing", "provisioner", "machine", "machine"])
        if kind == "provisioner":
            self.stack.kill("provisioner")
            time.sleep(self.random.uniform(0, 0.3))
            self.stack.command("up", "provisioner", "edge")
            self.hurt_pool()
        elif kind == "machine" and self.alive:
            pids = self.pids(self.random.choice(self.alive))
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(self.random.choice(pids), signal.SIGKILL)

    def hurt_pool(self):
        """What waits for somebody may die, too; a minute's rest is not for a test."""
        for (id,) in self.stack.sql("SELECT id FROM provisioner.warm"):
            for pid in self.pids(id):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.stack.sql("UPDATE provisioner.warm SET updated_at = updated_at - interval '1 minute' WHERE state = 'failed'")

    def delete(self, id):
        self.insist("DELETE", f"/v1/sandboxes/{id}", (202, 404))

    def is_gone(self, id):
        return self.insist("GET", f"/v1/sandboxes/{id}", (200, 404)).status_code == 404


class Stack(LocalStack):
    """With other settings of the provisioner."""

    def __init__(self, **env):
        super().__init__()
        self.env.update(env)

    def without_pool(self):
        self.env["POOL"] = ""
        self.kill("provisioner")
        self.command("up", "provisioner", "edge")
        wait_for(lambda: self.sql("SELECT id FROM provisioner.warm") == [], "the end of the pool", LIMIT_S)


@pytest.fixture
def own_stack():
    with Stack(POOL="process-dev=1") as stack:
        yield stack


def nothing_is_left(soak, stack):
    end = time.monotonic() + LIMIT_S
    while not all(soak.is_gone(id) for id in soak.made):
        assert time.monotonic() < end, f"seed {SEED}"
        time.sleep(0.2)
    stack.without_pool()
    assert {id: left for id in soak.made if (left := remains(stack, id))} == {}, f"seed {SEED}"
    assert stack.sql("SELECT count(*), count(*) FILTER (WHERE state = 'deleted') FROM provisioner.sandbox") == [
        (len(soak.made), len(soak.made))]
    stock = stack.folder / "sandboxes/.vtpms"
    assert [str(path) for path in (stack.folder / "sandboxes").glob("**/sbx_*") if not path.match(f"{stock}/*/ready/*")] == []
    assert list((stack.folder / "sandboxes/.users").iterdir()) == []


def test_rounds(own_stack):
    soak = Soak(own_stack)
    for number in range(ROUNDS):
        soak.create(number)
        time.sleep(soak.random.uniform(0, 0.5))
        soak.hurt()
        if len(soak.alive) >= AT_ONCE:
            soak.delete(soak.alive.pop(soak.random.randrange(len(soak.alive))))
    for id in soak.alive:
        soak.delete(id)
    nothing_is_left(soak, own_stack)


def test_a_noisy_tenant_starves_nobody():
    """Many creates at once of one tenant on a host with room for three: each has its turn, none is lost, and another tenant's two
    come up long before the last of them."""
    with Stack(HOST_SANDBOXES="3") as stack:
        noisy, quiet = stack.client("acme-owner"), stack.client("globex-owner")
        wanted = [noisy.made("/v1/sandboxes", body())["id"] for _ in range(CROWD)]
        others = [quiet.made("/v1/sandboxes", body())["id"] for _ in range(2)]
        waiting, left = list(wanted), {}
        end = time.monotonic() + 2 * LIMIT_S
        while waiting:
            assert time.monotonic() < end, f"{len(waiting)} of {CROWD} wait still"
            states = dict(stack.sql("SELECT id, state FROM provisioner.sandbox"))
            for id in others:
                if states[id] == "ready" and id not in left:
                    left[id] = len(waiting)
                    assert quiet.delete(f"/v1/sandboxes/{id}").status_code == 202
            for id in [id for id in waiting if states[id] == "ready"]:
                assert noisy.delete(f"/v1/sandboxes/{id}").status_code == 202
                waiting.remove(id)
            assert "failed" not in states.values()
            time.sleep(0.05)
        assert len(left) == 2 and min(left.values()) > CROWD / 2, left
        wait_for(lambda: set(stack.sql("SELECT state FROM provisioner.sandbox")) == {("deleted",)}, "the end of all", LIMIT_S)


def test_many_at_once(own_stack):
    """Two hundred creates: all are made, in turns, and all go."""
    soak = Soak(own_stack)
    count = max(40, min(ROUNDS, 200))
    for number in range(count):
        soak.create(10 * number)
    states = {item["id"]: item["state"] for item in soak.insist("GET", "/v1/sandboxes?page_size=200", (200,)).json()["items"]}
    assert len(states) == count
    for id in soak.made:
        soak.delete(id)
    nothing_is_left(soak, own_stack)
