# SPDX-License-Identifier: Apache-2.0
"""registry-gw's streams: constant memory, clients that vanish, kill -9, a registry that fails; and stock skopeo."""
import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import threading

import pytest

from conftest import LIMIT_S, wait_for
from registry_stack import VECTOR, has_skopeo, sha256
from registry_stack import gateway  # noqa: F401 (fixture)

MIB = 1024 * 1024
BLOB_BYTES = 100 * MIB
GROWTH_KIB = 8 * 1024  # of one stream; the blob is 100 MiB


@pytest.fixture
def repository(gateway):
    return gateway.client("acme-algo").repository("acme/s-" + secrets.token_hex(4))


def data_file(repository, location):
    """The registry's file behind a session."""
    uploads = repository.client.gateway.registry.storage / "docker/registry/v2/repositories" / repository.name / "_uploads"
    backend, = repository.client.gateway.postgres.sql(
        "SELECT backend_id FROM registry_gw.upload WHERE id = %s", location.rsplit("/", 1)[1])[0]
    return uploads / backend / "data"


def writes(repository, location):
    return repository.client.gateway.postgres.sql(
        "SELECT lease_until > now() FROM registry_gw.upload WHERE id = %s", location.rsplit("/", 1)[1])[0][0]


# --- memory ---

class Rss(threading.Thread):
    """The largest resident size while it runs."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway, self.most, self.ended = gateway, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.005):
            self.most = max(self.most, self.gateway.rss_kib())

    def __enter__(self):
        self.before = self.gateway.rss_kib()
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    @property
    def growth(self):
        return self.most - self.before


def pieces(total):
    block = hashlib.shake_256(b"blob").digest(MIB)
    for number in range(total // MIB):
        yield number.to_bytes(8, "big") + block[8:]


@pytest.mark.skipif(bool(os.environ.get("SAN")), reason="a sanitizer's memory is its own")
def test_100_mib_up_and_down_in_constant_memory(gateway, repository):
    digest = hashlib.sha256()
    for piece in pieces(BLOB_BYTES):
        digest.update(piece)
    name = "sha256:" + digest.hexdigest()
    location = repository.open()
    warm = repository.push_blob(secrets.token_bytes(4 * MIB))["digest"]
    repository.ask("GET", f"blobs/{warm}")
    with Rss(gateway) as up:
        assert repository.ask("PATCH", location, pieces(BLOB_BYTES), Content_Length=str(BLOB_BYTES)).status == 202
    assert repository.close(location, name).status == 201
    token = repository.client.token(f"repository:{repository.name}:pull")
    with Rss(gateway) as down, contextlib.closing(repository.client.connect()) as connection:
        connection.request("GET", f"/v2/{repository.name}/blobs/{name}", headers={"Authorization": f"Bearer {token}"})
        answer, got = connection.getresponse(), hashlib.sha256()
        while piece := answer.read(256 * 1024):
            got.update(piece)
    assert got.hexdigest() == name[7:]
    assert up.growth < GROWTH_KIB and down.growth < GROWTH_KIB, (up.growth, down.growth)


@pytest.mark.skipif(bool(os.environ.get("SAN")), reason="a sanitizer's memory is its own")
def test_slow_reader_holds_back_the_registry(gateway, repository):
    data = b"".join(pieces(32 * MIB))
    digest = repository.push_blob(data)["digest"]
    token = repository.client.token(f"repository:{repository.name}:pull")
    before = gateway.rss_kib()
    with socket.create_connection(("127.0.0.1", gateway.port), LIMIT_S) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(f"GET /v2/{repository.name}/blobs/{digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                           f"Authorization: Bearer {token}\r\n\r\n".encode())
        got = connection.recv(1000)
        for _ in range(5):  # others are served meanwhile
            assert repository.ask("HEAD", f"blobs/{digest}").status == 200
        assert gateway.rss_kib() - before < GROWTH_KIB
        while piece := connection.recv(1 << 20):
            got += piece
    assert got.partition(b"\r\n\r\n")[2] == data


# --- clients that vanish ---

@pytest.mark.parametrize("announced", [10 * MIB, None])
def test_cut_upload_goes_on_byte_for_byte(repository, announced):
    data = secrets.token_bytes(10 * MIB)
    location = repository.open()
    assert repository.ask("PATCH", location, data[:MIB]).status == 202
    connection = repository.cut_upload(location, data[MIB:5 * MIB], announced)
    wait_for(lambda: data_file(repository, location).stat().st_size > MIB, "the registry has bytes")
    connection.close()
    wait_for(lambda: not writes(repository, location), "the session is let go")
    offset = repository.offset(location)
    assert MIB < offset <= 5 * MIB
    assert repository.ask("PATCH", location, data[offset:], Content_Range=f"{offset}-{len(data) - 1}").status == 202
    assert repository.close(location, sha256(data)).status == 201
    assert repository.ask("GET", f"blobs/{sha256(data)}").body == data


def test_reset_connection_is_the_same(repository):
    data = secrets.token_bytes(3 * MIB)
    location = repository.open()
    connection = repository.cut_upload(location, data[:2 * MIB], len(data))
    wait_for(lambda: data_file(repository, location).stat().st_size > 0, "the registry has bytes")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    offset = repository.offset(location)  # waits for the writer's end
    assert repository.close(location, sha256(data), data[offset:]).status == 201


def test_bad_chunks_are_refused_and_the_session_lives(repository):
    location = repository.open()
    with repository.cut_upload(location, b"good bytes", None) as connection:
        wait_for(lambda: data_file(repository, location).stat().st_size or writes(repository, location), "it is begun")
        connection.sendall(b"zz\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"upload.cut" in answer
    offset = repository.offset(location)
    assert offset in (0, 10)  # whether the piece was read before the bad one
    assert offset == 10 or repository.ask("PATCH", location, b"good bytes").status == 202
    assert repository.close(location, sha256(b"good bytes")).status == 201


def test_one_writer_at_a_time(repository):
    location = repository.open()
    with repository.cut_upload(location, b"first", 100_000) as connection:
        wait_for(lambda: writes(repository, location), "somebody writes")
        for method, path in (("PATCH", location), ("PUT", f"{location}?digest={sha256(b'x')}"), ("DELETE", location)):
            answer = repository.ask(method, path, b"second" if method == "PATCH" else None)
            assert (answer.status, answer.json["errors"][0]["detail"]["code"]) == (409, "upload.busy")
        connection.shutdown(socket.SHUT_RDWR)
    assert repository.offset(location) == 5


def test_vanished_reader_leaves_nothing_behind(gateway, repository):
    digest = repository.push_blob(b"".join(pieces(16 * MIB)))["digest"]
    token = repository.client.token(f"repository:{repository.name}:pull")
    descriptors = pathlib.Path(f"/proc/{gateway.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", gateway.port), LIMIT_S) as connection:
            connection.sendall(f"GET /v2/{repository.name}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n"
                               f"Authorization: Bearer {token}\r\n\r\n".encode())
            connection.recv(10)
    wait_for(lambda: len(list(descriptors.iterdir())) <= before, "descriptors are closed")


# --- faults ---

def test_gateway_killed_in_mid_upload(gateway, repository):
    data = secrets.token_bytes(8 * MIB)
    location = repository.open()
    assert repository.ask("PATCH", location, data[:MIB]).status == 202
    connection = repository.cut_upload(location, data[MIB:4 * MIB], len(data) - MIB)
    wait_for(lambda: data_file(repository, location).stat().st_size > MIB, "the registry has bytes")
    gateway.kill()
    connection.close()
    gateway.start()
    answer = wait_for(lambda: (reply := repository.ask("GET", location)).status != 503 and reply, "the place is known")
    assert answer.status == 204, answer.body
    offset = int(answer.headers["Range"].split("-")[1]) + 1
    assert MIB < offset <= 4 * MIB and offset == data_file(repository, location).stat().st_size
    assert repository.ask("PATCH", location, data[offset:], Content_Range=f"{offset}-{len(data) - 1}").status == 202
    assert repository.close(location, sha256(data)).status == 201
    assert repository.ask("GET", f"blobs/{sha256(data)}").body == data


def test_without_the_storage_a_killed_upload_starts_again(gateway, repository):
    location = repository.open()
    connection = repository.cut_upload(location, b"x" * MIB, 2 * MIB)
    wait_for(lambda: writes(repository, location), "somebody writes")
    gateway.kill()
    connection.close()
    gateway.configure(registry_storage="")
    gateway.start()
    try:
        answer = repository.ask("GET", location)
        assert (answer.status, answer.oci) == (404, "BLOB_UPLOAD_UNKNOWN")
    finally:
        gateway.stop()
        gateway.configure()
        gateway.start()


def test_registry_killed_in_mid_upload(gateway, repository):
    data, there = secrets.token_bytes(4 * MIB), repository.push_blob(b"there")["digest"]
    location = repository.open()
    connection = repository.cut_upload(location, data[:2 * MIB], len(data))
    wait_for(lambda: data_file(repository, location).stat().st_size > 0, "the registry has bytes")
    gateway.registry.kill()
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    connection.close()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert repository.ask("HEAD", f"blobs/{there}").status == 200
    down = repository.ask("GET", f"blobs/{there}")
    assert (down.status, down.oci) == (502, "UNKNOWN") and b"registry.sock" not in down.body
    gateway.registry.start()
    offset = repository.offset(location)
    assert 0 < offset <= 2 * MIB
    assert repository.close(location, sha256(data), data[offset:]).status == 201
    assert repository.ask("GET", f"blobs/{sha256(data)}").body == data


def test_stop_waits_for_the_upload(gateway, repository):
    data = secrets.token_bytes(MIB)
    location = repository.open()
    with repository.cut_upload(location, data[:1000], len(data)) as connection:
        wait_for(lambda: writes(repository, location), "somebody writes")
        gateway.process.terminate()
        connection.sendall(data[1000:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")
    assert gateway.process.wait(LIMIT_S) == 0
    gateway.start()
    assert repository.close(location, sha256(data)).status == 201


def test_many_at_once(repository):
    blobs = [secrets.token_bytes(200_000 + i) for i in range(24)]
    failures = []

    def push(data):
        try:
            repository.push_blob(data)
            assert repository.ask("GET", f"blobs/{sha256(data)}").body == data
        except Exception as failure:  # seen below, in the main thread
            failures.append(failure)
    repository.push_blob(b"warm")
    repository.ask("GET", f"blobs/{sha256(b'warm')}")
    threads = [threading.Thread(target=push, args=(data,)) for data in blobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# --- stock skopeo ---

skopeo_only = pytest.mark.skipif(not has_skopeo() or not shutil.which("openssl"), reason="skopeo is not installed")


def skopeo(*arguments, cwd):
    return subprocess.run(["skopeo", "--insecure-policy", *arguments], cwd=cwd, capture_output=True, text=True,
                          timeout=120, env={**os.environ, "HOME": str(cwd), "no_proxy": "127.0.0.1"})


@pytest.fixture
def images(tmp_path):
    """An OCI layout 'plain' of one layer of 3 MiB, and an image key."""
    import test_ocicrypt_interop as interop
    layer, diff_id = interop.make_layer(3 * MIB)
    (tmp_path / "plain").mkdir()
    descriptor = {"mediaType": interop.LAYER, "digest": sha256(layer), "size": len(layer)}
    interop.put_image(tmp_path / "plain", layer, descriptor, diff_id)
    for command in (["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem"],
                    ["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"]):
        subprocess.run(["openssl", *command], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def target(gateway, repository):
    return f"docker://127.0.0.1:{gateway.port}/{repository.name}:v1"


@skopeo_only
def test_skopeo_pushes_and_pulls_encrypted(gateway, repository, images):
    who = ["--dest-tls-verify=false", "--dest-creds", f"me:{repository.client.key}"]
    done = skopeo("copy", *who, "--encryption-key", "jwe:key.pub", "oci:plain:v1", target(gateway, repository), cwd=images)
    assert done.returncode == 0, done.stderr
    who = ["--src-tls-verify=false", "--src-creds", f"me:{repository.client.key}"]
    done = skopeo("copy", *who, "--decryption-key", "key.pem", target(gateway, repository), "oci:back:v1", cwd=images)
    assert done.returncode == 0, done.stderr
    index = json.loads((images / "back/index.json").read_text())
    manifest = json.loads((images / "back/blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
    plain = json.loads((images / "plain/index.json").read_text())
    original = json.loads((images / "plain/blobs/sha256" / plain["manifests"][0]["digest"][7:]).read_text())
    assert [layer["digest"] for layer in manifest["layers"]] == [layer["digest"] for layer in original["layers"]]


@skopeo_only
def test_skopeo_cannot_push_plaintext(gateway, repository, images):
    who = ["--dest-tls-verify=false", "--dest-creds", f"me:{repository.client.key}"]
    done = skopeo("copy", *who, "oci:plain:v1", target(gateway, repository), cwd=images)
    assert done.returncode != 0
    assert "denied: only encrypted images: layer 0: its media type does not end in +encrypted" in done.stderr


@skopeo_only
def test_skopeo_of_another_tenant_gets_nothing(gateway, repository, images):
    answer, _ = repository.push_image()
    stranger = gateway.certreg.key("globex-owner")
    done = skopeo("copy", "--dest-tls-verify=false", "--dest-creds", f"me:{stranger}", "oci:plain:v1",
                  target(gateway, repository), cwd=images)
    assert done.returncode != 0 and "denied" in done.stderr
    done = skopeo("inspect", "--raw", "--tls-verify=false", "--creds", f"me:{stranger}", target(gateway, repository),
                  cwd=images)
    assert done.returncode != 0 and "jwe" not in done.stdout


def test_vector_is_the_one_that_skopeo_made():
    manifest = json.loads((VECTOR / "manifest.json").read_text())
    assert manifest["layers"][0]["digest"] == sha256((VECTOR / "layer.enc").read_bytes())
