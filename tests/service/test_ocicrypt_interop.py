# SPDX-License-Identifier: Apache-2.0
"""Images encrypted by us open with stock skopeo, and skopeo's open with us."""
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile

import pytest

from crypto_stack import crypto_probe  # noqa: F401

pytestmark = pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def make_layer(size):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("data.bin")
        info.size = size
        archive.addfile(info, io.BytesIO(hashlib.shake_256(b"layer").digest(size)))
    raw = tar.getvalue()
    return gzip.compress(raw, mtime=0), "sha256:" + hashlib.sha256(raw).hexdigest()


def put_blob(layout, data):
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def put_image(layout, layer, layer_descriptor, diff_id):
    put_blob(layout, layer)
    config = put_blob(layout, json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                                          "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode())
    manifest = put_blob(layout, json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": dict(config, mediaType="application/vnd.oci.image.config.v1+json"),
        "layers": [layer_descriptor]}).encode())
    reference = dict(manifest, mediaType="application/vnd.oci.image.manifest.v1+json",
                     annotations={"org.opencontainers.image.ref.name": "v1"})
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [reference]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def read_layers(layout):
    index = json.loads((layout / "index.json").read_text())
    manifest = layout / "blobs/sha256" / index["manifests"][0]["digest"].split(":")[1]
    return json.loads(manifest.read_text())["layers"]


def blob(layout, descriptor):
    return layout / "blobs/sha256" / descriptor["digest"].split(":")[1]


def skopeo(*args, cwd):
    return subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", *args], cwd=cwd,
                          capture_output=True, text=True, timeout=120)


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """p256, p384, rsa: pairs; rsa has a certificate too."""
    folder = tmp_path_factory.mktemp("keys")
    algorithms = {"p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "other": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                  "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:3072"]}
    for name, algorithm in algorithms.items():
        openssl("genpkey", "-quiet", "-algorithm", *algorithm, "-out", f"{name}.pem", cwd=folder)
        openssl("pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub", cwd=folder)
    openssl("req", "-x509", "-key", "rsa.pem", "-subj", "/O=a machine/CN=m", "-days", "2", "-out", "rsa.crt", cwd=folder)
    return folder


@pytest.fixture
def place(keys, tmp_path):
    for key in keys.iterdir():
        (tmp_path / key.name).symlink_to(key)
    return tmp_path


# name: what our probe takes, what skopeo encrypts to, what skopeo decrypts with
SCHEMES = {"ECDH-ES P-256": ("p256.pem", "jwe:p256.pub", ["p256.pem"]),
           "ECDH-ES P-384": ("p384.pem", "jwe:p384.pub", ["p384.pem"]),
           "RSA-OAEP": ("rsa.pem", "jwe:rsa.pub", ["rsa.pem"]),
           "PKCS7": ("rsa.pem,rsa.crt", "pkcs7:rsa.crt", ["rsa.pem", "rsa.crt"])}


def decrypting(files):
    return [part for file in files for part in ("--decryption-key", file)]


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_skopeo_opens_ours(crypto_probe, place, scheme, size):
    ours, _, theirs = SCHEMES[scheme]
    layer, diff_id = make_layer(size)
    (place / "plain").write_bytes(layer)
    done = subprocess.run([crypto_probe, "layer-encrypt", ours, "plain", "cipher"], cwd=place,
                          capture_output=True, text=True, check=True, timeout=60)
    report = json.loads(done.stdout)
    cipher = (place / "cipher").read_bytes()
    assert report["digest"] == "sha256:" + hashlib.sha256(cipher).hexdigest()
    assert report["inner_digest"] == "sha256:" + hashlib.sha256(layer).hexdigest()
    put_image(place / "ours", cipher, {"mediaType": LAYER + "+encrypted", "digest": report["digest"],
                                       "size": report["size"], "annotations": report["annotations"]}, diff_id)

    assert skopeo("--decryption-key", "other.pem", "oci:ours:v1", "oci:no:v1", cwd=place).returncode != 0
    done = skopeo(*decrypting(theirs), "oci:ours:v1", "oci:back:v1", cwd=place)
    assert done.returncode == 0, done.stderr
    back = read_layers(place / "back")[0]
    assert back["mediaType"] == LAYER
    assert blob(place / "back", back).read_bytes() == layer


def skopeo_image(place, size, *recipients):
    layer, diff_id = make_layer(size)
    put_image(place / "plain", layer, dict(put_blob(place / "plain", layer), mediaType=LAYER), diff_id)
    keys = [part for recipient in recipients for part in ("--encryption-key", recipient)]
    done = skopeo(*keys, "oci:plain:v1", "oci:enc:v1", cwd=place)
    assert done.returncode == 0, done.stderr
    descriptor = read_layers(place / "enc")[0]
    (place / "descriptor").write_text(json.dumps(descriptor))
    return layer, blob(place / "enc", descriptor)


def decrypt(crypto_probe, place, key, cipher):
    return subprocess.run([crypto_probe, "layer-decrypt", key, "descriptor", cipher, "out"],
                          cwd=place, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_we_open_skopeos(crypto_probe, place, scheme, size):
    ours, recipient, _ = SCHEMES[scheme]
    layer, cipher = skopeo_image(place, size, recipient)
    assert decrypt(crypto_probe, place, ours, cipher).returncode == 0
    assert (place / "out").read_bytes() == layer
    assert decrypt(crypto_probe, place, "other.pem", cipher).stdout.strip() == "image.unwrap"


def test_we_open_skopeos_for_many(crypto_probe, place):
    layer, cipher = skopeo_image(place, 1000, "jwe:p384.pub", "jwe:rsa.pub", "jwe:p256.pub", "pkcs7:rsa.crt")
    for key in ("p256.pem", "p384.pem", "rsa.pem", "rsa.pem,rsa.crt"):
        assert decrypt(crypto_probe, place, key, cipher).returncode == 0, key
        assert (place / "out").read_bytes() == layer
