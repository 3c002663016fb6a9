# SPDX-License-Identifier: Apache-2.0
"""Stock buildah, podman and skopeo push and pull encrypted images through the gateway, and nothing else."""
import json
import os
import secrets
import shutil
import subprocess

import pytest

from conftest import short_folder
from registry_stack import algo, gateway, repository, sha256  # noqa: F401 (fixtures)
from test_registry_gw_streams import images, skopeo, target  # noqa: F401 (fixture)

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("buildah", "podman", "skopeo", "openssl"))),
                                reason="buildah, podman or skopeo is not installed")


@pytest.fixture
def containers(images, repository):
    """Runs a program of the containers family with a store of its own."""
    (images / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    environment = {"PATH": os.environ["PATH"], "HOME": str(images), "XDG_RUNTIME_DIR": str(images), "no_proxy": "127.0.0.1",
                   "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(images)}

    def run(program, command, *arguments, remote=True):
        store = ["--root", images / "store", "--runroot", short, "--storage-driver", "vfs"]
        login = ["--tls-verify=false", "--creds", f"me:{repository.client.key}"] if remote else []
        policy = ["--signature-policy", images / "policy.json"] if command in ("pull", "push") else []
        return subprocess.run([program, *store, command, *policy, *login, *arguments], cwd=images, env=environment,
                              capture_output=True, text=True, timeout=120, check=False)
    with short_folder("sr-run-") as short:  # podman takes at most 50 characters
        yield run


@pytest.fixture
def local(containers):
    """The plain image in the store."""
    done = containers("buildah", "pull", "oci:plain:v1", remote=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_buildah_pushes_and_pulls(gateway, repository, containers, local):
    place = target(gateway, repository)
    done = containers("buildah", "push", "--encryption-key", "jwe:key.pub", local, place)
    assert done.returncode == 0, done.stderr
    manifest = repository.ask("GET", "manifests/v1")
    assert all(layer["mediaType"].endswith("+encrypted") for layer in manifest.json["layers"])
    assert containers("buildah", "rmi", "--all", "--force", remote=False).returncode == 0
    for program, why in (("buildah", "missing private key"), ("podman", "invalid tar header")):  # podman 4.3 takes no keys
        done = containers(program, "pull", place)
        assert done.returncode != 0 and why in done.stderr, done.stderr
    done = containers("buildah", "pull", "--decryption-key", "key.pem", place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == local  # the same config


@pytest.mark.parametrize("pusher", ["buildah", "podman"])
def test_plaintext_stays_out(gateway, repository, containers, local, pusher):
    done = containers(pusher, "push", local, target(gateway, repository))
    assert done.returncode != 0 and "only encrypted images: layer 0" in done.stderr
    assert repository.ask("GET", "manifests/v1").status == 404


def test_skopeo_lists_copies_and_deletes(gateway, repository, algo, images):
    place, creds = target(gateway, repository), f"me:{repository.client.key}"
    done = skopeo("copy", "--dest-tls-verify=false", "--dest-creds", creds, "--encryption-key", "jwe:key.pub", "oci:plain:v1",
                  place, cwd=images)
    assert done.returncode == 0, done.stderr
    other = algo.repository("acme/o-" + secrets.token_hex(4))
    done = skopeo("copy", "--src-tls-verify=false", "--src-creds", creds, "--dest-tls-verify=false", "--dest-creds", creds,
                  place, target(gateway, other), cwd=images)
    assert done.returncode == 0, done.stderr
    assert other.ask("GET", "manifests/v1").body == repository.ask("GET", "manifests/v1").body
    done = skopeo("list-tags", "--tls-verify=false", "--creds", creds, place.rsplit(":", 1)[0], cwd=images)
    assert json.loads(done.stdout)["Tags"] == ["v1"], done.stderr
    digest = sha256(repository.ask("GET", "manifests/v1").body)
    done = skopeo("delete", "--tls-verify=false", "--creds", creds, place, cwd=images)
    assert done.returncode == 0, done.stderr
    assert repository.ask("GET", f"manifests/{digest}").status == 404
    assert other.ask("GET", "manifests/v1").status == 200
