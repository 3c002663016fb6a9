# SPDX-License-Identifier: Apache-2.0
"""Searching a stack for secrets that a test planted where they belong: in which place, in which encoding, does one show?"""
import base64
import json
import pathlib
import re
import subprocess

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from trust import agree, from_b64url


def encodings(secret):
    """Every text or bytes by which the secret would be found within something longer."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for offset, lost in ((0, 0), (1, 2), (2, 3)):
        padded = b"\0" * offset + secret
        text = base64.b64encode(padded).rstrip(b"=")[lost:]
        core = text if len(padded) % 3 == 0 else text[:-1]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))


def search(places, secrets):
    """{(place, name of the secret)}; places {name: bytes}, secrets {name: bytes}."""
    needles = {name: set(encodings(secret)) for name, secret in secrets.items()}
    assert all(len(needle) >= 15 for each in needles.values() for needle in each), "a canary that proves nothing"
    return {(place, name) for place, data in places.items() for name, each in needles.items()
            if any(needle in data for needle in each)}


def contents(*files):
    return b"\n".join(file.read_bytes() for file in files if file.is_file())


def kept(stack):
    """What the stack keeps and logs."""
    folder = stack.folder
    dump = subprocess.run(["pg_dump", "-h", stack.sockets / "postgres", "-U", "postgres", "strongroom"], check=True,
                          stdout=subprocess.PIPE).stdout
    found = {"postgres": dump}
    for name in ("redis", "registry", "objects", "certificates"):
        found[name] = contents(*folder.glob(f"{name}/**/*"))
    found["logs"] = contents(*folder.glob("log/*"), *folder.glob("sandboxes/**/*.log"))
    return found


def places(stack, traces):
    """All that the operator has: what the stack keeps and logs, and every program's arguments."""
    return {**kept(stack), "arguments": b"\n".join(arguments(trace) for trace in traces.iterdir())}


TRACE = ["strace", "-DD", "-f", "--seccomp-bpf", "-qq", "-e", "trace=execve", "-e", "signal=none", "-xx", "-s", "100000", "-o"]


def arguments(trace):
    """The texts in a file that strace wrote by TRACE."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda byte: bytes([int(byte[1], 16)]), trace.read_bytes())


# --- what a client keeps for itself ---

def unseal(storage, jwe):
    """The plaintext of a key file (flattened JWE, ECDH-ES+A256KW, A256GCM)."""
    header = json.loads(from_b64url(jwe["protected"]))
    private = ec.derive_private_key(int.from_bytes(from_b64url(storage["d"]), "big"), ec.SECP256R1())
    x, y = (int.from_bytes(from_b64url(header["epk"][name]), "big") for name in ("x", "y"))
    theirs = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    cek = aes_key_unwrap(agree(private, theirs), from_b64url(jwe["encrypted_key"]))
    return json.loads(AESGCM(cek).decrypt(from_b64url(jwe["iv"]), from_b64url(jwe["ciphertext"]) + from_b64url(jwe["tag"]),
                                          jwe["protected"].encode()))


def secrets_within(value, name):
    """{name: bytes} of the keys in an unsealed file."""
    if isinstance(value, dict):
        if "pem" in value:
            number = load_pem_private_key(value["pem"].encode(), None).private_numbers().private_value
            return {name: number.to_bytes(32, "big")}
        return {found: secret for member, inner in value.items()
                for found, secret in (({f"{name}.{member}": from_b64url(inner)} if member in ("d", "key") else
                                       secrets_within(inner, f"{name}.{member}")).items())}
    return {}


def keys_of(project):
    storage = json.loads((project.profile() / "storage.jwk").read_text())
    found = {"storage key": from_b64url(storage["d"])}
    for file in pathlib.Path(project.folder).glob("keys/*.jwe"):
        found |= secrets_within(unseal(storage, json.loads(file.read_text())), file.stem)
    return found
