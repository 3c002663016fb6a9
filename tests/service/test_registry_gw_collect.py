# SPDX-License-Identifier: Apache-2.0
"""What nobody names goes, at the registry too, and never what a manifest names or is about to: with kills in between."""
import concurrent.futures
import json
import secrets
import signal

import pytest

from conftest import wait_for
from registry_stack import MANIFEST_TYPE, VECTOR, refused, sha256
from registry_stack import algo, gateway as plain_gateway, repository  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def gateway(plain_gateway):
    """Looks for what is to be collected without a pause; the tests say what is old enough."""
    plain_gateway.stop()
    plain_gateway.configure(collect_beat="20ms", collect_grace="24h")
    plain_gateway.start()
    return plain_gateway


def age(gateway, repository, table="blob", column="used_at", hours=25):
    """Everything of the repository is that much older."""
    gateway.postgres.sql(f"UPDATE registry_gw.{table} SET {column} = {column} - {hours} * interval '1 hour' WHERE repository = %s",
                         repository.name)


def leftovers(gateway, repository):
    return gateway.postgres.sql("SELECT count(*) FROM registry_gw.leftover WHERE repository = %s", repository.name)[0][0]


def collected(gateway, repository):
    """Waits until all that was due is gone from the registry too."""
    wait_for(lambda: leftovers(gateway, repository) == 0, "leftovers are gone")


def gone(gateway, repository, digest):
    """Waits for that without asking for it, which would keep it."""
    wait_for(lambda: not gateway.postgres.sql("SELECT 1 FROM registry_gw.blob WHERE repository = %s AND digest = %s",
                                              repository.name, digest), "its row is gone")
    collected(gateway, repository)
    assert there(gateway, repository, digest) == (False, False)


def there(gateway, repository, digest):
    return repository.ask("HEAD", f"blobs/{digest}").status == 200, gateway.registry.has_blob(repository.name, digest)


def rounds(gateway):
    """Waits until every tenant was looked after once more."""
    start = gateway.postgres.sql("SELECT now()")[0][0]
    wait_for(lambda: gateway.postgres.sql("SELECT min(collected_at) FROM registry_gw.quota")[0][0] > start, "a round")
    wait_for(lambda: gateway.postgres.sql("SELECT min(collected_at) FROM registry_gw.quota")[0][0] > start, "a round")


def pushed(repository, tag="v1"):
    """A new image of three blobs' bytes; its manifest and their digests."""
    document = json.loads((VECTOR / "manifest.json").read_text())
    layer = repository.push_blob((VECTOR / "layer.enc").read_bytes())["digest"]
    document["config"].update(repository.push_blob(json.dumps({"v": secrets.token_hex(8)}).encode()))
    text = json.dumps(document).encode()
    assert repository.ask("PUT", f"manifests/{tag}", text, Content_Type=MANIFEST_TYPE).status == 201
    return text, [layer, document["config"]["digest"]]


def test_old_blobs_that_no_manifest_names_go(gateway, repository, algo):
    digest = repository.push_blob(secrets.token_bytes(500))["digest"]
    young = repository.push_blob(secrets.token_bytes(500))["digest"]
    text, named = pushed(repository)
    used = gateway.quota()["bytes"]["used"]
    gateway.postgres.sql("UPDATE registry_gw.blob SET used_at = used_at - interval '25 hours' WHERE repository = %s AND digest <> %s",
                         repository.name, young)
    gone(gateway, repository, digest)
    for other in (young, *named):
        assert there(gateway, repository, other) == (True, True)
    assert repository.ask("GET", f"manifests/{sha256(text)}").body == text
    assert gateway.quota()["bytes"]["used"] == used - 500


def test_whoever_asked_has_time_to_name_it(gateway, repository):
    """A client that skips what is there already comes with the manifest later."""
    digest = repository.push_blob(secrets.token_bytes(500))["digest"]
    age(gateway, repository, hours=23)
    assert repository.ask("HEAD", f"blobs/{digest}").status == 200
    age(gateway, repository, hours=20)
    rounds(gateway)
    assert there(gateway, repository, digest) == (True, True)


def test_a_mount_is_asked_for_too(gateway, repository, algo):
    data = secrets.token_bytes(500)
    digest = repository.push_blob(data)["digest"]
    age(gateway, repository, hours=23)
    other = algo.repository("acme/other-" + secrets.token_hex(4))
    token = algo.token(f"repository:{repository.name}:pull", f"repository:{other.name}:pull,push")
    path = f"blobs/uploads/?mount={digest}&from={repository.name}"
    assert other.ask("POST", path, token=token).status == 201
    age(gateway, repository, hours=20)
    rounds(gateway)
    assert there(gateway, repository, digest) == (True, True)
    age(gateway, repository)
    gone(gateway, repository, digest)
    assert there(gateway, other, digest) == (True, True)
    assert other.ask("GET", f"blobs/{digest}").body == data


def test_another_tenants_equal_blob_stays(gateway, repository):
    data = secrets.token_bytes(500)
    digest = repository.push_blob(data)["digest"]
    theirs = gateway.client("globex-owner").repository("globex/equal")
    theirs.push_blob(data)
    age(gateway, repository)
    gone(gateway, repository, digest)
    assert theirs.ask("GET", f"blobs/{digest}").body == data


def test_what_is_deleted_is_hidden_at_once_and_goes_later(gateway, repository):
    text, (layer, config) = pushed(repository)
    assert repository.ask("DELETE", f"manifests/{sha256(text)}").status == 202
    assert repository.ask("DELETE", f"blobs/{layer}").status == 202
    assert there(gateway, repository, layer) == (False, True)
    refused(repository.ask("GET", f"blobs/{layer}"), 404, "BLOB_UNKNOWN")
    assert gateway.registry.has_manifest(repository.name, sha256(text))
    age(gateway, repository, "leftover", "due_at")
    collected(gateway, repository)
    assert there(gateway, repository, layer) == (False, False)
    assert not gateway.registry.has_manifest(repository.name, sha256(text))
    assert there(gateway, repository, config) == (True, True)


def test_what_was_deleted_comes_back_by_a_push(gateway, repository):
    text, (layer, _) = pushed(repository)
    repository.ask("DELETE", f"manifests/{sha256(text)}")
    repository.ask("DELETE", f"blobs/{layer}")
    repository.push_blob((VECTOR / "layer.enc").read_bytes())
    assert repository.ask("PUT", "manifests/v2", text, Content_Type=MANIFEST_TYPE).status == 201
    assert leftovers(gateway, repository) == 0
    rounds(gateway)
    assert there(gateway, repository, layer) == (True, True)
    assert gateway.registry.has_manifest(repository.name, sha256(text))


def test_a_wrong_manifest_leaves_nothing(gateway, repository):
    """The registry is told of it first; what it then does not become goes again."""
    location = repository.open()
    repository.ask("PATCH", location, b"data")
    refused(repository.close(location, sha256(b"other")), 400, "DIGEST_INVALID")
    assert leftovers(gateway, repository) == 1
    age(gateway, repository, "leftover", "due_at")
    collected(gateway, repository)
    assert repository.close(location, sha256(b"data")).status == 201
    rounds(gateway)
    assert there(gateway, repository, sha256(b"data")) == (True, True)


def test_a_row_outlives_the_leftover_of_an_older_push(gateway, repository):
    """The same digest was closed wrongly after it was there: its leftover takes nothing away."""
    digest = repository.push_blob(b"data")["digest"]
    location = repository.open()
    repository.ask("PATCH", location, b"other")
    refused(repository.close(location, digest), 400, "DIGEST_INVALID")
    age(gateway, repository, "leftover", "due_at")
    collected(gateway, repository)
    assert there(gateway, repository, digest) == (True, True)
    repository.ask("DELETE", location)


# --- the registry stands still in the middle ---

@pytest.fixture
def stopped(gateway):
    process = gateway.registry.process
    process.send_signal(signal.SIGSTOP)
    yield process
    process.send_signal(signal.SIGCONT)


def leased(gateway, repository):
    return gateway.postgres.sql("SELECT count(*) FROM registry_gw.leftover WHERE repository = %s AND lease_until > now()",
                                repository.name)[0][0] == 1


def test_who_pushes_what_is_being_deleted_waits(gateway, repository, request):
    data = secrets.token_bytes(500)
    repository.push_blob(data)
    location = repository.open()
    repository.ask("PATCH", location, data)
    stopped = request.getfixturevalue("stopped")
    age(gateway, repository)
    wait_for(lambda: leased(gateway, repository), "it is being deleted")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        push = pool.submit(repository.close, location, sha256(data))
        wait_for(lambda: gateway.postgres.sql("SELECT owner IS NOT NULL FROM registry_gw.upload WHERE id = %s",
                                              location.rsplit("/", 1)[1])[0][0], "the push is begun")
        assert not push.done()
        stopped.send_signal(signal.SIGCONT)
        assert push.result().status == 201
    rounds(gateway)
    assert there(gateway, repository, sha256(data)) == (True, True)
    assert repository.ask("GET", f"blobs/{sha256(data)}").body == data


def test_a_manifest_cannot_name_what_is_being_deleted(gateway, repository, request):
    document = json.loads((VECTOR / "manifest.json").read_text())
    layer = repository.push_blob((VECTOR / "layer.enc").read_bytes())["digest"]
    document["config"].update(repository.push_blob(b"{}"))
    text = json.dumps(document).encode()
    stopped = request.getfixturevalue("stopped")
    age(gateway, repository)
    wait_for(lambda: leased(gateway, repository), "it is being deleted")
    assert repository.ask("HEAD", f"blobs/{layer}").status == 404
    refused(repository.ask("PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE), 400, "MANIFEST_BLOB_UNKNOWN")
    stopped.send_signal(signal.SIGCONT)
    collected(gateway, repository)
    assert repository.ask("GET", "manifests/v1").status == 404


def test_killed_while_it_deletes(gateway, repository, request):
    """The lease outlives the kill; when it is over, the deletion is done again."""
    digest = repository.push_blob(secrets.token_bytes(500))["digest"]
    stopped = request.getfixturevalue("stopped")
    age(gateway, repository)
    wait_for(lambda: leased(gateway, repository), "it is being deleted")
    gateway.kill()
    stopped.send_signal(signal.SIGCONT)
    gateway.start()
    rounds(gateway)
    assert leftovers(gateway, repository) == 1
    gateway.postgres.sql("UPDATE registry_gw.leftover SET lease_until = now()")
    collected(gateway, repository)
    assert there(gateway, repository, digest) == (False, False)


def test_killed_behind_a_push_that_nobody_repeats(gateway, repository, request):
    """The registry has kept what no row says: it goes when the word that it comes is due."""
    text, named = pushed(repository)
    document = json.loads(text)
    document["annotations"] = {"another": "image"}
    other = json.dumps(document).encode()
    stopped = request.getfixturevalue("stopped")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        push = pool.submit(repository.ask, "PUT", "manifests/v2", other, Content_Type=MANIFEST_TYPE)
        wait_for(lambda: leftovers(gateway, repository) == 1, "the registry has it")
        gateway.kill()
        stopped.send_signal(signal.SIGCONT)
        assert push.exception() is not None
    gateway.start()
    assert repository.ask("GET", f"manifests/{sha256(other)}").status == 404
    age(gateway, repository, "leftover", "due_at", 2)
    collected(gateway, repository)
    assert not gateway.registry.has_manifest(repository.name, sha256(other))
    assert gateway.registry.has_manifest(repository.name, sha256(text))
    for digest in named:
        assert there(gateway, repository, digest) == (True, True)


def test_what_the_registry_lost_is_told_and_can_be_pushed_again(gateway, repository):
    """Its own garbage-collect takes what no manifest names yet."""
    document = json.loads((VECTOR / "manifest.json").read_text())
    layer = (VECTOR / "layer.enc").read_bytes()
    repository.push_blob(layer)
    document["config"].update(repository.push_blob(b"{}"))
    text = json.dumps(document).encode()
    link = gateway.registry.storage / "docker/registry/v2/repositories" / repository.name / "_layers/sha256" / sha256(layer)[7:]
    (link / "link").unlink()
    gateway.registry.kill()
    gateway.registry.start()
    refused(repository.ask("PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE), 400, "MANIFEST_BLOB_UNKNOWN")
    assert repository.ask("HEAD", f"blobs/{sha256(layer)}").status == 404
    repository.push_blob(layer)
    assert repository.ask("PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE).status == 201


# --- manifests' bytes in memory ---

def test_manifests_are_served_without_the_registry(gateway, repository, request):
    text, (layer, _) = pushed(repository)
    assert repository.ask("GET", "manifests/v1").body == text
    request.getfixturevalue("stopped")
    for reference in ("v1", sha256(text)):
        assert repository.ask("GET", f"manifests/{reference}").body == text
    assert repository.ask("HEAD", f"blobs/{layer}").status == 200
    assert repository.ask("DELETE", f"manifests/{sha256(text)}").status == 202
    for reference in ("v1", sha256(text)):
        refused(repository.ask("GET", f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")


def test_rights_are_asked_for_at_each_request(gateway, repository):
    text, _ = pushed(repository)
    assert repository.ask("GET", f"manifests/{sha256(text)}").body == text
    stranger = gateway.client("globex-owner")
    theirs = stranger.repository("globex/app")
    refused(theirs.ask("GET", f"/v2/{repository.name}/manifests/{sha256(text)}"), 404, "NAME_UNKNOWN")
    refused(theirs.ask("GET", f"manifests/{sha256(text)}"), 404, "MANIFEST_UNKNOWN")
    other = repository.client.repository("acme/elsewhere")
    refused(other.ask("GET", f"manifests/{sha256(text)}"), 404, "MANIFEST_UNKNOWN")


def test_another_copy_sees_deletes_at_once(gateway, repository):
    """Two gateways over one database: the second has the bytes in memory when the first deletes."""
    second = gateway.copy()
    second.start()
    try:
        text, _ = pushed(repository)
        there = second.client("acme-algo").repository(repository.name)
        assert there.ask("GET", "manifests/v1").body == text
        assert repository.ask("DELETE", f"manifests/{sha256(text)}").status == 202
        refused(there.ask("GET", f"manifests/{sha256(text)}"), 404, "MANIFEST_UNKNOWN")
    finally:
        second.stop()


def test_bytes_that_the_registry_changed_are_not_passed_on(gateway, repository):
    text, _ = pushed(repository)
    gateway.stop()
    gateway.start()  # nothing in memory
    blob = gateway.registry.storage / "docker/registry/v2/blobs/sha256" / sha256(text)[7:9] / sha256(text)[7:] / "data"
    blob.write_bytes(text.replace(b'"schemaVersion"', b'"schemaversion"'))
    answer = wait_for(lambda: (reply := repository.ask("GET", "manifests/v1")).status != 503 and reply, "an answer")
    assert answer.status in (502, 404), answer.body
    blob.write_bytes(text)
    assert repository.ask("GET", "manifests/v1").body == text
