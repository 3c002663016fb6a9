# SPDX-License-Identifier: Apache-2.0
"""A layer of 1 GiB in little memory, the gateway killed in the middle of it, and every byte back."""
import contextlib
import hashlib
import http.client
import os
import secrets
import subprocess

import pytest

from conftest import LIMIT_S, wait_for
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)
from test_registry_gw_streams import data_file

MIB = 1024 * 1024
LAYER_BYTES = 64 * MIB if os.environ.get("SAN") else 1024 * MIB
KILL_AT = LAYER_BYTES // 8 * 5 + 12345
HWM_KIB = 64 * 1024


class Noise:
    """Bytes that do not compress, any part of them again: AES in counter mode over zeros."""

    def __init__(self):
        self.key, self.counter = secrets.token_hex(16), secrets.randbits(100) << 24

    def read(self, start, end):
        skip = start % 16
        command = ["openssl", "enc", "-aes-128-ctr", "-nosalt", "-K", self.key, "-iv", f"{self.counter + start // 16:032x}",
                   "-in", "/dev/zero", "-bufsize", str(MIB)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            process.stdout.read(skip)
            while start < end:
                piece = process.stdout.read(min(MIB, end - start))
                start += len(piece)
                yield piece
            process.kill()

    def digest(self, total):
        hashed = hashlib.sha256()
        for piece in self.read(0, total):
            hashed.update(piece)
        return "sha256:" + hashed.hexdigest()


def hwm_kib(gateway):
    status = open(f"/proc/{gateway.process.pid}/status").read()
    return int(status.split("VmHWM:")[1].split()[0])


def send_until_killed(gateway, repository, location, noise):
    """One PATCH of the whole layer, and kill -9 in its middle."""
    with contextlib.closing(repository.cut_upload(location, b"", LAYER_BYTES)) as connection:
        for piece in noise.read(0, KILL_AT):
            connection.sendall(piece)
        wait_for(lambda: data_file(repository, location).stat().st_size > KILL_AT - 16 * MIB, "the registry has most of it")
        most = hwm_kib(gateway)
        gateway.kill()
    return most


def resume(repository, location, noise, offset):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", repository.client.gateway.port, timeout=LIMIT_S)) as connection:
        connection.request("PATCH", location, noise.read(offset, LAYER_BYTES), {
            "Authorization": f"Bearer {repository._tokens['pull,push']}", "Content-Length": str(LAYER_BYTES - offset),
            "Content-Range": f"{offset}-{LAYER_BYTES - 1}"})
        answer = connection.getresponse()
        return answer.status, answer.headers["Range"]


def pulled_digest(repository, digest):
    repository.ask("HEAD", f"blobs/{digest}")
    hashed = hashlib.sha256()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", repository.client.gateway.port, timeout=LIMIT_S)) as connection:
        connection.request("GET", f"/v2/{repository.name}/blobs/{digest}",
                           headers={"Authorization": f"Bearer {repository._tokens['pull']}"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(LAYER_BYTES))
        while piece := answer.read(MIB):
            hashed.update(piece)
    return "sha256:" + hashed.hexdigest()


def test_1_gib_killed_in_the_middle(gateway, repository):
    noise, location = Noise(), repository.open()
    most = [send_until_killed(gateway, repository, location, noise)]
    kept = data_file(repository, location).stat().st_size
    gateway.start()
    wait_for(lambda: repository.ask("GET", location).status != 503, "it knows who was revoked")
    offset = repository.offset(location)
    assert KILL_AT - 16 * MIB < offset <= KILL_AT and offset == kept
    assert resume(repository, location, noise, offset) == (202, f"0-{LAYER_BYTES - 1}")
    digest = noise.digest(LAYER_BYTES)
    closed = repository.close(location, digest)
    assert closed.status == 201, closed.body
    assert pulled_digest(repository, digest) == digest
    most.append(hwm_kib(gateway))
    if not os.environ.get("SAN"):  # a sanitizer's memory is its own
        assert max(most) < HWM_KIB, most


@pytest.fixture(autouse=True)
def free(gateway):
    """The disk is not the next test's loss."""
    yield
    subprocess.run(["rm", "-rf", gateway.registry.storage / "docker/registry/v2/blobs"], check=True)
