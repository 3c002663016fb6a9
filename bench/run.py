# SPDX-License-Identifier: Apache-2.0
"""run.py [SECTION...]: every section writes its table into docs/BENCHMARKS.md; some of them are only printed."""
import os
import pathlib
import platform
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))

import certificates  # noqa: E402
import evidence  # noqa: E402
import layer  # noqa: E402
import memory  # noqa: E402
import motion  # noqa: E402
import overhead  # noqa: E402
import policy  # noqa: E402
import pool  # noqa: E402
import read  # noqa: E402
import records  # noqa: E402
import registry  # noqa: E402
import sandbox  # noqa: E402
import tokens  # noqa: E402
import transfer  # noqa: E402
import write as json_write  # noqa: E402
from figures import RUNS  # noqa: E402
from local_stack import BUILD, LocalStack  # noqa: E402

SECTIONS = {"memory": memory, "layer": layer, "overhead": overhead, "sandbox": sandbox, "read": read, "write": json_write,
            "certificates": certificates, "tokens": tokens, "registry": registry, "transfer": transfer, "evidence": evidence,
            "policy": policy, "pool": pool, "motion": motion, "records": records}


class Bench:
    """What sections work with: a stack of their own, its first member, a folder."""

    def __init__(self, stack):
        self.stack, self.owner, self.build = stack, stack.client("acme-owner"), BUILD
        self.folder = stack.folder / "bench"
        self.folder.mkdir()

    def pid(self, part):
        return int((self.stack.folder / f"pids/{part}.pid").read_text().split()[0])


def output(*argv):
    return subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.strip()


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [output("wrk", "-v").split("\n")[0].split(" Copyright")[0], output("skopeo", "--version"),
                output("qemu-system-x86_64", "--version").split("\n")[0]]
    congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return [f"Machine: {model}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, Linux {platform.release()}, TCP {congestion}; "
            + "; ".join(version for version in versions if version) + ".",
            f"Source: commit {output('git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD')}, "
            f"{time.strftime('%Y-%m-%d', time.gmtime())}. Command: `make bench` ({RUNS} runs of everything that is repeated)."]


def write(tables):
    head = ["# Benchmarks", "", "Made by `make bench`; bench/README.md says how. Not by hand.", "", *machine(), ""]
    (ROOT / "docs/BENCHMARKS.md").write_text("\n".join([*head, *(table.markdown() for table in tables)]))


def main():
    os.environ.update(RATE_PER_KEY="0", RATE_PER_SOURCE="0", LOG_LEVEL="warn")  # one key bears the whole load, as quietly as peers
    names = sys.argv[1:] or list(SECTIONS)
    tables = []
    for limit in "RATE_PER_KEY", "RATE_PER_SOURCE":
        os.environ.setdefault(limit, "1000000")  # asked for each request, and never reached
    with LocalStack() as stack:
        bench = Bench(stack)
        for name in names:
            print(f"{name}:", flush=True)
            tables.append(SECTIONS[name].run(bench))
            if len(names) == len(SECTIONS):
                write(tables)  # as it goes: an interrupted run has its first sections


main()
