# SPDX-License-Identifier: Apache-2.0
"""Tokens: issuing them beside cfssl's signatures and `openssl speed`, verifying them in a service that knows them."""
import contextlib
import json
import re
import socket
import subprocess
import time

from figures import RUNS, Table, cpu_seconds, median
from read import CONNECTIONS, SECONDS, conf_of, second_service

CERTREG_PORT, CFSSL_PORT = 18431, 18432
CHECKS = 200000


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def cfssl(folder):
    """cfssl as an issuer of certificates by a P-256 CA, and the request that wrk repeats."""
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca-key.pem",
            "-out", "ca.pem", "-subj", "/CN=ca", "-days", "30")
    openssl(folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "leaf.pem",
            "-out", "leaf.csr", "-subj", "/CN=leaf")
    with open(folder / "cfssl.log", "wb") as log:
        process = subprocess.Popen(["cfssl", "serve", "-loglevel", "4", "-address", "127.0.0.1", "-port", str(CFSSL_PORT),
                                    "-ca", "ca.pem", "-ca-key", "ca-key.pem"], cwd=folder, stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log)
    try:
        wait_for_port(CFSSL_PORT)
        yield process.pid, json.dumps({"certificate_request": (folder / "leaf.csr").read_text()})
    finally:
        process.terminate()
        process.wait()


def wait_for_port(port):
    end = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert time.monotonic() < end, f"nobody listens on {port}"
        time.sleep(0.05)


def script(folder, name, kind, body):
    """A file and not an argument: the body may hold a key."""
    path = folder / f"{name}.lua"
    path.touch(mode=0o600)
    path.write_text(f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "{kind}"\nwrk.body = {json.dumps(body)}\n')
    return path


def post(url, path, pid):
    """Requests per second, and CPU microseconds of the process for each."""
    before = cpu_seconds([pid])
    out = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", path, url], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    count = int(re.search(r"(\d+) requests in", out).group(1))
    return count / SECONDS, (cpu_seconds([pid]) - before) / count * 1e6


def signatures_per_second():
    out = subprocess.run(["openssl", "speed", "-seconds", "1", "ecdsap256"], check=True, text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL).stdout
    return float(re.search(r"nistp256\).*s +.*s +([0-9.]+) +[0-9.]+$", out, re.M).group(1))


def verify(bench, count=CHECKS):
    conf = conf_of(bench.stack, "certreg")
    out = subprocess.run([bench.build / "bench/verify_token", conf["listen"], bench.stack.url, "policy", str(count)], check=True,
                         text=True, input=bench.owner.token("policy"), stdout=subprocess.PIPE).stdout
    return [float(word) for word in out.split()]


def issue_rounds(bench):
    key = bench.owner.key
    form = f"grant_type=client_credentials&audience=policy&client_id=key_{key.split('_')[1]}&client_secret={key}"
    ours = script(bench.folder, "token", "application/x-www-form-urlencoded", form)
    with second_service(bench, "certreg", CERTREG_PORT) as pid, cfssl(bench.folder) as (peer, request):
        theirs = script(bench.folder, "cfssl", "application/json", request)
        wait_for_port(CERTREG_PORT)
        for _ in range(RUNS):
            yield (*post(f"http://127.0.0.1:{CERTREG_PORT}/v1/token", ours, pid),
                   *post(f"http://127.0.0.1:{CFSSL_PORT}/api/v1/cfssl/sign", theirs, peer), signatures_per_second())


def run(bench):
    table = Table("Tokens", [
        f"`POST /v1/token` by API key at certreg's plain listener, {CONNECTIONS} keep-alive connections by wrk for {SECONDS} s on the "
        "same cores; cfssl (Debian's, `-loglevel 4`) signs one P-256 request into a certificate under the same load, in turns. CPU is "
        "the service's process; Postgres is not in it. Verifying: `auth_check()` of a token whose signature the service has checked "
        f"before, with times, audience, revocations and limits, {CHECKS} times on one thread."])
    rounds = list(issue_rounds(bench))
    rates, cpus, peer_rates, peer_cpus, signs = (median(column) for column in zip(*rounds))
    table.add("openssl speed, ECDSA P-256", f"{signs:.0f} signatures/s", f"{1e6 / signs:.0f} µs each")
    table.add("cfssl sign", f"{peer_rates:.0f}/s", f"{peer_cpus:.0f} µs of cfssl each")
    table.add("token issue", f"{rates:.0f}/s", f"{cpus:.0f} µs of certreg each")
    ratio = median([one[3] / one[1] for one in rounds])
    table.add("CPU of cfssl : certreg", f"{ratio:.2f} x", "", "2 x", ratio >= 2)
    checks = [verify(bench) for _ in range(RUNS)]
    p50, p99, cpu = (median(column) for column in zip(*checks))
    table.add("token verified, cached", f"p50 {p50:.1f} µs, p99 {p99:.1f} µs", f"{cpu:.1f} µs each", "p99 50 µs", p99 < 50)
    return table
