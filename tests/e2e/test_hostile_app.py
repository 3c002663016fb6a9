# SPDX-License-Identifier: Apache-2.0
"""Apps that mean harm, as whole runs: whatever they try, a signed receipt says how they ended, their output holds nothing but
files, and the sandbox serves on. What the cage refuses in detail is tests/service/test_guest.py."""
import pytest
from local_stack import wait_for
from project import app_fixture, hostile

app = app_fixture("hostile")
MIB = 1 << 20


def test_an_app_that_fails(app):
    done = app.go(hostile("exit3"))
    receipt = app.receipt()
    assert (receipt["exit_code"], receipt["signal"], receipt["limits_hit"]) == (3, 0, [])
    assert "the app ended with returncode 3" in done.stderr


def test_an_app_that_writes_nothing(app):
    app.go(hostile("nothing"))
    receipt = app.receipt()
    assert (receipt["exit_code"], receipt["limits_hit"]) == (0, [])
    assert app.stdout() == "" and not list((app.folder / "output/output").iterdir())


def test_an_app_that_is_not_there(app):
    app.refused(app.go(["/bin/absent"], check=False), 6, "jail.no_app")


@pytest.mark.parametrize("attempt, limits, limit, exit_code", [
    ("fork", {"pids": 20}, "pids", 0),
    ("disk", {"output_bytes": MIB}, "output_bytes", 0),
    ("endless", {"wall_seconds": 2}, "wall", 137)])
def test_an_app_without_measure(app, attempt, limits, limit, exit_code):
    app.go(hostile(attempt), limits)
    receipt = app.receipt()
    assert (receipt["exit_code"], receipt["limits_hit"]) == (exit_code, [limit])
    assert sum(path.stat().st_size for path in (app.folder / "output/output").iterdir()) <= MIB


def test_an_app_that_looks_around(app):
    """Links, devices and `..` in /output; ptrace, devices, the agent's memory: in one run."""
    app.go(hostile("calls", "files", "status", "plant"))
    said = app.said()
    assert app.receipt()["exit_code"] == 0
    assert said["ptrace"] == said["process_vm_readv"] == said["mount"] == "EPERM"
    assert said["/proc/1/mem"] == "EACCES" and said["kcore"] == "0"
    assert {said[path] for path in ("/dev/mem", "/dev/vda", "/dev/ttyS0", "/dev/kmsg")} == {"ENOENT"}
    assert said["symlink"] == said["symlink_up"] == said["symlink_in"] == "ok"
    output = app.folder / "output/output"
    assert not [path for path in output.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())]
    assert (output / "answer.txt").read_text() == "42\n" and (output / "real").is_dir()
    assert {"passwords", "up", "fifo", "real/root"} <= {item["path"] for item in app.result()["skipped"]}


def test_the_sandbox_was_one_all_the_while(app):
    before = app.receipt()
    app.go(hostile("good"))
    after = app.receipt()
    assert after["sandbox"] == before["sandbox"] and after["exit_code"] == 0
    assert (app.folder / "output/output/answer.txt").read_text() == "42\n"
    assert app.stack.sql("SELECT count(*) FROM provisioner.sandbox WHERE name = 'hostile'") == [(1,)]


def test_an_app_whose_run_is_cancelled(app):
    """It would sleep for an hour; the agent ends it, and the same boot serves on."""
    app.write_plan(hostile("endless"), wall_seconds=3600)
    owner = app.stack.client("acme-owner")
    with app.start() as client:
        ((run, sandbox),) = wait_for(lambda: app.stack.sql(
            "SELECT id, sandbox_id FROM orchestrator.run WHERE state = 'running' AND step = 'execute'"), "the app's start", 120)
        boot = owner.get(f"/v1/sandboxes/{sandbox}").json()["boot"]
        assert owner.post(f"/v1/runs/{run}:cancel").status_code == 202
        assert client.wait(60) != 0
    console = f"/v1/sandboxes/{sandbox}/console"
    wait_for(lambda: any("run given up" in line and "run.stale_fence" in line for line in owner.get(console).text.splitlines()),
             "the end of the app")
    record = owner.get(f"/v1/sandboxes/{sandbox}").json()
    assert (record["state"], record["boot"]) == ("ready", boot)
