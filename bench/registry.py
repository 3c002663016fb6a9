# SPDX-License-Identifier: Apache-2.0
"""Small operations of the registry gateway beside the registry's own, and its memory under 64 pushes at once."""
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

from figures import RUNS, Table, cpu_seconds, median
from memory import resident_mib
from read import SECONDS, same_user, second_service
from tokens import wait_for_port

GATEWAY_PORT, DIRECT_PORT = 18441, 18442
CONNECTIONS = 16
STREAMS, STREAM_MIB = 64, 16
VECTOR = pathlib.Path(__file__).resolve().parents[1] / "tests/data/ocicrypt-ec"
TYPE = "application/vnd.oci.image.manifest.v1+json"
NAME = "acme/bench"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Gateway:
    """Requests of one member at the second gateway's plain listener."""

    def __init__(self, bench, pid):
        answer = bench.owner.http.get(f"{bench.stack.url}/v1/registry-token", auth=("bench", bench.owner.key), params={
            "service": "registry-gw", "scope": f"repository:{NAME}:pull,push,delete"})
        self.pid, self.token = pid, answer.json()["token"]

    def ask(self, method, path, body=b"", **headers):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", GATEWAY_PORT)) as connection:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.token}", **headers})
            answer = connection.getresponse()
            answer.read()
            assert answer.status < 300, (method, path, answer.status)
            return answer.headers

    def push_blob(self, data):
        self.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest(data)}", data)
        return {"digest": digest(data), "size": len(data)}

    def push_image(self):
        """The paths of a manifest and of its layer."""
        manifest = json.loads((VECTOR / "manifest.json").read_text())
        layer = self.push_blob((VECTOR / "layer.enc").read_bytes())
        manifest["config"].update(self.push_blob(b"{}"))
        text = json.dumps(manifest).encode()
        self.ask("PUT", f"/v2/{NAME}/manifests/v1", text, **{"Content-Type": TYPE})
        return f"/v2/{NAME}/manifests/{digest(text)}", f"/v2/{NAME}/blobs/{layer['digest']}"


@contextlib.contextmanager
def direct(bench):
    """The same program on the same files, on loopback TCP and with nobody in front."""
    conf = bench.folder / "registry.yml"
    conf.touch(mode=0o600)
    text = (bench.stack.folder / "etc/registry.yml").read_text()
    if os.geteuid() == 0:
        shutil.chown(conf, same_user(bench.pid("registry"))["user"])
    conf.write_text(re.sub(r"net: unix\n *addr: .*", f"addr: 127.0.0.1:{DIRECT_PORT}", text))
    process = subprocess.Popen(["docker-registry", "serve", conf], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, cwd="/", **same_user(bench.pid("registry")))
    try:
        wait_for_port(DIRECT_PORT)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def backends(bench):
    return [pid for pid, in bench.stack.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'registry_gw'")]


def get(url, token):
    """wrk; without the Accept the registry pretends not to have an OCI manifest."""
    out = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-H", f"Authorization: Bearer {token}", "-H",
                          f"Accept: {TYPE}", url], check=True, text=True, stdout=subprocess.PIPE).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    return int(re.search(r"(\d+) requests in", out).group(1))


def head(url, token):
    """ab: wrk waits for the body that a HEAD does not have."""
    out = subprocess.run(["ab", "-q", "-i", "-k", f"-c{CONNECTIONS}", f"-t{SECONDS}", "-n10000000", "-H",
                          f"Authorization: Bearer {token}", url], check=True, text=True, stdout=subprocess.PIPE).stdout
    assert "Non-2xx" not in out, out
    return int(re.search(r"Complete requests: +(\d+)", out).group(1))


def measured(load, url, token, pids):
    """Per second, and CPU microseconds of each group of processes for one."""
    before = [cpu_seconds(group) for group in pids]
    count = load(url, token)
    return count / SECONDS, [(cpu_seconds(group) - start) / count * 1e6 for group, start in zip(pids, before)]


def compare(bench, table, what, load, path, gateway, peer):
    rounds = []
    for _ in range(RUNS):
        theirs = measured(load, f"http://127.0.0.1:{DIRECT_PORT}{path}", gateway.token, [[peer]])
        ours = measured(load, f"http://127.0.0.1:{GATEWAY_PORT}{path}", gateway.token, [[gateway.pid], backends(bench)])
        rounds.append((ours, theirs))
    rates = [median([one[side][0] for one in rounds]) for side in (0, 1)]
    cpus = [median([one[0][1][part] for one in rounds]) for part in (0, 1)]
    ratio = median([ours[0] / theirs[0] for ours, theirs in rounds])
    peer_cpu = median([theirs[1][0] for _, theirs in rounds])
    table.add(f"{what}, docker-registry", f"{rates[1]:.0f}/s", f"{peer_cpu:.0f} µs each")
    table.add(f"{what}, gateway", f"{rates[0]:.0f}/s", f"{cpus[0]:.0f} µs each, {cpus[1]:.0f} µs of Postgres")
    table.add(f"{what}, gateway : registry", f"{ratio:.1f} x", f"{peer_cpu / sum(cpus):.1f} x less", "10 x", ratio >= 10)


def push(gateway, barrier, piece):
    """One upload in pieces, open at the same time as all others, and cancelled."""
    location = gateway.ask("POST", f"/v2/{NAME}/blobs/uploads/")["Location"]
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", GATEWAY_PORT)) as connection:
        connection.putrequest("PATCH", location)
        connection.putheader("Authorization", f"Bearer {gateway.token}")
        connection.putheader("Content-Length", str(STREAM_MIB << 20))
        connection.endheaders()
        connection.send(piece)
        barrier.wait()
        for _ in range(STREAM_MIB - 1):
            connection.send(piece)
        assert connection.getresponse().status == 202
    gateway.ask("DELETE", location)


def streams(table, gateway):
    barrier, piece, peak = threading.Barrier(STREAMS), os.urandom(1 << 20), 0
    idle = resident_mib(gateway.pid)
    threads = [threading.Thread(target=push, args=(gateway, barrier, piece)) for _ in range(STREAMS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, resident_mib(gateway.pid))
        time.sleep(0.02)
    most = 10 + STREAMS / 4
    table.add(f"{STREAMS} pushes of {STREAM_MIB} MiB at once", f"{idle:.1f} MiB before, at most {peak:.1f} MiB", "", f"{most:.0f} MiB",
              peak <= most)


def run(bench):
    table = Table("Registry gateway: small operations, and memory under parallel pushes", [
        "`GET` of a manifest by digest and `HEAD` of a blob with a registry token at the gateway's plain listener, beside "
        f"docker-registry on the same files with its descriptors cached in memory, in turns; {CONNECTIONS} keep-alive connections by wrk "
        f"and ab for {SECONDS} s on the same cores. The gateway checks the token and asks Postgres for the row each time; the "
        "manifest's bytes come from memory. Memory: VmRSS of the gateway, sampled every 20 ms, while that many uploads are open at "
        "once; goal 10 MiB and 256 KiB for each."])
    with second_service(bench, "registry-gw", GATEWAY_PORT, "instance = bench\n") as pid, direct(bench) as peer:
        wait_for_port(GATEWAY_PORT)
        time.sleep(6)  # until revocations are known
        gateway = Gateway(bench, pid)
        manifest, blob = gateway.push_image()
        streams(table, gateway)
        compare(bench, table, "manifest GET by digest", get, manifest, gateway, peer)
        compare(bench, table, "blob HEAD", head, blob, gateway, peer)
    return table
