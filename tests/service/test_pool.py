# SPDX-License-Identifier: Apache-2.0
"""The pool: sandboxes that wait for somebody are started and have proved themselves, and are nobody's; whoever creates one that
fits gets it at once, with a claim and machine keys of its own."""
import contextlib
import os
import signal
import subprocess
import uuid

import pytest

from local_stack import problem, wait_for
from sandbox_remains import remains
from test_measured import check_evidence
from test_sandbox_lifecycle import body, limits, make, operator, path_of, process_of, ready  # noqa: F401
from test_sandboxes import claim, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver 'process' takes root")
LIMIT_S = 240


@contextlib.contextmanager
def provisioner(stack, **settings):
    """The stack's provisioner with other settings, killed and started anew."""
    def restart(env):
        stack.kill("provisioner")
        subprocess.run(["deploy/local/stack", "up", "provisioner", "edge"], env=env, check=True, timeout=300,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    restart({**stack.env, **{name.upper(): value for name, value in settings.items()}})
    try:
        yield
    finally:
        restart(stack.env)
        wait_for(lambda: rows(stack) == [], "the end of the pool", LIMIT_S)


def rows(stack, state=None):
    return [id for id, now in stack.sql("SELECT id, state FROM provisioner.warm ORDER BY created_at, id") if state in (None, now)]


def waiting(stack, count):
    return wait_for(lambda: len(found := rows(stack, "warm")) == count and found, f"{count} that wait", LIMIT_S)


@pytest.fixture(scope="module")
def pool(stack):
    with provisioner(stack, pool="process-dev=2"):
        yield


def test_one_that_waits_is_handed_out(stack, owner, make, pool):
    first, second = waiting(stack, 2)
    before = {id: process_of(stack, {"id": id}) for id in (first, second)}
    assert owner.get("/v1/quotas/self").json()["used"]["sandboxes"] == 0
    assert {first, second}.isdisjoint(item["id"] for item in owner.get("/v1/sandboxes?page_size=200").json()["items"])
    problem(owner.get(f"/v1/sandboxes/{first}"), 404, "sandbox.not_found")
    wanted = claim()
    made = make(claim=wanted, name="mine", ttl_s=600)
    assert made["id"] == first
    assert (made["state"], made["progress"]["percent"]) in {("creating", 40), ("ready", 100)}  # it is that soon on a slow machine
    up = ready(owner, made)
    assert (up["boot"], up["name"], up["evidence"]["claim"]) == (1, "mine", wanted) and up["expires_at"]
    assert process_of(stack, made) == before[first], "it is another process"
    assert owner.get("/v1/quotas/self").json()["used"]["sandboxes"] == 1
    assert second in waiting(stack, 2) and first not in rows(stack)
    owner.post(f"{path_of(made)}:restart", {"claim": claim()})
    again = until(owner, path_of(made), {"ready", "failed"})
    assert (again["state"], again["boot"]) == ("ready", 2) and again["enc_jwk"] != up["enc_jwk"]


def test_the_same_request_again_is_the_same_sandbox(stack, owner, make, pool):
    waits, wanted, key = waiting(stack, 2), body(), str(uuid.uuid4())
    answers = [owner.post("/v1/sandboxes", wanted, key) for _ in range(2)]
    assert {answer.json()["id"] for answer in answers} == {waits[0]}
    owner.delete(path_of(answers[0].json()))
    until(owner, path_of(answers[0].json()), {"deleted"})
    wait_for(lambda: remains(stack, waits[0]) == [], "the end of its relay")


def test_each_gets_its_own(stack, owner, stranger, make, pool):
    waits = waiting(stack, 2)
    mine, theirs = make(), make(client=stranger)
    assert [mine["id"], theirs["id"]] == waits
    assert ready(owner, mine)["enc_jwk"] != ready(stranger, theirs)["enc_jwk"]
    problem(stranger.get(path_of(mine)), 404, "sandbox.not_found")


def test_what_does_not_fit_is_made(stack, owner, make, pool):
    waits = waiting(stack, 2)
    other = make(parameters={"memory_mib": 100})
    assert other["id"] not in waits and rows(stack, "warm") == waits
    assert make(parameters={"memory_mib": 256})["id"] == waits[0]  # the default, said aloud


def test_none_beyond_the_quota(stack, owner, make, limits, pool):
    waits = waiting(stack, 2)
    limits(sandboxes=1)
    first, second = make(), make()
    assert first["id"] == waits[0]
    assert (second["state"], second["queue"]) == ("queued", {"position": 1, "reason": "quota.tenant"})
    limits(sandboxes=2)
    assert make()["id"] not in waits, "it passed the one that waits"
    ready(owner, second)


def test_one_that_dies_is_replaced(stack, pool):
    waits = waiting(stack, 2)
    os.kill(process_of(stack, {"id": waits[0]}), signal.SIGKILL)
    wait_for(lambda: rows(stack, "failed") == waits[:1], "it failed")
    stack.sql("UPDATE provisioner.warm SET updated_at = updated_at - interval '1 minute' WHERE id = %s", waits[0])
    assert waits[0] not in waiting(stack, 2)
    wait_for(lambda: remains(stack, waits[0]) == [], "nothing of it")


def test_they_outlive_the_provisioner(stack, owner, make, pool):
    waits = waiting(stack, 2)
    with provisioner(stack, pool="process-dev=2"):
        made = make()
        assert made["id"] == waits[0]
        ready(owner, made)
        owner.delete(path_of(made))
        until(owner, path_of(made), {"deleted"})


def test_they_give_way(stack, owner, make):
    """On a host with room for two a sandbox of another kind comes before those that nobody has asked for."""
    with provisioner(stack, pool="process-dev=2", host_sandboxes="2"):
        waiting(stack, 2)
        other = make(parameters={"memory_mib": 100})
        assert other["queue"]["reason"] == "quota.host"
        ready(owner, other)
        waiting(stack, 1)
        owner.delete(path_of(other))
        until(owner, path_of(other), {"deleted"})


def test_another_size(stack):
    with provisioner(stack, pool="process-dev=2"):
        first = waiting(stack, 2)[0]
        with provisioner(stack, pool="process-dev=1"):
            assert waiting(stack, 1) == [first]
            wait_for(lambda: rows(stack) == [first], "the other is gone")


@pytest.mark.parametrize("pool", ["process-dev", "process-dev=x", "process-dev=65", "=1", "process-dev=1,small=1", "process-dev=-1"])
def test_a_pool_that_is_none(stack, pool):
    done = subprocess.run([stack.folder / "bin/strongroom-provisioner", "--config", stack.folder / "etc/provisioner.conf"],
                          env={**os.environ, "STRONGROOM_POOL": pool, "STRONGROOM_LISTEN": f"unix:{stack.folder}/none.sock"},
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "pool.bad_size" in done.stderr


def test_a_measured_one(stack, owner):
    """Its TPM has proved itself before anybody came; its claim goes into PCR 14 of that boot."""
    with provisioner(stack, pool="measured-small=1"):
        (id,) = waiting(stack, 1)
        secret = stack.folder / "sandboxes" / id / "vm/secret"
        wait_for(lambda: not secret.exists(), "the end of the secret's file")
        (hashes,) = stack.sql("SELECT ak IS NOT NULL, activation_hash IS NOT NULL FROM provisioner.warm WHERE id = %s", id)
        assert hashes == (True, True)
        wanted = claim()
        made = owner.made("/v1/sandboxes", {"template": "measured-small", "claim": wanted})
        assert made["id"] == id
        up = until(owner, path_of(made), {"ready", "failed"})
        assert up["state"] == "ready", (up["failure"], owner.get(f"{path_of(made)}/console").text)
        check_evidence(stack, up["evidence"], wanted, wanted["nonce"])
        assert (up["verdict"]["class"], up["verdict"]["failed"]) == ("software-tpm", None)
        owner.delete(path_of(made))
        until(owner, path_of(made), {"deleted"})
        wait_for(lambda: not remains(stack, id), "the relay, too, is gone")


def test_what_waits_cannot_enrol(stack, owner):
    """Without a claim there are no machine keys, and without its credential opened it is not to be had."""
    with provisioner(stack, pool="measured-small=1"):
        (id,) = wait_for(lambda: rows(stack, "creating"), "one that boots", LIMIT_S)
        secret = stack.folder / "sandboxes" / id / "vm/secret"
        said = wait_for(lambda: secret.exists() and secret.read_text(), "its secret", LIMIT_S)
        url, header = f"{stack.url}/v1/enrolments/{id}", {"Authorization": f"Enrolment {said}"}
        problem(owner.http.post(url, json={"boot": 1, "evidence": {}}, headers=header), 401, "enrolment.denied")
        problem(owner.http.post(f"{url}/claim", json={}, headers=header), 422, "enrolment.no_tpm")
        waiting(stack, 1)
        ek, ak = stack.sql("SELECT ek_certificate, ak FROM provisioner.warm WHERE id = %s", id)[0]
        for more in ({}, {"activated": "guessed"}):
            problem(owner.http.post(f"{url}/claim", json={"ek_certificate": ek, "ak": ak, **more}, headers=header), 409,
                    "enrolment.other_keys")
        problem(owner.http.post(f"{url}/claim", json={}, headers={"Authorization": "Enrolment guessed"}), 401, "enrolment.denied")
