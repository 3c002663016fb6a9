# SPDX-License-Identifier: Apache-2.0
"""RFC 6962 by its recursive definitions, and C2SP notes: what a verifier of the audit log needs, apart from our C."""
import base64
import hashlib
import json
import subprocess

PREFIX = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of an Ed25519 key


def leaf_hash(data):
    return hashlib.sha256(b"\0" + data).digest()


def record_hash(record, salt):
    text = json.dumps({"record": record, "salt": salt}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return leaf_hash(text.encode())


def split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def root_of(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hashlib.sha256(b"\1" + root_of(leaves[:k]) + root_of(leaves[k:])).digest()


def inclusion(index, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return inclusion(index, leaves[:k]) + [root_of(leaves[k:])]
    return inclusion(index - k, leaves[k:]) + [root_of(leaves[:k])]


def consistency(size, leaves, whole=True):
    if size == len(leaves):
        return [] if whole else [root_of(leaves)]
    k = split(len(leaves))
    if size <= k:
        return consistency(size, leaves[:k], whole) + [root_of(leaves[k:])]
    return consistency(size - k, leaves[k:], False) + [root_of(leaves[:k])]


class Head:
    def __init__(self, note):
        self.note, (self.origin, size, root) = note, note[:note.index("\n\n")].split("\n")
        self.text, self.size, self.root = note[:note.index("\n\n") + 1], int(size), base64.b64decode(root)
        self.lines = note[note.index("\n\n") + 2:].splitlines()

    def signed_by(self, vkey, folder):
        """By the openssl program."""
        name, key_id, key = vkey.split("+", 2)
        public = base64.b64decode(key)[1:]
        line = next(line for line in self.lines if line.startswith(f"\u2014 {name} "))
        raw = base64.b64decode(line.split(" ")[2])
        (folder / "key.der").write_bytes(PREFIX + public)
        (folder / "text").write_text(self.text)
        (folder / "signature").write_bytes(raw[4:])
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey",
                               folder / "key.der", "-in", folder / "text", "-sigfile", folder / "signature"],
                              capture_output=True, timeout=60)
        return raw[:4].hex() == key_id and done.returncode == 0
