# SPDX-License-Identifier: Apache-2.0
"""Manifests, key packets and signatures made by hand for the tests of registry-gw's rules, independent of its code."""
import base64
import hashlib
import json
import secrets

from certreg_stack import P256, openssl
from registry_stack import INDEX_TYPE, MANIFEST_TYPE

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
SIGNATURE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ENC = "org.opencontainers.image.enc."


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class EdgeRepository:
    """A repository behind the edge of a whole stack, for `client` of local_stack.py."""

    def __init__(self, client, name):
        self.client, self.name, self.url = client, name, f"{client.stack.url}/v2/{name}/"
        answer = client.http.get(client.stack.url + "/v1/registry-token", auth=("anybody", client.key), params={
            "service": "registry-gw", "scope": f"repository:{name}:pull,push"})
        assert answer.status_code == 200, answer.text
        self.headers = {"Authorization": "Bearer " + answer.json()["token"]}

    def ask(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.http.request(method, self.url + path, data=body, headers={**self.headers, **headers}, timeout=60)
        answer.status, answer.body = answer.status_code, answer.content
        return answer

    def push_blob(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        answer = self.ask("POST", f"blobs/uploads/?digest={digest}", data)
        assert answer.status == 201, answer.text
        return {"digest": digest, "size": len(data)}


# --- key packets: well-formed, and nobody's secret ---

def jwe(kid=None):
    head = {"alg": "RSA-OAEP", "enc": "A256GCM", **({"kid": kid} if kid else {})}
    return b64({"protected": b64url(json.dumps(head).encode()), "encrypted_key": b64url(secrets.token_bytes(256)),
                "iv": b64url(bytes(12)), "ciphertext": b64url(bytes(193)), "tag": b64url(bytes(16))})


def der(tag, *parts):
    inside = b"".join(parts)
    size = len(inside)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + inside


OID_RSA, OID_ENVELOPED = bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d010703")
OID_DATA, OID_GCM = bytes.fromhex("06092a864886f70d010701"), bytes.fromhex("0609608648016503040106")


def pkcs7(*issuers_and_serials):
    """As ocicrypt writes them, 0x10 and all."""
    recipients = [der(0x30, der(2, b"\0"), who, der(0x30, OID_RSA), der(4, secrets.token_bytes(256)))
                  for who in issuers_and_serials]
    parameter = der(0x10, der(0x30, der(0x84, bytes(12)), der(2, b"\x10")))
    content = der(0x30, OID_DATA, der(0x30, OID_GCM, parameter), der(0xa0, der(4, secrets.token_bytes(64))))
    envelope = der(0x30, der(2, b"\0"), der(0x31, *recipients), content)
    return b64(der(0x30, OID_ENVELOPED, der(0xa0, envelope)))


class Machine:
    """An RSA certificate, and how PKCS #7 names it."""

    def __init__(self, folder, name="machine"):
        self.name = name
        self.key = P256(folder / f"{name}.pem", kind=("RSA", "-pkeyopt", "rsa_keygen_bits:2048"))
        self.pem = self.key.certificate(name)
        self.der = openssl("x509", "-outform", "DER", data=self.pem.encode())
        self.serial = openssl("x509", "-noout", "-serial", data=self.pem.encode()).decode().strip().partition("=")[2].lower()
        number = bytes.fromhex(self.serial)
        issuer = der(0x30, der(0x31, der(0x30, bytes.fromhex("0603550403"), der(0x0c, name.encode()))))
        self.who = der(0x30, issuer, der(2, (b"\0" if number[0] & 0x80 else b"") + number))
        self.issuer_serial = "sha256:" + hashlib.sha256(self.who).hexdigest()


# --- images ---

def descriptor(repository, data, media_type, **more):
    return {"mediaType": media_type, **repository.push_blob(data), **more}


def layer(repository, *packets, data=None, **more):
    """An encrypted layer with these packets: ("jwe", text) or ("pkcs7", text)."""
    annotations = {ENC + "pubopts": b64({"cipher": "AES_256_CTR_HMAC_SHA256", "hmac": b64(bytes(32)), "cipheroptions": {}})}
    for scheme, packet in packets or [("jwe", jwe())]:
        name = f"{ENC}keys.{scheme}"
        annotations[name] = f"{annotations[name]},{packet}" if name in annotations else packet
    data = data or secrets.token_bytes(100)
    return descriptor(repository, data, LAYER_TYPE + "+encrypted", annotations=annotations, **more)


def plain_layer(repository):
    return descriptor(repository, secrets.token_bytes(100), LAYER_TYPE)


def manifest(repository, *layers, **more):
    return {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": list(layers),
            "config": descriptor(repository, b"{}", CONFIG_TYPE), **more}


def digest_of(document):
    return "sha256:" + hashlib.sha256(json.dumps(document).encode()).hexdigest()


def put(repository, document, reference="v1"):
    return repository.ask("PUT", f"manifests/{reference}", json.dumps(document).encode(), Content_Type=document["mediaType"])


def made(repository, document, reference="v1"):
    """The digest of what was taken."""
    answer = put(repository, document, reference)
    assert answer.status == 201, answer.body
    return answer.headers["Docker-Content-Digest"]


def index(*documents, **more):
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, **more, "manifests": [
        {"mediaType": one["mediaType"], "digest": digest_of(one), "size": len(json.dumps(one))} for one in documents]}


# --- signatures, as cosign stores them ---

class Signer:
    def __init__(self, folder, name="release", kind=None):
        self.name = name
        self.key = P256(folder / f"{name}.pem", **({"kind": kind} if kind else {}))
        self.public = openssl("pkey", "-in", self.key.file, "-pubout").decode()
        self.named = {"name": name, "public_key": self.public}


def payload(image, **more):
    return json.dumps({"critical": {"identity": {"docker-reference": "registry.test/acme/app"},
                                    "image": {"docker-manifest-digest": image},
                                    "type": "cosign container image signature", **more}, "optional": None}).encode()


def signature(repository, signer, image, text=None, signed=None):
    """The layer of one signature: `text` is stored, `signed` is what was signed."""
    text = text or payload(image)
    return descriptor(repository, text, SIGNATURE_TYPE, annotations={
        "dev.cosignproject.cosign/signature": b64(signer.key.sign(signed or text))})


def sign(repository, signer, image, **more):
    """Under cosign's tag."""
    return put(repository, manifest(repository, signature(repository, signer, image), **more),
               image.replace(":", "-") + ".sig")
