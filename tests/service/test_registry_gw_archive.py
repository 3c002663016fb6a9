# SPDX-License-Identifier: Apache-2.0
"""One encrypted image as one .tar (POST /v1/registry/archives): what is taken, from whom, and how it flows."""
import contextlib
import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import tarfile

import pytest

from archive_kit import DOCKER, LAYOUT, MIB, Image, archive_of, begun, blob, descriptor, index_json, leavings, member, pulled, \
    refusal, send, tar, uploads
from conftest import LIMIT_S, wait_for
from registry_stack import INDEX_TYPE, MANIFEST_TYPE, refused, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)
from test_certreg_members import new_owner
from test_registry_gw_sessions import forge, revocable_since  # noqa: F401 (fixtures)
from test_registry_gw_streams import Rss


# --- what is taken ---

@pytest.mark.parametrize("order", [None, [2, 3, 4, 1, 0], [4, 3, 2, 0, 1], [1, 0, 4, 2, 3]])
def test_parts_in_any_order(repository, order):
    image = Image()
    answer = send(repository, archive_of(image, order))
    assert answer.status == 201, answer.body
    assert answer.headers["Location"] == f"/v2/{repository.name}/manifests/{sha256(image.manifest)}"
    assert answer.headers["Docker-Content-Digest"] == sha256(image.manifest)
    assert answer.json == {"repository": repository.name, "digest": sha256(image.manifest), "media_type": MANIFEST_TYPE,
                           "tags": ["v1"], "manifests": 1, "blobs": 3,
                           "size_bytes": len(image.layer) + len(image.config) + len(image.manifest)}
    pulled(repository, image)
    assert leavings(repository)[1] == 0


def test_a_layer_beyond_memory_in_pieces(repository):
    image = Image(secrets.token_bytes(9 * MIB))
    assert send(repository, archive_of(image), chunked=True).status == 201
    pulled(repository, image)


def test_twice_and_by_digest_alone(repository):
    image = Image()
    for tags in ((), ("a", "b")):
        assert send(repository, archive_of(image), tags=tags).status == 201
    assert repository.ask("GET", "tags/list").json["tags"] == ["a", "b"]
    pulled(repository, image, sha256(image.manifest))


def test_several_platforms(repository):
    images = [Image() for _ in range(3)]
    inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [
        descriptor(image.manifest, platform={"os": "linux", "architecture": name})
        for image, name in zip(images, ("amd64", "arm64", "s390x"))]}).encode()
    blobs = {info.name: (info, data) for image in images for info, data in image.blobs}
    answer = send(repository, tar(*blobs.values(), blob(inner), index_json(descriptor(inner, INDEX_TYPE)), LAYOUT))
    assert (answer.status, answer.json["manifests"], answer.json["blobs"]) == (201, 4, 8), answer.body
    assert repository.ask("GET", "manifests/v1").body == inner
    for image in images:
        pulled(repository, image, sha256(image.manifest))


def test_names_as_tar_writes_them_and_dockers_own_lists(repository):
    image = Image()
    parts = [LAYOUT, index_json(descriptor(image.manifest)), *image.blobs, member("manifest.json", b"[]"),
             member("repositories", b"{}")]
    folders = [member(name, type=tarfile.DIRTYPE) for name in (".", "./blobs", "./blobs/sha256")]
    for info, _ in parts:
        info.name = "./" + info.name
    assert send(repository, tar(*folders, *parts)).status == 201
    pulled(repository, image)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_formats(repository, format):
    image, out = Image(), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, data in (LAYOUT, index_json(descriptor(image.manifest)), *image.blobs):
            info.pax_headers = {"comment": "x"}
            archive.addfile(info, io.BytesIO(data))
    assert send(repository, out.getvalue(), Content_Type="application/x-tar").status == 201
    pulled(repository, image)


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env={**os.environ, "HOME": str(cwd)})
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("skopeo") or not shutil.which("openssl"), reason="skopeo is not installed")
def test_an_archive_of_skopeo(repository, tmp_path):
    import test_ocicrypt_interop as interop
    layer, diff_id = interop.make_layer(5 * MIB)
    (tmp_path / "plain").mkdir()
    interop.put_image(tmp_path / "plain", layer, {"mediaType": interop.LAYER, "digest": sha256(layer), "size": len(layer)}, diff_id)
    run("openssl", "genrsa", "-traditional", "-out", "key.pem", "2048", cwd=tmp_path)
    run("openssl", "rsa", "-in", "key.pem", "-pubout", "-out", "key.pub", cwd=tmp_path)
    skopeo = ["skopeo", "--insecure-policy", "copy"]
    run(*skopeo, "--encryption-key", "jwe:key.pub", "oci:plain:v1", "oci-archive:secret.tar:v1", cwd=tmp_path)
    run(*skopeo, "oci:plain:v1", "oci-archive:plain.tar:v1", cwd=tmp_path)
    run(*skopeo, "oci:plain:v1", "docker-archive:docker.tar:a/b:v1", cwd=tmp_path)
    assert "layer 0: its media type" in refusal(repository, (tmp_path / "plain.tar").read_bytes(), 403, "manifest.not_encrypted")
    assert DOCKER in refusal(repository, (tmp_path / "docker.tar").read_bytes(), 422, "image.not_encrypted")
    assert send(repository, (tmp_path / "secret.tar").read_bytes()).status == 201
    gateway = repository.client.gateway
    run(*skopeo, "--src-tls-verify=false", "--src-creds", f"me:{repository.client.key}", "--decryption-key", "key.pem",
        f"docker://127.0.0.1:{gateway.port}/{repository.name}:v1", "oci:back:v1", cwd=tmp_path)
    assert (tmp_path / "back/blobs/sha256" / sha256(layer)[7:]).read_bytes() == layer


# --- who, where, how ---

def test_who_may_send(gateway, repository):
    path = f"/v1/registry/archives?repository={repository.name}&tag=v1"
    answer = repository.client.ask("POST", path, b"x")
    refused(answer, 401, "UNAUTHORIZED")
    assert f'scope="repository:{repository.name}:pull,push"' in answer.headers["WWW-Authenticate"]
    answer = repository.client.ask("POST", path, b"x", scope=f"repository:{repository.name}:pull")
    refused(answer, 401, "UNAUTHORIZED")
    stranger = gateway.client("globex-owner")
    refused(stranger.ask("POST", path, b"x", scope="repository:globex/x:pull,push"), 403, "DENIED")
    for bad in ("", "acme/UP", "acme/../x"):
        answer = repository.ask("POST", f"/v1/registry/archives?repository={bad}", b"x", actions="pull,push")
        refused(answer, 400, "NAME_INVALID")
    refused(repository.ask("POST", "/v1/registry/archives", b"x", actions="pull,push"), 400, "NAME_INVALID")
    assert leavings(repository) == (0, 0, 0)


def test_tags_and_types_are_looked_at_first(repository):
    refusal(repository, archive_of(Image()), 400, "manifest.bad_reference", tags=("good", "-bad"))
    for name in ("multipart/form-data; boundary=x", "application/gzip"):
        refusal(repository, archive_of(Image()), 415, "archive.type", Content_Type=name)


@pytest.mark.parametrize("announced", [True, False])
def test_a_client_that_vanishes(repository, announced):
    body = archive_of(Image(secrets.token_bytes(9 * MIB)))
    connection = begun(repository, body[:7 * MIB], len(body) if announced else None)
    wait_for(lambda: uploads(repository), "the layer is on its way")
    connection.close()
    wait_for(lambda: leavings(repository) == (0, 0, 0), "nothing stays")


def test_a_killed_archive_gives_back_its_reservation(gateway, repository):
    """It lives as long as its writer; what a client may go on with stays."""
    body = archive_of(Image(secrets.token_bytes(9 * MIB)))
    other, forgotten = repository.open(), repository.open().rsplit("/", 1)[1]
    assert repository.ask("PATCH", other, b"x" * 1000).status == 202
    gateway.stop()
    gateway.configure(retention_beat="50ms")
    gateway.start()
    wait_for(lambda: repository.ask("GET", other).status != 503, "revocations are known")
    before = gateway.quota()
    try:
        with contextlib.closing(begun(repository, body[:7 * MIB], len(body))):
            wait_for(lambda: gateway.quota()["bytes"]["reserved"] == before["bytes"]["reserved"] + 9 * MIB, "it is reserved")
            gateway.postgres.sql("UPDATE registry_gw.upload SET expires_at = now() WHERE id = %s", forgotten)
            wait_for(lambda: uploads(repository) == 2, "others are forgotten, and the archive's is not")
            assert gateway.quota()["bytes"]["reserved"] == before["bytes"]["reserved"] + 9 * MIB
            gateway.kill()
        gateway.start()
        wait_for(lambda: uploads(repository) == 1, "what it held is let go")
        after = gateway.quota()
        assert after["bytes"] == before["bytes"] and after["uploads"]["used"] == before["uploads"]["used"] - 1
        assert repository.offset(other) == 1000
    finally:
        gateway.stop()
        gateway.configure()
        gateway.start()
    repository.ask("DELETE", other)


def test_chunks_that_lie(repository):
    connection = begun(repository, archive_of(Image(secrets.token_bytes(5 * MIB)))[:3 * MIB])
    wait_for(lambda: uploads(repository), "the layer is on its way")
    connection.sendall(b"no chunk\r\n")
    answer = connection.recv(65536)
    connection.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    wait_for(lambda: leavings(repository) == (0, 0, 0), "nothing stays")


def test_a_refusal_in_the_middle_is_told_before_the_end(repository):
    with contextlib.closing(begun(repository, tar(member("../x", bytes(100_000))), 1 << 35)) as connection:
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"archive.name" in answer


def test_a_tenant_sends_two_at_once(gateway, repository):
    image = Image(secrets.token_bytes(5 * MIB))
    body = archive_of(image)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(contextlib.closing(begun(repository, body[:5 * MIB], len(body)))) for _ in range(2)]
        wait_for(lambda: uploads(repository) == 2, "both are on their way")
        answer = send(repository, body)
        refused(answer, 429, "TOOMANYREQUESTS")
        assert answer.headers["Retry-After"]
        other = gateway.client("globex-owner").repository("globex/t-" + secrets.token_hex(4))
        assert send(other, archive_of(Image())).status == 201
        for connection in waiting:
            connection.sendall(body[5 * MIB:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
    pulled(repository, image)


def test_others_do_not_wait_for_slow_archives(gateway, repository):
    """Two tenants send as slowly as they like, on all threads that are kept for it: a third one sends at once, and so is a stranger refused."""
    body = archive_of(Image(secrets.token_bytes(5 * MIB)))
    slow = [repository, gateway.client("globex-owner").repository("globex/t-" + secrets.token_hex(4))]
    who, tenant = new_owner(gateway.certreg)
    other = gateway.client(who).repository(f"{tenant}/t-" + secrets.token_hex(4))
    with contextlib.ExitStack() as stack:
        for one in slow * 2:
            stack.enter_context(contextlib.closing(begun(one, body[:5 * MIB], len(body))))
        wait_for(lambda: [uploads(one) for one in slow] == [2, 2], "all of them are on their way")
        image = Image()
        assert send(other, archive_of(image)).status == 201
        with contextlib.closing(begun(repository, b"", len(body), token="x")) as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        assert [uploads(one) for one in slow] == [2, 2]
    pulled(other, image)


def test_pushes_beside_an_archive(repository):
    """What another push of the same repository uploads and names stays, whatever becomes of the archive."""
    image = Image(secrets.token_bytes(5 * MIB))
    bad = tar(LAYOUT, *image.blobs, index_json(descriptor(image.manifest)), blob(b"unreferenced"))
    with contextlib.closing(begun(repository, bad[:2 * MIB], len(bad))) as connection:
        wait_for(lambda: uploads(repository), "it is on its way")
        for data in (image.layer, image.config):
            repository.push_blob(data)
        assert repository.ask("PUT", "manifests/v1", image.manifest, Content_Type=MANIFEST_TYPE).status == 201
        connection.sendall(bad[2 * MIB:])
        assert b"archive.unreferenced" in connection.recv(65536)
    pulled(repository, image)


@pytest.mark.skipif(bool(os.environ.get("SAN")), reason="a sanitizer's memory is its own")
def test_memory_and_back_pressure(gateway, repository):
    """100 MiB while the registry stands still: what waits is at the client."""
    image = Image(secrets.token_bytes(100 * MIB))
    body, sent = archive_of(image), [0]
    connection = begun(repository, body[:MIB], len(body))
    wait_for(lambda: uploads(repository), "it is on its way")
    with Rss(gateway) as rss:
        gateway.registry.process.send_signal(signal.SIGSTOP)
        connection.setblocking(False)

        def is_stuck():
            before = sent[0]
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent[0] += connection.send(body[MIB + sent[0]:MIB + sent[0] + 65536])
            return sent[0] == before
        wait_for(is_stuck, "the client is stopped")
        gateway.registry.process.send_signal(signal.SIGCONT)
        assert sent[0] < 50 * MIB
        connection.setblocking(True)
        connection.settimeout(LIMIT_S)
        connection.sendall(body[MIB + sent[0]:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
    connection.close()
    assert rss.growth < 16 * 1024
    assert repository.ask("HEAD", f"blobs/{sha256(image.layer)}").headers["Content-Length"] == str(len(image.layer))


def test_a_registry_that_dies(gateway, repository):
    body = archive_of(Image(secrets.token_bytes(9 * MIB)))
    with contextlib.closing(begun(repository, body[:7 * MIB], len(body))) as connection:
        wait_for(lambda: uploads(repository), "it is on its way")
        gateway.registry.kill()
        with contextlib.suppress(OSError):  # it may be refused before all is sent
            connection.sendall(body[7 * MIB:])
        answer = connection.recv(65536)
        gateway.registry.start()
    assert answer.startswith(b"HTTP/1.1 50") and b"the registry cannot answer now" in answer
    assert leavings(repository)[2] == 0 and repository.ask("GET", "tags/list").status == 404
    assert send(repository, body).status == 201


def test_revoked_in_the_middle(repository, revocable_since):
    token, revoke = revocable_since(100)
    body = archive_of(Image(secrets.token_bytes(5 * MIB)))
    with contextlib.closing(begun(repository, body[:3 * MIB], len(body), token)) as connection:
        wait_for(lambda: uploads(repository), "it is on its way")
        revoke()
        connection.sendall(body[3 * MIB:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 401 ") and b"auth.revoked" in answer
    wait_for(lambda: leavings(repository) == (0, 0, 0), "nothing stays")
