# SPDX-License-Identifier: Apache-2.0
"""A layer pushed and pulled: straight to the registry, through the gateway, through nginx with TLS in front of it."""
import contextlib
import hashlib
import os
import re
import subprocess
import time

from figures import RUNS, Table, children, cpu_seconds, median, timed
from layer import Random
from read import second_service
from registry import DIRECT_PORT, GATEWAY_PORT, NAME, Gateway, direct
from tokens import wait_for_port

SIZE_MIB = int(os.environ.get("BENCH_LAYER_MIB", "1024"))
ROUNDS = RUNS
PROXY_PORT = 18443
NGINX = """
user root; daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
events {{ worker_connections 64; }}
http {{ access_log off; proxy_temp_path {folder}; client_body_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; client_max_body_size 0; sendfile on; tcp_nopush on;
    location / {{ proxy_pass http://unix:{to}; proxy_http_version 1.1; proxy_buffers 8 256k; proxy_buffer_size 256k;
      proxy_max_temp_file_size 0; }} }} }}
"""


def make_layer(file):
    hashed = hashlib.sha256()
    source = Random(SIZE_MIB << 20)
    with open(file, "wb") as out:
        while block := source.read(1 << 20):
            hashed.update(block)
            out.write(block)
    return "sha256:" + hashed.hexdigest()


@contextlib.contextmanager
def nginx(stack, folder):
    """A tuned proxy in the gateway's place: the same registry by the same socket, and nothing looked at."""
    folder.mkdir()
    conf = folder / "nginx.conf"
    to = re.search(r"net: unix\n *addr: (.*)", (stack.folder / "etc/registry.yml").read_text())[1]
    conf.write_text(NGINX.format(folder=folder, port=PROXY_PORT, to=to))
    process = subprocess.Popen(["nginx", "-c", conf, "-e", folder / "nginx.log"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(PROXY_PORT)
        yield
    finally:
        process.terminate()
        process.wait()


class Side:
    """Where a layer is pushed to and pulled from, by curl, and whose CPU time is counted."""

    def __init__(self, url, pids, login=None, ca=None):
        self.url, self.pids, self.login, self.ca = url, pids, login, ca

    def curl(self, *arguments):
        more = ["--cacert", self.ca] if self.ca else []
        if self.login:
            more += ["-H", f"@{self.login()}"]
        return ["curl", "-qsSf", *more, *arguments]

    def ask(self, *arguments):
        return subprocess.run(self.curl(*arguments), check=True, text=True, stdout=subprocess.PIPE).stdout

    def absolute(self, location):
        return location if location.startswith("http") else self.url + location

    def push(self, file, digest):
        """MiB/s of PATCH and PUT, and CPU seconds for a GiB."""
        head = self.ask("-D-", "-X", "POST", f"{self.url}/v2/{NAME}/blobs/uploads/")
        location = next(line.split(None, 1)[1].strip() for line in head.splitlines() if line.lower().startswith("location:"))
        before, started = cpu_seconds(self.pids()), time.monotonic()
        head = self.ask("-D-", "-X", "PATCH", "-H", "Content-Type: application/octet-stream", "-H", "Expect:", "-T", file, self.absolute(location))
        location = next(line.split(None, 1)[1].strip() for line in head.splitlines() if line.lower().startswith("location:"))
        self.ask("-X", "PUT", f"{self.absolute(location)}{'&' if '?' in location else '?'}digest={digest}")
        seconds = time.monotonic() - started
        return SIZE_MIB / seconds, (cpu_seconds(self.pids()) - before) * 1024 / SIZE_MIB

    def pull(self, digest):
        before = cpu_seconds(self.pids())
        seconds, _ = timed(self.curl("-o", "/dev/null", f"{self.url}/v2/{NAME}/blobs/{digest}"))
        return SIZE_MIB / seconds, (cpu_seconds(self.pids()) - before) * 1024 / SIZE_MIB


def add(table, what, values, cpu_goal=None):
    rate, cpu = (median([value[part] for value in values]) for part in (0, 1))
    table.add(what, f"{rate:.0f} MiB/s", f"{cpu:.2f} CPU-s/GiB", f"{cpu_goal} CPU-s/GiB" if cpu_goal else "",
              cpu <= cpu_goal if cpu_goal else None)


def compare(table, what, ours, theirs, goal):
    share = median([one[0] / other[0] for one, other in zip(ours, theirs)])
    table.add(what, f"{share:.2f} x", "", f"{goal} x", share >= goal)


def run(bench):
    table = Table(f"Registry gateway: a layer of {SIZE_MIB} MiB", [
        f"Pushed (one PATCH, one PUT) and pulled by curl, {ROUNDS} rounds, sides in turns: straight to a docker-registry on loopback TCP; to the "
        "gateway's own plain listener, with the same files behind it; and to the edge, nginx with TLS 1.3. CPU: of the gateway; of nginx and "
        "gateway; of the registry. Pulls beside a tuned nginx in the gateway's place."])
    file, login = bench.folder / "random-layer", bench.folder / "login"
    login.touch(mode=0o600)

    def log_in():
        login.write_text(f"Authorization: Bearer {Gateway(bench, None).token}\n")
        return login

    digest = make_layer(file)
    with second_service(bench, "registry-gw", GATEWAY_PORT, "instance = bench\n") as pid, direct(bench) as peer, nginx(bench.stack, bench.folder / "proxy"):
        wait_for_port(GATEWAY_PORT)
        time.sleep(6)  # until revocations are known
        edge = bench.pid("edge")
        sides = {
            "direct": Side(f"http://127.0.0.1:{DIRECT_PORT}", lambda: [peer]),
            "gateway": Side(f"http://127.0.0.1:{GATEWAY_PORT}", lambda: [pid], log_in),
            "edge": Side(bench.stack.url, lambda: [edge, *children(edge), bench.pid("registry-gw")], log_in, bench.stack.ca),
        }
        pushed = {name: [] for name in sides}
        pulled = {"gateway": [], "nginx": []}
        for _ in range(ROUNDS):
            for name, side in sides.items():
                pushed[name].append(side.push(file, digest))
            pulled["gateway"].append(sides["gateway"].pull(digest))
            pulled["nginx"].append(Side(f"http://127.0.0.1:{PROXY_PORT}", lambda: []).pull(digest))
    file.unlink()
    login.unlink()
    add(table, "push, docker-registry", pushed["direct"])
    add(table, "push, gateway", pushed["gateway"], 0.6)
    compare(table, "push, gateway : registry", pushed["gateway"], pushed["direct"], 0.97)
    add(table, "push, edge (TLS) and gateway", pushed["edge"], 1.5)
    compare(table, "push, edge : registry", pushed["edge"], pushed["direct"], 0.93)
    add(table, "pull, nginx passing through", pulled["nginx"])
    add(table, "pull, gateway", pulled["gateway"])
    compare(table, "pull, gateway : nginx", pulled["gateway"], pulled["nginx"], 0.9)
    return table
