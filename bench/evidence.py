# SPDX-License-Identifier: Apache-2.0
"""Verifying one evidence of a measured sandbox: every check, from the text on. The evidence is a recorded one of a real TPM."""
import json
import pathlib
import subprocess

from figures import RUNS, Table, median

GOAL_MS = 5
COUNT = 300
DATA = pathlib.Path(__file__).resolve().parents[1] / "tests/data/vtpm"


def verify(bench):
    machines = json.loads((DATA / "machines.json").read_text())
    texts = {"evidence.json": json.dumps(machines["good"]), "vtpm-ca.pem": machines["vtpm_ca"],
             "reference.json": (DATA / "reference.json").read_text()}
    for name, text in texts.items():
        (bench.folder / name).write_text(text)
    argv = [bench.folder / name for name in ("evidence.json", "reference.json", "vtpm-ca.pem")]
    out = subprocess.run([bench.build / "bench/verify_evidence", *argv, str(COUNT)], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    return float(out)


def run(bench):
    table = Table("Verifying evidence", [
        f"`trust_evidence_verify()` of a measured sandbox's evidence, {COUNT} times on one thread: JSON, machine key's signature, "
        "chain of the endorsement key, quote, event log, every PCR against the reference values. CPU of the process."])
    cpu = median([verify(bench) for _ in range(RUNS)])
    table.add("one evidence", f"{cpu:.2f} ms", "the same", f"{GOAL_MS} ms", cpu <= GOAL_MS)
    return table
