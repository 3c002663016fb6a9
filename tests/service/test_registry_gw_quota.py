# SPDX-License-Identifier: Apache-2.0
"""A tenant's quota: reserved before bytes come, what was really sent, released, used; limits are the operator's."""
import concurrent.futures
import json
import os
import secrets
import socket

import pytest

from conftest import LIMIT_S, wait_for
from registry_stack import MANIFEST_TYPE, VECTOR, refused, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)

MIB = 1 << 20
SUMS = """SELECT q.bytes_used - coalesce((SELECT sum(size_bytes) FROM registry_gw.held_blob h
        WHERE h.tenant_id = q.tenant_id AND h.repositories > 0), 0)
        - coalesce((SELECT sum(size_bytes) FROM registry_gw.manifest m WHERE m.tenant_id = q.tenant_id), 0),
    q.bytes_reserved - coalesce((SELECT sum(reserved_bytes) FROM registry_gw.upload u WHERE u.tenant_id = q.tenant_id), 0),
    q.images - (SELECT count(*) FROM registry_gw.manifest m WHERE m.tenant_id = q.tenant_id),
    q.uploads - (SELECT count(*) FROM registry_gw.upload u WHERE u.tenant_id = q.tenant_id),
    (SELECT count(*) FROM registry_gw.held_blob h WHERE h.tenant_id = q.tenant_id AND h.repositories <>
        (SELECT count(*) FROM registry_gw.blob b WHERE b.tenant_id = h.tenant_id AND b.digest = h.digest))
    FROM registry_gw.quota q"""


@pytest.fixture(autouse=True)
def sums(gateway):
    """What is counted is what there is, whatever happened."""
    yield
    for row in gateway.postgres.sql(SUMS):
        assert row == (0, 0, 0, 0, 0)


@pytest.fixture
def limit(gateway):
    """Sets limits beyond what the tenant has now; without a word the configuration's."""
    operator, tenant = gateway.member("system-operator"), gateway.member("acme-owner").tenant

    def change(**more):
        now = operator.ask("GET", f"/v1/registry/quotas/{tenant}")
        reached = {"bytes": now.json["bytes"]["used"] + now.json["bytes"]["reserved"], "images": now.json["images"]["used"],
                   "uploads": now.json["uploads"]["used"]}
        body = {name: reached[name] + extra for name, extra in more.items()}
        answer = operator.ask("PUT", f"/v1/registry/quotas/{tenant}", body, If_Match=now.headers["ETag"])
        assert answer.status == 200, answer.body
        return answer.json
    yield change
    change()


def use(gateway):
    quota = gateway.quota()
    return quota["bytes"]["used"], quota["bytes"]["reserved"], quota["images"]["used"], quota["uploads"]["used"]


def grown(before, after):
    return tuple(b - a for a, b in zip(before, after))


# --- what is counted ---

def test_reserved_then_used_then_released(gateway, repository):
    before = use(gateway)
    location = repository.open()
    assert grown(before, use(gateway)) == (0, 0, 0, 1)
    assert repository.ask("PATCH", location, b"x" * 1000).status == 202
    assert grown(before, use(gateway)) == (0, 1000, 0, 1)
    assert repository.ask("PATCH", location, b"x" * 500, chunked=True).status == 202
    assert grown(before, use(gateway)) == (0, 1500, 0, 1)
    assert repository.close(location, sha256(b"x" * 1500)).status == 201
    assert grown(before, use(gateway)) == (1500, 0, 0, 0)
    assert repository.ask("DELETE", f"blobs/{sha256(b'x' * 1500)}").status == 202
    assert grown(before, use(gateway)) == (0, 0, 0, 0)


def test_a_cancelled_upload_gives_back(gateway, repository):
    before = use(gateway)
    location = repository.open()
    repository.ask("PATCH", location, b"x" * 1000)
    assert repository.ask("DELETE", location).status == 204
    assert grown(before, use(gateway)) == (0, 0, 0, 0)


def test_a_forgotten_upload_gives_back(gateway, repository):
    before = use(gateway)
    location = repository.open()
    repository.ask("PATCH", location, b"x" * 1000)
    gateway.postgres.sql("UPDATE registry_gw.upload SET expires_at = now() WHERE id = %s", location.rsplit("/", 1)[1])
    gateway.stop()
    gateway.configure(retention_beat="100ms")
    gateway.start()
    try:
        wait_for(lambda: grown(before, use(gateway)) == (0, 0, 0, 0), "it is forgotten")
    finally:
        gateway.stop()
        gateway.configure()
        gateway.start()


def test_what_really_came_is_kept(gateway, repository):
    """All that was announced is reserved; what a client that vanished did send stays so."""
    before = use(gateway)
    location = repository.open()
    with repository.cut_upload(location, b"x" * 1000, 5000):
        wait_for(lambda: grown(before, use(gateway))[1] == 5000, "it is reserved")
    assert repository.offset(location) == 1000
    assert grown(before, use(gateway)) == (0, 1000, 0, 1)
    repository.ask("DELETE", location)


def test_a_lost_upload_gives_back(gateway, repository):
    before = use(gateway)
    location = repository.open()
    with repository.cut_upload(location, b"x" * 1000, 5000):
        wait_for(lambda: grown(before, use(gateway))[1] == 5000, "it is reserved")
        gateway.kill()
    gateway.configure(registry_storage="")
    gateway.start()
    try:
        wait_for(lambda: repository.ask("GET", "tags/list").status != 503, "revocations are known")
        assert repository.ask("GET", location).status == 404
        assert grown(before, use(gateway)) == (0, 0, 0, 0)
    finally:
        gateway.stop()
        gateway.configure()
        gateway.start()


def test_a_killed_upload_keeps_what_came(gateway, repository):
    before = use(gateway)
    location = repository.open()
    connection = repository.cut_upload(location, b"x" * MIB, 5 * MIB)
    wait_for(lambda: grown(before, use(gateway))[1] == 5 * MIB, "it is reserved")
    gateway.kill()
    connection.close()
    gateway.start()
    wait_for(lambda: repository.ask("GET", location).status != 503, "revocations are known")
    came = repository.offset(location)
    assert grown(before, use(gateway)) == (0, came, 0, 1)
    repository.ask("DELETE", location)


def test_a_blob_counts_once_in_all_repositories(gateway, repository, algo):
    data = secrets.token_bytes(3000)
    before = use(gateway)
    digest = repository.push_blob(data)["digest"]
    others = [algo.repository("acme/other-" + secrets.token_hex(4)) for _ in range(2)]
    token = algo.token(*(f"repository:{one.name}:pull,push" for one in (repository, *others)))
    answer = others[0].ask("POST", f"blobs/uploads/?mount={digest}&from={repository.name}", token=token)
    assert answer.status == 201
    others[1].push_blob(data)
    assert grown(before, use(gateway)) == (3000, 0, 0, 0)
    for one, left in ((repository, 3000), (others[0], 3000), (others[1], 0)):
        assert one.ask("DELETE", f"blobs/{digest}").status == 202
        assert grown(before, use(gateway)) == (left, 0, 0, 0)


def pushed(repository, tag):
    document = json.loads((VECTOR / "manifest.json").read_text())
    repository.push_blob((VECTOR / "layer.enc").read_bytes())
    document["config"].update(repository.push_blob(b"{}"))
    document["annotations"] = {"tag": tag}
    text = json.dumps(document).encode()
    return repository.ask("PUT", f"manifests/{tag}", text, Content_Type=MANIFEST_TYPE), text


def test_images_are_counted(gateway, repository, limit):
    answer, text = pushed(repository, "v1")
    assert answer.status == 201
    before = use(gateway)
    assert repository.ask("PUT", "manifests/again", text, Content_Type=MANIFEST_TYPE).status == 201
    assert grown(before, use(gateway)) == (0, 0, 0, 0)
    limit(images=0)
    answer, other = pushed(repository, "v2")
    assert "images: delete some" in refused(answer, 403, "DENIED")
    assert answer.json["errors"][0]["detail"]["code"] == "quota.images"
    assert repository.ask("GET", "manifests/v2").status == 404
    assert repository.ask("DELETE", f"manifests/{sha256(text)}").status == 202
    assert grown(before, use(gateway)) == (-len(text), 0, -1, 0)
    limit(images=1)
    assert pushed(repository, "v2")[0].status == 201


def test_who_pushes_into_a_nearly_full_quota_is_warned(gateway, repository, limit):
    assert "Warning" not in pushed(repository, "v1")[0].headers
    images = gateway.quota()["images"]["used"]
    limit(images=max(images, 10))
    assert "Warning" not in pushed(repository, "v2")[0].headers
    limit(images=1)
    answer, text = pushed(repository, "v3")
    assert answer.headers.get_all("Warning") == [answer.headers["Warning"]] and " 100 % of its images;" in answer.headers["Warning"]
    limit(bytes=2000)
    assert " % of its bytes, 0 % of its images;" in pushed(repository, "v4")[0].headers["Warning"]
    again = repository.ask("PUT", "manifests/again", text, Content_Type=MANIFEST_TYPE)
    assert again.status == 201 and "Warning" not in again.headers


# --- refusals ---

def test_refused_before_the_bytes_when_the_length_is_known(gateway, repository, limit):
    location = repository.open()
    limit(bytes=1000)
    with repository.cut_upload(location, b"", 1001) as connection:
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 403 ") and b"DENIED" in answer and b"quota.bytes" in answer
    assert b"0 MiB reserved" in answer and b"ask the operator" in answer
    assert repository.offset(location) == 0
    assert repository.ask("PATCH", location, b"x" * 1000).status == 202
    refused(repository.ask("POST", "blobs/uploads/"), 403, "DENIED")  # nothing is left
    assert repository.close(location, sha256(b"x" * 1000)).status == 201
    refused(repository.ask("POST", f"blobs/uploads/?digest={sha256(b'1')}", b"1"), 403, "DENIED")
    repository.ask("DELETE", f"blobs/{sha256(b'x' * 1000)}")


def test_refused_as_soon_as_the_limit_is_passed(gateway, repository, limit):
    """A body of unknown length; what fits is kept, and reserved."""
    location = repository.open()
    limit(bytes=40 * MIB)
    with repository.cut_upload(location, b"x", None) as connection:
        answer, sent = b"", 1
        connection.setblocking(False)
        piece = b"%x\r\n%b\r\n" % (MIB, b"x" * MIB)

        def send():
            nonlocal answer, sent
            try:
                answer += connection.recv(65536)
            except BlockingIOError:
                pass
            if b"\r\n\r\n" in answer:
                return True
            connection.setblocking(True)
            connection.settimeout(LIMIT_S)
            connection.sendall(piece)
            connection.setblocking(False)
            sent += MIB
            return sent > 80 * MIB
        wait_for(send, "it is answered")
    assert answer.startswith(b"HTTP/1.1 403 ") and b"quota.bytes" in answer, answer
    offset = repository.offset(location)
    assert 39 * MIB <= offset <= 40 * MIB
    assert gateway.quota()["bytes"]["reserved"] >= offset
    repository.ask("DELETE", location)


def test_a_body_of_unknown_length_goes_on_as_far_as_there_is_room(gateway, repository, limit):
    limit(bytes=50 * MIB)
    data = os.urandom(MIB) * 45
    location = repository.open()
    assert repository.ask("PATCH", location, data, chunked=True).status == 202
    assert repository.close(location, sha256(data)).status == 201
    repository.ask("DELETE", f"blobs/{sha256(data)}")


def test_open_uploads_are_limited(repository, limit):
    limit(uploads=1)
    location = repository.open()
    answer = repository.ask("POST", "blobs/uploads/")
    assert "uploads are open" in refused(answer, 429, "TOOMANYREQUESTS")
    assert int(answer.headers["Retry-After"]) > 0
    assert repository.ask("DELETE", location).status == 204
    repository.ask("DELETE", repository.open())


def test_a_refused_upload_leaves_nothing_at_the_registry(gateway, repository, limit):
    sessions = gateway.registry.storage / "docker/registry/v2/repositories" / repository.name / "_uploads"
    limit(uploads=0)
    refused(repository.ask("POST", "blobs/uploads/"), 429, "TOOMANYREQUESTS")
    assert list(sessions.rglob("data")) == []


def test_parallel_uploads_of_one_tenant_never_pass_the_limit(gateway, repository, limit):
    """64 at once, room for 16: who is refused is refused for good, and nobody waits for another."""
    limit(bytes=16 * 100_000)
    repository.ask("GET", "tags/list", actions="pull,push")
    blobs = [secrets.token_bytes(100_000) for _ in range(64)]

    def push(data):
        opened = repository.ask("POST", "blobs/uploads/")
        if opened.status != 202:
            return opened.status
        location = opened.headers["Location"]
        if (answer := repository.ask("PATCH", location, data)).status != 202:
            repository.ask("DELETE", location)
            return answer.status
        return repository.close(location, sha256(data)).status
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        outcomes = list(pool.map(push, blobs))
    assert sorted(set(outcomes)) == [201, 403] and outcomes.count(201) == 16
    for data, outcome in zip(blobs, outcomes):
        assert repository.ask("HEAD", f"blobs/{sha256(data)}").status == (200 if outcome == 201 else 404)
        if outcome == 201:
            repository.ask("DELETE", f"blobs/{sha256(data)}")


def test_a_streams_refusal_is_read_by_who_sends_it_all(gateway, repository, limit):
    """The answer comes before the body's end, and is not lost in a reset."""
    location = repository.open()
    limit(bytes=1000)
    with repository.cut_upload(location, b"", 16 * MIB) as connection:
        connection.sendall(b"x" * 16 * MIB)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 403 ") and b"quota.bytes" in answer
    repository.ask("DELETE", location)


# --- routes ---

def test_members_read_their_own(gateway):
    quota = gateway.quota("globex-owner")
    assert quota["tenant"] == gateway.member("globex-owner").tenant != gateway.quota()["tenant"]
    assert quota["bytes"]["limit"] == 1 << 40 and quota["bytes"]["by_operator"] is False
    assert quota["images"] == {"limit": 10000, "by_operator": False, "used": 0}


def test_limits_are_for_operators(gateway):
    owner = gateway.member("acme-owner")
    for method, body in (("GET", None), ("PUT", {"bytes": 1})):
        answer = owner.ask(method, f"/v1/registry/quotas/{owner.tenant}", body, If_Match='"r1"')
        assert (answer.status, answer.json["code"]) == (403, "auth.role_missing")
    assert owner.ask("GET", "/v1/registry/quota").json["bytes"]["by_operator"] is False


def test_operators_set_and_clear_limits(gateway):
    operator, tenant = gateway.member("system-operator"), gateway.member("globex-owner").tenant
    path = f"/v1/registry/quotas/{tenant}"
    first = operator.ask("GET", path)
    answer = operator.ask("PUT", path, {"bytes": 5, "images": 6, "uploads": 0}, If_Match=first.headers["ETag"])
    assert answer.status == 200, answer.body
    assert [answer.json[name]["limit"] for name in ("bytes", "images", "uploads")] == [5, 6, 0]
    assert gateway.quota("globex-owner") == answer.json
    stale = operator.ask("PUT", path, {"bytes": 7}, If_Match=first.headers["ETag"])
    assert (stale.status, stale.json["code"]) == (412, "resource.changed")
    assert operator.ask("PUT", path, {"bytes": 7}).status == 428
    for body in ({"bytes": -1}, {"bytes": "1"}, {"images": 1.5}, {"more": 1}):
        assert operator.ask("PUT", path, body, If_Match=answer.headers["ETag"]).status == 400
    cleared = operator.ask("PUT", path, {"bytes": None}, If_Match=answer.headers["ETag"])
    assert cleared.json["bytes"] == first.json["bytes"] and cleared.json["images"] == first.json["images"]
    assert operator.ask("GET", "/v1/registry/quotas/nobody").status == 404
    audited = gateway.postgres.sql("SELECT count(*) FROM registry_gw.audit_outbox WHERE tenant_id = %s"
                                   " AND record LIKE '%%quota.set%%'", tenant)
    assert audited[0][0] <= 2  # certreg takes them over


def test_tenants_share_nothing(gateway, repository, limit):
    limit(bytes=0)
    refused(repository.ask("POST", "blobs/uploads/"), 403, "DENIED")
    theirs = gateway.client("globex-owner").repository("globex/app")
    data = secrets.token_bytes(1000)
    theirs.push_blob(data)
    assert theirs.ask("DELETE", f"blobs/{sha256(data)}").status == 202
