# SPDX-License-Identifier: Apache-2.0
"""The life of an encrypted image through the client and the real stack: build, encrypt, push, list, show, pull, decrypt, rewrap,
reencrypt, delete; and the same registry through skopeo, logged in at the edge."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from client_project import Project, program_with_hooks
from local_stack import LocalStack, unique

PARTS = ["postgres", "redis", "certreg", "policy", "registry", "registry-gw", "edge"]


@pytest.fixture(scope="module")
def stack():
    with LocalStack(PARTS) as running:
        yield running


class Owner(Project):
    def image(self, *arguments, code=None, **env):
        """What `strongroom --json image` gives: all its results; with `code`, how it fails."""
        done = self.run("--json", "image", *map(str, arguments), check=False, **env)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if code:
            assert done.returncode != 0 and lines[-1].get("code") == code, (lines[-1:], done.stderr)
            return lines[-1]
        assert done.returncode == 0, (lines[-1:], done.stderr)
        self.progress = [line["what"] for line in lines if line["type"] == "progress"]
        self.warnings = [line["text"] for line in lines if line["type"] == "warning"]
        return [line for line in lines if line["type"] == "result"]

    def documents(self, layout):
        folder = self.folder / layout
        manifest = json.loads(self.blob(layout, json.loads((folder / "index.json").read_text())["manifests"][0]))
        return manifest, json.loads(self.blob(layout, manifest["config"]))

    def blob(self, layout, descriptor):
        return (self.folder / layout / "blobs/sha256" / descriptor["digest"][7:]).read_bytes()

    def same(self, one, other):
        manifest, config = self.documents(one)
        assert (manifest, config) == self.documents(other)
        for descriptor in manifest["layers"]:
            assert self.blob(one, descriptor) == self.blob(other, descriptor)


@pytest.fixture
def owner(stack, tmp_path):
    owner = Owner(program_with_hooks(), stack, tmp_path)
    owner.configure()
    return owner


@pytest.fixture
def encrypted(owner):
    """plain and enc in the owner's folder, the latter to old.pem."""
    app = owner.folder / "app"
    app.mkdir()
    shutil.copy("/bin/busybox", app / "busybox")
    (app / "Containerfile").write_text('FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT ["/bin/busybox"]\n')
    if not any(map(shutil.which, ("docker", "podman", "buildah"))):
        pytest.skip("neither docker, podman nor buildah")
    owner.image("build", "app", "plain")
    owner.image("encrypt", "plain", "enc", "--new-key", "old.pem")
    return "acme/" + unique("img")


def layers(owner, layout):
    return [layer["digest"] for layer in owner.documents(layout)[0]["layers"]]


def test_life_of_an_image(owner, encrypted):
    name = encrypted
    owner.image("push", "plain", f"{name}:v1", code="image.not_encrypted")
    assert owner.image("list", name) == []  # nothing of it was sent
    pushed = owner.image("push", "enc", f"{name}:v1")[0]["manifest"]
    assert "upload" in owner.progress
    owner.image("push", "enc", f"{name}:stable")
    [record] = owner.image("list", name)
    assert (record["digest"], sorted(record["tags"]), record["encrypted"]) == (pushed, ["stable", "v1"], True)
    [shown] = owner.image("show", f"{name}:v1")
    assert shown["digest"] == pushed and [who["scheme"] for who in shown["recipients"]] == ["jwe"]

    owner.image("pull", f"{name}:v1", "sealed")
    owner.same("sealed", "enc")
    owner.image("pull", f"{name}@{pushed}", "opened", "--key", "old.pem")
    owner.same("opened", "plain")

    owner.image("rewrap", f"{name}:v1", "--key", "old.pem", "--new-key", "new.pem", code="client.not_confirmed")
    rewrapped = owner.image("rewrap", f"{name}:v1", "--key", "old.pem", "--new-key", "new.pem", "--yes")[0]["manifest"]
    assert rewrapped != pushed
    [record] = owner.image("list", name)
    assert (record["digest"], sorted(record["tags"])) == (rewrapped, ["stable", "v1"])  # tags moved, the old one is gone
    owner.image("pull", f"{name}:stable", "sealed2")
    assert layers(owner, "sealed2") == layers(owner, "sealed")  # blobs untouched
    owner.image("pull", f"{name}:stable", "no", "--key", "old.pem", code="image.unwrap")
    owner.image("pull", f"{name}:stable", "opened2", "--key", "new.pem")
    owner.same("opened2", "plain")

    owner.image("rewrap", f"{name}:v1", "--key", "old.pem", "--new-key", "old.pem", "--yes", code="image.unwrap")
    anew = owner.image("reencrypt", f"{name}:v1", "--key", "new.pem", "--new-key", "third.pem", "--yes",
                       TMPDIR=str(owner.folder))[0]["manifest"]
    assert not list(owner.folder.glob("strongroom-image.*"))
    [record] = owner.image("list", name)
    assert (record["digest"], sorted(record["tags"])) == (anew, ["stable", "v1"])
    owner.image("pull", f"{name}:v1", "sealed3")
    assert not set(layers(owner, "sealed3")) & set(layers(owner, "sealed"))  # fresh layer keys
    owner.image("pull", f"{name}:v1", "no", "--key", "new.pem", code="image.unwrap")
    shutil.rmtree(owner.folder / "no.part")
    owner.image("pull", f"{name}:v1", "opened3", "--key", "third.pem")
    owner.same("opened3", "plain")

    owner.image("delete", f"{name}:v1", code="client.not_confirmed")
    owner.image("delete", f"{name}:v1", "--yes")
    assert [record["tags"] for record in owner.image("list", name)] == [["stable"]]
    owner.image("delete", f"{name}@{anew}", "--yes")
    assert owner.image("list", name) == []
    owner.image("show", f"{name}:stable", code="client.not_found")


def test_what_the_registry_warns_of_is_shown(owner, encrypted, stack):
    acme, path = stack.client("acme-owner"), "/v1/registry/rule"
    rule = {"required_recipients": [], "signers": [], "max_recipients": 32}
    assert acme.put(path, {"mode": "open", **rule}, acme.get(path).json()["etag"]).status_code == 200
    try:
        pushed = owner.image("push", "plain", f"{encrypted}:plain", "--allow-plain")[0]["manifest"]
        warning, = owner.warnings
        assert warning.startswith(pushed + " is not encrypted")
    finally:
        assert acme.put(path, {"mode": "encrypted-only", **rule}, acme.get(path).json()["etag"]).status_code == 200


def test_policies_that_pin_it_are_named(owner, encrypted):
    """A policy pins the digest: whoever rewraps hears of it."""
    owner.image("push", "enc", f"{encrypted}:v1")
    failure = owner.image("rewrap", f"{encrypted}:v1", "--key", "old.pem", "--new-key", "new.pem", code="client.not_confirmed")
    assert "policies that pin it: 0" in failure["detail"]


def test_index_with_its_images(owner, encrypted):
    """Both changes reach every image of an index, and the old ones are gone."""
    layout = owner.folder / "plain"
    child = json.loads((layout / "index.json").read_text())["manifests"][0]
    child.pop("annotations", None)
    data = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                       "manifests": [{**child, "platform": {"architecture": "amd64", "os": "linux"}}]}).encode()
    name = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / name).write_bytes(data)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:" + name, "size": len(data)}]}))
    owner.image("encrypt", "plain", "multi", "--recipient", "old.pem")
    owner.image("push", "multi", f"{encrypted}:multi")
    before = {record["digest"] for record in owner.image("list", encrypted)}
    assert len(before) == 2
    owner.image("rewrap", f"{encrypted}:multi", "--key", "old.pem", "--new-key", "new.pem", "--yes")
    rewrapped = {record["digest"] for record in owner.image("list", encrypted)}
    assert len(rewrapped) == 2 and not rewrapped & before
    owner.image("reencrypt", f"{encrypted}:multi", "--key", "new.pem", "--new-key", "third.pem", "--yes", TMPDIR=str(owner.folder))
    anew = {record["digest"] for record in owner.image("list", encrypted)}
    assert len(anew) == 2 and not anew & rewrapped
    owner.image("pull", f"{encrypted}:multi", "opened", "--key", "third.pem")
    assert (owner.folder / "opened/blobs/sha256" / layers_of(owner, child)[7:]).exists()


def layers_of(owner, child):
    return json.loads(owner.blob("plain", child))["layers"][0]["digest"]


def test_push_goes_on_where_it_stopped(owner, encrypted, stack):
    """The gateway dies in the middle of a layer; the same command again sends the rest only."""
    big = owner.folder / "app/big"
    big.write_bytes(os.urandom(40 << 20))
    with (owner.folder / "app/Containerfile").open("a") as file:
        file.write("COPY big /big\n")
    owner.image("build", "app", "big.tar", "--new-key", "old.pem")
    push = subprocess.Popen([owner.program, "--json", "image", "push", "big.tar", f"{encrypted}:big"], cwd=owner.folder, text=True,
                            stdout=subprocess.PIPE, env={**os.environ, "XDG_CONFIG_HOME": str(owner.config)})
    for line in push.stdout:
        event = json.loads(line)
        if event["type"] == "progress" and event["what"] == "upload" and event["done"] > 1 << 20:
            push.kill()
            break
    push.communicate(timeout=60)
    assert pathlib.Path(f"{owner.folder}/big.tar.upload").exists()
    pushed = owner.image("push", "big.tar", f"{encrypted}:big")[0]
    owner.image("pull", f"{encrypted}@{pushed['manifest']}", "back", "--key", "old.pem")


@pytest.fixture
def login(owner, stack):
    """Runs a program of the containers family that is logged in at the edge, whose CA it is shown by a folder."""
    host = stack.url.removeprefix("https://")
    (owner.folder / "certs").mkdir()
    shutil.copy(stack.ca, owner.folder / "certs/ca.crt")
    (owner.folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    environment = {"PATH": os.environ["PATH"], "HOME": str(owner.folder), "XDG_RUNTIME_DIR": str(owner.folder), "BUILDAH_ISOLATION": "chroot",
                   "REGISTRY_AUTH_FILE": str(owner.folder / "auth.json"), "TMPDIR": str(owner.folder)}

    def run(program, *arguments, **more):
        done = subprocess.run([program, *map(str, arguments)], cwd=owner.folder, env=environment, text=True, capture_output=True,
                              timeout=120, check=False, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(program):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
        run(program, "login", "--cert-dir", "certs", "--username", "me", "--password-stdin", host, input=stack.key("acme-owner"))
        run("openssl", "pkey", "-in", "old.pem", "-pubout", "-out", "old.pub")
        return host, lambda *arguments: run(program, *arguments)
    return start


def test_skopeo_logged_in_at_the_edge(owner, encrypted, login):
    host, skopeo = login("skopeo")
    skopeo("--policy", "policy.json", "copy", "--dest-cert-dir", "certs", "--encryption-key", "jwe:old.pub", "oci:plain:latest",
           f"docker://{host}/{encrypted}:theirs")
    owner.image("pull", f"{encrypted}:theirs", "theirs", "--key", "old.pem")
    owner.same("theirs", "plain")
    owner.image("push", "enc", f"{encrypted}:ours")
    skopeo("--policy", "policy.json", "copy", "--src-cert-dir", "certs", "--decryption-key", "old.pem",
           f"docker://{host}/{encrypted}:ours", "oci:ours:v1")
    assert layers(owner, "ours") == layers(owner, "plain")


def test_buildah_logged_in_at_the_edge(owner, encrypted, login):
    """Out of its store buildah compresses while it encrypts."""
    host, buildah = login("buildah")
    with tempfile.TemporaryDirectory(prefix="sr-run-", dir="/tmp") as short:
        store = ["--root", owner.folder / "store", "--runroot", short, "--storage-driver", "vfs"]
        remote = ["--signature-policy", "policy.json", "--cert-dir", "certs"]
        name = buildah(*store, "pull", "--signature-policy", "policy.json", "oci:plain:latest").split()[-1]
        buildah(*store, "push", *remote, "--encryption-key", "jwe:old.pub", name, f"docker://{host}/{encrypted}:theirs")
        owner.image("pull", f"{encrypted}:theirs", "theirs", "--key", "old.pem")
        assert owner.documents("theirs")[1]["rootfs"] == owner.documents("plain")[1]["rootfs"]
        owner.image("push", "enc", f"{encrypted}:ours")
        buildah(*store, "rmi", "--all", "--force")
        again = buildah(*store, "pull", *remote, "--decryption-key", "old.pem", f"docker://{host}/{encrypted}:ours").split()[-1]
        assert again == name  # the same config
