# SPDX-License-Identifier: Apache-2.0
"""Parts that die in mid-run, one after the other in runs of their own: `stack up` repairs, the waiting client notices nothing but
time, and the run ends with the right output, once."""
import os
import signal
import subprocess

import pytest
from local_stack import alive, wait_for
from project import app_fixture, shell

app = app_fixture("faults")
SAID = "CODE,DESCRIPTION\n1,one\n2,two\nalive\n"
SLEEPER = shell("cat /input/*/*; sleep 3; echo alive; echo kept >/output/kept")
LIMIT_S = 120


class Running:
    """The client at work in the background on a new run."""

    def __init__(self, app):
        self.app = app
        self.before = {id for id, in app.stack.sql("SELECT id FROM orchestrator.run")}
        app.write_plan(SLEEPER)
        self.client = app.start()

    def runs(self):
        return [id for id, in self.app.stack.sql("SELECT id FROM orchestrator.run") if id not in self.before]

    def reached(self, step, state="started"):
        """Waits until the run is in that step."""
        ask = "SELECT 1 FROM orchestrator.run_step WHERE run_id = %s AND name = %s AND state = %s"
        wait_for(lambda: self.client.poll() is not None or
                 any(self.app.stack.sql(ask, run, step, state) for run in self.runs()), f"step {step}", LIMIT_S)
        assert self.client.poll() is None, self.said()

    def said(self):
        return (self.app.folder / "stderr").read_text()

    def ends_well(self):
        """The client ends with the right output, and there is one run with one result. Returns the run's fence."""
        assert self.client.wait(LIMIT_S) == 0, self.said()
        assert self.app.stdout() == SAID
        (run,) = self.runs()
        ((state, fence),) = self.app.stack.sql("SELECT state, fence FROM orchestrator.run WHERE id = %s", run)
        assert state == "succeeded"
        outputs = self.app.stack.sql("SELECT fence FROM orchestrator.object WHERE run_id = %s AND state = 'closed'", run)
        assert outputs == [(fence,)]
        receipt = self.app.receipt()
        assert (receipt["run"], receipt["fence"], receipt["exit_code"]) == (run, fence, 0)
        return fence


@pytest.fixture
def running(app):
    made = Running(app)
    yield made
    if made.client.poll() is None:
        made.client.kill()
        made.client.wait()
    app.stack.command("up")
    for run in made.runs():
        app.stack.client("acme-owner").post(f"/v1/runs/{run}:cancel")
    assert {part["state"] for part in app.stack.status()["parts"]} <= {"running"}


@pytest.mark.parametrize("parts, step", [("certreg", "pull"), ("provisioner", "execute"), ("registry-gw registry", "pull"),
                                         ("policy", "execute"), ("orchestrator", "execute"), ("edge", "execute")])
def test_a_service_is_killed(running, parts, step):
    running.reached(step)
    for part in parts.split():
        running.app.stack.kill(part)
    running.app.stack.command("up")
    assert running.ends_well() == 1


def test_redis_forgets_everything(running):
    running.reached("execute")
    socket = running.app.stack.sockets / "redis/redis.sock"
    subprocess.run(["redis-cli", "-s", socket, "FLUSHALL"], check=True, stdout=subprocess.DEVNULL)
    assert running.ends_well() == 1


def test_postgres_restarts_at_once(running):
    running.reached("execute")
    data = running.app.stack.folder / "postgres/data"
    (postmaster,) = (data / "postmaster.pid").read_text().split()[:1]
    os.kill(int(postmaster), signal.SIGQUIT)  # what pg_ctl -m immediate does
    wait_for(lambda: not alive(int(postmaster)), "end of Postgres")
    running.app.stack.command("up")
    assert running.ends_well() == 1


def test_everything_is_killed(running):
    running.reached("execute")
    for part in ("edge", "orchestrator", "policy", "registry-gw", "provisioner", "certreg", "redis"):
        running.app.stack.kill(part)
    running.app.stack.command("up")
    assert running.ends_well() == 1


def test_the_vm_dies(running):
    """The run waits for grants; the client verifies the new boot's evidence and orders the same run again."""
    running.reached("execute")
    sandbox = running.app.state()["sandbox"]
    pid = (running.app.stack.folder / f"sandboxes/{sandbox['id']}/qemu.pid").read_text().split()[0]
    os.kill(int(pid), signal.SIGKILL)
    assert running.ends_well() > 1
    assert running.app.state()["sandbox"]["boot"] == sandbox["boot"] + 1
    assert "waits for grants" in running.said()
    states = [state for state, in running.app.stack.sql(
        "SELECT state FROM orchestrator.run_event WHERE run_id = %s AND step IS NULL ORDER BY seq", running.runs()[0])]
    assert "awaiting_grants" in states and states[-1] == "succeeded"
