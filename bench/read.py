# SPDX-License-Identifier: Apache-2.0
"""An authenticated JSON read from Postgres, at the service's own listener and through the edge, beside pgbench -S in the same
Postgres."""
import contextlib
import os
import pathlib
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


def same_user(pid):
    """What makes a new process that of the same user, where that takes anything."""
    ids = {}
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            name, _, values = line.partition(":")
            ids[name] = [int(value) for value in values.split()] if name in ("Uid", "Gid", "Groups") else None
    return {"user": ids["Uid"][0], "group": ids["Gid"][0], "extra_groups": ids["Groups"]} if os.geteuid() == 0 else {}


@contextlib.contextmanager
def second_service(bench, service, port, more=""):
    """The same program on the same database as the same user, listening on loopback TCP: wrk speaks no unix sockets.
    As quiet as its peers: no line for each request."""
    stack = bench.stack
    conf = stack.folder / f"etc/bench-{service}.conf"
    text = (stack.folder / f"etc/{service}.conf").read_text()
    text = re.sub(r"^listen = .*", f"listen = tcp:127.0.0.1:{port}", text, flags=re.M)
    conf.write_text(re.sub(r"^log_level = .*\n", "", text, flags=re.M) + "log_level = warn\n" + more)
    conf.chmod(0o644)
    with open(stack.folder / f"log/bench-{service}.log", "wb") as log:
        process = subprocess.Popen([stack.folder / f"bin/strongroom-{service}", "--config", conf], stdin=subprocess.DEVNULL,
                                   stderr=log, cwd="/", **same_user(bench.pid(service)))
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()
            conf.unlink()


def make_records(owner):
    """Paths of as many pipelines as policies, each on its own."""
    world, paths = World(owner.space()), {"pipeline": [], "policy": []}
    for number in range(POLICIES):
        world.policy["max_runs"] = number + 1
        policy = owner.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})
        pipeline = owner.made("/v1/pipelines", {"name": f"bench-{number}", "template": world.policy["template"]["id"],
                                                "policy": policy["id"]})
        paths["policy"].append(f"/v1/policies/{policy['id']}")
        paths["pipeline"].append(f"/v1/pipelines/{pipeline['id']}")
    return paths


def wrk(url, paths, token):
    """Requests per second and the 50th and 99th percentile; any answer but 2xx ends the bench."""
    out = subprocess.run(["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-H", f"Authorization: Bearer {token}",
                          "-s", pathlib.Path(__file__).with_name("turns.lua"), url, "--", *paths],
                         check=True, text=True, stdout=subprocess.PIPE).stdout
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

    def __init__(self, bench, postgres, pid, paths):
        self.select8, self.select64 = postgres.reads_per_second(8), postgres.reads_per_second(64)
        self.direct = [measured(f"http://127.0.0.1:{PORT}", several, bench, [pid]) for several in paths.values()]
        edge = bench.pid("edge")
        self.edge = [measured(bench.stack.url, several, bench, [edge, *children(edge), bench.pid("policy")])
                     for several in paths.values()]


def measured(url, paths, bench, pids):
    """Per second, percentiles, and microseconds of these processes for each."""
    before = cpu_seconds(pids)
    rate, percentiles = wrk(url, paths, bench.owner.token("policy"))
    return rate, percentiles, (cpu_seconds(pids) - before) / (rate * SECONDS) * 1e6


def report(table, rounds, sizes):
    def add(what, whose, side, number, goal):
        one = [getattr(each, side)[number] for each in rounds]
        share = median([rate / each.select8 for (rate, _, _), each in zip(one, rounds)])
        table.add(what, f"{median([rate for rate, _, _ in one]):.0f}/s, p50 {one[-1][1][0]}, p99 {one[-1][1][1]}",
                  f"{median([cpu for _, _, cpu in one]):.0f} µs of {whose} each")
        table.add(f"{what} : pgbench -S at 8", f"{share:.2f} x", "", f"{goal} x", share >= goal)

    table.add("pgbench -S, 8 clients", f"{median([each.select8 for each in rounds]):.0f}/s")
    table.add("pgbench -S, 64 clients", f"{median([each.select64 for each in rounds]):.0f}/s")
    for number, (kind, size) in enumerate(sizes.items()):
        add(f"{kind} of {size} bytes, service's listener", "the service", "direct", number, 0.5)
        add(f"{kind} of {size} bytes, through the edge (TLS)", "nginx and service", "edge", number, 0.25)


def run(bench):
    table = Table("JSON read", [
        "`GET /v1/pipelines/{id}` (a small record) and `GET /v1/policies/{id}` (with document and approval) with a member's token, "
        f"each of {POLICIES} in turn, of one tenant, under row-level security; {CONNECTIONS} keep-alive connections by wrk for {SECONDS} s, "
        "all on the same cores as Postgres. Reads of one caller that wait together are one statement for all their ids. The services log at "
        "`warn`, as pgbench's Postgres writes no line for a query. pgbench: scale 10, prepared, same cluster, same rounds; shares are medians of "
        "the rounds' own shares, p50 and p99 are the last round's."])
    postgres = Postgres(bench)
    paths = make_records(bench.owner)
    postgres.call("psql", "-qX", "-d", "strongroom", "-c", "ANALYZE")
    postgres.call("createdb", "bench")
    postgres.call("pgbench", "-i", "-q", "-s", "10", "bench")
    with second_service(bench, "policy", PORT) as pid:
        sizes = {kind: wait_for(bench, several[0]) for kind, several in paths.items()}
        rounds = [Round(bench, postgres, pid, paths) for _ in range(RUNS)]
    postgres.call("dropdb", "bench")
    report(table, rounds, sizes)
    return table
