# SPDX-License-Identifier: Apache-2.0
"""Pushes and deletes of the same thing at once, and kills, while the registry behind stands still in the middle: no transaction
waits for it, and what a row names is there."""
import concurrent.futures
import json
import signal

import pytest

from conftest import wait_for
from registry_stack import MANIFEST_TYPE, VECTOR, refused, sha256
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


def quiet(gateway):
    """No session of the gateway holds a transaction open."""
    return gateway.postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'registry_gw' AND state <> 'idle'"
                                " AND xact_start IS NOT NULL")[0][0] == 0


def fetch_tokens(repository):
    for actions in ("pull", "pull,push", "pull,push,delete"):
        repository.ask("GET", "tags/list", actions=actions)


def is_expected(gateway, repository, digest):
    return gateway.postgres.sql("SELECT count(*) FROM registry_gw.leftover WHERE repository = %s AND digest = %s",
                                repository.name, digest)[0][0] == 1


def test_delete_while_the_registry_takes_the_same(gateway, repository, request):
    """The delete does not wait for the registry; the push, which ends later, is there in the end."""
    text = manifest_of(repository)
    fetch_tokens(repository)
    stopped = request.getfixturevalue("stopped")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        push = pool.submit(lambda: repository.ask("PUT", "manifests/v2", text, Content_Type=MANIFEST_TYPE))
        wait_for(lambda: is_expected(gateway, repository, sha256(text)) and quiet(gateway), "the registry has it")
        assert repository.ask("DELETE", f"manifests/{sha256(text)}").status == 202
        for reference in ("v1", "v2", sha256(text)):
            assert repository.ask("GET", f"manifests/{reference}").status == 404
        assert quiet(gateway)
        stopped.send_signal(signal.SIGCONT)
        assert push.result().status == 201
    for reference in ("v2", sha256(text)):
        assert repository.ask("GET", f"manifests/{reference}").body == text
    assert repository.ask("GET", "tags/list").json["tags"] == ["v2"]


def test_blob_deleted_while_the_registry_takes_its_manifest(gateway, repository, request):
    """Who deletes first wins: no manifest names what is gone."""
    document = json.loads((VECTOR / "manifest.json").read_text())
    layer = repository.push_blob((VECTOR / "layer.enc").read_bytes())["digest"]
    document["config"].update(repository.push_blob(b"{}"))
    text = json.dumps(document).encode()
    fetch_tokens(repository)
    stopped = request.getfixturevalue("stopped")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        push = pool.submit(lambda: repository.ask("PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE))
        wait_for(lambda: is_expected(gateway, repository, sha256(text)) and quiet(gateway), "the registry has it")
        assert repository.ask("DELETE", f"blobs/{layer}").status == 202
        stopped.send_signal(signal.SIGCONT)
        refused(push.result(), 400, "MANIFEST_BLOB_UNKNOWN")
    assert repository.ask("GET", f"manifests/{sha256(text)}").status == 404
    assert repository.ask("GET", f"blobs/{layer}").status == 404


def test_blob_of_a_manifest_that_came_meanwhile_stays(gateway, repository):
    """Both at once, often: a blob that can be deleted is named by nothing."""
    document = json.loads((VECTOR / "manifest.json").read_text())
    layer = (VECTOR / "layer.enc").read_bytes()
    document["config"].update(repository.push_blob(b"{}"))
    text = json.dumps(document).encode()
    fetch_tokens(repository)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            digest = repository.push_blob(layer)["digest"]
            push = pool.submit(repository.ask, "PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE)
            delete = pool.submit(repository.ask, "DELETE", f"blobs/{digest}")
            outcome = push.result().status, delete.result().status
            assert outcome in ((201, 405), (400, 202)), outcome
            assert repository.ask("HEAD", f"blobs/{digest}").status == (200 if outcome[0] == 201 else 404)
            if outcome[0] == 201:
                assert repository.ask("DELETE", f"manifests/{sha256(text)}").status == 202


def test_gateway_killed_while_the_registry_takes_a_manifest(gateway, repository, request):
    document = json.loads((VECTOR / "manifest.json").read_text())
    repository.push_blob((VECTOR / "layer.enc").read_bytes())
    document["config"].update(repository.push_blob(b"{}"))
    text = json.dumps(document).encode()
    fetch_tokens(repository)
    stopped = request.getfixturevalue("stopped")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        push = pool.submit(repository.ask, "PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE)
        wait_for(lambda: is_expected(gateway, repository, sha256(text)) and quiet(gateway), "the registry has it")
        gateway.kill()
        stopped.send_signal(signal.SIGCONT)
        assert push.exception() is not None
    gateway.start()
    assert repository.ask("GET", "manifests/v1").status == 404
    assert repository.ask("GET", f"manifests/{sha256(text)}").status == 404
    assert repository.ask("PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE).status == 201
    assert repository.ask("GET", "manifests/v1").body == text
    assert not is_expected(gateway, repository, sha256(text))


def test_gateway_killed_while_the_registry_closes_an_upload(gateway, repository, request):
    """The registry may have kept the blob, and the session is no more: the repeated PUT finds that out."""
    data = b"kept by the registry, unknown to us"
    location = repository.open()
    assert repository.ask("PATCH", location, data).status == 202
    fetch_tokens(repository)
    stopped = request.getfixturevalue("stopped")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(repository.close, location, sha256(data))
        wait_for(lambda: is_expected(gateway, repository, sha256(data)) and quiet(gateway), "the registry has it")
        gateway.kill()
        stopped.send_signal(signal.SIGCONT)
        assert done.exception() is not None
    wait_for(lambda: gateway.registry.has_blob(repository.name, sha256(data)), "the registry has kept it")
    gateway.start()
    assert repository.ask("HEAD", f"blobs/{sha256(data)}").status == 404
    answer = repository.close(location, sha256(data))
    assert answer.status == 201, answer.body
    assert repository.ask("GET", f"blobs/{sha256(data)}").body == data
    assert repository.ask("GET", location).status == 404
    assert not is_expected(gateway, repository, sha256(data))
