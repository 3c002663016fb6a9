# SPDX-License-Identifier: Apache-2.0
"""The whole main job in a sandbox of the driver `process`: the same agent, the same cage for the app, no VM."""
import os

import pytest

from project import app_fixture, hostile, shell

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver 'process' takes root")
app = app_fixture("process", template="process-dev")


def test_an_app_runs_in_a_process(app):
    app.go(shell("cat /input/*/*; echo kept >/output/kept; id -u"))
    assert app.stdout() == "CODE,DESCRIPTION\n1,one\n2,two\n0\n"
    assert (app.folder / "output/output/kept").read_text() == "kept\n"
    assert app.receipt()["class"] == "none"
    assert app.state()["sandbox"]["class"] == "none"


def test_the_app_is_caged_there_too(app):
    """No process but its own, no device but five, no way to anybody: not even where the agent gets out."""
    app.go(shell("ls /dev | sort | tr '\\n' ' '; ls -d /proc/[0-9]* | wc -l; "
                 "/bin/busybox wget -q -O - http://10.0.2.2:8443/ 2>&1 || echo alone; dd if=/dev/zero bs=1 count=1 2>/dev/null | wc -c; "
                 "touch /x && echo writable; touch /dev/x /proc/x 2>/dev/null || echo read-only; cat /dev/null"))
    said = app.stdout()
    assert said.startswith("fd full null random shm stderr stdin stdout urandom zero ")
    assert "alone" in said and "writable" in said and "read-only" in said
