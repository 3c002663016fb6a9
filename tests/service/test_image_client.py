# SPDX-License-Identifier: Apache-2.0
"""strongroom image build, encrypt and decrypt: layouts and archives, one image and many, with stock skopeo as the other side."""
import base64
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

from conftest import BUILD
from image_kit import blob, digest, documents, make_layout, tar

VECTORS = os.environ.get("STRONGROOM_VECTORS")
ENCRYPTED = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"
PUBOPTS = "org.opencontainers.image.enc.pubopts"


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name, algorithm in {"ec": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                            "other": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}.items():
        openssl("genpkey", "-quiet", "-algorithm", *algorithm, "-out", f"{name}.pem", cwd=folder)
        openssl("pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub", cwd=folder)
    openssl("req", "-x509", "-key", "rsa.pem", "-subj", "/CN=machine", "-days", "2", "-out", "rsa.crt", cwd=folder)
    return folder


@pytest.fixture
def place(keys, tmp_path):
    for key in keys.iterdir():
        (tmp_path / key.name).symlink_to(key)
    return tmp_path


def image(*arguments, cwd, code=None):
    """The result of a command; with `code`, it must fail by that."""
    done = subprocess.run([BUILD / "bin/strongroom", "--json", "image", *map(str, arguments)], cwd=cwd, capture_output=True,
                          text=True, timeout=120, env={**os.environ, "XDG_CONFIG_HOME": str(cwd / "config")})
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if code:
        assert done.returncode != 0 and lines[-1]["type"] == "error" and lines[-1]["code"] == code, lines[-1:]
        return lines[-1]
    assert done.returncode == 0, lines[-1:]
    assert lines[-1]["type"] == "result"
    return lines[-1]


def skopeo(*args, cwd):
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    done = subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", *map(str, args)], cwd=cwd, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def blobs(layout):
    return {path.name: path.read_bytes() for path in (layout / "blobs/sha256").iterdir()}


def same_image(one, other):
    """The same documents, layer by layer the same bytes; how JSON is spaced does not count."""
    manifest, config = documents(one)
    assert (manifest, config) == documents(other)
    for descriptor in [manifest["config"], *manifest["layers"]]:
        assert blob(one, descriptor) == blob(other, descriptor)
    return True


def layers(layout):
    return documents(layout)[0]["layers"]


@pytest.fixture
def plain(place):
    return make_layout(place / "plain", [tar(("one", b"1" * 70000)), tar(("two", b"2"))])


# --- encrypt, decrypt ---

def test_round_trip(place, plain):
    image("encrypt", "plain", "enc", "--recipient", "jwe:ec.pub,pkcs7:rsa.crt,jwe:rsa.pub", cwd=place)
    assert [layer["mediaType"] for layer in layers(place / "enc")] == [ENCRYPTED] * 2
    assert documents(place / "enc")[1] == documents(plain)[1]  # the config is the same
    for number, opened_by in enumerate(["ec.pem", "rsa.pem", "rsa.crt,rsa.pem"]):
        image("decrypt", "enc", f"dec{number}", "--key", opened_by, cwd=place)
        assert same_image(place / f"dec{number}", plain)
    image("decrypt", "enc", "no", "--key", "other.pem", cwd=place, code="image.unwrap")
    assert not (place / "no").exists() and not (place / "no.part").exists()


def test_other_annotations_stay(place):
    layout = make_layout(place / "plain", [tar(("one", b"1"))])
    manifest, _ = documents(layout)
    manifest["layers"][0]["annotations"] = {"org.example.kept": "yes"}
    data = json.dumps(manifest).encode()
    (layout / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": manifest["mediaType"], "digest": digest(data), "size": len(data)}]}))
    image("encrypt", "plain", "enc", "--recipient", "ec.pub", cwd=place)
    assert layers(place / "enc")[0]["annotations"]["org.example.kept"] == "yes"
    image("decrypt", "enc", "dec", "--key", "ec.pem", cwd=place)
    assert layers(place / "dec")[0]["annotations"] == {"org.example.kept": "yes"}


def test_archives(place, plain):
    image("encrypt", "plain", "enc.tar", "--new-key", "new.pem", cwd=place)
    assert (place / "new.pem").stat().st_mode & 0o777 == 0o600
    skopeo("oci-archive:enc.tar", "oci:unpacked:v1", cwd=place)
    image("decrypt", "enc.tar", "dec.tar", "--key", "new.pem", cwd=place)
    with tarfile.open(place / "dec.tar") as archive:
        assert archive.getnames()[:2] == ["oci-layout", "index.json"]
        archive.extractall(place / "dec", filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(place / "dec")
    assert same_image(place / "dec", plain)
    image("encrypt", "plain", "again.tar", "--new-key", "new.pem", cwd=place)  # the key that is there
    image("decrypt", "again.tar", "again", "--key", "new.pem", cwd=place)
    assert not list(place.glob("*.part"))


def index_of(place, names):
    """An index of several platforms, and what BuildKit puts beside them."""
    both = place / "multi"
    children = []
    for architecture in names:
        one = make_layout(place / architecture, [tar(("arch", architecture.encode()))])
        shutil.copytree(one, both, dirs_exist_ok=True)
        child = json.loads((one / "index.json").read_text())["manifests"][0]
        children.append({**child, "platform": {"architecture": architecture, "os": "linux"}})
    attested = {**children[0], "platform": {"architecture": "unknown", "os": "unknown"},
                "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    data = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                       "manifests": [*children, attested]}).encode()
    (both / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
    top = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(data), "size": len(data),
           "annotations": {"org.opencontainers.image.ref.name": "v1"}}
    (both / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return both


def test_every_child_of_an_index(place):
    index_of(place, ["amd64", "arm64"])
    image("encrypt", "multi", "enc", "--recipient", "jwe:rsa.pub", cwd=place)
    top = json.loads(blob(place / "enc", json.loads((place / "enc/index.json").read_text())["manifests"][0]))
    assert [child["platform"]["architecture"] for child in top["manifests"]] == ["amd64", "arm64"]
    for child in top["manifests"]:
        assert [layer["mediaType"] for layer in json.loads(blob(place / "enc", child))["layers"]] == [ENCRYPTED]
    image("decrypt", "enc", "dec", "--key", "rsa.pem", cwd=place)
    for one in ("amd64", "arm64"):
        manifest, _ = documents(place / one)
        for descriptor in [manifest["config"], *manifest["layers"]]:
            assert blob(place / "dec", descriptor) == blob(place / one, descriptor)
    skopeo("--all", "--decryption-key", "rsa.pem", "oci:enc:v1", "oci:theirs:v1", cwd=place)
    assert {name for name, data in blobs(place / "theirs").items() if data[:2] == b"\x1f\x8b"} == \
        {name for name, data in blobs(place / "dec").items() if data[:2] == b"\x1f\x8b"}
    skopeo("--all", "--encryption-key", "jwe:rsa.pub", "oci:dec:v1", "oci:enc2:v1", cwd=place)
    image("decrypt", "enc2", "dec2", "--key", "rsa.pem", cwd=place)
    assert blobs(place / "dec2").items() >= {name: data for name, data in blobs(place / "dec").items() if data[:2] == b"\x1f\x8b"}.items()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_skopeos_layers(place, plain, compression):
    skopeo("--dest-compress-format", compression, "--dest-compress", "oci:plain", "oci:packed:v1", cwd=place)
    skopeo("--encryption-key", "jwe:ec.pub", "oci:packed:v1", "oci:enc:v1", cwd=place)
    image("decrypt", "enc", "dec", "--key", "ec.pem", cwd=place)
    assert all(layer["mediaType"].endswith(compression) for layer in layers(place / "dec"))
    skopeo("--dest-decompress", "oci:dec:v1", "dir:raw", cwd=place)
    manifest = json.loads((place / "raw/manifest.json").read_text())
    assert [layer["digest"] for layer in manifest["layers"]] == documents(plain)[1]["rootfs"]["diff_ids"]


def test_compressed_while_encrypted(place):
    """Out of a store skopeo, buildah and podman note the digest that the layer had before it was compressed."""
    layout = make_layout(place / "plain", [tar(("one", b"1" * 70000))], compress=bytes)
    skopeo("--dest-compress", "--encryption-key", "jwe:ec.pub", "oci:plain", "oci:enc:v1", cwd=place)
    image("decrypt", "enc", "dec", "--key", "ec.pem", cwd=place)
    layer = layers(place / "dec")[0]
    assert layer["mediaType"].endswith("+gzip") and layer["digest"] == digest(blob(place / "dec", layer))
    assert digest(gzip.decompress(blob(place / "dec", layer))) == layers(layout)[0]["digest"]


def test_compressed_otherwise_while_encrypted(place, plain):
    """From gzip to zstd: the digest of what is not there any more proves nothing."""
    skopeo("--dest-compress-format", "zstd", "--dest-compress", "--encryption-key", "jwe:ec.pub", "oci:plain", "oci:enc:v1", cwd=place)
    image("decrypt", "enc", "dec", "--key", "ec.pem", cwd=place, code="image.inner_digest")
    assert not (place / "dec").exists()


def test_dockers_types_become_ocis(place):
    layout = make_layout(place / "plain", [tar(("one", b"1"))])
    manifest, _ = documents(layout)
    manifest["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json"
    manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    data = json.dumps(manifest).encode()
    (layout / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": manifest["mediaType"], "digest": digest(data), "size": len(data)}]}))
    image("encrypt", "plain", "enc", "--recipient", "ec.pub", cwd=place)
    made, _ = documents(place / "enc")
    assert (made["mediaType"], made["config"]["mediaType"], made["layers"][0]["mediaType"]) == (
        "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json", ENCRYPTED)


# --- what is refused ---

def rewrite_manifest(layout, change):
    manifest, _ = documents(layout)
    change(manifest)
    data = json.dumps(manifest).encode()
    (layout / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": manifest["mediaType"], "digest": digest(data), "size": len(data)}]}))


def pubopts(layer, **change):
    options = json.loads(base64.b64decode(layer["annotations"][PUBOPTS]))
    layer["annotations"][PUBOPTS] = base64.b64encode(json.dumps({**options, **change}).encode()).decode()


@pytest.mark.parametrize("change, code", [
    (lambda layer: pubopts(layer, hmac=base64.b64encode(b"x" * 32).decode()), "image.hmac"),
    (lambda layer: pubopts(layer, cipheroptions={"nonce": "AAAAAAAAAAAAAAAAAAAAAA=="}), "image.pubopts"),
    (lambda layer: layer["annotations"].pop(PUBOPTS), "image.pubopts"),
    (lambda layer: layer["annotations"].pop("org.opencontainers.image.enc.keys.jwe"), "image.no_packet"),
    (lambda layer: layer.update(mediaType=ENCRYPTED.removesuffix("+encrypted")), "image.not_encrypted")])
def test_altered_manifest(place, plain, change, code):
    image("encrypt", "plain", "enc", "--recipient", "ec.pub", cwd=place)
    rewrite_manifest(place / "enc", lambda manifest: change(manifest["layers"][1]))
    image("decrypt", "enc", "dec", "--key", "ec.pem", cwd=place, code=code)
    assert not (place / "dec").exists()


def flipped(data):
    return data[:20] + bytes([data[20] ^ 1]) + data[21:]


def test_altered_blob(place, plain):
    image("encrypt", "plain", "enc", "--recipient", "ec.pub", cwd=place)
    layer = layers(place / "enc")[0]
    data = flipped(blob(place / "enc", layer))
    (place / "enc/blobs/sha256" / layer["digest"][7:]).write_bytes(data)
    image("decrypt", "enc", "dec", "--key", "ec.pem", cwd=place, code="image.digest")
    (place / "enc/blobs/sha256" / digest(data)[7:]).write_bytes(data)
    rewrite_manifest(place / "enc", lambda manifest: manifest["layers"][0].update(digest=digest(data)))
    image("decrypt", "enc", "dec", "--key", "ec.pem", cwd=place, code="image.hmac")
    plain_layer = layers(plain)[0]
    (plain / "blobs/sha256" / plain_layer["digest"][7:]).write_bytes(flipped(blob(plain, plain_layer)))
    image("encrypt", "plain", "no", "--recipient", "ec.pub", cwd=place, code="oci.digest")


def test_refusals(place, plain):
    image("encrypt", "plain", "enc", "--recipient", "ec.pub", cwd=place)
    image("encrypt", "enc", "twice", "--recipient", "ec.pub", cwd=place, code="image.already_encrypted")
    image("encrypt", "plain", "enc", "--recipient", "ec.pub", cwd=place, code="image.exists")
    image("encrypt", "plain", "no", cwd=place, code="usage.option")
    image("encrypt", "plain", "no", "--recipient", "pkcs7:ec.pub", cwd=place, code="usage.option")
    image("encrypt", "plain", "no", "--recipient", "jwe:rsa.crt", cwd=place, code="usage.option")
    image("encrypt", "plain", "no", "--recipient", "ec.pub", "--recipient", "rsa.pub", cwd=place, code="usage.option")
    image("decrypt", "enc", "no", cwd=place, code="usage.option")
    image("decrypt", "enc", "no", "--key", "ec.pem,rsa.crt", cwd=place, code="key.invalid")
    image("encrypt", "missing", "no", "--recipient", "ec.pub", cwd=place, code="image.archive")
    with tarfile.open(place / "docker.tar", "w") as archive:
        (place / "manifest.json").write_text("[]")
        archive.add(place / "manifest.json", "manifest.json")
    image("encrypt", "docker.tar", "no", "--recipient", "ec.pub", cwd=place, code="image.archive")
    assert not (place / "no").exists()


# --- build ---

def test_build_from_an_archive(place, plain):
    made = image("build", "plain", "built.tar", "--recipient", "ec.pub", cwd=place)
    image("decrypt", "built.tar", "dec", "--key", "ec.pem", cwd=place)
    manifest, config = documents(place / "dec")
    assert made["inner"] == manifest["layers"][0]["digest"]
    assert config["rootfs"]["diff_ids"] == [made["diff_id"]] and "history" not in config
    open_layer = image("build", "plain", "plain-built", cwd=place)
    manifest, _ = documents(place / "plain-built")
    layer = blob(place / "plain-built", manifest["layers"][0])
    assert digest(gzip.decompress(layer)) == open_layer["diff_id"] and digest(layer) == open_layer["inner"]
    assert open_layer["diff_id"] != made["diff_id"]  # the random file


@pytest.mark.skipif(not any(map(shutil.which, ("docker", "podman", "buildah"))), reason="neither docker, podman nor buildah")
def test_build_from_a_folder(place):
    (place / "app").mkdir()
    shutil.copy("/bin/busybox", place / "app/busybox")
    (place / "app/Containerfile").write_text('FROM scratch\nLABEL secret=canary\nCOPY busybox /bin/busybox\nENTRYPOINT ["/bin/busybox"]\n')
    made = image("build", "app", "built", "--new-key", "k.pem", cwd=place)
    assert made["argv"] == ["/bin/busybox"]
    assert not any(b"canary" in data for data in blobs(place / "built").values())
    image("decrypt", "built", "dec", "--key", "k.pem", cwd=place)


@pytest.mark.skipif(not VECTORS, reason="STRONGROOM_VECTORS is not set")
@pytest.mark.parametrize("name, opened_by", [
    ("sm-jwe-rsa", ["jwe-priv.pem"]), ("sm-jwe-ec", ["ec-priv.pem"]), ("sm-pkcs7", ["pkcs7-priv.pem", "pkcs7-cert.pem"]),
    ("sm-multi", ["jwe2-priv.pem"]), ("sm-multi", ["pkcs7-cert.pem", "pkcs7-priv.pem"])])
def test_images_of_skopeo(place, name, opened_by):
    folder = pathlib.Path(VECTORS) / "ocicrypt"
    image("decrypt", folder / name, "dec", "--key", ",".join(str(folder / key) for key in opened_by), cwd=place)
    assert blobs(place / "dec") == blobs(folder / "sm-plain")
