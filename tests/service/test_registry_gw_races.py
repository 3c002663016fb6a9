# SPDX-License-Identifier: Apache-2.0
"""Who pushes and who deletes the same manifest wait for each other, while the registry behind stands still in the middle."""
import concurrent.futures
import json
import signal

import pytest

from conftest import wait_for
from registry_stack import MANIFEST_TYPE, VECTOR, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)


@pytest.fixture
def stopped(gateway):
    """The registry behind is there, but does nothing."""
    process = gateway.registry.process
    process.send_signal(signal.SIGSTOP)
    yield process
    process.send_signal(signal.SIGCONT)


def manifest_of(repository):
    document = json.loads((VECTOR / "manifest.json").read_text())
    repository.push_blob((VECTOR / "layer.enc").read_bytes())
    document["config"].update(repository.push_blob(b"{}"))
    text = json.dumps(document).encode()
    assert repository.ask("PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE).status == 201
    return text


def sessions(gateway, condition):
    return gateway.postgres.sql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = 'registry_gw' AND {condition}")[0][0]


def in_order(gateway, stopped, first, second):
    """Both answers, when `first` was in the registry's hands before `second` came."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        wait_for(lambda: sessions(gateway, "state = 'idle in transaction' AND query ~ '^(INSERT INTO tag|DELETE FROM manifest)'"),
                 "the registry has the first")
        two = pool.submit(second)
        wait_for(lambda: sessions(gateway, "wait_event_type = 'Lock'"), "the second waits")
        stopped.send_signal(signal.SIGCONT)
        return one.result().status, two.result().status


def test_push_before_delete(gateway, repository, request):
    text = manifest_of(repository)
    repository.ask("GET", "tags/list", actions="pull,push,delete")  # fetches the tokens
    repository.ask("GET", "tags/list", actions="pull,push")
    assert in_order(gateway, request.getfixturevalue("stopped"),
                    lambda: repository.ask("PUT", "manifests/v2", text, Content_Type=MANIFEST_TYPE),
                    lambda: repository.ask("DELETE", f"manifests/{sha256(text)}")) == (201, 202)
    for reference in ("v1", "v2", sha256(text)):
        assert repository.ask("GET", f"manifests/{reference}").status == 404


def test_delete_before_push(gateway, repository, request):
    text = manifest_of(repository)
    repository.ask("GET", "tags/list", actions="pull,push,delete")
    repository.ask("GET", "tags/list", actions="pull,push")
    assert in_order(gateway, request.getfixturevalue("stopped"),
                    lambda: repository.ask("DELETE", f"manifests/{sha256(text)}"),
                    lambda: repository.ask("PUT", "manifests/v2", text, Content_Type=MANIFEST_TYPE)) == (202, 201)
    for reference in ("v2", sha256(text)):
        assert repository.ask("GET", f"manifests/{reference}").body == text
    assert repository.ask("GET", "tags/list").json["tags"] == ["v2"]
