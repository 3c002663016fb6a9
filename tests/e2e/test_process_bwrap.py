# SPDX-License-Identifier: Apache-2.0
"""The driver `process` under bubblewrap, as where runc does not work: a sandbox's life, its walls, the whole main job."""
import os
import pathlib
import re
import select
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "service"))

from hooked_provisioner import HookedProvisioner  # noqa: E402
from local_stack import alive, unique, wait_for  # noqa: E402
from project import app_fixture, shell  # noqa: E402
from sandbox_remains import groups, remains  # noqa: E402
from test_sandboxes import claim, until  # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver 'process' takes root")


@pytest.fixture(scope="module", autouse=True)
def provisioner(stack, tmp_path_factory):
    # a runc that is there and fails: the probe finds out
    made = HookedProvisioner(stack, tmp_path_factory.mktemp("hooked"), runc="/bin/false")
    made.kill()
    yield made
    made.end()


CAPABILITIES = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 8, 12, 18, 21, 24, 31))  # services/provisioner/runc_bundle.c
app = app_fixture("bwrap", template="process-dev")


def field(pid, name):
    return re.search(rf"^{name}:\t(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1]


def pid_of(stack, record):
    return int((stack.folder / f"sandboxes/process/{record['id']}/agent.pid").read_text().split()[0])


def made_ready(owner):
    record = owner.made("/v1/sandboxes", {"template": "process-dev", "name": unique("box"), "claim": claim()})
    end = until(owner, f"/v1/sandboxes/{record['id']}", {"ready", "failed"})
    assert end["state"] == "ready", end["failure"]
    return record


def test_life_and_walls(stack, owner, provisioner):
    record = made_ready(owner)
    path, pid = f"/v1/sandboxes/{record['id']}", pid_of(stack, record)
    assert pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/agent\0")
    assert f"strongroom-{record['id']}" in groups()
    assert field(pid, "Seccomp") == "2" and field(pid, "NoNewPrivs") == "1" and field(pid, "NSpid").split()[-1] == "1"
    assert {field(pid, name) for name in ("CapPrm", "CapEff", "CapBnd")} == {f"{CAPABILITIES:016x}"}
    assert field(pid, "Uid").split()[0] != "0"  # root in there is nobody out here
    for kind in ("user", "pid", "mnt", "net", "ipc", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    assert len(pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()) == 3  # two lines of title, and lo
    root = pathlib.Path(f"/proc/{pid}/root")
    assert not (root / "root").exists() and not (root / "etc/passwd").exists()
    provisioner.kill()
    assert pid_of(stack, record) == pid and pathlib.Path(f"/proc/{pid}").exists()  # it outlives the provisioner
    held = os.pidfd_open(pid)
    owner.post(f"{path}:restart", {"claim": claim()})
    again = until(owner, path, {"ready", "failed"})
    assert (again["state"], again["boot"]) == ("ready", 2) and select.select([held], [], [], 0)[0]  # that very process has ended
    os.close(held)
    os.kill(pid_of(stack, record), signal.SIGKILL)
    assert until(owner, path, {"stopped"})["failure"]["code"] == "sandbox.died"
    owner.delete(path)
    until(owner, path, {"deleted"})
    wait_for(lambda: remains(stack, record["id"]) == [], "the end of its relay")


@pytest.mark.parametrize("kind", ["forced", "runc_hangs"])
def test_other_ways_to_it(stack, owner, provisioner, tmp_path, kind):
    """By the setting, when runc is not even asked; by a runc that never answers, which is given up."""
    (tmp_path / "runc").write_text(f"#!/bin/sh\necho $$ >{tmp_path}/asked\nexec sleep 1000\n")
    (tmp_path / "runc").chmod(0o755)
    provisioner.configure(runc=tmp_path / "runc", process_runtime="bwrap" if kind == "forced" else "auto")
    provisioner.kill()
    try:
        record = made_ready(owner)
        assert (tmp_path / "asked").exists() == (kind == "runc_hangs")
        assert kind == "forced" or not alive(int((tmp_path / "asked").read_text()))
    finally:
        provisioner.configure(runc="/bin/false")
        provisioner.kill()
    owner.delete(f"/v1/sandboxes/{record['id']}")
    until(owner, f"/v1/sandboxes/{record['id']}", {"deleted"})
    wait_for(lambda: remains(stack, record["id"]) == [], "the end of its relay")


@pytest.mark.parametrize("point", ["process:created", "process:relayed"])
def test_a_provisioner_that_dies_half_way(stack, owner, provisioner, point):
    provisioner.arm(point)
    record = owner.made("/v1/sandboxes", {"template": "process-dev", "name": unique("box"), "claim": claim()})
    path = f"/v1/sandboxes/{record['id']}"
    wait_for(provisioner.revive, f"its death at {point}")
    assert until(owner, path, {"ready", "failed"})["state"] == "ready"
    owner.delete(path)
    until(owner, path, {"deleted"})
    wait_for(lambda: remains(stack, record["id"]) == [], "the end of its relay")


def test_an_app_runs_in_it(app):
    app.go(shell("cat /input/*/*; echo kept >/output/kept; id -u"))
    assert app.stdout() == "CODE,DESCRIPTION\n1,one\n2,two\n0\n"
    assert (app.folder / "output/output/kept").read_text() == "kept\n"
    assert app.receipt()["class"] == "none"
