# SPDX-License-Identifier: Apache-2.0
"""Encryption of one image layer: ours beside skopeo's, from file to file on the same disk."""
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile

from figures import RUNS, Table, median, timed

SIZE_MIB = int(os.environ.get("BENCH_LAYER_MIB", "1024"))
TYPE = "application/vnd.oci.image."


class Random:
    """So many random bytes, as a file to read from: nothing in them compresses."""

    def __init__(self, size):
        self.left = size

    def read(self, size=-1):
        size = self.left if size < 0 else min(size, self.left)
        self.left -= size
        return os.urandom(size)


def put_blob(layout, data):
    name = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / name).write_bytes(data)
    return {"digest": "sha256:" + name, "size": len(data)}


def make_layout(layout):
    """An OCI layout with one layer; returns the layer's file."""
    (layout / "blobs/sha256").mkdir(parents=True)
    blob = layout / "layer"
    with gzip.open(blob, "wb", compresslevel=0) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
        entry = tarfile.TarInfo("data")
        entry.size = SIZE_MIB << 20
        archive.addfile(entry, Random(entry.size))
    with gzip.open(blob, "rb") as plain:
        diff_id = hashlib.file_digest(plain, "sha256") if hasattr(hashlib, "file_digest") else hashed(plain)
    with blob.open("rb") as packed:
        name = hashed(packed).hexdigest()
    layer = {"mediaType": TYPE + "layer.v1.tar+gzip", "digest": "sha256:" + name, "size": blob.stat().st_size}
    blob.rename(layout / "blobs/sha256" / name)
    config = put_blob(layout, json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": ["sha256:" + diff_id.hexdigest()]}}).encode())
    manifest = put_blob(layout, json.dumps({
        "schemaVersion": 2, "mediaType": TYPE + "manifest.v1+json",
        "config": {**config, "mediaType": TYPE + "config.v1+json"}, "layers": [layer]}).encode())
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {**manifest, "mediaType": TYPE + "manifest.v1+json", "annotations": {"org.opencontainers.image.ref.name": "v1"}}]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return layout / "blobs/sha256" / name


def hashed(file):
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest


def touch_memory(path):
    """What the page cache will need: a guest's free memory may have gone back to its host."""
    with path.open("wb", 0) as file:
        for _ in range(SIZE_MIB):
            file.write(bytes(1 << 20))
    path.unlink()


def speed(cipher):
    """Bytes a second of one core."""
    done = subprocess.run(["openssl", "speed", "-mr", "-seconds", "2", "-bytes", "65536", "-evp", cipher], check=True,
                          capture_output=True, text=True)
    return float(done.stdout.rsplit(":", 1)[1])


def copy(folder, option, source, target):
    """skopeo's argv from one layout to another."""
    return ["skopeo", "--insecure-policy", "copy", "-q", option[0], option[1], f"oci:{folder / source}:v1", f"oci:{folder / target}:v1"]


def in_turns(folder, our_argv, our_file, their_argv, their_layout):
    """Wall and CPU seconds of both, RUNS times; what was made last is left."""
    ours, theirs = [], []
    for _ in range(RUNS):
        our_file.unlink(missing_ok=True)
        touch_memory(our_file)
        ours.append(timed(our_argv))
        shutil.rmtree(their_layout, ignore_errors=True)
        touch_memory(folder / "touched")
        theirs.append(timed(their_argv))
    return ours, theirs


def add_rows(table, what, ours, theirs):
    gib = SIZE_MIB / 1024
    wall, cpu = (median([one[i] for one in ours]) for i in (0, 1))
    peer_wall, peer_cpu = (median([one[i] for one in theirs]) for i in (0, 1))
    ratio = median([their[0] / our[0] for our, their in zip(ours, theirs)])
    table.add(f"{what}, ours", f"{wall:.2f} s, {SIZE_MIB / wall:.0f} MiB/s", f"{cpu / gib:.2f} CPU-s/GiB", "2.3 CPU-s/GiB",
              cpu / gib <= 2.3)
    table.add(f"{what}, skopeo", f"{peer_wall:.2f} s, {SIZE_MIB / peer_wall:.0f} MiB/s", f"{peer_cpu / gib:.2f} CPU-s/GiB")
    table.add(f"{what}, ours : skopeo", f"{ratio:.1f} x", f"{peer_cpu / cpu:.1f} x less CPU", "5 x", ratio >= 5)


def run(bench):
    table = Table(f"Client encryption of a {SIZE_MIB} MiB layer", [
        "A tar of random bytes in stored gzip blocks, read from and written to files of one file system (page cache warm). "
        "Before each process a file of that size is written and removed, so that no hypervisor has to find memory for the page "
        "cache meanwhile. Ours: AES-256-CTR, HMAC, digest of the ciphertext and digest of the plaintext, two threads; decrypting "
        "reads twice, so that HMAC and digest are known before the first byte is deciphered. skopeo: `copy --encryption-key jwe:… "
        "oci: oci:`, and back with `--decryption-key` (it does not check the inner digest). Taken in turns. Cipher and hashes alone: "
        "`openssl speed`, AES-256-CTR once and SHA-256 three times, nothing read or written; ours is below that where the processor "
        "has SHA instructions, by which HMAC and digest are one pass (lib/twin_sha256.h)."])
    folder = bench.folder / "layer"
    blob = make_layout(folder / "plain")
    subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                    folder / "key.pem"], check=True)
    subprocess.run(["openssl", "pkey", "-in", folder / "key.pem", "-pubout", "-out", folder / "key.pub"], check=True)
    sealed, opened = folder / "sealed", folder / "opened"
    add_rows(table, "encrypting", *in_turns(
        folder, [bench.build / "bench/encrypt_layer", blob, folder / "cipher"], folder / "cipher",
        copy(folder, ("--encryption-key", f"jwe:{folder / 'key.pub'}"), "plain", "sealed"), sealed))
    (folder / "cipher").unlink()
    add_rows(table, "decrypting", *in_turns(
        folder, [bench.build / "bench/decrypt_layer", sealed, folder / "key.pem", folder / "back"], folder / "back",
        copy(folder, ("--decryption-key", folder / "key.pem"), "sealed", "opened"), opened))
    shutil.rmtree(folder)
    table.add("cipher and hashes alone", "", f"{2**30 / speed('aes-256-ctr') + 3 * 2**30 / speed('sha256'):.2f} CPU-s/GiB")
    return table
