# SPDX-License-Identifier: Apache-2.0
"""What test_image.py works with: the probe, keys, image layouts made by hand, a plain Docker Registry, a cutting proxy."""
import base64
import contextlib
import gzip
import hashlib
import io
import json
import pathlib
import re
import socket
import subprocess
import tarfile
import threading
import urllib.request

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import BUILD, wait_for

PROBE = BUILD / "probe" / "image_probe"
SALT = ".strongroom-salt"


class Refused(Exception):
    def __init__(self, answer):
        super().__init__(f"{answer['code']}: {answer['detail']}")
        self.code, self.detail = answer["code"], answer["detail"]


def probe(*arguments, timeout=120):
    done = subprocess.run([PROBE, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    assert done.returncode in (0, 1), done.stderr
    answer = json.loads(done.stdout)
    if done.returncode:
        raise Refused(answer)
    return answer


class Key:
    """An image key as the client has it (JWK) and as skopeo wants it (PEM)."""

    def __init__(self, folder):
        key = ec.generate_private_key(ec.SECP256R1())
        numbers = key.private_numbers()

        def text(value):
            return base64.urlsafe_b64encode(value.to_bytes(32, "big")).rstrip(b"=").decode()

        public = {"kty": "EC", "crv": "P-256", "x": text(numbers.public_numbers.x),
                  "y": text(numbers.public_numbers.y), "use": "enc", "alg": "ECDH-ES+A256KW"}
        self.public, self.private = folder / "public.jwk", folder / "private.jwk"
        self.public_pem, self.private_pem = folder / "public.pem", folder / "private.pem"
        self.public.write_text(json.dumps(public))
        self.private.write_text(json.dumps({**public, "d": text(numbers.private_value)}))
        self.private_pem.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        self.public_pem.write_bytes(key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- layouts ---

def blob(layout, described):
    return (layout / "blobs/sha256" / described["digest"].removeprefix("sha256:")).read_bytes()


def documents(layout):
    """Manifest and config of the one image in a layout."""
    manifest = json.loads(blob(layout, json.loads((layout / "index.json").read_text())["manifests"][0]))
    return manifest, json.loads(blob(layout, manifest["config"]))


def tar(*entries):
    """(name, bytes), (name, None) for folders, (name, TarInfo attributes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, value in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = 0o644, 1700000000
            if value is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(value, dict):
                for attribute, content in value.items():
                    setattr(info, attribute, content)
            else:
                info.size = len(value)
            archive.addfile(info, io.BytesIO(value) if isinstance(value, bytes) else None)
    return out.getvalue()


def symlink(target):
    return {"type": tarfile.SYMTYPE, "linkname": target}


def hardlink(target):
    return {"type": tarfile.LNKTYPE, "linkname": target}


def make_layout(folder, tars, compress=gzip.compress, run=None, diff_ids=None):
    """An OCI layout of these layers."""
    (folder / "blobs/sha256").mkdir(parents=True)

    def add(kind, data):
        (folder / "blobs/sha256" / digest(data).removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}

    kind = "layer.v1.tar+gzip" if compress is gzip.compress else "layer.v1.tar"
    config = {"architecture": "amd64", "os": "linux", "config": run or {"Cmd": ["/app"]},
              "history": [{"created_by": "canary-of-the-history"}],
              "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(layer) for layer in tars]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": add("config.v1+json", json.dumps(config).encode()),
                "layers": [add(kind, compress(layer)) for layer in tars]}
    (folder / "index.json").write_text(json.dumps(
        {"schemaVersion": 2, "manifests": [add("manifest.v1+json", json.dumps(manifest).encode())]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


def content(layer):
    """name -> what it is, of a tar (compressed or not); the salt left out, times too."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:*") as archive:
        for info in archive:
            name = info.name.rstrip("/")
            kind = {tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link to " + info.linkname,
                    tarfile.LNKTYPE: "name of " + info.linkname}.get(info.type)
            if info.isreg():
                kind = archive.extractfile(info).read()
            assert name not in found, "a name twice"
            if name != SALT:
                found[name] = (kind, info.mode, info.uid, info.gid)
    return found


# --- the registry ---

class Registry:
    """Debian's docker-registry without authorisation, on loopback TCP or a unix socket."""

    def __init__(self, folder, net):
        self.folder, self.socket = folder, folder / "registry.sock"
        if net == "tcp":
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}" if net == "tcp" else f"unix:{self.socket}"
        place = f"127.0.0.1:{self.port}" if net == "tcp" else self.socket
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '{place}', net: {net}, secret: test}}\n")
        self.log = open(folder / "registry.log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"],
                                        stdout=self.log, stderr=self.log)
        wait_for(self._answers, "the registry answers")

    def _answers(self):
        family, place = ((socket.AF_INET, ("127.0.0.1", self.port)) if hasattr(self, "port")
                         else (socket.AF_UNIX, str(self.socket)))
        with socket.socket(family) as link:
            link.connect(place)
        return True

    def get(self, path):
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:
            return answer.read()

    def requests(self):
        return re.findall(r'"(GET|HEAD|POST|PATCH|PUT) (\S+) HTTP/1.1" (\d+)',
                          (self.folder / "registry.log").read_text(errors="replace"))

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()


class Proxy:
    """Between probe and registry. `decide(direction, data)` sees each piece before it goes on: False cuts both sides."""

    def __init__(self, port, decide):
        self.target, self.decide, self.heads = port, decide, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.server.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                for one, other, way in ((near, far, "up"), (far, near, "down")):
                    threading.Thread(target=self._pump, args=(one, other, way), daemon=True).start()

    def _pump(self, one, other, way):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if way == "up":
                    self.heads += re.findall(rb"(?:GET|HEAD|POST|PATCH|PUT) /v2[^\r]*|(?:Content-)?Range: [^\r]*", data)
                if not self.decide(way, data):
                    break
                other.sendall(data)
        for side in (one, other):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.server.close()


def skopeo(*arguments):
    subprocess.run(["skopeo", "copy", "-q", *map(str, arguments)], check=True, timeout=120)


def folder(path):
    path.mkdir(mode=0o700)
    return pathlib.Path(path)
