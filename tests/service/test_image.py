# SPDX-License-Identifier: Apache-2.0
"""client/image.h and lib/oci_registry.h: real builds, stock skopeo on the other side, a real Docker Registry."""
import gzip
import io
import os
import shutil
import tarfile

import pytest

import image_kit as kit
from conftest import wait_for
from image_kit import Refused, content, hardlink, make_layout, probe, skopeo, symlink, tar

CONTAINERFILE = """FROM scratch
COPY busybox /bin/busybox
COPY data /srv/data
ENV COLOUR=blue EMPTY=
LABEL secret=canary-of-the-label
WORKDIR /srv
ENTRYPOINT ["/bin/busybox"]
CMD ["cat", "data"]
"""


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return kit.Key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    folder = tmp_path_factory.mktemp("context")
    shutil.copy("/bin/busybox", folder / "busybox")
    (folder / "data").write_text("count unique top freq\n")
    (folder / "Containerfile").write_text(CONTAINERFILE)
    return folder


@pytest.fixture
def work(tmp_path):
    return kit.folder(tmp_path / "work")


@pytest.fixture(params=["tcp", "unix"])
def registry(request, tmp_path_factory):
    server = kit.Registry(tmp_path_factory.mktemp("registry"), request.param)
    yield server
    server.close()


@pytest.fixture
def tcp_registry(tmp_path_factory):
    server = kit.Registry(tmp_path_factory.mktemp("registry"), "tcp")
    yield server
    server.close()


def prepare(key, work, path, **more):
    return probe("prepare", key.public, work, "context" if "context" in more else "archive", path)


def decrypted(key, layout, out):
    """The image as stock skopeo decrypts it: config and layer."""
    skopeo("--decryption-key", key.private_pem, f"oci:{layout}:latest", f"oci:{out}:latest")
    manifest, config = kit.documents(out)
    assert len(manifest["layers"]) == 1
    return config, kit.blob(out, manifest["layers"][0])


def squashed(key, work, tmp_path, tars, **more):
    """What is left of these layers."""
    prepare(key, work, make_layout(tmp_path / "layers", tars, **more))
    return content(decrypted(key, work / "layout", tmp_path / "decrypted")[1])


# --- sources ---

def test_build(key, context, work, tmp_path):
    image = prepare(key, work, context, context=True)
    config, layer = decrypted(key, work / "layout", tmp_path / "out")
    files = content(layer)
    assert files["bin/busybox"][0] == (context / "busybox").read_bytes()
    assert files["srv/data"][0] == b"count unique top freq\n"
    assert (image["argv"], image["cwd"]) == (["/bin/busybox", "cat", "data"], "/srv")
    assert image["env"]["COLOUR"] == "blue" and image["env"]["EMPTY"] == ""
    assert config == {"architecture": "amd64", "os": "linux", "config": {},
                      "rootfs": {"type": "layers", "diff_ids": [image["diff_id"]]}}
    assert kit.digest(gzip.decompress(layer)) == image["diff_id"] and kit.digest(layer) == image["inner"]
    assert sorted(p.name for p in work.iterdir()) == ["build.log", "layout"], "something was left behind"


def test_one_image_three_ways(key, context, work, tmp_path):
    """docker archive, OCI archive and OCI layout of one image hold the same."""
    prepare(key, work, context, context=True)
    plain = tmp_path / "plain"
    skopeo("--decryption-key", key.private_pem, f"oci:{work}/layout:latest", f"oci:{plain}:latest")
    skopeo(f"oci:{plain}:latest", f"docker-archive:{tmp_path}/docker.tar:app:v1")
    skopeo(f"oci:{plain}:latest", f"oci-archive:{tmp_path}/oci.tar")
    found = []
    for number, source in enumerate((plain, tmp_path / "docker.tar", tmp_path / "oci.tar")):
        place = kit.folder(tmp_path / f"work{number}")
        prepare(key, place, source)
        assert [p.name for p in place.iterdir()] == ["layout"]
        found.append(content(decrypted(key, place / "layout", tmp_path / f"out{number}")[1]))
    assert found[0] == found[1] == found[2] and "bin/busybox" in found[0]


def test_nothing_in_clear(key, work, tmp_path):
    """Neither the program nor history, label or env are in what will be uploaded."""
    canary = os.urandom(64)
    prepare(key, work, make_layout(tmp_path / "layers", [tar(("secret", canary))], run={
        "Cmd": ["x"], "Env": ["TOKEN=canary-of-the-env"], "Labels": {"l": "canary-of-the-label"}}))
    stored = b"".join(p.read_bytes() for p in work.rglob("*") if p.is_file())
    assert canary not in stored and b"canary-of" not in stored
    manifest, _ = kit.documents(work / "layout")
    assert [layer["mediaType"] for layer in manifest["layers"]] == [
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"]


def test_reproducible_but_for_the_salt(key, tmp_path):
    layout = make_layout(tmp_path / "layers", [tar(("b", b"2"), ("a", None), ("a/x", b"1"))])
    layers = []
    for number in range(2):
        place = kit.folder(tmp_path / f"work{number}")
        image = prepare(key, place, layout)
        layer = decrypted(key, place / "layout", tmp_path / f"out{number}")[1]
        raw = gzip.decompress(layer)
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            at = archive.getmember(kit.SALT).offset_data
            assert archive.getmember(kit.SALT).size == 32
        layers.append((raw[:at] + raw[at + 32:], raw[at:at + 32], image["diff_id"]))
    assert layers[0][0] == layers[1][0]
    assert layers[0][1] != layers[1][1] and layers[0][2] != layers[1][2]


# --- squashing ---

def test_layers_lie_on_each_other(key, work, tmp_path):
    found = squashed(key, work, tmp_path, [
        tar(("etc", None), ("etc/keep", b"0"), ("etc/gone", b"0"), ("etc/changed", b"0"), ("opt", None),
            ("opt/old", b"0"), ("opt/sub", None), ("opt/sub/old", b"0"), ("dir", None), ("dir/in", b"0"),
            ("file", b"0")),
        tar(("etc/.wh.gone", b""), ("etc/changed", b"1"), ("opt/new", b"1"), ("opt/.wh..wh..opq", b""),
            ("opt/sub/new", b"1"), (".wh.file", b""), ("dir", b"a file now"), ("file", None), ("file/in", b"1")),
        tar((".wh.nothing", b""), ("etc", {"type": tarfile.DIRTYPE, "mode": 0o700, "uid": 5, "gid": 6}))])
    assert {name: value[0] for name, value in found.items()} == {
        "etc": "dir", "etc/keep": b"0", "etc/changed": b"1", "opt": "dir", "opt/new": b"1", "opt/sub": "dir",
        "opt/sub/new": b"1", "dir": b"a file now", "file": "dir", "file/in": b"1"}
    assert found["etc"] == ("dir", 0o700, 5, 6)


def test_links(key, work, tmp_path):
    """Hard links outlive the name that carried the contents; symbolic ones are followed inside the image only."""
    found = squashed(key, work, tmp_path, [
        tar(("a", b"one"), ("b", hardlink("a")), ("c", hardlink("b")), ("usr", None), ("usr/lib", None),
            ("lib", symlink("usr/lib")), ("up", symlink("../../usr")), ("loop", symlink("loop"))),
        tar((".wh.a", b""), ("lib/new", b"2"), ("up/lib/newer", b"3"), ("down", hardlink("lib/new")))])
    assert {name: value[0] for name, value in found.items()} == {
        "b": b"one", "c": "name of b", "usr": "dir", "usr/lib": "dir", "lib": "link to usr/lib",
        "up": "link to ../../usr", "loop": "link to loop", "down": b"2", "usr/lib/new": "name of down",
        "usr/lib/newer": b"3"}


def test_names_owners_and_modes(key, work, tmp_path):
    long = "d" * 120 + "/" + "n" * 200
    found = squashed(key, work, tmp_path, [tar(
        ("grün/日本", b"1"), (long, b"2"), ("s", {"mode": 0o4755, "uid": 70000, "gid": 3000000}),
        ("null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}), ("pipe", {"type": tarfile.FIFOTYPE}),
        (kit.SALT, b"an old salt"))], compress=lambda data: data)
    assert found["grün/日本"][0] == b"1" and found[long][0] == b"2"
    assert found["s"] == (b"", 0o4755, 70000, 3000000)
    assert "null" not in found and "pipe" not in found


@pytest.mark.parametrize("layer", [
    tar(("../escape", b"1")), tar(("a/../../escape/..", b"1")), tar(("file", b"1"), ("file/in", b"2")),
    tar(("loop", symlink("loop")), ("loop/x", b"1")), tar(("x", hardlink("nothing"))),
    tar(("d", None), ("x", hardlink("d"))), tar(("/".join("d" * 300), b"1")), b"this is no tar" * 100,
    tar(("x", b"1" * 5000))[:2000]], ids=range(9))
def test_bad_layers(key, work, tmp_path, layer):
    with pytest.raises(Refused) as refused:
        squashed(key, work, tmp_path, [layer])
    assert refused.value.code == "image.layer"
    assert not (tmp_path / "escape").exists() and list(work.iterdir()) == []


def test_wrong_diff_id(key, work, tmp_path):
    with pytest.raises(Refused) as refused:
        squashed(key, work, tmp_path, [tar(("x", b"1"))], diff_ids=[kit.digest(b"another")])
    assert refused.value.code == "image.layer"


def test_no_engine(key, context, work, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused) as refused:
        prepare(key, work, context, context=True)
    assert refused.value.code == "image.no_engine"


def test_build_fails(key, work, tmp_path):
    folder = kit.folder(tmp_path / "context")
    with pytest.raises(Refused) as refused:
        prepare(key, work, folder, context=True)
    assert refused.value.code == "image.no_containerfile"
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY absent /absent\n")
    with pytest.raises(Refused) as refused:
        prepare(key, work, folder, context=True)
    assert refused.value.code == "image.build_failed" and "absent" in refused.value.detail
    assert [p.name for p in work.iterdir()] == ["build.log"]


def test_engines_are_asked_in_order(key, context, work, tmp_path, monkeypatch):
    """A docker without daemon is passed over; a podman that works is used, and gets no shell."""
    tools = kit.folder(tmp_path / "tools")
    archive = tmp_path / "given.tar"
    skopeo(f"oci:{make_layout(tmp_path / 'layers', [tar(('by-podman', b'1'))])}", f"oci-archive:{archive}")
    (tools / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tools / "podman").write_text(f"""#!/bin/sh
echo "$@" >>{tmp_path}/calls
[ "$1" != build ] || for a; do [ "$previous" != --iidfile ] || echo sha256:1 >"$a"; previous=$a; done
[ "$1" != save ] || cp {archive} "$5"
""")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    prepare(key, work, context, context=True)
    assert "by-podman" in content(decrypted(key, work / "layout", tmp_path / "out")[1])
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["info", "build", "save"]


def test_encrypted_source(key, work, tmp_path):
    plain = make_layout(tmp_path / "layers", [tar(("x", b"1"))])
    skopeo("--encryption-key", f"jwe:{key.public_pem}", f"oci:{plain}", f"oci:{tmp_path}/sealed:latest")
    with pytest.raises(Refused) as refused:
        prepare(key, work, tmp_path / "sealed")
    assert refused.value.code == "image.already_encrypted"


def test_opens_what_skopeo_encrypted(key, tmp_path):
    tars = [tar(("x", os.urandom(300000))), tar(("y", b"2"))]
    plain = make_layout(tmp_path / "layers", tars)
    skopeo("--encryption-key", f"jwe:{key.public_pem}", f"oci:{plain}", f"oci:{tmp_path}/sealed:latest")
    out = kit.folder(tmp_path / "out")
    opened = probe("open", tmp_path / "sealed", key.private, out)
    assert opened["diff_ids"] == [kit.digest(layer) for layer in tars]
    assert [gzip.decompress((out / str(i)).read_bytes()) for i in range(2)] == tars


# --- push and pull ---

def test_push(key, work, tmp_path, registry):
    image = prepare(key, work, make_layout(tmp_path / "layers", [tar(("x", os.urandom(200000)))]))
    push = ("push", registry.address, "tenant/app", image["layout"], image["manifest"], "v1")
    probe(*push)
    sent = len(registry.requests())
    probe(*push)
    again = registry.requests()[sent:]
    assert [r for r in again if r[0] in ("POST", "PATCH")] == [], "a blob was sent twice"
    for reference in (image["manifest"], "v1"):
        manifest = probe("manifest", registry.address, "tenant/app", reference)
        assert manifest == kit.documents(work / "layout")[0]
    layer = manifest["layers"][0]
    probe("get", registry.address, "tenant/app", layer["digest"], layer["size"], tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == kit.blob(work / "layout", layer)
    assert not os.path.exists(image["layout"] + ".upload")


def test_pushed_image_in_skopeos_hands(key, work, tmp_path, tcp_registry):
    image = prepare(key, work, make_layout(tmp_path / "layers", [tar(("x", b"through the registry"))]))
    probe("push", tcp_registry.address, "tenant/app", image["layout"], image["manifest"], "v1")
    place = tcp_registry.address.removeprefix("http://")
    skopeo("--src-tls-verify=false", "--decryption-key", key.private_pem, f"docker://{place}/tenant/app:v1",
           f"oci:{tmp_path}/out:latest")
    manifest, _ = kit.documents(tmp_path / "out")
    assert content(kit.blob(tmp_path / "out", manifest["layers"][0]))["x"][0] == b"through the registry"


def random_file(tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "blob").write_bytes(data)
    return data, tmp_path / "blob"


def test_upload_goes_on_in_another_process(tmp_path, tcp_registry):
    """The connection dies at the third chunk and the process gives up; the next one sends the rest only."""
    data, path = random_file(tmp_path, 5 << 20)
    patches = []

    def third_chunk(way, piece):
        if way == "up" and piece.startswith(b"PATCH "):
            patches.append(piece)
        return len(patches) < 3

    proxy = kit.Proxy(tcp_registry.port, third_chunk)
    session = tmp_path / "session"
    with pytest.raises(Refused) as refused:
        probe("put", proxy.address, "tenant/app", path, session, 1 << 20)
    proxy.close()
    assert refused.value.code == "upstream.unreachable" and session.exists()
    assert session.stat().st_mode & 0o777 == 0o600

    port = proxy.address.rsplit(":", 1)[1]
    passing = kit.Proxy(tcp_registry.port, lambda way, piece: True)
    session.write_text(session.read_text().replace(port, passing.address.rsplit(":", 1)[1]))
    assert probe("put", passing.address, "tenant/app", path, session, 1 << 20)["had"] is False
    ranges = [head for head in passing.heads if head.startswith(b"Content-Range")]
    passing.close()
    assert ranges[0] == b"Content-Range: 2097152-3145727" and not session.exists()
    assert tcp_registry.get(f"/v2/tenant/app/blobs/{kit.digest(data)}") == data
    assert probe("put", tcp_registry.address, "tenant/app", path, session, 1 << 20)["had"] is True


def test_upload_survives_cuts(tmp_path, tcp_registry):
    """Cut in mid-chunk, which this registry forgets: the blob starts again, and arrives."""
    data, path = random_file(tmp_path, 3 << 20)
    state = {"sent": 0, "cuts": 0}

    def cut(way, piece):
        state["sent"] += len(piece) if way == "up" else 0
        if state["sent"] > 1500000 and state["cuts"] < 2:
            state["sent"], state["cuts"] = 0, state["cuts"] + 1
            return False
        return True

    proxy = kit.Proxy(tcp_registry.port, cut)
    probe("put", proxy.address, "tenant/app", path, tmp_path / "session", 1 << 20)
    proxy.close()
    assert state["cuts"] == 2
    assert tcp_registry.get(f"/v2/tenant/app/blobs/{kit.digest(data)}") == data


def test_download_goes_on(tmp_path, tcp_registry):
    data, path = random_file(tmp_path, 4 << 20)
    probe("put", tcp_registry.address, "tenant/app", path, tmp_path / "session", 0)
    state = {"got": 0, "cuts": 0}

    def cut(way, piece):
        state["got"] += len(piece) if way == "down" else 0
        if state["got"] > 1000000 and state["cuts"] < 3:
            state["got"], state["cuts"] = 0, state["cuts"] + 1
            return False
        return True

    proxy = kit.Proxy(tcp_registry.port, cut)
    probe("get", proxy.address, "tenant/app", kit.digest(data), len(data), tmp_path / "got")
    ranges = [int(head.split(b"=")[1][:-1]) for head in proxy.heads if head.startswith(b"Range")]
    proxy.close()
    assert (tmp_path / "got").read_bytes() == data
    assert len(ranges) == 3 and ranges == sorted(ranges) and ranges[0] > 900000, "it started again"


def test_download_of_something_else(tmp_path, tcp_registry):
    data, path = random_file(tmp_path, 100000)
    probe("put", tcp_registry.address, "tenant/app", path, tmp_path / "session", 0)
    name = kit.digest(data)
    hexes = name.removeprefix("sha256:")
    stored = tcp_registry.folder / f"data/docker/registry/v2/blobs/sha256/{hexes[:2]}/{hexes}/data"
    stored.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Refused) as refused:
        probe("get", tcp_registry.address, "tenant/app", name, len(data), tmp_path / "got")
    assert refused.value.code == "oci.digest" and (tmp_path / "got").read_bytes() == b""
    with pytest.raises(Refused) as refused:
        probe("get", tcp_registry.address, "tenant/app", kit.digest(b"x"), 1, tmp_path / "got")
    assert refused.value.code == "registry.not_found"
    with pytest.raises(Refused) as refused:
        probe("get", tcp_registry.address, "tenant/app", name, len(data) - 1, tmp_path / "got")
    assert refused.value.code == "oci.digest"


@pytest.mark.parametrize("repository", ["", "Upper/case", "../etc", "a//b", "/a", "a/", "a..b", "a?b", "a b", "x" * 256])
def test_repository_names(tmp_path, repository):
    with pytest.raises(Refused) as refused:
        probe("manifest", "http://127.0.0.1:1", repository, "latest")
    assert refused.value.code == "registry.name"


def test_location_elsewhere(tmp_path, tcp_registry):
    """A registry that sends an upload to another server does not get its bytes there."""
    _, path = random_file(tmp_path, 1000)

    class Lying(kit.Proxy):
        def _pump(self, one, other, way):
            class Changed:
                def __init__(self, link):
                    self.link = link

                def sendall(self, data):
                    self.link.sendall(data.replace(b"Location: http://127.0.0.1", b"Location: http://127.0.0.2"))

                def shutdown(self, how):
                    self.link.shutdown(how)
            super()._pump(one, Changed(other) if way == "down" else other, way)

    proxy = Lying(tcp_registry.port, lambda way, piece: True)
    with pytest.raises(Refused) as refused:
        probe("put", proxy.address, "tenant/app", path, tmp_path / "session", 0)
    proxy.close()
    assert refused.value.code == "registry.location"


def test_manifest_is_refused_without_its_blobs(key, work, tmp_path, tcp_registry):
    """The registry's own code and words reach the caller."""
    image = prepare(key, work, make_layout(tmp_path / "layers", [tar(("x", b"1"))]))
    layout = work / "layout"
    layer = kit.documents(layout)[0]["layers"][0]
    (layout / "blobs/sha256" / layer["digest"].removeprefix("sha256:")).unlink()
    with pytest.raises(Refused) as refused:
        probe("push", tcp_registry.address, "tenant/app", image["layout"], image["manifest"], "v1")
    assert refused.value.code == "oci.no_blob"
    with pytest.raises(Refused) as refused:
        probe("manifest", tcp_registry.address, "tenant/app", "absent")
    assert refused.value.code == "registry.not_found" and "MANIFEST_UNKNOWN" in refused.value.detail


def test_registry_comes_back(tmp_path, tcp_registry):
    """Not there at first: the client waits and goes on."""
    data, path = random_file(tmp_path, 1000)
    state = {"refused": 0}

    def first_two(way, piece):
        if way == "up" and state["refused"] < 2:
            state["refused"] += 1
            return False
        return True

    proxy = kit.Proxy(tcp_registry.port, first_two)
    probe("put", proxy.address, "tenant/app", path, tmp_path / "session", 0)
    proxy.close()
    assert state["refused"] == 2
    wait_for(lambda: tcp_registry.get(f"/v2/tenant/app/blobs/{kit.digest(data)}") == data, "the blob is there")
