# SPDX-License-Identifier: Apache-2.0
"""lib/wake.h against a real Redis, through tests/service/probe/wake_probe.c."""
import os
import queue
import signal
import subprocess
import threading

import pytest

from conftest import BUILD, LIMIT_S, wait_for

STREAM = "{strongroom}:wake:run"


class Probe:
    """One process with one `struct wake`; its lines are collected by a thread."""

    def __init__(self, address, *topics, **settings):
        self.process = subprocess.Popen(
            [BUILD / "probe" / "wake_probe", *topics], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "REDIS": address, **{name: str(value) for name, value in settings.items()}})
        self.rings, self.answers = queue.Queue(), queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        for line in self.process.stdout:
            kind, _, rest = line.rstrip("\n").partition(" ")
            (self.rings if kind == "rung" else self.answers).put(rest)

    def __call__(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answers.get(timeout=LIMIT_S)

    def ring(self, topic, key):
        self(f"ring {topic} {key}")

    def ring_unheld(self, count):
        """So many rings that the limit would pass if each of them waited for Redis (100 ms)."""
        self.process.stdin.write("".join(f"ring nobody {number}\n" for number in range(count)))
        self.process.stdin.flush()
        wait_for(lambda: self.answers.qsize() == count, "no ring waits for Redis")
        self.answers.queue.clear()

    def next_ring(self):
        return self.rings.get(timeout=LIMIT_S)

    def is_ok(self):
        return self("ok") == "1"

    def wait_ok(self):
        wait_for(self.is_ok, "the probe ring came back")

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(LIMIT_S) == 0


@pytest.fixture
def start(redis):
    probes = []

    def start_one(*topics, address=redis.address, is_up=True):
        probes.append(Probe(address, *topics))
        if is_up:
            probes[-1].wait_ok()
        return probes[-1]

    yield start_one
    for probe in probes:
        probe.close()


@pytest.fixture(autouse=True)
def redis_is_up(redis):
    yield
    if not redis.process:
        redis.start()


def assert_wakes(sender, receiver, key):
    sender.ring("run", key)
    assert sender.next_ring() == f"run {key}"
    assert receiver.next_ring() == f"run {key}"


def assert_no_more(start, *probes, topic="run"):
    """Rings come in one order: what is left of those before would come before this one."""
    start().ring(topic, "end")
    assert [probe.next_ring() for probe in probes] == [f"{topic} end"] * len(probes)


def wait_for_next_ms(redis):
    """Entry ids are milliseconds: a stream that was emptied may give the last id once more within one."""
    start = redis.ask("TIME")
    wait_for(lambda: int(redis.ask("TIME")[1]) // 1000 != int(start[1]) // 1000, "a millisecond passes")


def test_ring_wakes_every_copy_once(start):
    sender, receivers = start("run", "web"), [start("run"), start("web", "run")]
    for number in range(100):
        sender.ring("run", f"run_{number}")
    for probe in sender, *receivers:
        assert [probe.next_ring() for _ in range(100)] == [f"run run_{n}" for n in range(100)]
    assert_no_more(start, sender, *receivers)


def test_topics_are_apart(start):
    sender, runs, others = start("web"), start("run"), start("web")
    sender.ring("run", "run_1")
    assert runs.next_ring() == "run run_1"
    assert_no_more(start, others, sender, topic="web")  # nor who rings what it does not listen to


def test_old_rings_are_not_replayed(start, redis):
    first = start("run")
    first.ring("run", "old")
    wait_for(lambda: redis.ask("XLEN", STREAM) > 0, "old ring is in the stream")
    second = start("run")
    assert first.next_ring() == "run old"
    assert_wakes(first, second, "new")


def test_stream_stays_small(start, redis):
    probe = start()
    for number in range(3):
        probe("flood 2000")
        probe.ring("run", f"last_{number}")
        wait_for(lambda: redis.ask("XREVRANGE", STREAM, "+", "-", "COUNT", 1)[0][1][1] == f"last_{number}",
                 "all is added")
    assert 1000 <= redis.ask("XLEN", STREAM) <= 1200


def test_flushall(start, redis):
    sender, receiver = start("run"), start("run")
    for number in range(20):
        redis.ask("FLUSHALL")
        wait_for_next_ms(redis)
        assert_wakes(sender, receiver, f"run_{number}")


def test_kill_and_restart(start, redis):
    sender, receiver = start("run"), start("run")
    for number in range(3):
        redis.kill()
        wait_for(lambda: not sender.is_ok() and not receiver.is_ok(), "loss is noticed")
        sender.ring("run", "alone")
        assert sender.next_ring() == "run alone"  # this process is rung all the same
        redis.start()
        sender.wait_ok()
        receiver.wait_ok()
        assert_wakes(sender, receiver, f"run_{number}")


def test_absent_at_start(start, redis):
    redis.kill()
    sender, receiver = start("run", is_up=False), start("run", is_up=False)
    assert not sender.is_ok()
    sender.ring("run", "alone")
    sender.ring_unheld(400)
    assert sender.next_ring() == "run alone"
    redis.start()
    sender.wait_ok()
    receiver.wait_ok()
    assert_wakes(sender, receiver, "run_1")


@pytest.mark.parametrize("address", ["", "tcp:nowhere:1"])
def test_without_redis(start, address):
    probe = start("run", address=address)
    probe.ring("run", "run_1")
    assert probe.next_ring() == "run run_1"


def test_hanging_redis_holds_nobody(start, redis):
    sender, receiver = start("run"), start("run")
    redis.process.send_signal(signal.SIGSTOP)
    try:
        sender.ring("run", "alone")
        assert sender.next_ring() == "run alone"
        sender.ring_unheld(400)
        wait_for(lambda: not receiver.is_ok(), "silence is noticed by the probe")
    finally:
        redis.process.send_signal(signal.SIGCONT)
    receiver.wait_ok()
    sender.wait_ok()
    sender.ring("run", "run_1")
    assert sender.next_ring() == "run run_1"
    wait_for(lambda: receiver.next_ring() == "run run_1", "it comes behind what Redis may have taken before")


def test_cut_connections(start, redis):
    sender, receiver = start("run"), start("run")
    redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    heard = threading.Event()
    threading.Thread(target=lambda: receiver.next_ring() and heard.set(), daemon=True).start()
    wait_for(lambda: sender.ring("run", "again") or heard.is_set(), "rings get through again")


def test_foreign_entries_are_passed_over(start, redis):
    probe = start("run")
    redis.ask("XADD", STREAM, "*", "x", "y")
    redis.ask("XADD", STREAM, "*", "k", "run_1", "s", "someone")
    assert probe.next_ring() == "run run_1"
    assert_no_more(start, probe)


def test_key_of_another_type(start, redis):
    sender, receiver = start("run"), start("run")
    redis.ask("SET", STREAM, "not a stream")
    sender.ring("run", "lost")
    wait_for(lambda: not sender.is_ok(), "XADD is refused")
    redis.ask("DEL", STREAM)
    sender.wait_ok()
    receiver.wait_ok()
    assert sender.next_ring() == "run lost"
    assert_wakes(sender, receiver, "run_1")
