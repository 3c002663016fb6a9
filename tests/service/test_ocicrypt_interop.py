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


@pytest.fixture
def keys(tmp_path):
    for name in ("image", "other"):
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-out", f"{name}.pem"], cwd=tmp_path, check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub"],
                       cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize("size", [10, 300_000, 3_000_000])
def test_skopeo_opens_ours(crypto_probe, keys, size):
    layer, diff_id = make_layer(size)
    (keys / "plain").write_bytes(layer)
    done = subprocess.run([crypto_probe, "layer-encrypt", "image.pem", "plain", "cipher"], cwd=keys,
                          capture_output=True, text=True, check=True, timeout=60)
    report = json.loads(done.stdout)
    cipher = (keys / "cipher").read_bytes()
    assert report["digest"] == "sha256:" + hashlib.sha256(cipher).hexdigest()
    assert report["inner_digest"] == "sha256:" + hashlib.sha256(layer).hexdigest()
    put_image(keys / "ours", cipher, {"mediaType": LAYER + "+encrypted", "digest": report["digest"],
                                      "size": report["size"], "annotations": report["annotations"]}, diff_id)

    assert skopeo("--decryption-key", "other.pem", "oci:ours:v1", "oci:no:v1", cwd=keys).returncode != 0
    done = skopeo("--decryption-key", "image.pem", "oci:ours:v1", "oci:back:v1", cwd=keys)
    assert done.returncode == 0, done.stderr
    back = read_layers(keys / "back")[0]
    assert back["mediaType"] == LAYER
    assert blob(keys / "back", back).read_bytes() == layer


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_we_open_skopeos(crypto_probe, keys, size):
    layer, diff_id = make_layer(size)
    put_image(keys / "plain", layer, dict(put_blob(keys / "plain", layer), mediaType=LAYER), diff_id)
    done = skopeo("--encryption-key", "jwe:image.pub", "oci:plain:v1", "oci:enc:v1", cwd=keys)
    assert done.returncode == 0, done.stderr
    descriptor = read_layers(keys / "enc")[0]
    (keys / "descriptor").write_text(json.dumps(descriptor))

    def decrypt(key):
        return subprocess.run([crypto_probe, "layer-decrypt", key, "descriptor", blob(keys / "enc", descriptor), "out"],
                              cwd=keys, capture_output=True, text=True, timeout=60)
    assert decrypt("image.pem").returncode == 0
    assert (keys / "out").read_bytes() == layer
    assert decrypt("other.pem").stdout.strip() == "image.unwrap"
