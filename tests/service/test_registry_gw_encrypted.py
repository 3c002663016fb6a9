# SPDX-License-Identifier: Apache-2.0
"""Only encrypted images get in: what the gateway refuses of a layer, without any key, naming the layer and the reason."""
import base64
import json
import os
import pathlib
import secrets

import pytest

from registry_stack import INDEX_TYPE, MANIFEST_TYPE, VECTOR, refused, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)

JWE = "org.opencontainers.image.enc.keys.jwe"
PKCS7 = "org.opencontainers.image.enc.keys.pkcs7"
PUBOPTS = "org.opencontainers.image.enc.pubopts"
FOLDER = os.environ.get("STRONGROOM_VECTORS")
LAYER = json.loads((VECTOR / "manifest.json").read_text())["layers"][0]


def b64(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def header(**members):
    return b64url(json.dumps(members).encode())


def annotated(name, text):
    """The vector's layer with another annotation."""
    return {**LAYER, "annotations": {**LAYER["annotations"], name: text}}


def options(**members):
    return annotated(PUBOPTS, b64({"cipher": "AES_256_CTR_HMAC_SHA256", "hmac": base64.b64encode(bytes(32)).decode(),
                                   "cipheroptions": {}, **members}))


def jwe(**members):
    wrapped = b64url(bytes(256))
    whole = {"protected": header(alg="RSA-OAEP", enc="A256GCM"), "encrypted_key": wrapped, "iv": b64url(bytes(12)),
             "ciphertext": b64url(bytes(193)), "tag": b64url(bytes(16)), **members}
    return b64({name: value for name, value in whole.items() if value is not None})


def recipients(*algorithms, **more):
    return jwe(**{"protected": header(enc="A256GCM"), "encrypted_key": None, "recipients": [
        {"header": {"alg": name}, "encrypted_key": b64url(bytes(256))} for name in algorithms], **more})


def push(repository, *layers, reference="v1"):
    """With layers before it that are right, so that the number is told."""
    repository.push_blob((VECTOR / "layer.enc").read_bytes())
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": list(layers),
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **repository.push_blob(b"{}")}}
    return repository.ask("PUT", f"manifests/{reference}", json.dumps(document).encode(), Content_Type=MANIFEST_TYPE)


@pytest.mark.parametrize("layer", [
    LAYER, options(), annotated(JWE, jwe()), annotated(JWE, jwe(protected=header(alg="ECDH-ES+A256KW", enc="A256GCM", kid="k"))),
    annotated(JWE, recipients("RSA-OAEP", "RSA-OAEP-256", "ECDH-ES+A128KW")), annotated(JWE, ",".join([jwe()] * 32)),
    annotated(JWE, recipients("RSA-OAEP", encrypted_key=b64url(bytes(256))))])  # the last as skopeo 1.9.3 has it
def test_encrypted_layers_are_taken(repository, layer):
    answer = push(repository, LAYER, layer)
    assert answer.status == 201, answer.body


@pytest.mark.parametrize("layer, why", [
    ({**LAYER, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}, "its media type does not end in +encrypted"),
    ({**LAYER, "mediaType": "+encrypted"}, "its media type"),
    ({**LAYER, "annotations": {}}, "public options are missing"),
    (annotated(PUBOPTS, "e30="), "public options are missing"),
    (options(cipher="AES_128_CTR"), "the cipher is not AES_256_CTR_HMAC_SHA256"),
    (options(hmac=base64.b64encode(bytes(31)).decode()), "the HMAC is not 32 bytes"),
    (options(hmac=""), "the HMAC is not 32 bytes"),
    (options(cipheroptions={"nonce": "AAAAAAAAAAAAAAAAAAAAAA=="}), "public cipher options would override the protected ones"),
    (options(more=1), "unknown members"),
    ({**LAYER, "annotations": {PUBOPTS: LAYER["annotations"][PUBOPTS]}}, "it has no key packet"),
    (annotated(JWE, ""), "key packet 1 of the kind JWE: it is no JWE"),
    (annotated(JWE, "e30="), "it is no JWE"),
    (annotated(JWE, "!"), "it is no JWE"),
    (annotated(JWE, jwe() + ",e30="), "key packet 2 of the kind JWE: it is no JWE"),
    (annotated(JWE, jwe(unprotected={"alg": "dir"})), "it is no JWE"),
    (annotated(JWE, jwe(protected=header(alg="dir", enc="A256GCM"))), "an algorithm that is not allowed"),
    (annotated(JWE, jwe(protected=header(alg="PBES2-HS256+A128KW", enc="A256GCM"))), "an algorithm that is not allowed"),
    (annotated(JWE, jwe(protected=header(alg="RSA1_5", enc="A256GCM"))), "an algorithm that is not allowed"),
    (annotated(JWE, jwe(protected=header(enc="A256GCM"))), "an algorithm that is not allowed"),
    (annotated(JWE, jwe(header={"alg": "dir"})), "it names its algorithm twice"),
    (annotated(JWE, jwe(protected=header(alg="RSA-OAEP", enc="A128CBC-HS256"))), "not encrypted by A256GCM"),
    (annotated(JWE, jwe(protected=header(alg="RSA-OAEP", enc="A256GCM", zip="DEF"))), "more than encryption"),
    (annotated(JWE, jwe(iv=b64url(bytes(11)))), "a wrong length"),
    (annotated(JWE, jwe(tag=b64url(bytes(15)))), "a wrong length"),
    (annotated(JWE, jwe(ciphertext="")), "a wrong length"),
    (annotated(JWE, jwe(encrypted_key="")), "no wrapped key"),
    (annotated(JWE, recipients()), "it has no recipients"),
    (annotated(JWE, recipients("RSA-OAEP", "dir")), "an algorithm that is not allowed"),
    (annotated(JWE, ",".join([jwe()] * 33)), "more than 32 recipients"),
    (annotated(JWE, recipients(*["RSA-OAEP"] * 33)), "more than 32 recipients"),
    (annotated(PKCS7, "MAA="), "key packet 1 of the kind PKCS7: it is no PKCS #7 EnvelopedData"),
    (annotated(PKCS7, base64.b64encode(b"\x30\x84\xff\xff\xff\xff").decode()), "it is no PKCS #7 EnvelopedData")])
def test_layers_that_are_not(repository, layer, why):
    message = refused(push(repository, LAYER, layer), 403, "DENIED")
    assert message.startswith("only encrypted images: layer 1: ") and why in message
    assert repository.ask("HEAD", "manifests/v1").status == 404


def test_an_index_of_plain_images_has_nothing_to_name(repository):
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": [{**LAYER, "mediaType": "application/x"}],
                "config": {"digest": LAYER["digest"]}}
    text = json.dumps(document).encode()
    refused(repository.ask("PUT", f"manifests/{sha256(text)}", text, Content_Type=MANIFEST_TYPE), 403, "DENIED")
    index = json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": MANIFEST_TYPE, "digest": sha256(text), "size": len(text)}]}).encode()
    refused(repository.ask("PUT", "manifests/v1", index, Content_Type=INDEX_TYPE), 400, "MANIFEST_BLOB_UNKNOWN")


# --- skopeo's own images ---

vectors = pytest.mark.skipif(not FOLDER, reason="STRONGROOM_VECTORS is not set")


def vector_layer(name):
    manifest = json.loads((pathlib.Path(FOLDER) / f"ocicrypt/{name}.manifest.json").read_text())
    return {**manifest["layers"][0], "digest": LAYER["digest"], "size": LAYER["size"]}


@vectors
@pytest.mark.parametrize("name", ["bb-jwe", "sm-jwe-ec", "sm-jwe-rsa", "sm-multi", "sm-pkcs7"])
def test_images_of_skopeo(repository, name):
    answer = push(repository, vector_layer(name))
    assert answer.status == 201, answer.body


@vectors
def test_every_cut_and_many_changes_of_a_pkcs7_packet(repository):
    layer = vector_layer("sm-pkcs7")
    whole = base64.b64decode(layer["annotations"][PKCS7])

    def refusal(packet):
        layer["annotations"][PKCS7] = base64.b64encode(packet).decode()
        return refused(push(repository, layer), 403, "DENIED")
    for end in range(1, len(whole), 97):
        assert "kind PKCS7" in refusal(whole[:end])
    at = whole.index(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")
    assert "wrapped by RSA" in refusal(whole[:at + 8] + b"\x07" + whole[at + 9:])
    at = whole.index(b"\x60\x86\x48\x01\x65\x03\x04\x01")
    assert "AES-GCM" in refusal(whole[:at + 8] + b"\x02" + whole[at + 9:])
    assert "EnvelopedData" in refusal(whole + secrets.token_bytes(1))
