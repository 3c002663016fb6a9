# SPDX-License-Identifier: Apache-2.0
"""A verifier of measured evidence a second time, from the TCG's specifications (TPM 2.0 Library, PC Client Platform Firmware
Profile) on python3-cryptography: what the sandbox's TPM says is read and checked here without a line of the project's C."""
import hashlib
import hmac
import os
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from trust import b64url, from_b64url, jcs

PCRS = [*range(10), 14]
AK_ATTRIBUTES = 0x00050072
ARCHIVE = 4096


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def extended(*digests, pcr=bytes(32)):
    for one in digests:
        pcr = sha256(pcr, one)
    return pcr


# --- credentials: TPM2_MakeCredential (Part 1, 24), KDFa (Part 1, 11.4.10.2) ---

def kdfa(key, label, context, bits):
    return hmac.new(key, struct.pack(">I", 1) + label + b"\0" + context + struct.pack(">I", bits), "sha256").digest()[:bits // 8]


def name_of(ak):
    return b"\0\x0b" + sha256(ak)


def make_credential(identity, secret):
    """{blob, secret} for TPM2_ActivateCredential of the TPM with that identity ({ek_certificate, ak})."""
    name, seed = name_of(from_b64url(identity["ak"])), os.urandom(32)
    key = x509.load_der_x509_certificate(from_b64url(identity["ek_certificate"])).public_key()
    encryptor = Cipher(algorithms.AES(kdfa(seed, b"STORAGE", name, 128)), modes.CFB(bytes(16))).encryptor()
    body = encryptor.update(struct.pack(">H", len(secret)) + secret) + encryptor.finalize()
    mac = hmac.new(kdfa(seed, b"INTEGRITY", b"", 256), body + name, "sha256").digest()
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\0")
    return {"blob": b64url(struct.pack(">H", len(mac)) + mac + body), "secret": b64url(key.encrypt(seed, oaep))}


# --- quotes ---

def ak_key(ak):
    """The public key of an attestation key of the one allowed shape."""
    kind, name_algorithm, attributes, policy = struct.unpack_from(">HHIH", ak)
    symmetric, scheme, digest, curve, kdf, size = struct.unpack_from(">HHHHHH", ak, 10)
    assert (kind, name_algorithm, attributes, policy) == (0x23, 0x0b, AK_ATTRIBUTES, 0)
    assert (symmetric, scheme, digest, curve, kdf) == (0x10, 0x18, 0x0b, 3, 0x10)
    x, rest = ak[22:22 + size], ak[22 + size:]
    y = rest[2:]
    assert len(y) == struct.unpack(">H", rest[:2])[0]
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()).public_key()


def check_quote(report, binding):
    """The quote's PCR digest, when the attestation key signed exactly this binding and selection."""
    quote, signature = from_b64url(report["quote"]), from_b64url(report["signature"])
    scheme, digest, size = struct.unpack_from(">HHH", signature)
    r, rest = signature[6:6 + size], signature[6 + size:]
    assert (scheme, digest) == (0x18, 0x0b) and len(rest) == 2 + struct.unpack(">H", rest[:2])[0]
    ak_key(from_b64url(report["ak"])).verify(
        encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(rest[2:], "big")), quote, ec.ECDSA(hashes.SHA256()))
    assert quote[:6] == bytes.fromhex("ff5443478018")
    signer = struct.unpack_from(">H", quote, 6)[0]
    extra_at = 8 + signer
    extra = struct.unpack_from(">H", quote, extra_at)[0]
    assert quote[extra_at + 2:extra_at + 2 + extra] == binding
    rest = quote[extra_at + 2 + extra + 17 + 8:]  # clock info, firmware version
    assert rest[:10] == bytes.fromhex("00000001000b03ff4300")
    assert rest[10:12] == b"\0\x20" and len(rest) == 44
    return rest[12:]


# --- the event log ---

def events(log):
    """[(PCR, type, SHA-256 digest, data)] of a crypto-agile log."""
    at, found = 32 + struct.unpack_from("<I", log, 28)[0], []
    while at < len(log):
        pcr, kind, count, algorithm = struct.unpack_from("<IIIH", log, at)
        assert (count, algorithm) == (1, 0x0b)
        size = struct.unpack_from("<I", log, at + 46)[0]
        found.append((pcr, kind, log[at + 14:at + 46], log[at + 50:at + 50 + size]))
        at += 50 + size
    return found


def replayed(log, claim):
    """What PCR 0 to 9 and 14 are when the log and the claim are all that was measured."""
    pcrs = {pcr: bytes(32) for pcr in PCRS}
    for pcr, kind, digest, _ in events(log):
        if kind != 3:  # EV_NO_ACTION
            pcrs[pcr] = sha256(pcrs[pcr], digest)
    pcrs[14] = extended(sha256(jcs(claim)))
    return pcrs


def pcr_digest(pcrs):
    return sha256(*(pcrs[pcr] for pcr in PCRS))


# --- what a sandbox boots from ---

def archive(initdata):
    """The newc archive with a sandbox's initdata, of fixed size."""
    def entry(inode, name, mode, data=b""):
        folder = mode & 0o170000 == 0o040000
        head = "070701" + "".join(f"{field:08x}" for field in (
            inode, mode, 0, 0, 2 if folder else 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)) + name + "\0"
        head = head.encode() + bytes(-len(head) % 4)
        return head + data + bytes(-len(data) % 4)
    text = entry(1, "etc", 0o040755) + entry(2, "etc/strongroom", 0o040755) + \
        entry(3, "etc/strongroom/initdata.json", 0o100644, jcs(initdata)) + entry(0, "TRAILER!!!", 0)
    assert len(text) <= ARCHIVE
    return text + bytes(ARCHIVE - len(text))


def pcr9(guest, cmdline, initdata):
    """Command line as OVMF hands it on, and the initrd."""
    line = (cmdline + " initrd=initrd").encode("utf-16le") + b"\0\0"
    initramfs = (guest / "initramfs.img").read_bytes()
    return extended(sha256(line), sha256(initramfs, bytes(-len(initramfs) % ARCHIVE), archive(initdata)))
