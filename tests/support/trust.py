# SPDX-License-Identifier: Apache-2.0
"""The trust protocol a second time, from its description alone (proto/README.md), on python3-cryptography: what the C code
makes this reads, and what this makes (well or badly) the C code must judge."""
import base64
import copy
import hashlib
import json
import os
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jcs(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def nonce():
    return b64url(os.urandom(32))


class Key:
    """A P-256 key: a person's, or a machine's."""

    def __init__(self, use="sig"):
        self.private, self.use = ec.generate_private_key(ec.SECP256R1()), use

    @property
    def der(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def spki(self):
        return digest(self.der)

    @property
    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": b64url(numbers.x.to_bytes(32, "big")),
                "y": b64url(numbers.y.to_bytes(32, "big")), "use": self.use,
                "alg": "ES256" if self.use == "sig" else "ECDH-ES+A256KW"}

    @property
    def private_jwk(self):
        return {**self.jwk, "d": b64url(self.private.private_numbers().private_value.to_bytes(32, "big"))}

    @property
    def thumbprint(self):
        jwk = self.jwk
        return b64url(hashlib.sha256(jcs({name: jwk[name] for name in ("crv", "kty", "x", "y")})).digest())

    def sign(self, data):
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verifies(self, data, signature):
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        self.private.public_key().verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))


def envelope(key, typ, payload, **header):
    protected = b64url(jcs({"alg": "ES256", "typ": typ, "kid": key.spki, **header}))
    body = b64url(jcs(payload))
    return {"jws": {"protected": protected, "payload": body,
                    "signature": b64url(key.sign(f"{protected}.{body}".encode()))},
            "spki": base64.b64encode(key.der).decode()}


def evidence(enc, sig, claim, initdata, nonce_text=None, report=None):
    """What a machine with these keys says of itself, at its enrolment or for a nonce. `report` makes a report for the
    bytes that it has to be bound to."""
    nonce_text = nonce_text or claim["nonce"]
    binding = hashlib.sha256(jcs({
        "v": "strongroom-evidence-1", "enc": enc.thumbprint, "sig": sig.thumbprint, "nonce": nonce_text,
        "initdata": digest(jcs(initdata)), "claim": digest(jcs(claim))})).digest()
    protected = b64url(jcs({"alg": "ES256", "typ": "strongroom-evidence+jws", "kid": sig.thumbprint}))
    payload = b64url(jcs({"binding": b64url(binding)}))
    return {"v": "strongroom-evidence-1", "class": "software-tpm" if report else "none", "enc": enc.jwk, "sig": sig.jwk,
            "nonce": nonce_text, "initdata": initdata, "claim": claim, "report": report(binding) if report else None,
            "jws": {"protected": protected, "payload": payload,
                    "signature": b64url(sig.sign(f"{protected}.{payload}".encode()))}}


def opening(slot, secret):
    return {"v": "strongroom-commitment-1", "slot": slot, "salt": nonce(), "secret": secret}


def rule(scope, of, k=1, veto=True, max_age_s=0, objects=(), **more):
    """A rule of approval."""
    return {"scope": scope, "of": of, "k": k, "veto": veto, "max_age_s": max_age_s, "objects": list(objects), **more}


def terms_document(policy, scope):
    """What the keys of the scope's rule agree to (proto/README.md 1.3)."""
    own = next(r for r in policy["approval"]["rules"] if r["scope"] == scope)
    document = copy.deepcopy(policy)
    if not own["objects"]:
        return document
    others = [r for r in policy["approval"]["rules"] if r["scope"] != scope and r["objects"]]
    foreign = {o for r in others for o in r["objects"]} - set(own["objects"])
    for entries in ("inputs", "outputs"):
        for entry in document.get(entries, []):
            if entry["dataset"] in foreign:
                del document["slots"][entry["slot"]]
        if entries in document:
            document[entries] = [e for e in document[entries] if e["dataset"] not in foreign]
    document["ports"] = {port: {name: e for name, e in names.items() if e["dataset"] not in foreign}
                         for port, names in document["ports"].items()}
    document["approval"]["rules"] = [r for r in document["approval"]["rules"] if r not in others]
    del document["max_runs"], document["deadline"]
    return document


def terms(policy, scope):
    if scope not in [r["scope"] for r in policy["approval"]["rules"]]:
        return digest(b"no such rule")
    return digest(jcs({"v": "strongroom-terms-1", "scope": scope, "document": terms_document(policy, scope)}))


class World:
    """A policy with everything that belongs to it; tests change what they want to see refused."""

    def __init__(self, space, repository="acme/app", **changes):
        self.author, self.enc, self.sig = Key(), Key("enc"), Key("sig")
        self.openings = {
            "image": opening("image", {"jwk": Key("enc").private_jwk}),
            "output": opening("output", {"key": b64url(os.urandom(32))}),
        }
        self.policy = {
            "v": "strongroom-policy-1", "name": "test-policy", "space": space,
            "template": {"id": "small", "version": 1},
            "parties": {"authors": [self.author.spki], "approvers": [], "runners": [self.author.spki],
                        "recipients": [self.author.spki]},
            "approval": {"rules": [rule("author", "authors", veto=False)], "expires": 0},
            "image": {"repository": repository, "manifest": digest(b"manifest"), "config": digest(b"config"),
                      "layers": [{"inner": digest(b"inner"), "diff_id": digest(b"diff")}]},
            "process": {"argv": ["/bin/app"], "env": {"LANG": "C"}, "cwd": "/"},
            "slots": {slot: {"commitment": digest(jcs(o)), "mode": "once", "owner": self.author.spki}
                      for slot, o in self.openings.items()},
            "inputs": [], "output": {"slot": "output", "name": "output"}, "config_files": [], "ports": {},
            "measurements": {name: digest(name.encode()) for name in
                             ("encrypt-output", "decrypt-input", "decrypt-output")},
            "evidence": {"minimum": "none"}, "egress": {"mode": "none", "domains": []},
            "limits": {"memory_bytes": 134217728, "pids": 64, "wall_seconds": 120, "cpu_seconds": 120,
                       "output_bytes": 67108864, "output_files": 1000},
            "max_runs": 100, "deadline": int(time.time()) + 86400,
        }
        self.policy.update(copy.deepcopy(changes))
        self.run_nonce = nonce()

    @property
    def hash(self):
        return digest(jcs(self.policy))

    def approval(self, key=None, **changes):
        """Of the author, or of another key; `terms` are the policy's for the scope, or another policy's."""
        now, key, scope = int(time.time()), key or self.author, changes.get("scope", "author")
        if changes.get("policy", self.hash) != self.hash:
            changes = {"terms": digest(b"of another policy"), **changes}
        payload = {"policy": self.hash, "terms": terms(self.policy, scope), "decision": "approve", "reason": None,
                   "scope": scope, "space": self.policy["space"], "spki": key.spki, "iat": now, "exp": now + 86400,
                   "log_head": None, **changes}
        return envelope(key, "strongroom-approval+jws", payload)

    def order(self, **changes):
        payload = {"policy": self.hash, "run_nonce": self.run_nonce, "enc": self.enc.thumbprint,
                   "sig": self.sig.thumbprint, "spki": self.author.spki, "iat": int(time.time()), "log_head": None,
                   **changes}
        return envelope(self.author, "strongroom-order+jws", payload)

    def grant(self, opened, **header):
        plain = jcs({"opening": self.openings[opened], "mode": "once"})
        return wrap(self.enc, {"typ": "strongroom-grant+jwe", "policy": self.hash, "slot": opened,
                               "run_nonce": self.run_nonce, "kid": self.enc.thumbprint, **header}, plain)

    def release(self, slot, owner, grant=None, **changes):
        """A grant with the word of its slot's owner."""
        grant = grant or self.grant(slot)
        payload = {"policy": self.hash, "run_nonce": self.run_nonce, "slot": slot, "grant": digest(jcs(grant)),
                   "spki": owner.spki, "iat": int(time.time()), **changes}
        return {"grant": grant, "release": envelope(owner, "strongroom-release+jws", payload)}

    def grants(self):
        return [self.grant(slot) for slot in self.openings]


def agree(private, public):
    """The key-encryption key of ECDH-ES+A256KW (RFC 7518 4.6)."""
    name = b"ECDH-ES+A256KW"
    return hashlib.sha256(b"\0\0\0\1" + private.exchange(ec.ECDH(), public) + len(name).to_bytes(4, "big") + name +
                          bytes(8) + (256).to_bytes(4, "big")).digest()


def wrap(recipient, header, plain):
    """Flattened JWE, ECDH-ES+A256KW and A256GCM (RFC 7516, RFC 7518 4.6)."""
    ephemeral = Key("enc")
    kek = agree(ephemeral.private, recipient.private.public_key())
    cek, iv = os.urandom(32), os.urandom(12)
    epk = {member: ephemeral.jwk[member] for member in ("kty", "crv", "x", "y")}
    protected = b64url(jcs({"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "epk": epk, **header}))
    sealed = AESGCM(cek).encrypt(iv, plain, protected.encode())
    return {"protected": protected, "encrypted_key": b64url(aes_key_wrap(kek, cek)), "iv": b64url(iv),
            "ciphertext": b64url(sealed[:-16]), "tag": b64url(sealed[-16:])}
