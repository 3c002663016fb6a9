# SPDX-License-Identifier: Apache-2.0
"""The whole main job in a domain of libvirt's, within the provisioner since the stack has no daemon: the client verifies it by
the reference values of its trust file."""
import os

import pytest

from project import app_fixture, shell

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="libvirt takes root here")
app = app_fixture("libvirt", template="libvirt-measured")


def test_an_app_runs_in_a_domain(app):
    app.go(shell("cat /input/*/*; echo kept >/output/kept"))
    assert app.stdout() == "CODE,DESCRIPTION\n1,one\n2,two\n"
    assert (app.folder / "output/output/kept").read_text() == "kept\n"
    assert app.receipt()["class"] == "software-tpm"
    assert app.state()["sandbox"]["class"] == "software-tpm"
