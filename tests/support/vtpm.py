#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Machines whose TPM is a real swtpm and whose boot is replayed from a recorded event log: what they quote is what a VM
would, without the VM. As a program it writes tests/data/vtpm/machines.json for the unit tests:
    python3 -m tests.support.vtpm"""
import datetime
import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from tests.support.trust import Key, b64url, digest, evidence, jcs, nonce

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/data/vtpm"
PROGRAMS = ("swtpm", "tpm2_createprimary")
AK = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign"
PCRS = "sha256:0,1,2,3,4,5,6,7,8,9,14"
EK_USAGE, PLATFORM_USAGE = "2.23.133.8.1", "2.23.133.8.2"
SINCE, UNTIL = datetime.datetime(2020, 1, 1), datetime.datetime(9999, 12, 31)
INITRAMFS = b"an initramfs of the tests"


def missing():
    return [name for name in PROGRAMS if not shutil.which(name)]


# --- certificates ---
def certify(name, public, issuer_name, issuer_key, is_ca, usage=None, length=None):
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]))
        .public_key(public).serial_number(x509.random_serial_number())
        .not_valid_before(SINCE).not_valid_after(UNTIL)
        .add_extension(x509.BasicConstraints(is_ca, length), True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        .add_extension(x509.KeyUsage(False, False, not is_ca, False, False, is_ca, is_ca, False, False), True))
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(usage)]), False)
    return builder.sign(issuer_key, hashes.SHA256())


class Ca:
    """A vTPM CA: a root that verifiers trust, and the intermediate that makes TPMs."""

    def __init__(self, name="Strongroom test vTPM CA"):
        self.root_key, self.key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = certify(name, self.root_key.public_key(), name, self.root_key, True)
        self.name = f"{name} 1"
        self.intermediate = certify(self.name, self.key.public_key(), name, self.root_key, True, length=0)

    @property
    def pem(self):
        return self.root.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def chain(self):
        return [self.intermediate.public_bytes(serialization.Encoding.DER)]

    def endorse(self, public, name, usage=EK_USAGE):
        return certify(name, public, self.name, self.key, False, usage).public_bytes(serialization.Encoding.DER)


# --- the boot ---
def recorded_log():
    return bytes.fromhex(json.loads((DATA / "run-base.json").read_text())["R"]["EVENTLOG"])


def parse(log):
    """(PCR, type, place of the digest, digest) of each event; one bank of SHA-256."""
    at, found = 32 + struct.unpack_from("<I", log, 28)[0], []
    while at < len(log):
        pcr, kind = struct.unpack_from("<II", log, at)
        found.append((pcr, kind, at + 14, log[at + 14:at + 46]))
        at += 50 + struct.unpack_from("<I", log, at + 46)[0]
    return found


def cpio(initdata):
    """The archive behind the initramfs, 4096 bytes (lib/cpio.h)."""
    def entry(inode, name, mode, data, links):
        head = "070701" + "".join(f"{field:08x}" for field in (
            inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)) + name + "\0"
        return head.encode() + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
    archive = (entry(1, "etc", 0o40755, b"", 2) + entry(2, "etc/strongroom", 0o40755, b"", 2) +
               entry(3, "etc/strongroom/initdata.json", 0o100644, jcs(initdata), 1) + entry(0, "TRAILER!!!", 0, b"", 1))
    return archive.ljust(4096, b"\0")


def booted_with(initdata, initramfs=INITRAMFS):
    """The recorded log, with the initrd that this sandbox would have."""
    log = bytearray(recorded_log())
    place = [event[2] for event in parse(log) if event[:2] == (9, 6)][1]
    padded = initramfs + b"\0" * (-len(initramfs) % 4096)
    log[place:place + 32] = hashlib.sha256(padded + cpio(initdata)).digest()
    return bytes(log)


def make_initdata(sandbox, template="measured-small", edge_ca=digest(b"edge CA"), port=8443):
    return {"v": "strongroom-initdata-1", "template": {"id": template, "version": 1}, "sandbox": sandbox,
            "edge": {"host": "10.0.2.2", "port": port, "ca_spki": edge_ca}, "classes": ["software-tpm"]}


# --- the TPM ---
class Tpm:
    """An swtpm that has just been started; `with` ends it."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="vtpm-")
        socket = self.path("sock")
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", "--flags", "startup-clear",
             "--server", f"type=unixio,path={socket}", "--ctrl", f"type=unixio,path={socket}.ctrl"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.exists(socket + ".ctrl"):
            assert self.process.poll() is None, "swtpm ended"
        self.environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={socket}"}
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        return pathlib.Path(self.path(name)).read_bytes()

    def run(self, *argv):
        subprocess.run(argv, check=True, capture_output=True, cwd=self.folder, env=self.environment)


class Machine:
    """A VM as its verifier sees it: a TPM with an endorsement key that a CA certified, booted and claimed."""

    def __init__(self, tpm, ca, sandbox, claim, template="measured-small", usage=EK_USAGE, name=None, ak=AK,
                 scheme="ecc256:ecdsa-sha256:null", is_claimed=True, initdata=None):
        self.tpm, self.claim, self.initdata = tpm, claim, initdata or make_initdata(sandbox, template)
        self.enc, self.sig, self.ca = Key("enc"), Key("sig"), ca
        tpm.run("tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pem", "-f", "pem")
        tpm.run("tpm2_flushcontext", "-t")
        tpm.run("tpm2_createprimary", "-C", "e", "-g", "sha256", "-G", scheme, "-a", ak, "-c", "ak.ctx")
        tpm.run("tpm2_flushcontext", "-t")
        tpm.run("tpm2_readpublic", "-c", "ak.ctx", "-o", "ak.tpm2b", "-n", "ak.name")
        tpm.run("tpm2_flushcontext", "-t")
        public = serialization.load_pem_public_key(tpm.read("ek.pem"))
        self.ek_certificate = ca.endorse(public, name or sandbox, usage)
        self.ak = tpm.read("ak.tpm2b")[2:]
        self.log = booted_with(self.initdata)
        self.extend((pcr, value) for pcr, kind, _, value in parse(self.log) if kind != 3)
        if is_claimed:
            self.extend([(14, hashlib.sha256(jcs(claim)).digest())])

    def extend(self, events):
        for pcr, value in events:
            self.tpm.run("tpm2_pcrextend", f"{pcr}:sha256={value.hex()}")

    def report(self, binding, pcrs=PCRS):
        self.tpm.run("tpm2_quote", "-c", "ak.ctx", "-l", pcrs, "-q", binding.hex(), "-m", "msg", "-s", "sig", "-g", "sha256")
        self.tpm.run("tpm2_flushcontext", "-t")
        return {"type": "tpm2", "ek_certificate": b64url(self.ek_certificate),
                "ek_chain": [b64url(der) for der in self.ca.chain], "ak": b64url(self.ak),
                "quote": b64url(self.tpm.read("msg")), "signature": b64url(self.tpm.read("sig")),
                "event_log": b64url(self.log)}

    def evidence(self, nonce_text=None, pcrs=PCRS):
        return evidence(self.enc, self.sig, self.claim, self.initdata, nonce_text,
                        lambda binding: self.report(binding, pcrs))

    def activate(self, blob, secret):
        """TPM2_ActivateCredential; None when the TPM refuses."""
        framed = struct.pack(">II", 0xBADCC0DE, 1)
        framed += b"".join(struct.pack(">H", len(part)) + part for part in (blob, secret))
        pathlib.Path(self.tpm.path("credential")).write_bytes(framed)
        try:
            self.tpm.run("tpm2_startauthsession", "--policy-session", "-S", "session")
            self.tpm.run("tpm2_policysecret", "-S", "session", "-c", "e")
            self.tpm.run("tpm2_activatecredential", "-c", "ak.ctx", "-C", "ek.ctx", "-i", "credential", "-o", "secret",
                         "-P", "session:session")
        except subprocess.CalledProcessError:
            return None
        finally:
            self.tpm.run("tpm2_flushcontext", "-t")
            self.tpm.run("tpm2_flushcontext", "-s")
        return self.tpm.read("secret")


# --- the fixture of the unit tests ---
SANDBOX, OTHER = "sbx_0190f1c2000070008000000000000002", "sbx_0190f1c2000070008000000000000012"


def make_claim():
    return {"v": "strongroom-claim-1", "owner": digest(b"owner"), "policy": None, "nonce": nonce()}


def evidence_of(ca, claim, sandbox=SANDBOX, pcrs=PCRS, **changes):
    with Tpm() as tpm:
        return Machine(tpm, ca, sandbox, claim, **changes).evidence(pcrs=pcrs)


def main():
    ca, claim, second = Ca(), make_claim(), nonce()
    found = {"vtpm_ca": ca.pem, "claim": claim, "second_nonce": second, "initramfs": b64url(INITRAMFS),
             "kernel": [event[3].hex() for event in parse(recorded_log()) if event[:2] == (4, 0x80000003)][0]}
    with Tpm() as tpm:
        machine = Machine(tpm, ca, SANDBOX, claim)
        found["good"], found["second"] = machine.evidence(), machine.evidence(second)
        found["short_selection"] = machine.evidence(pcrs=PCRS[:-3])
    found["other_vm"] = evidence_of(ca, claim, OTHER)
    found["other_ca"] = evidence_of(Ca(), claim)
    found["unclaimed"] = evidence_of(ca, claim, is_claimed=False)
    found["weak_ak"] = evidence_of(ca, claim, ak=AK.replace("|restricted", ""))
    found["rsa_ak"] = evidence_of(ca, claim, scheme="rsa2048:rsassa-sha256:null")
    found["platform"] = evidence_of(ca, claim, usage=PLATFORM_USAGE)
    (DATA / "machines.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
