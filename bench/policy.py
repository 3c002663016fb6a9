# SPDX-License-Identifier: Apache-2.0
"""The canonical hash of a policy of 100 kB, and its whole explanation."""
import pathlib
import subprocess
import sys

from figures import RUNS, Table, median

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))

COUNT = 200
SIZE = 100_000


def document():
    """A policy of that size: many inputs, each with its slot, and long arguments."""
    import trust
    world = trust.World("spc_" + "0" * 32)
    for n in range(64):
        slot = f"input/data-{n}"
        world.policy["slots"][slot] = {"commitment": trust.digest(b"c"), "mode": "once", "owner": world.author.spki}
        world.policy["inputs"].append({
            "slot": slot, "dataset": f"dst_{n:032x}", "version": 1, "object": f"obj_{n:032x}", "file": "rows.csv",
            "digest": trust.digest(b"rows"), "size": 4})
    while (missing := SIZE - len(trust.jcs(world.policy))) > 8:
        world.policy["process"]["argv"].append("x" * min(4096, missing - 3))
    return trust.jcs(world.policy)


def run(bench):
    path = bench.folder / "policy.json"
    path.write_bytes(document())
    program = bench.build / "bench/explain_policy"
    runs = [[float(n) for n in subprocess.run([program, path, str(COUNT)], check=True, text=True, stdout=subprocess.PIPE)
             .stdout.split()] for _ in range(RUNS)]
    hashed, read, explained = (median(column) for column in zip(*runs))
    table = Table("Policies", [
        f"A policy of {path.stat().st_size} bytes with 64 inputs, {COUNT} times on one thread: CPU of the process. Reading is parsing, "
        "every member's check and the hash; explaining is every clause, approvals included, as `:explain` and the agent do it."])
    table.add("canonical hash", f"{hashed:.2f} ms", "the same", "1 ms", hashed <= 1)
    table.add("read and checked", f"{read:.2f} ms", "the same", "-", True)
    table.add("explained", f"{explained:.2f} ms", "the same", "5 ms", explained <= 5)
    return table
