# SPDX-License-Identifier: Apache-2.0
"""What all folders of tests share: the support modules, and one whole local stack per session."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))

from local_stack import LocalStack  # noqa: E402


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
