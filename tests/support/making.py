# SPDX-License-Identifier: Apache-2.0
"""What the tests build themselves. Several workers of a run may ask for it at once: one builds, the others wait."""
import fcntl
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def make(build, *targets, **variables):
    """The targets, with BUILD=build."""
    build.mkdir(parents=True, exist_ok=True)
    with open(build / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={build}", *(f"{name}={value}" for name, value in variables.items()), *targets],
                       check=True, stdout=subprocess.DEVNULL)
