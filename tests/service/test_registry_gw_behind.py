# SPDX-License-Identifier: Apache-2.0
"""What stands behind the gateway answers wrongly, slowly, not at all, or has no room: clients get an error of the
specification, nothing of it leaks, and what was begun goes on once it is well again."""
import contextlib
import json
import os
import secrets
import subprocess
import sys

import pytest

from archive_kit import Image, archive_of
from archive_kit import send as send_archive
from bad_registry import SECRET, WAYS
from conftest import ROOT, wait_for
from registry_stack import INDEX_TYPE, MANIFEST_TYPE, DockerRegistry, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)

MIB = 1024 * 1024


@contextlib.contextmanager
def behind(gateway, how):
    """The gateway, started anew, in front of a process that behaves so."""
    path = gateway.folder / f"bad-{secrets.token_hex(3)}.sock"
    with contextlib.ExitStack() as stack:
        process = None
        if how != "absent":
            process = subprocess.Popen([sys.executable, ROOT / "tests/service/bad_registry.py", path, how],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout.readline() == "listening\n"
        restart(gateway, registry_socket=path)
        try:
            yield process
        finally:
            restart(gateway)


def restart(gateway, **rows):
    gateway.stop()
    gateway.configure(**rows)
    gateway.start()
    token = gateway.client("acme-algo").token()
    wait_for(lambda: gateway.client("acme-algo").ask("GET", "/v2/", token=token).status == 200, "it knows who was revoked")


@pytest.fixture
def image(repository):
    """Pushed while all was well, with an open session beside it."""
    image = Image()
    assert send_archive(repository, archive_of(image)).status == 201
    location = repository.open()
    assert repository.ask("PATCH", location, b"first").status == 202
    return image, location


def calls(repository, image, location):
    """Everything that the gateway may ask the registry for."""
    manifest = json.dumps({**json.loads(image.manifest), "annotations": {"a": secrets.token_hex(4)}}).encode()
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}).encode()
    return [("GET", f"blobs/{sha256(image.layer)}", None, {}), ("GET", "manifests/v1", None, {}),
            ("POST", "blobs/uploads/", None, {}), ("POST", f"blobs/uploads/?digest={sha256(b'new')}", b"new", {}),
            ("PATCH", location, b"second", {}), ("PUT", f"{location}?digest={sha256(b'first')}", None, {}),
            ("PUT", f"{location}?digest={sha256(b'firstlast')}", b"last", {}), ("GET", location, None, {}), ("DELETE", location, None, {}),
            ("PUT", "manifests/v2", manifest, {"Content_Type": MANIFEST_TYPE}), ("PUT", "manifests/i", index, {"Content_Type": INDEX_TYPE}),
            ("POST", f"/v1/registry/archives?repository={repository.name}&tag=v3", archive_of(Image()), {})]


def answers_of(repository, *call):
    """None: the connection was cut, as a body that was begun cannot be taken back."""
    method, path, body, headers = call
    try:
        return repository.ask(method, path, body, actions="pull,push", **headers)
    except (ConnectionError, OSError) as cut:
        return cut
    except Exception as cut:  # http.client.IncompleteRead and its like
        assert "Incomplete" in repr(cut) or "RemoteDisconnected" in repr(cut)
        return cut


@pytest.mark.parametrize("how", ["absent", *WAYS])
def test_a_registry_that_misbehaves(gateway, repository, image, how):
    image, location = image
    with behind(gateway, how):
        for call in calls(repository, image, location):
            answer = answers_of(repository, *call)
            if isinstance(answer, Exception):
                assert call[:2] == ("GET", f"blobs/{sha256(image.layer)}") and how in ("cut-body", "bad-chunks"), (call, answer)
                continue
            text = answer.body + str(answer.headers).encode()
            assert SECRET.encode() not in text and b"sock" not in answer.body and b"elsewhere" not in text, (call, text)
            assert answer.headers["WWW-Authenticate"] is None
            if answer.status >= 400:
                error, = answer.json["errors"]
                assert set(error) == {"code", "message", "detail"}
                assert answer.status < 500 or error["message"] == "the registry cannot answer now", (call, answer.body)
            else:  # where it stands is known without the registry
                assert call[:2] == ("GET", location) and answer.status == 204, (call, answer.status)
    assert repository.ask("GET", f"blobs/{sha256(image.layer)}").body == image.layer
    assert repository.ask("GET", "manifests/v1").body == image.manifest
    for tag in ("v2", "v3", "i"):
        assert repository.ask("GET", f"manifests/{tag}").status == 404


@pytest.mark.parametrize("how", ["absent", "500", "hangs-up", "garbage", "redirect"])
def test_a_session_goes_on_afterwards(gateway, repository, image, how):
    _, location = image
    with behind(gateway, how):
        answer = answers_of(repository, "PATCH", location, b"second", {})
        assert answer.status in (502, 503, 504), answer.body
    assert repository.offset(location) == 5
    assert repository.close(location, sha256(b"firstsecond"), b"second").status == 201


def test_a_registry_that_says_nothing(gateway, repository, image):
    """A manifest's put may take 30 s, and others are served meanwhile."""
    image, _ = image
    with behind(gateway, "silent"):
        token = repository.client.token(f"repository:{repository.name}:pull,push")
        manifest = json.dumps({**json.loads(image.manifest), "annotations": {}}).encode()
        with contextlib.closing(repository.client.connect()) as waiting:
            waiting.timeout = 90
            waiting.request("PUT", f"/v2/{repository.name}/manifests/v2", manifest,
                            {"Authorization": f"Bearer {token}", "Content-Type": MANIFEST_TYPE})
            assert repository.ask("GET", "tags/list").json["tags"] == ["v1"]
            answer = waiting.getresponse()
            body = answer.read()
    assert answer.status == 504 and b"the registry cannot answer now" in body
    assert repository.ask("GET", "manifests/v2").status == 404


# --- no room ---

class SmallRegistry(DockerRegistry):
    """Its storage is a tmpfs of 24 MiB, in a mount namespace of its own."""

    def start(self):
        self.storage.mkdir()
        command = 'mount -t tmpfs -o size=24m none "$1" && exec docker-registry serve "$2"'
        self.write_conf()
        self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", command, "sh", self.storage, self.folder / "registry.yml"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.folder / "registry.log", "a"))
        wait_for(self._answers, "docker-registry answers")

    @property
    def inside(self):
        """The same folder, seen from there."""
        return f"/proc/{self.process.pid}/root{self.storage}"


@pytest.fixture
def small(gateway, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a mount needs root")
    folder = gateway.folder / f"small-{secrets.token_hex(3)}"
    folder.mkdir()
    registry = SmallRegistry(folder)
    registry.secret = gateway.registry.secret
    registry.start()
    restart(gateway, registry_socket=registry.socket, registry_storage=registry.inside)
    yield registry
    registry.kill()
    restart(gateway)


def test_no_room_behind(gateway, repository, small):
    data = secrets.token_bytes(12 * MIB)
    filler = f"{small.inside}/filler"
    with open(filler, "wb") as file:
        file.write(bytes(18 * MIB))
    location = repository.open()
    answer = repository.ask("PATCH", location, data)
    assert answer.status == 502 and answer.json["errors"][0]["message"] == "the registry cannot answer now", answer.body
    refused = send_archive(repository, archive_of(Image(data)))
    assert refused.status == 502 and b"the registry cannot answer now" in refused.body
    os.unlink(filler)
    offset = repository.offset(location)
    assert 0 <= offset < len(data)
    done = repository.close(location, sha256(data), data[offset:])
    assert done.status == 201, done.body
    assert repository.ask("GET", f"blobs/{sha256(data)}").body == data
    assert repository.client.gateway.postgres.sql(
        "SELECT count(*) FROM registry_gw.upload WHERE repository = %s", repository.name) == [(0,)]
