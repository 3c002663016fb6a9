# SPDX-License-Identifier: Apache-2.0
"""The provisioner killed at each named point on the way of a sandbox that waits: made, handed out, and removed when it died. There is
one that waits in the end, its taker has his, and nothing is left of those that went."""
import os
import signal
import uuid

import pytest
import requests

from hooked_provisioner import HookedProvisioner
from local_stack import wait_for
from sandbox_remains import remains
from test_sandbox_crashes import claim

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver 'process' takes root")
LIMIT_S = 120
MADE = ["pool:added", "after:secret", "process:created", "process:relayed", "before:launched", "pool:launched", "pool:warm"]
TAKEN = ["before:take", "after:take"]
REMOVED = ["after:failed", "after:deleting", "pool:destroyed", "pool:gone"]


@pytest.fixture
def hooked(stack, tmp_path):
    made = HookedProvisioner(stack, tmp_path, pool="process-dev=1")
    yield made
    made.end()
    wait_for(lambda: stack.sql("SELECT id FROM provisioner.warm") == [], "the end of the pool", LIMIT_S)


class Pool:
    """What waits, and its taker, who asks again until there is an answer."""

    def __init__(self, stack, hooked):
        self.stack, self.hooked, self.owner = stack, hooked, stack.client("acme-owner")

    def until(self, condition, what):
        def met():
            self.hooked.revive()
            return condition()
        return wait_for(met, f"{what}; it passed {sorted(self.hooked.passed())}", LIMIT_S)

    def rows(self, state):
        return [id for (id,) in self.stack.sql("SELECT id FROM provisioner.warm WHERE state = %s", state)]

    def warm(self, but=None):
        """The one that waits, when no kill point of its making is left."""
        return self.until(lambda: [id for id in self.rows("warm") if id != but and not self.hooked.armed.exists()], "one that waits")[0]

    def ask(self, method, path, **more):
        """The answer, or nothing."""
        try:
            answer = self.owner.ask(method, path, **more)
        except (requests.RequestException, AssertionError):  # the token is asked for on the way
            self.owner.tokens.clear()
            return None
        return answer if answer.status_code < 500 and answer.status_code not in (401, 412) else None

    def take(self):
        body, key = {"template": "process-dev", "claim": claim()}, {"Idempotency-Key": str(uuid.uuid4())}
        answer = self.until(lambda: self.ask("POST", "/v1/sandboxes", json=body, headers=key), "a sandbox")
        assert answer.status_code == 202, answer.text
        path = answer.headers["Location"]
        record = self.until(lambda: (now := self.ask("GET", path)) and now.json()["state"] != "creating" and now.json(), "its end")
        assert record["state"] == "ready" and record["evidence"]["claim"] == body["claim"], record
        return path, record["id"]

    def hurt(self, id):
        note = self.stack.folder / f"sandboxes/process/{id}/agent.pid"
        os.kill(int(note.read_text().split()[0]), signal.SIGKILL)
        self.until(lambda: self.rows("failed") == [id], "it failed")
        self.stack.sql("UPDATE provisioner.warm SET updated_at = updated_at - interval '1 minute' WHERE id = %s", id)


def test_killed_on_the_way_of_one_that_waits(stack, hooked):
    pool = Pool(stack, hooked)
    hooked.arm(*MADE)
    first = pool.warm()
    assert hooked.deaths == len(MADE)
    hooked.arm(*TAKEN)
    path, taken = pool.take()
    assert taken == first and hooked.deaths == len(MADE + TAKEN)
    second = pool.warm(but=taken)
    hooked.arm(*REMOVED)
    pool.hurt(second)
    third = pool.warm(but=second)
    assert hooked.deaths == len(MADE + TAKEN + REMOVED)
    assert third not in (first, second) and remains(stack, second) == []
    pool.until(lambda: pool.ask("DELETE", path), "its deletion")
    pool.until(lambda: (now := pool.ask("GET", path)) is not None and now.status_code == 404, "its end")
    assert remains(stack, taken) == []
    assert stack.sql("SELECT state FROM provisioner.sandbox WHERE id = %s", taken) == [("deleted",)]
