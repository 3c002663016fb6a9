# SPDX-License-Identifier: Apache-2.0
"""Archives that are refused, each with its code, and nothing of them stays."""
import hashlib
import io
import json
import secrets
import shutil
import subprocess
import tarfile

import pytest

from archive_kit import DOCKER, LAYER, LAYOUT, MIB, Image, archive_of, blob, descriptor, index_json, leavings, member, refusal, \
    send, tar
from registry_stack import INDEX_TYPE, MANIFEST_TYPE, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)


# --- what is not ---

def test_images_that_are_not_encrypted(repository):
    document = json.loads(Image().manifest)
    layers = [{**document["layers"][0], "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}]
    assert "layer 0: its media type" in refusal(repository, archive_of(Image(layers=layers)), 403, "manifest.not_encrypted")
    good, bad = Image(), Image(layers=layers)
    inner = json.dumps({"schemaVersion": 2, "manifests": [descriptor(good.manifest), descriptor(bad.manifest)]}).encode()
    blobs = {info.name: (info, data) for image in (good, bad) for info, data in image.blobs}
    body = tar(LAYOUT, *blobs.values(), blob(inner), index_json(descriptor(inner, INDEX_TYPE)))
    assert "layer 0: its media type" in refusal(repository, body, 403, "manifest.not_encrypted")


@pytest.mark.parametrize("members", [
    [member("manifest.json", b"[]")], [member("0" * 64 + ".json", b"{}")], [member("x/layer.tar", b"x" * 100)],
    [member("x/VERSION", b"1.0")], [member("0" * 64 + ".tar", bytes(5 * MIB))]])
def test_docker_archives(repository, members):
    assert DOCKER in refusal(repository, tar(*members), 422, "image.not_encrypted")


@pytest.mark.parametrize("name", ["../index.json", "blobs/../oci-layout", "/index.json", "blobs//sha256/" + "0" * 64, "etc/passwd",
                                  "blobs/sha256/../../index.json", "blobs/sha256/" + "0" * 63, "blobs/sha256/" + "A" * 64,
                                  "blobs/sha256/" + "0" * 65, "blobs/sha512/" + "0" * 128, "blobs/sha256/" + "0" * 64 + "/x",
                                  ".wh..wh..opq", "index.json ", "ünlesbar", "x" * 5000])
def test_names_that_are_none(repository, name):
    image = Image()
    body = tar(LAYOUT, index_json(descriptor(image.manifest)), *image.blobs, member(name, b"x"))
    assert "is no name of an OCI image layout" in refusal(repository, body, 400, "archive.name")


@pytest.mark.parametrize("more", [{"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, {"type": tarfile.LNKTYPE, "linkname": "oci-layout"},
                                  {"type": tarfile.FIFOTYPE}, {"type": tarfile.CHRTYPE}])
def test_entries_that_are_no_files(repository, more):
    refusal(repository, tar(LAYOUT, member("index.json", **more)), 400, "archive.entry")


def sparse(name, size):
    """An old GNU sparse header: one piece of data at its end."""
    info = tarfile.TarInfo(name)
    info.size = 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[386:410] = b"%011o\0%011o\0" % (size - 512, 512)
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(512)


def test_holes(repository):
    body = sparse("blobs/sha256/" + hashlib.sha256(bytes(MIB)).hexdigest(), MIB) + tar(LAYOUT)
    assert "has holes" in refusal(repository, body, 400, "archive.entry")


@pytest.mark.parametrize("attribute, code", [("SCHILY.realsize", "entry"), ("GNU.sparse.realsize", "entry"), ("size", "invalid")])
def test_sizes_below_nothing(repository, attribute, code):
    """libarchive hands such a size on; as much memory as that is not there."""
    info, data = member("index.json", b"x" * 10, pax_headers={attribute: "-7"})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(data))
    refusal(repository, tar(LAYOUT, end=False)[:1024] + out.getvalue(), 400, f"archive.{code}")


def test_twice_the_same_name(repository):
    image = Image()
    again = member("./index.json", b"{}")
    refusal(repository, tar(LAYOUT, index_json(descriptor(image.manifest)), *image.blobs, again), 400, "archive.duplicate")
    refusal(repository, tar(LAYOUT, *image.blobs, *image.blobs[:1]), 400, "archive.duplicate")


@pytest.mark.parametrize("program, name", [("gzip", "gzip"), ("zstd", "zstd"), ("xz", "xz"), ("bzip2", "bzip2")])
def test_compressed(repository, program, name):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    body = subprocess.run([program, "-c"], input=archive_of(Image()), capture_output=True, check=True).stdout
    assert f"compressed by {name}" in refusal(repository, body, 400, "archive.compressed")


def test_every_cut(repository):
    image = Image()
    body = archive_of(image)
    used = len(body.rstrip(b"\0"))
    for end in [*range(512, used, 2048 + 257), used, used + 512]:
        answer = send(repository, body[:end])
        assert answer.status in (400, 422), (end, answer.body)
        assert answer.json["errors"][0]["detail"]["code"] in ("archive.truncated", "archive.invalid"), (end, answer.body)
    assert leavings(repository) == (0, 0, 0)
    refusal(repository, b"", 400, "archive.invalid")


def test_large_layers_that_are_cut(repository):
    body = archive_of(Image(secrets.token_bytes(9 * MIB)))
    refusal(repository, body[:6 * MIB], 400, "archive.truncated")
    refusal(repository, body[:6 * MIB + 1], 400, "archive.truncated")


@pytest.mark.parametrize("more", [b"x", b"x" * 512, bytes(10240) + b"x", tar(LAYOUT), bytes(300_000) + b"PK\3\4"])
def test_something_behind_the_end(repository, more):
    refusal(repository, archive_of(Image()) + more, 400, "archive.trailing")


def test_zeros_behind_the_end(repository):
    assert send(repository, archive_of(Image()) + bytes(300_000)).status == 201


@pytest.mark.parametrize("body", [b"x" * 100_000, bytes(100_000), b"PK\3\4" + b"x" * 10000, LAYER])
def test_what_is_no_tar(repository, body):
    answer = send(repository, body)
    assert answer.status == 400 and answer.json["errors"][0]["detail"]["code"] in ("archive.invalid", "archive.layout")
    assert leavings(repository) == (0, 0, 0)


@pytest.mark.parametrize("large", [False, True])
def test_bytes_without_their_digest(repository, large):
    image = Image(secrets.token_bytes(5 * MIB) if large else LAYER)
    info, data = blob(image.layer)
    parts = [LAYOUT, index_json(descriptor(image.manifest)), (info, data[:-1] + bytes([data[-1] ^ 1])), *image.blobs[1:]]
    assert info.name[13:] in refusal(repository, tar(*parts), 400, "archive.digest")


def test_documents_without_their_digest(repository):
    image = Image()
    info, data = blob(image.manifest)
    parts = [LAYOUT, index_json(descriptor(image.manifest)), *image.blobs[:2], (info, data.replace(b"2", b"3", 1))]
    refusal(repository, tar(*parts), 400, "archive.digest")


@pytest.mark.parametrize("change", [lambda said: {**said, "size": said["size"] + 1}, lambda said: {**said, "size": 0}])
def test_sizes_that_are_wrong(repository, change):
    image = Image()
    refusal(repository, tar(LAYOUT, index_json(change(descriptor(image.manifest))), *image.blobs), 400, "archive.size")
    document = json.loads(image.manifest)
    for part in ("config", "layers"):
        wrong = change(document[part]) if part == "config" else [change(document[part][0])]
        other = Image(**{part: wrong})
        other.config = image.config
        body = tar(LAYOUT, index_json(descriptor(other.manifest)), *other.blobs)
        answer = send(repository, body)
        assert answer.json["errors"][0]["detail"]["code"] in ("archive.size", "manifest.blob_unknown"), answer.body
    assert leavings(repository) == (0, 0, 0)


def test_what_the_archive_does_not_have(repository):
    image = Image()
    for missing in range(3):
        blobs = [part for i, part in enumerate(image.blobs) if i != missing]
        refusal(repository, tar(LAYOUT, index_json(descriptor(image.manifest)), *blobs), 400, "manifest.blob_unknown")
    refusal(repository, tar(index_json(descriptor(image.manifest)), *image.blobs), 400, "archive.layout")
    refusal(repository, tar(LAYOUT, *image.blobs), 400, "archive.layout")


def test_what_nobody_names(repository):
    image = Image()
    for extra in (secrets.token_bytes(100), b"{}", secrets.token_bytes(5 * MIB)):
        body = tar(LAYOUT, index_json(descriptor(image.manifest)), *image.blobs, blob(extra))
        assert sha256(extra) in refusal(repository, body, 400, "archive.unreferenced")


def test_more_than_one_image(repository):
    images = [Image(), Image()]
    blobs = {info.name: (info, data) for image in images for info, data in image.blobs}
    body = tar(LAYOUT, index_json(*(descriptor(image.manifest) for image in images)), *blobs.values())
    assert "names 2 images" in refusal(repository, body, 400, "oci.ambiguous")
    refusal(repository, tar(LAYOUT, index_json(), *images[0].blobs), 400, "oci.layout")


@pytest.mark.parametrize("layout, index", [
    (b"{", None), (b'{"imageLayoutVersion":"2.0.0"}', None), (b"[]", None), (None, b"{"), (None, b"[]"),
    (None, b'{"manifests":{}}'), (None, b'{"manifests":[' * 500)])
def test_layouts_that_are_none(repository, layout, index):
    image = Image()
    parts = [member("oci-layout", layout) if layout else LAYOUT,
             member("index.json", index) if index else index_json(descriptor(image.manifest)), *image.blobs]
    refusal(repository, tar(*parts), 400, "oci.layout")


def test_documents_that_are_none(repository):
    for text in (b"{", b'{"a":1,"a":2}', LAYER, b'{"x":' * 1000):
        refusal(repository, tar(LAYOUT, blob(text), index_json(descriptor(text))), 400, "manifest.invalid")
    image = Image()
    said = descriptor(image.manifest, "application/x")
    refusal(repository, tar(LAYOUT, *image.blobs, index_json(said)), 400, "manifest.invalid")
    refusal(repository, tar(LAYOUT, *image.blobs, index_json({"digest": said["digest"]})), 400, "oci.descriptor")


def nested(depth, text):
    blobs = [blob(text)]
    said = descriptor(text)
    for _ in range(depth):
        text = json.dumps({"schemaVersion": 2, "manifests": [said]}).encode()
        said, blobs = descriptor(text, INDEX_TYPE), [*blobs, blob(text)]
    return said, blobs


def test_indexes_in_indexes(repository):
    image = Image()
    said, blobs = nested(4, image.manifest)
    assert send(repository, tar(LAYOUT, *image.blobs[:2], *blobs, index_json(said))).status == 201
    said, blobs = nested(5, image.manifest)
    body = tar(LAYOUT, *image.blobs[:2], *blobs, index_json(said))
    answer = send(repository, body)
    assert (answer.status, answer.json["errors"][0]["detail"]["code"]) == (400, "manifest.invalid")


# --- bombs ---

def test_documents_that_fill_the_memory(repository):
    texts = [json.dumps({"fill": secrets.token_hex(2 * MIB - 100)}).encode() for _ in range(5)]
    refusal(repository, tar(LAYOUT, *map(blob, texts)), 413, "archive.too_large")
    refusal(repository, tar(LAYOUT, member("index.json", b" " * (4 * MIB + 1))), 413, "archive.too_large")
    refusal(repository, tar(LAYOUT, member("manifest.json", b" " * (MIB + 1))), 413, "archive.too_large")


def test_too_many_parts(repository):
    refusal(repository, tar(LAYOUT, *(blob(b"{%d" % i) for i in range(1025))), 413, "archive.too_many")
    refusal(repository, tar(*(member(".", type=tarfile.DIRTYPE) for _ in range(4097))), 413, "archive.too_many")


def test_a_blob_that_claims_to_be_endless(repository):
    info = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    info.size = 65 << 30
    body = tar(LAYOUT)[:1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    refusal(repository, body, 413, "archive.too_large")


def test_a_header_that_claims_much(repository):
    for name in (b"x", b"L", b"g"):
        info = tarfile.TarInfo("long")
        info.type, info.size = name, 1 << 40
        answer = send(repository, info.tobuf(tarfile.GNU_FORMAT) + b"x" * MIB)
        assert answer.status == 400 and answer.json["errors"][0]["detail"]["code"].startswith("archive."), answer.body
    assert leavings(repository) == (0, 0, 0)
