# SPDX-License-Identifier: Apache-2.0
"""The provisioner killed at each step of a machine that tofu makes: the same run is collected, or begun anew, in one machine at a
time, and nothing of it is left in the end, neither on the host nor in the cloud."""
import os
import sys

import pytest

from hooked_provisioner import HookedProvisioner
from local_stack import ROOT, wait_for
from sandbox_remains import remains

sys.path.insert(0, str(ROOT / "tests/service"))
from test_sandbox_crashes import LIMIT_S, Life, claim  # noqa: E402
from tofu_cloud import TEMPLATE, TYPES, Cloud, Guest, TofuStack  # noqa: E402

# begin#N, spawn#N, collected#N: the runs are init, plan, show, apply, output, then those of the removal
POINTS = ["after:begin", "after:spawn#2", "before:apply", "after:spawn#4", "before:collected#4", "after:spawn#9"]
# with the long tests (make soak); what they find differs little from the others
MORE = ["after:launched", "before:begin", "before:spawn#2", "before:collected#3", "after:begin#4", "after:output", "after:done",
        "after:begin#6", "before:collected#9", "done:destroy"]


@pytest.fixture(scope="module")
def cloud():
    made = Cloud()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def stack(cloud):
    with TofuStack(cloud) as running:
        yield running


@pytest.fixture(scope="module")
def hooked(stack, tmp_path_factory):
    made = HookedProvisioner(stack, tmp_path_factory.mktemp("hooked"))
    yield made
    made.end()


def machines(cloud, id):
    return [thing for _, thing in cloud.of(id) if "machine" in thing["type"]]


@pytest.mark.parametrize("point", POINTS + (MORE if os.environ.get("SOAK_SECONDS") else []))
def test_killed_at(stack, cloud, hooked, point):
    hooked.arm(point)
    deaths, owner = hooked.deaths, stack.client("acme-owner")
    life = Life(hooked, owner)
    answer = life.insist("POST", "/v1/sandboxes", (202,), json={"template": TEMPLATE, "claim": claim()},
                         headers={"Idempotency-Key": os.urandom(8).hex()})
    life.path = answer.headers["Location"]
    id = life.path.rpartition("/")[2]
    wait_for(lambda: machines(cloud, id) or hooked.revive() and None, "the machine", LIMIT_S)
    guest = Guest(owner, cloud, id)
    while guest.enrol().status_code not in (200, 201):
        hooked.revive()
    life.until("ready")
    wait_for(lambda: stack.row(id)[1] == "done" or hooked.revive() and None, "the last run", LIMIT_S)
    assert len(machines(cloud, id)) == 1 and len(cloud.of(id)) == TYPES
    life.insist("DELETE", life.path, (202, 404))
    life.until("deleted")
    hooked.revive()
    assert hooked.deaths == deaths + 1, f"it did not die at {point}, but passed {sorted(hooked.passed())}"
    assert cloud.of(id) == [] and stack.row(id) is None and remains(stack, id) == []
