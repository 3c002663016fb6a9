# SPDX-License-Identifier: Apache-2.0
"""The driver tofu with limits that are over soon, and templates that an operator altered after they were published."""
import shutil

import pytest

from local_stack import ROOT, wait_for
from test_sandboxes import claim, until
from test_tofu import DOWN, UP, failed, path_of, ready
from tofu_cloud import TEMPLATE, Cloud, TofuStack, alive


@pytest.fixture(scope="module")
def cloud():
    made = Cloud()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def templates(cloud):
    return shutil.copytree(ROOT / "deploy/templates", cloud.folder / "templates")


@pytest.fixture(scope="module")
def tofu(cloud, templates):
    with TofuStack(cloud, templates_dir=templates, tofu_limit="10s", tofu_grace="1s") as running:
        yield running


@pytest.fixture
def owner(tofu):
    return tofu.client("acme-owner")


@pytest.fixture
def make(owner, cloud):
    made = []

    def one():
        made.append(owner.made("/v1/sandboxes", {"template": TEMPLATE, "name": "box", "claim": claim(), "parameters": {}}))
        return made[-1]
    yield one
    for record in made:
        owner.delete(path_of(record))
        until(owner, path_of(record), {"deleted"})
        assert cloud.of(record["id"]) == []


def test_tofu_that_hears_no_interrupt_is_killed(tofu, owner, cloud, make):
    """When limit and grace are over. What it had made until then is in the state, and removed; its folder stays."""
    cloud.fail("apply", "deaf")
    record = make()
    folder = tofu.folder / f"sandboxes/tofu/{record['id']}"
    wait_for(lambda: [line for line in cloud.log(record["id"]) if line.get("hangs")], "tofu to hang")
    assert len(cloud.of(record["id"])) == 1 and alive(folder / "working")
    kept = (folder / "working").stat().st_ino
    failed(owner, record, "tofu.timed_out")
    assert not [line for line in cloud.log(record["id"]) if "signal" in line]
    assert not alive(folder / "working") and (folder / "working").stat().st_ino == kept
    assert cloud.of(record["id"]) == [] and cloud.commands(record["id"]) == UP[:4] + DOWN
    owner.post(f"{path_of(record)}:retry")
    assert ready(owner, cloud, record, boot=2)


def test_module_that_is_not_the_pinned_one_is_not_run(owner, cloud, make, templates):
    """A sandbox has its copy: what is altered then is for later ones."""
    earlier = make()
    ready(owner, cloud, earlier)
    file = templates / TEMPLATE / "module/main.tf"
    published = file.read_text()
    file.write_text(published + "# one more line\n")
    altered = make()
    assert TEMPLATE in failed(owner, altered, "tofu.module_changed")
    file.write_text(published)
    more = templates / TEMPLATE / "module/more.tf"
    more.write_text("")
    added = make()
    failed(owner, added, "tofu.module_changed")
    more.unlink()
    assert cloud.commands(altered["id"]) == cloud.commands(added["id"]) == []
    owner.post(f"{path_of(earlier)}:restart", {"claim": claim()})
    assert ready(owner, cloud, earlier, boot=2) and cloud.commands(earlier["id"]) == UP * 2
