# SPDX-License-Identifier: Apache-2.0
"""OCI archives for POST /v1/registry/archives, good ones and others, and what one leaves in a repository."""
import hashlib
import io
import json
import secrets
import socket
import tarfile
import urllib.parse

from conftest import LIMIT_S
from registry_stack import MANIFEST_TYPE, VECTOR, sha256

MIB = 1024 * 1024
LAYER = (VECTOR / "layer.enc").read_bytes()
DOCKER = "docker archive, whose layers cannot be encrypted"


# --- archives ---

def member(name, data=b"", **more):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def blob(data):
    return member("blobs/sha256/" + hashlib.sha256(data).hexdigest(), data)


def descriptor(text, media_type=MANIFEST_TYPE, **more):
    return {"mediaType": media_type, "digest": sha256(text), "size": len(text), **more}


def tar(*members, end=True):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
        body = out.getvalue()
    return out.getvalue() if end else body


class Image:
    """skopeo's encrypted image of tests/data under a config of its own, as parts of an archive."""

    def __init__(self, layer=LAYER, **more):
        self.layer, self.config = layer, json.dumps({"salt": secrets.token_hex(8)}).encode()
        document = json.loads((VECTOR / "manifest.json").read_text())
        document["layers"][0].update(digest=sha256(layer), size=len(layer))
        document["config"].update(digest=sha256(self.config), size=len(self.config))
        self.manifest = json.dumps({**document, **more}).encode()

    @property
    def blobs(self):
        return [blob(self.layer), blob(self.config), blob(self.manifest)]


LAYOUT = member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')


def index_json(*descriptors):
    return member("index.json", json.dumps({"schemaVersion": 2, "manifests": list(descriptors)}).encode())


def archive_of(image, order=None):
    parts = [LAYOUT, index_json(descriptor(image.manifest)), *image.blobs]
    return tar(*(parts if order is None else [parts[i] for i in order]))


# --- what it leaves ---

def send(repository, body, tags=("v1",), **headers):
    query = urllib.parse.urlencode([("repository", repository.name), *(("tag", tag) for tag in tags)])
    return repository.ask("POST", f"/v1/registry/archives?{query}", body, actions="pull,push", **headers)


def storage_of(repository):
    return repository.client.gateway.registry.storage / "docker/registry/v2/repositories" / repository.name


def leavings(repository):
    """Whatever there is of the repository: rows, bytes of uploads at the registry, blobs that it links."""
    sql = repository.client.gateway.postgres.sql
    rows = sum(sql(f"SELECT count(*) FROM registry_gw.{table} WHERE repository = %s", repository.name)[0][0]
               for table in ("upload", "manifest", "tag"))
    folder = storage_of(repository)
    return (rows, len(list(folder.glob("_uploads/*/data"))), len(list(folder.glob("_layers/sha256/*/link"))))


def refusal(repository, body, status, code, **more):
    """The message; nothing of the archive may stay."""
    answer = send(repository, body, **more)
    assert answer.status == status, (answer.status, answer.body)
    error, = answer.json["errors"]
    assert error["detail"]["code"] == code, error
    assert leavings(repository) == (0, 0, 0)
    return error["message"]


def pulled(repository, image, tag="v1"):
    assert repository.ask("GET", f"manifests/{tag}").body == image.manifest
    for data in (image.layer, image.config):
        assert repository.ask("GET", f"blobs/{sha256(data)}").body == data


def begun(repository, body, announced=None, token=None):
    """A client that sends a part of an archive and then waits."""
    repository.ask("GET", "tags/list", actions="pull,push")
    connection = socket.create_connection(("127.0.0.1", repository.client.gateway.port), LIMIT_S)
    length = f"Content-Length: {announced}" if announced else "Transfer-Encoding: chunked"
    connection.sendall(f"POST /v1/registry/archives?repository={repository.name}&tag=v1 HTTP/1.1\r\nHost: x\r\n{length}\r\n"
                       f"Authorization: Bearer {token or repository._tokens['pull,push']}\r\n\r\n".encode())
    connection.sendall(body if announced else b"%x\r\n%b\r\n" % (len(body), body))
    return connection


def uploads(repository):
    return repository.client.gateway.postgres.sql(
        "SELECT count(*) FROM registry_gw.upload WHERE repository = %s", repository.name)[0][0]
