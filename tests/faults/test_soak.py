# SPDX-License-Identifier: Apache-2.0
"""Creates go on while parts are killed, Redis is emptied and Postgres restarts; at the end everything that was acknowledged
is there, once. SOAK_SECONDS (20) says how long; SOAK_SEED repeats a choice of faults."""
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest
import requests

from local_stack import LocalStack, unique
from trust import World

SECONDS = int(os.environ.get("SOAK_SECONDS", "20"))
SEED = int(os.environ.get("SOAK_SEED", str(int(time.time()))))
RECOVERY_S = 120
KILLED = ["certreg", "provisioner", "registry-gw", "policy", "orchestrator", "edge", "redis", "postgres", "registry"]


class Unanswered(Exception):
    """The service was away, or said that it could not: the same request goes out again."""


def ask(client, method, path, **more):
    try:
        answer = client.ask(method, path, **more)
    except (requests.RequestException, AssertionError) as failure:  # the token is asked for on the way
        raise Unanswered(str(failure)) from failure
    if answer.status_code >= 500 or answer.status_code in (401, 408, 425, 429):
        client.tokens.clear()
        raise Unanswered(f"{answer.status_code} {answer.text}")
    return answer


class Faults(threading.Thread):
    """One fault after the other, each repaired as a supervisor would."""

    def __init__(self, stack, end):
        super().__init__(daemon=True)
        self.stack, self.end, self.random, self.log, self.failure = stack, end, random.Random(SEED), [], None

    def run(self):
        try:
            while time.monotonic() < self.end:
                time.sleep(self.random.uniform(0.2, 2))
                self.one()
        except Exception as failure:  # pylint: disable=broad-except  # reported by the test
            self.failure = failure

    def one(self):
        kind = self.random.choice(["kill"] * 6 + ["flush", "restart"])
        part = self.random.choice(KILLED)
        self.log.append(f"{kind} {part}" if kind == "kill" else kind)
        if kind == "flush":
            address = self.conf("policy", "redis").removeprefix("unix:")
            subprocess.run(["redis-cli", "-s", address, "FLUSHALL"], check=True, timeout=20, stdout=subprocess.DEVNULL)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid("postgres" if kind == "restart" else part),
                    signal.SIGINT if kind == "restart" else signal.SIGKILL)
        self.repair()

    def repair(self):
        for _ in range(3):  # a part may end while `up` looks at it
            done = self.stack.command("up", *self.stack.parts, check=False)
            if done.returncode == 0:
                return
        raise AssertionError(done.stdout)

    def pid(self, part):
        return int((self.stack.folder / f"pids/{part}.pid").read_text().split()[0])

    def conf(self, service, name):
        lines = (self.stack.folder / f"etc/{service}.conf").read_text().splitlines()
        return next(line.partition(" = ")[2] for line in lines if line.startswith(name + " = "))


class Writer(threading.Thread):
    """Makes things until the end; each create has one key, however often it is sent."""

    def __init__(self, stack, end):
        super().__init__(daemon=True)
        self.client, self.end, self.made, self.sent, self.failure = stack.client("acme-owner"), end, [], 0, None

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.make_policy()
                self.make_projection()
                self.make_object()
        except Exception as failure:  # pylint: disable=broad-except  # reported by the test
            self.failure = failure

    def insist(self, method, path, good, **more):
        """Until there is an answer; the end of the test does not cut a request off, so that none is left open."""
        limit = max(self.end, time.monotonic()) + RECOVERY_S
        while True:
            try:
                self.sent += 1
                answer = ask(self.client, method, path, **more)
            except Unanswered as failure:
                assert time.monotonic() < limit, f"no answer in {RECOVERY_S} s: {failure}"
                time.sleep(0.1)
                continue
            assert answer.status_code in good, f"{method} {path}: {answer.status_code} {answer.text}"
            return answer

    def create(self, path, body):
        key = unique("soak")
        record = self.insist("POST", path, (200, 201), json=body, headers={"Idempotency-Key": key}).json()
        return {"path": path, "body": body, "key": key, "id": record["id"]}

    def make_policy(self):
        space = self.insist("GET", "/v1/tenants/self", (200,)).json()["space"]
        world = World(space)
        world.policy["name"] = unique("soak")
        made = self.create("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})
        self.made.append({**made, "hash": world.hash})

    def make_projection(self):
        self.made.append(self.create("/v1/projections", {"name": unique("soak"), "columns": ["CODE", "AGE"]}))

    def make_object(self):
        data = os.urandom(random.randrange(1, 1 << 18))
        made = self.create("/v1/objects", {"role": "input"})
        path = f"/v1/objects/{made['id']}"
        self.upload(path, data)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        # 409: an earlier close was done and its answer lost
        self.insist("PUT", f"{path}?digest={digest}", (201, 409))
        self.made.append({**made, "digest": digest})

    def upload(self, path, data):
        while True:
            head = self.insist("HEAD", path, (200,))
            have = int(head.headers["Upload-Offset"])
            if have == len(data):
                return
            self.insist("PATCH", path, (202, 416), data=data[have:],
                        headers={"Content-Range": f"{have}-{len(data) - 1}"})


def ids_of(client, path):
    """Everything in a list, page by page."""
    ids, names, token = [], [], None
    while True:
        page = client.get(f"{path}?page_size=100" + (f"&page_token={token}" if token else "")).json()
        ids += [item["id"] for item in page["items"]]
        names += [item["name"] for item in page["items"] if "name" in item]
        token = page["next_page_token"]
        if not token:
            return ids, names


def check_made(client, made):
    again = client.post(made["path"], made["body"], key=made["key"])
    assert again.status_code in (200, 201) and again.json()["id"] == made["id"], again.text
    shown = client.get(f"{made['path']}/{made['id']}")
    assert shown.status_code == 200, f"acknowledged and gone: {made['path']}/{made['id']}: {shown.text}"
    if "digest" in made:
        assert "sha256:" + hashlib.sha256(shown.content).hexdigest() == made["digest"]
    elif "hash" in made:
        assert shown.json()["hash"] == made["hash"] and shown.json()["document"] == made["body"]["policy"]
    else:
        assert shown.json()["columns"] == made["body"]["columns"]


def check_doubles(client, made):
    """No id twice, and of every create's name one thing."""
    for path in ("/v1/policies", "/v1/projections"):
        ids, names = ids_of(client, path)
        mine = [one for one in made if one["path"] == path]
        assert len(set(ids)) == len(ids)
        assert {one["id"] for one in mine} <= set(ids)
        soaked = [name for name in names if name.startswith("soak-")]
        assert len(soaked) == len(set(soaked)) == len(mine), f"{path}: {len(soaked)} for {len(mine)} creates"


@pytest.fixture
def own_stack():
    with LocalStack() as stack:
        yield stack


def test_soak(own_stack):
    end = time.monotonic() + SECONDS
    faults, writers = Faults(own_stack, end), [Writer(own_stack, end) for _ in range(3)]
    for thread in [faults, *writers]:
        thread.start()
    for thread in [faults, *writers]:
        thread.join(SECONDS + 4 * RECOVERY_S)
        assert not thread.is_alive(), thread
        if thread.failure:
            raise AssertionError(f"seed {SEED}: {faults.log[-5:]}") from thread.failure
    faults.repair()
    made = [one for writer in writers for one in writer.made]
    print(json.dumps({"seed": SEED, "faults": len(faults.log), "creates": len(made),
                      "requests": sum(writer.sent for writer in writers)}))
    assert made and faults.log
    client = own_stack.client("acme-owner")
    for one in made:
        check_made(client, one)
    check_doubles(client, made)
