# SPDX-License-Identifier: Apache-2.0
"""The provisioner killed at each named point of a sandbox's life: the same row goes on where it was, in one machine at a time, and
nothing of it is left in the end."""
import os
import sys
import time
import uuid

import pytest
import requests

from hooked_provisioner import HookedProvisioner
from local_stack import ROOT, wait_for
from sandbox_remains import remains

sys.path.insert(0, str(ROOT / "tests/service"))
from trust import b64url, digest  # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver 'process' takes root")
LIMIT_S = 120
POINTS = ["after:admit", "after:secret", "process:created", "process:relayed", "after:launched", "after:reboot",
          "process:created#2", "after:end", "done:stop", "after:stopped", "after:end#2", "done:destroy", "after:deleted"]


def claim():
    return {"v": "strongroom-claim-1", "owner": digest(b"somebody"), "policy": None, "nonce": b64url(os.urandom(32))}


@pytest.fixture(scope="module")
def hooked(stack, tmp_path_factory):
    made = HookedProvisioner(stack, tmp_path_factory.mktemp("hooked"))
    yield made
    made.end()


class Life:
    """One sandbox's owner, who asks again until there is an answer."""

    def __init__(self, hooked, owner):
        self.hooked, self.owner, self.path, self.restart = hooked, owner, None, claim()

    def insist(self, method, path, good, **more):
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            try:
                answer = self.owner.ask(method, path, **more)
                if answer.status_code in good:
                    return answer
                assert answer.status_code >= 500 or answer.status_code in (401, 412), answer.text
            except (requests.RequestException, AssertionError):
                self.owner.tokens.clear()
            if not self.hooked.revive():
                time.sleep(0.1)
        raise AssertionError(f"no answer to {method} {path}")

    def until(self, *states, boot=1):
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            answer = self.insist("GET", self.path, (200, 404))
            if answer.status_code == 404:
                assert "deleted" in states, "it is gone"
                return None
            record = answer.json()
            if record["state"] in states and record["boot"] >= boot:
                return record
            self.hooked.revive()
            time.sleep(0.05)
        raise AssertionError(f"{record['state']}, {record['failure']} and not {states}")

    def live(self):
        answer = self.insist("POST", "/v1/sandboxes", (202,), json={"template": "process-dev", "claim": claim()},
                             headers={"Idempotency-Key": str(uuid.uuid4())})
        self.path = answer.headers["Location"]
        first = self.until("ready")
        self.insist("POST", f"{self.path}:restart", (202,), json={"claim": self.restart})
        second = self.until("ready", boot=2)
        assert second["boot"] == 2 and second["enc_jwk"] != first["enc_jwk"] and second["evidence"]["claim"] == self.restart
        self.insist("POST", f"{self.path}:stop", (202,))
        self.until("stopped", boot=2)
        self.insist("DELETE", self.path, (202, 404))
        self.until("deleted")
        return first["id"]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(stack, hooked, point):
    hooked.arm(point)
    deaths = hooked.deaths
    id = Life(hooked, stack.client("acme-owner")).live()
    hooked.revive()
    assert hooked.deaths == deaths + 1, f"it did not die at {point}, but passed {sorted(hooked.passed())}"
    assert remains(stack, id) == []
    assert stack.sql("SELECT state FROM provisioner.sandbox WHERE id = %s", id) == [("deleted",)]


def vtpms(stack, where):
    return {path.name for path in (stack.folder / "sandboxes/.vtpms").glob(f"*/{where}/*")}


@pytest.fixture
def no_firmware(hooked):
    """Nothing measured boots: it fails behind its vTPM."""
    hooked.configure(firmware="/nowhere/firmware")
    yield
    hooked.configure()
    hooked.kill()


def test_killed_with_a_vtpm_in_hand(stack, hooked, no_firmware):
    """Taken for a row that never came, moved but not in its place, made but not ready: none of them is anybody's again."""
    wait_for(lambda: len(vtpms(stack, "ready")) == 2, "the vTPMs made ahead")
    waiting, deaths = vtpms(stack, "ready"), hooked.deaths
    hooked.arm("vtpm:taken", "vtpm:moved", "vtpm:made")
    life = Life(hooked, stack.client("acme-owner"))
    life.path = life.insist("POST", "/v1/sandboxes", (202,), json={"template": "measured-small", "claim": claim()},
                            headers={"Idempotency-Key": str(uuid.uuid4())}).headers["Location"]
    record = life.until("failed")
    assert record["id"] in waiting and record["failure"]["code"] == "sandbox.launch"
    wait_for(lambda: hooked.revive() or hooked.deaths == deaths + 3, "its death at each point")
    wait_for(lambda: len(vtpms(stack, "ready")) == 2, "others in their place")
    assert vtpms(stack, "taken") == set() and not waiting & vtpms(stack, "ready")
    life.insist("DELETE", life.path, (202, 404))
    life.until("deleted")
    assert remains(stack, record["id"]) == []
