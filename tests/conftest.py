# SPDX-License-Identifier: Apache-2.0
"""What all folders of tests share: the support modules, and one whole local stack per session."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))

from local_stack import LocalStack  # noqa: E402

# Files that take minutes, longest first: begun last, one of them would hold up the end of a parallel run alone.
LONG = ["test_libvirt", "test_tofu", "test_controller", "test_sandbox_crashes", "test_measured", "test_tofu_crashes", "test_main_job",
        "test_guest", "test_libvirt_embedded", "test_pool", "test_pool_crashes", "test_second_way_runs", "test_tofu_limits", "test_hostile_app", "test_tampering", "test_sandbox_lifecycle",
        "test_measured_client", "test_services_die", "test_resume", "test_workflow_story", "test_images", "test_sandbox_soak", "test_soak"]


# What boots machines all along. With the sanitizers' builds it would take half of their time, and most of it is QEMU's; test_sandboxes, test_pool
# and the like boot some there too.
MACHINES = {"test_libvirt", "test_libvirt_embedded", "test_measured", "test_measured_client", "test_measured_egress", "test_guest", "test_tofu_limits"}


def pytest_collection_modifyitems(config, items):
    rank = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))
    left_out = [item for item in items if os.environ.get("SAN") and item.path.stem in MACHINES]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.path.stem not in MACHINES]


@pytest.fixture(autouse=True)
def nothing_died():
    """A part that ended by itself is the failure of the test during which it did, and is started again."""
    yield
    for running in LocalStack.running:
        if deaths := running.deaths():
            running.command("up", *running.parts, check=False)
            pytest.fail("\n".join(f"{part} died; its log:\n{log}" for part, log in deaths.items()))


@pytest.fixture(scope="session")
def stack():
    """Every part of Strongroom, started as a user starts it, below a folder of its own."""
    with LocalStack() as running:
        yield running


@pytest.fixture
def owner(stack):
    return stack.client("acme-owner")


@pytest.fixture
def stranger(stack):
    """The owner of another tenant of the same instance."""
    return stack.client("globex-owner")
