# SPDX-License-Identifier: Apache-2.0
"""A project whose output goes to somebody else: nothing is written, approved or wrapped before his key was compared, and
nothing once its pin is gone."""
import re

from client_project import Project
from local_stack import BUILD, unique
from trust import Key


def test_nothing_is_wrapped_for_whom_nobody_compared(stack, tmp_path):
    receiver, name = Key().spki, unique("named")
    project = Project(BUILD / "bin/strongroom", stack, tmp_path)
    project.configure()
    project.prepare(name)
    (tmp_path / "receiver.spki").write_text(receiver)
    plan = (tmp_path / "main.yml").read_text()
    named, changes = re.subn(r"pub_client: .*", "pub_client: receiver.spki", plan)
    assert changes == 1
    (tmp_path / "main.yml").write_text(named)
    refused = project.run("run", check=False)
    assert refused.returncode == 6 and "peer.unpinned" in refused.stderr and receiver in refused.stderr
    assert not (tmp_path / "policy/policy.json").exists()
    project.run("peer", "add", "receiver", "--spki", receiver)
    project.run("run", "--until", "upload-policy")
    policy = project.state()["tasks"]["upload-policy"]["outputs"]["policy_id"]
    project.run("peer", "remove", "receiver")
    refused = project.run("run", check=False)
    assert refused.returncode == 6 and "peer.unpinned" in refused.stderr
    assert stack.sql('SELECT count(*) FROM policy.run_order WHERE policy_id = %s', policy) == [(0,)]
    project.run("peer", "add", "receiver", "--spki", receiver)
    project.run("run", "--until", "execute-policy")
    assert stack.sql('SELECT count(*) FROM policy.run_order WHERE policy_id = %s', policy) == [(1,)]
