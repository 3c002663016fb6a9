# SPDX-License-Identifier: Apache-2.0
"""Time and CPU of processes, medians, and the table that they end in."""
import os
import pathlib
import statistics
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
RUNS = int(os.environ.get("BENCH_RUNS", "5"))


def timed(argv, **more):
    """Wall and CPU seconds (children too) of one process that must succeed."""
    started = time.monotonic()
    process = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **more)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, argv
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime


def stat_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()


def cpu_seconds(pids):
    """User and system time of processes that run; those that ended meanwhile count nothing."""
    total = 0
    for pid in pids:
        try:
            fields = stat_of(pid)
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def thread_cpu_seconds(pid, name):
    """Of a process's threads of that name (top -H shows them): background work that a figure tells apart."""
    total = 0
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (thread / "comm").read_text().strip() == name:
            fields = stat_of(f"{pid}/task/{thread.name}")
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if int(stat_of(entry)[1]) == pid:
                    found.append(int(entry))
            except OSError:
                pass
    return found


def median(values):
    return statistics.median(values)


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def load():
    return os.getloadavg()[0]


class Table:
    """Rows (what, figure, CPU, goal, whether it holds) under one heading."""

    def __init__(self, title, words):
        self.title, self.words, self.rows, self.loads = title, words, [], [load()]

    def add(self, what, figure, cpu="", goal="", holds=None):
        self.rows.append((what, figure, cpu, goal, "" if holds is None else "yes" if holds else "**no**"))
        self.loads.append(load())
        print(f"  {what}: {figure}" + (f" ({cpu})" if cpu else "") + (f", goal {goal}: {self.rows[-1][4]}" if goal else ""),
              flush=True)

    def markdown(self):
        lines = [f"## {self.title}", "", *self.words, "", "| | median | CPU | goal | met |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", f"1-minute load while it ran: {self.loads[0]:.1f} at the start, "
                          f"at most {max(self.loads):.1f} (our own work included).", ""])
