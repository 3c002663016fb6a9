# SPDX-License-Identifier: Apache-2.0
"""An authenticated JSON read from Postgres, at the service's own listener and through the edge, beside pgbench -S in the same
Postgres."""
import contextlib
import os
import re
import subprocess
import time

from figures import RUNS, Table, children, cpu_seconds, median
from trust import World

POLICIES = 100
SECONDS = int(os.environ.get("BENCH_SECONDS", "5"))
CONNECTIONS = 64
PORT = 18411


class Postgres:
    """The stack's cluster as its administrator."""

    def __init__(self, bench):
        stack = bench.stack
        words = dict(word.split("=", 1) for word in conf_of(stack, "policy")["database"].split())
        self.env = {**os.environ, "PGHOST": words["host"], "PGUSER": "postgres"}
        self.bin = f"{newest('/usr/lib/postgresql')}/bin"

    def call(self, program, *arguments):
        become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        return subprocess.run([*become, f"{self.bin}/{program}", *arguments], env=self.env, cwd="/", check=True, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def reads_per_second(self, clients):
        out = self.call("pgbench", "-S", "-M", "prepared", "-n", "-c", str(clients), "-j", "2", "-T", str(SECONDS), "bench")
        return float(re.search(r"tps = ([0-9.]+)", out).group(1))


def newest(folder):
    return f"{folder}/{max(os.listdir(folder), key=float)}"


def conf_of(stack, service):
    lines = (stack.folder / f"etc/{service}.conf").read_text().splitlines()
    return dict(map(str.strip, line.split("=", 1)) for line in lines if "=" in line and not line.startswith("#"))


@contextlib.contextmanager
def second_policy(bench):
    """The same program on the same database as the same user, listening on loopback TCP: wrk speaks no unix sockets."""
    stack = bench.stack
    conf = stack.folder / "etc/bench-policy.conf"
    text = (stack.folder / "etc/policy.conf").read_text()
    conf.write_text(re.sub(r"^listen = .*", f"listen = tcp:127.0.0.1:{PORT}", text, flags=re.M))
    conf.chmod(0o644)
    ids = {}
    with open(f"/proc/{bench.pid('policy')}/status") as status:
        for line in status:
            name, _, values = line.partition(":")
            ids[name] = [int(value) for value in values.split()] if name in ("Uid", "Gid", "Groups") else None
    become = {"user": ids["Uid"][0], "group": ids["Gid"][0], "extra_groups": ids["Groups"]} if os.geteuid() == 0 else {}
    with open(stack.folder / "log/bench-policy.log", "wb") as log:
        process = subprocess.Popen([stack.folder / "bin/strongroom-policy", "--config", conf], stdin=subprocess.DEVNULL,
                                   stderr=log, cwd="/", **become)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()
            conf.unlink()


def make_policies(owner):
    world = World(owner.space())
    for number in range(POLICIES):
        world.policy["max_runs"] = number + 1
        record = owner.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})
    return record["id"]


def wrk(url, token):
    """Requests per second and the 50th and 99th percentile; any answer but 2xx ends the bench."""
    out = subprocess.run(["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-H", f"Authorization: Bearer {token}",
                          url], check=True, text=True, stdout=subprocess.PIPE).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    return float(re.search(r"Requests/sec: +([0-9.]+)", out).group(1)), re.findall(r"(?:50|99)% +(\S+)", out)


def wait_for(bench, path):
    end = time.monotonic() + 10
    while subprocess.run(["curl", "-qsfo", "/dev/null", f"http://127.0.0.1:{PORT}/readyz"]).returncode:
        assert time.monotonic() < end, "the second policy service does not answer"
        time.sleep(0.05)
    answer = bench.owner.get(path)
    assert answer.status_code == 200
    return len(answer.content)


class Round:
    """All peers once, one after the other."""

    def __init__(self, bench, postgres, pid, path):
        self.select8, self.select64 = postgres.reads_per_second(8), postgres.reads_per_second(64)
        token = bench.owner.token("policy")
        before = cpu_seconds([pid])
        self.direct, self.direct_ms = wrk(f"http://127.0.0.1:{PORT}{path}", token)
        self.cpu_us = (cpu_seconds([pid]) - before) / (self.direct * SECONDS) * 1e6
        edge = bench.pid("edge")
        parts = [edge, *children(edge), bench.pid("policy")]
        before = cpu_seconds(parts)
        self.edge, self.edge_ms = wrk(bench.stack.url + path, token)
        self.edge_cpu_us = (cpu_seconds(parts) - before) / (self.edge * SECONDS) * 1e6


def report(table, rounds, size):
    def of(name):
        return median([getattr(one, name) for one in rounds])

    def share(name):
        return median([getattr(one, name) / one.select8 for one in rounds])
    table.add("pgbench -S, 8 clients", f"{of('select8'):.0f}/s")
    table.add("pgbench -S, 64 clients", f"{of('select64'):.0f}/s")
    table.add("service's listener", f"{of('direct'):.0f}/s, p50 {rounds[-1].direct_ms[0]}, p99 {rounds[-1].direct_ms[1]}",
              f"{of('cpu_us'):.0f} µs of the service each")
    table.add("listener : pgbench -S at 8", f"{share('direct'):.2f} x", "", "0.5 x", share("direct") >= 0.5)
    table.add("through the edge (TLS)", f"{of('edge'):.0f}/s, p50 {rounds[-1].edge_ms[0]}, p99 {rounds[-1].edge_ms[1]}",
              f"{of('edge_cpu_us'):.0f} µs of nginx and service each")
    table.add("edge : pgbench -S at 8", f"{share('edge'):.2f} x", "", "0.25 x", share("edge") >= 0.25)
    table.words[0] += f" An answer's body has {size} bytes."


def run(bench):
    table = Table("JSON read", [
        f"`GET /v1/policies/{{id}}` with a member's token, one of {POLICIES} policies with document and approval, under row-level "
        f"security; {CONNECTIONS} keep-alive connections by wrk for {SECONDS} s, all on the same cores as Postgres. "
        "pgbench: scale 10, prepared, same cluster, same rounds; shares are medians of the rounds' own shares, p50 and p99 are the last round's."])
    postgres = Postgres(bench)
    path = "/v1/policies/" + make_policies(bench.owner)
    postgres.call("psql", "-qX", "-d", "strongroom", "-c", "ANALYZE")
    postgres.call("createdb", "bench")
    postgres.call("pgbench", "-i", "-q", "-s", "10", "bench")
    with second_policy(bench) as pid:
        size = wait_for(bench, path)
        rounds = [Round(bench, postgres, pid, path) for _ in range(RUNS)]
    postgres.call("dropdb", "bench")
    report(table, rounds, size)
    return table
