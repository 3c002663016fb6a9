# SPDX-License-Identifier: Apache-2.0
"""Registrations, reuse of known certificates and EST enrolments, beside cfssl's sign and `openssl speed` in the same run."""
import base64
import contextlib
import datetime
import json
import os
import re
import secrets
import subprocess
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from figures import RUNS, Table, cpu_seconds, median, thread_cpu_seconds
from read import second_service

SECONDS = 2
ROUNDS = min(RUNS, 3)
CONNECTIONS = 16
REQUESTS, REGISTRATIONS = 12000, 3000  # more than a round can take
CFSSL_PORT = 18413
PORT = 18412
# A line of the file is a body, and each is sent once: thread t of n takes the lines t, t + n, …
SCRIPT = """
local threads = 0
function setup(thread) thread:set("first", threads); threads = threads + 1 end
function init(args)
  bodies, at = {}, first
  for line in io.lines(args[1]) do bodies[#bodies + 1] = line end
  for i = 2, #args, 2 do wrk.headers[args[i]] = args[i + 1] end
end
function request()
  local body = bodies[at % #bodies + 1]
  at = at + 2
  return wrk.format("POST", nil, nil, body)
end
"""


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def csr(key):
    return x509.CertificateSigningRequestBuilder().subject_name(name("machine")).sign(key, hashes.SHA256())


def certificate(key):
    now = datetime.datetime.utcnow()
    return (x509.CertificateBuilder().subject_name(name("bench")).issuer_name(name("bench")).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=90))
            .sign(key, hashes.SHA256()))


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM).decode()


def registration(bench, tenant):
    """A body with its proof; the challenge is asked for at the edge."""
    key = ec.generate_private_key(ec.SECP256R1())
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    spki, mine = "sha256:" + digest.finalize().hex(), secrets.token_hex(32)
    challenge = bench.owner.made("/v1/challenges", {"spki": spki})
    message = f"strongroom-cert-pop-v1\n{bench.stack.url}\n{tenant}\n{spki}\n{challenge['nonce']}\n{mine}\n"
    signature = key.sign(message.encode(), ec.ECDSA(hashes.SHA256()))
    return json.dumps({"certificate_pem": pem(certificate(key)), "proof": {
        "challenge": challenge["id"], "client_nonce": mine, "signature": base64.b64encode(signature).decode()}})


@contextlib.contextmanager
def cfssl(bench):
    folder = bench.folder / "cfssl"
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                    "-out", "ca.pem", "-subj", "/CN=cfssl"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    process = subprocess.Popen(["cfssl", "serve", "-address", "127.0.0.1", "-port", str(CFSSL_PORT), "-ca", "ca.pem", "-ca-key", "ca.key",
                                "-loglevel", "4"], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def serving_cpu(pid):
    """Without the mirror's files, which follow in a thread of their own and cost what the file system asks."""
    return cpu_seconds([pid]) - thread_cpu_seconds(pid, "mirror")


def post(pid, url, bodies, *headers):
    """Per second, and microseconds of the process for each."""
    before = serving_cpu(pid)
    out = subprocess.run(["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", bodies.with_name("post.lua"), url, "--", bodies,
                          *headers], check=True, text=True, stdout=subprocess.PIPE).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    count = int(re.search(r"([0-9]+) requests in", out).group(1))
    return count / SECONDS, (serving_cpu(pid) - before) / count * 1e6, count


def mirroring(pid, post_registrations):
    """What those return, and microseconds of the mirror's thread until it has been idle for three of its beats."""
    before = thread_cpu_seconds(pid, "mirror")
    rate, cpu, count = post_registrations()
    last, now = None, thread_cpu_seconds(pid, "mirror")
    while now != last:
        time.sleep(1.5)
        last, now = now, thread_cpu_seconds(pid, "mirror")
    return (rate, cpu, count), (now - before) / count * 1e6


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def openssl_speed():
    out = subprocess.run(["openssl", "speed", "-seconds", "1", "ecdsap256"], check=True, text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL).stdout
    return [float(value) for value in re.search(r"nistp256\).*?([0-9.]+) +([0-9.]+)$", out, re.M).groups()]


class Round:
    def __init__(self, bench, pid, cfssl_pid, tenant):
        url, folder, token = f"http://127.0.0.1:{PORT}", bench.folder, f"Bearer {bench.owner.token('certreg')}"
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(REQUESTS)]
        requests = [csr(key) for key in keys]
        est = write(folder / "est", (base64.b64encode(request.public_bytes(serialization.Encoding.DER)).decode() for request in requests))
        sign = write(folder / "sign", (json.dumps({"certificate_request": pem(request)}) for request in requests))
        new = write(folder / "register", (registration(bench, tenant) for _ in range(REGISTRATIONS)))
        known = write(folder / "known", [json.dumps({"certificate_pem": json.loads(new.read_text().splitlines()[9])["certificate_pem"]})])
        json_type = ("Content-Type", "application/json")
        self.sign = post(cfssl_pid, f"http://127.0.0.1:{CFSSL_PORT}/api/v1/cfssl/sign", sign, *json_type)
        self.enrol = post(pid, f"{url}/.well-known/est/simpleenroll", est, "Authorization", token, "Content-Type", "application/pkcs10")
        self.register, self.mirror = mirroring(
            pid, lambda: post(pid, f"{url}/v1/certificates", new, "Authorization", token, *json_type))
        self.reuse = post(pid, f"{url}/v1/certificates", known, "Authorization", token, *json_type)
        assert self.enrol[2] < REQUESTS and self.register[2] < REGISTRATIONS, "a body was sent twice"


def run(bench):
    table = Table("Certificates", [
        "P-256 throughout, each body sent once by wrk (16 connections) to a second certreg on loopback TCP, on the same cores as Postgres. EST "
        "enrolment: token checked, request parsed and verified, certificate issued, row, serial, audit record and commit. Registration: the "
        "challenge burnt, certificate parsed, its self-signature and the proof verified, row, audit record, commit. Its two files with fsync are written by the mirror's thread and told apart. "
        "Reuse: a certificate that the tenant has, found by its fingerprint. cfssl: `serve -loglevel 4`, sign, which keeps nothing. Ratios are of "
        "CPU time of the two processes, medians of the rounds' own."])
    (bench.folder / "post.lua").write_text(SCRIPT)
    tenant = bench.owner.get("/v1/tenants/self").json()["name"]
    with second_service(bench, "certreg", PORT, "quota_certificates = 1000000\n") as pid, cfssl(bench) as cfssl_pid:
        time.sleep(1)
        rounds = [Round(bench, pid, cfssl_pid, tenant) for _ in range(ROUNDS)]
    sign, verify = openssl_speed()
    table.add("openssl speed, one core", f"{sign:.0f} signatures/s, {verify:.0f} verifications/s", f"{1e6 / sign:.0f} + {1e6 / verify:.0f} µs")
    goals = {"sign": ("cfssl sign", None), "enrol": ("EST enrolment", 1), "register": ("registration", None), "reuse": ("reuse of a known certificate", 5)}
    for side, (what, goal) in goals.items():
        of = [getattr(each, side) for each in rounds]
        table.add(what, f"{median([rate for rate, _, _ in of]):.0f}/s", f"{median([cpu for _, cpu, _ in of]):.0f} µs of the process each")
        if side == "register":
            table.add("the mirror's two files of each", "", f"{median([each.mirror for each in rounds]):.0f} µs of its thread")
        if goal:
            share = median([each.sign[1] / getattr(each, side)[1] for each in rounds])
            table.add(f"{what} : cfssl sign", f"{share:.1f} x", "", f"{goal} x", share >= goal)
    return table
