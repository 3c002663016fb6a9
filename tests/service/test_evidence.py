# SPDX-License-Identifier: Apache-2.0
"""`strongroom evidence` and `template measure`: without a server, on evidence of real TPMs (tests/data/vtpm)."""
import hashlib
import json
import os
import shutil
import struct
import subprocess

import pytest

from local_stack import BUILD
from support import vtpm
from support.trust import digest, from_b64url

PROGRAM = BUILD / "bin/strongroom"
MACHINES = json.loads((vtpm.DATA / "machines.json").read_text())
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_DIGEST = "b157d97b1f69729514feb7f201d2cbe4957f23ab77920e361fe9f822ba49ca4c"
BOOT = ["--cmdline", "console=ttyS0 quiet", "--memory", "256", "--firmware", OVMF]


def run(*argv, **env):
    return subprocess.run([PROGRAM, *map(str, argv)], capture_output=True, text=True, env={**os.environ, **env})


def sha256_state(data):
    """SHA-256's eight words behind whole blocks: what `template measure` keeps of the initramfs."""
    primes, n = [], 2
    while len(primes) < 64:
        if all(n % p for p in primes):
            primes.append(n)
        n += 1
    fraction = lambda p, root: int((p ** (1 / root) % 1) * 2 ** 32)
    k, h = [fraction(p, 3) for p in primes], [fraction(p, 2) for p in primes[:8]]
    rotate = lambda x, by: (x >> by | x << 32 - by) & 0xffffffff
    for at in range(0, len(data), 64):
        w = list(struct.unpack(">16I", data[at:at + 64]))
        for i in range(16, 64):
            low = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3
            high = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10
            w.append((w[i - 16] + low + w[i - 7] + high) & 0xffffffff)
        a, b, c, d, e, f, g, x = h
        for i in range(64):
            one = x + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (e & f ^ ~e & g) + k[i] + w[i]
            two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + (a & b ^ a & c ^ b & c)
            a, b, c, d, e, f, g, x = (one + two) & 0xffffffff, a, b, c, (d + one) & 0xffffffff, e, f, g
        h = [(old + new) & 0xffffffff for old, new in zip(h, (a, b, c, d, e, f, g, x))]
    return "".join(f"{word:08x}" for word in h)


def reference(**changes):
    padded = from_b64url(MACHINES["initramfs"]).ljust(4096, b"\0")
    events = vtpm.parse(vtpm.recorded_log())
    volumes = [event[3].hex() for event in events if event[:2] == (0, 0x80000008)]
    return {"v": "strongroom-reference-1", "cmdline": "console=ttyS0 quiet", "memory_mib": 256, "vcpus": 1,
            "firmware": f"sha256:{OVMF_DIGEST}", "pei": f"sha256:{volumes[0]}", "dxe": f"sha256:{volumes[1]}",
            "kernel": f"sha256:{MACHINES['kernel']}",
            "initramfs": {"size": 4096, "state": sha256_state(padded)}, **changes}


def trust(folder, *references, **changes):
    path = folder / "trust.json"
    path.write_text(json.dumps({
        "v": "strongroom-trust-1", "edge_ca_spki": digest(b"edge CA"), "vtpm_ca": MACHINES["vtpm_ca"],
        "templates": {"measured-small": {"version": 1, "references": list(references or [reference()])}}, **changes}))
    return path


def verify(folder, evidence, trust_file, *options):
    (folder / "evidence.json").write_text(json.dumps(evidence))
    done = run("--json", "evidence", "verify", folder / "evidence.json", "--reference", trust_file, *options)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    table = [line for line in lines if line["type"] == "attestation"]
    errors = [line["code"] for line in lines if line["type"] == "error"]
    return done.returncode, table[0] if table else None, errors[0] if errors else None


def results(table):
    return {check["code"]: check["result"] for check in table["checks"]}


def test_good_evidence_verifies_offline(tmp_path):
    status, table, _ = verify(tmp_path, MACHINES["good"], trust(tmp_path), "--nonce", MACHINES["claim"]["nonce"])
    assert status == 0 and table["class"] == "software-tpm" and table["operator_can_read"]
    found = results(table)
    assert found.pop("evidence.activation") == "not_provable_offline"
    assert found.pop("evidence.claim") == "not_provable_offline"
    assert found.pop("evidence.hardware") == "not_measured"
    assert set(found.values()) == {"ok"} and len(found) == 31


def test_the_claim_can_be_given(tmp_path):
    (tmp_path / "claim.json").write_text(json.dumps(MACHINES["claim"]))
    status, table, _ = verify(tmp_path, MACHINES["good"], trust(tmp_path), "--claim", tmp_path / "claim.json")
    assert status == 0 and results(table)["evidence.claim"] == "ok"
    assert results(table)["evidence.nonce"] == "not_provable_offline"
    (tmp_path / "claim.json").write_text(json.dumps({**MACHINES["claim"], "owner": digest(b"other")}))
    assert verify(tmp_path, MACHINES["good"], trust(tmp_path), "--claim", tmp_path / "claim.json")[2] == "evidence.claim"


@pytest.mark.parametrize("name, code", [
    ("other_ca", "evidence.ek_chain"), ("platform", "evidence.ek_certificate"),
    ("weak_ak", "evidence.ak_attributes"), ("rsa_ak", "evidence.ak_scheme"),
    ("short_selection", "evidence.pcr_selection"), ("unclaimed", "evidence.pcr_14")])
def test_every_fault_has_its_code(tmp_path, name, code):
    status, table, error = verify(tmp_path, MACHINES[name], trust(tmp_path))
    assert status == 7 and error == table["failed"] == code and table["class"] == "none"
    failed = [check for check in table["checks"] if check["result"] == "failed"]
    assert failed[0]["expected"] and failed[0]["expected"] != failed[0]["actual"]


@pytest.mark.parametrize("changes, code", [
    ({"cmdline": "console=ttyS0"}, "evidence.cmdline"), ({"kernel": digest(b"other")}, "evidence.kernel"),
    ({"dxe": digest(b"other")}, "evidence.firmware"), ({"pei": digest(b"other")}, "evidence.memory"),
    ({"initramfs": {"size": 4096, "state": "00" * 32}}, "evidence.initrd"),
    ({"initramfs": {"size": 4095, "state": "00" * 32}}, "reference.invalid"), ({"v": "2"}, "reference.invalid")])
def test_another_boot_has_its_code(tmp_path, changes, code):
    assert verify(tmp_path, MACHINES["good"], trust(tmp_path, reference(**changes)))[2] == code


def test_what_is_believed_is_the_trust_files(tmp_path):
    good = MACHINES["good"]
    assert verify(tmp_path, good, trust(tmp_path, vtpm_ca=vtpm.Ca().pem))[2] == "evidence.ek_chain"
    assert verify(tmp_path, good, trust(tmp_path, edge_ca_spki=digest(b"other")))[2] == "evidence.initdata"
    assert verify(tmp_path, good, trust(tmp_path, templates={}))[2] == "trust.no_template"
    assert verify(tmp_path, good, trust(tmp_path), "--nonce", MACHINES["second_nonce"])[2] == "evidence.nonce"
    assert verify(tmp_path, good, trust(tmp_path), "--minimum", "tee")[2] == "evidence.class_too_low"
    no_values = {"measured-small": {"version": 1}}
    assert verify(tmp_path, good, trust(tmp_path, templates=no_values))[2] == "evidence.no_reference"


def test_the_memory_chooses_among_reference_values(tmp_path):
    both = trust(tmp_path, reference(memory_mib=512, pei=digest(b"other")), reference())
    assert verify(tmp_path, MACHINES["good"], both)[2] == "evidence.memory"
    assert verify(tmp_path, MACHINES["good"], both, "--memory", "256")[0] == 0
    assert verify(tmp_path, MACHINES["good"], both, "--memory", "1024")[2] == "evidence.no_reference"


def test_the_table_shows_expected_and_found(tmp_path):
    (tmp_path / "evidence.json").write_text(json.dumps({"evidence": MACHINES["good"], "id": "around it"}))
    done = run("evidence", "verify", tmp_path / "evidence.json", "--reference", trust(tmp_path, reference(cmdline="x")))
    lines = done.stdout.splitlines()
    at = [i for i, line in enumerate(lines) if line.startswith("FAILED")][0]
    assert lines[at].endswith("evidence.cmdline") and "expected" in lines[at + 1] and "found" in lines[at + 2]
    assert done.returncode == 7


def test_every_check_is_explained(tmp_path):
    everything = run("evidence", "explain").stdout
    table = verify(tmp_path, MACHINES["good"], trust(tmp_path))[1]
    assert {check["code"] for check in table["checks"]} <= set(everything.split())
    assert "Secure Boot" in run("evidence", "explain", "evidence.pcr_7").stdout
    assert run("evidence", "explain", "evidence.nothing").returncode == 1


# --- template measure ---
def kernel_of(folder, setup=b""):
    """The least that is a kernel: a boot header and an EFI program's headers around nothing."""
    image = bytearray(4096)
    image[0x3c:0x40] = struct.pack("<I", 0x300)
    image[0x202:0x206], image[0x206:0x208] = b"HdrS", struct.pack("<H", 0x20f)
    image[0x22c:0x230], image[0x236:0x238] = struct.pack("<I", 0x7fffffff), struct.pack("<H", 2)
    image[0x300:0x304], image[0x318:0x31a] = b"PE\0\0", struct.pack("<H", 0x20b)
    image[0x318 + 108:0x318 + 112] = struct.pack("<I", 6)
    image[0x800:0x800 + len(setup)] = setup
    (folder / "vmlinuz").write_bytes(image)
    (folder / "initramfs.img").write_bytes(from_b64url(MACHINES["initramfs"]))
    return image


def authenticode(image, memory, initrd):
    """attestation.md's formula a second time."""
    image = bytearray(image)
    address = (memory - 0x28000 - 1 - initrd) & ~4095
    image[0x210], image[0x211] = 0xb0, image[0x211] | 0x80
    image[0x218:0x220] = struct.pack("<II", address, initrd)
    image[0x224:0x226], image[0x228:0x22c] = struct.pack("<H", 0xfe00), struct.pack("<I", 0x20000)
    option = 0x318
    return hashlib.sha256(image[:option + 64] + image[option + 68:option + 144] + image[option + 152:]).hexdigest()


def measure(folder, *options):
    """With what a test does not give itself."""
    usual = ["--kernel", folder / "vmlinuz", "--initramfs", folder / "initramfs.img", *BOOT]
    pairs = dict(zip(usual[::2], usual[1::2]))
    for name in options:
        pairs.pop(name, None)
    return run("--json", "template", "measure", *(word for pair in pairs.items() for word in pair), *options)


def has_firmware():
    return os.path.exists(OVMF) and digest(open(OVMF, "rb").read()) == f"sha256:{OVMF_DIGEST}"


needs_firmware = pytest.mark.skipif(not has_firmware(), reason="another build of OVMF, or none")


@needs_firmware
def test_measure_predicts_what_boots_showed(tmp_path):
    image = kernel_of(tmp_path)
    made = json.loads([line for line in measure(tmp_path).stdout.splitlines() if '"result"' in line][0])
    assert made["reference"] == reference(kernel=f"sha256:{authenticode(image, 256 << 20, 8192)}")
    quoted = json.loads((vtpm.DATA / "run-base.json").read_text())["R"]
    for pcr in (0, 1, 2, 3, 5, 6, 7, 8):
        assert made["pcrs"][str(pcr)] == quoted[f"PCR{pcr}"]
    plain = run("template", "measure", "--kernel", tmp_path / "vmlinuz", "--initramfs", tmp_path / "initramfs.img", *BOOT)
    assert json.loads(plain.stdout) == made["reference"]


@needs_firmware
@pytest.mark.parametrize("options, code", [
    (("--memory", "257"), "firmware.no_golden"), (("--vcpus", "3"), "firmware.no_golden"),
    (("--firmware", "/etc/hostname"), "firmware.format"), (("--kernel", "/etc/hostname"), "kernel.format"),
    (("--initramfs", "/nowhere"), "reference.file")])
def test_measure_says_what_it_lacks(tmp_path, options, code):
    kernel_of(tmp_path)
    done = measure(tmp_path, *options)
    assert done.returncode != 0 and f'"{code}"' in done.stdout


@needs_firmware
def test_measure_learns_the_golden_value(tmp_path):
    for program in ("swtpm", "qemu-system-x86_64"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    kernel_of(tmp_path)
    learned = [json.loads(line) for line in measure(tmp_path, "--learn").stdout.splitlines()]
    assert [line["reference"]["pei"] for line in learned if line["type"] == "result"] == [reference()["pei"]]
