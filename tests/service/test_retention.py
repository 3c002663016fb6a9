# SPDX-License-Identifier: Apache-2.0
"""What is past its time goes, row and bytes; what is not stays. Rows are aged by SQL; the sweeps are those of further copies
of the services with a short beat, several at once."""
import contextlib
import os
import signal
import socket
import subprocess

import pytest

from conftest import BUILD, LIMIT_S, short_folder, wait_for
from local_stack import unique
from test_agent_routes import Run, new_id, orchestrator  # noqa: F401 (a fixture)
from trust import digest

WEEK = "interval '7 days'"


@contextlib.contextmanager
def copies(program, conf, count=2, **changes):
    """The sockets of further copies of a service at its own work, that forget 20 times a second."""
    with short_folder("sr-copy-") as folder, contextlib.ExitStack() as running:
        for number in range(count):
            env = {**os.environ, "STRONGROOM_LISTEN": f"unix:{folder}/{number}.sock", "STRONGROOM_RETENTION_BEAT": "50ms",
                   **{f"STRONGROOM_{name.upper()}": str(value) for name, value in changes.items()}}
            if "registry" in str(program):
                env["STRONGROOM_INSTANCE"] = f"copy-{number}"
            log = open(folder / f"{number}.log", "w+")
            copy = subprocess.Popen([program, "--config", conf], env=env, stdin=subprocess.DEVNULL, stderr=log)
            running.callback(ended, copy, log)
            wait_for((folder / f"{number}.sock").exists, "the copy listens")  # and so takes its signals
        yield [folder / f"{number}.sock" for number in range(count)]


def ended(copy, log):
    if copy.poll() is None:
        copy.send_signal(signal.SIGTERM)
    status = copy.wait(LIMIT_S)
    log.seek(0)
    text = log.read()
    assert status == 0 and "loop" not in text and "Sanitizer" not in text, text[-4000:]


class Rows:
    """One table of a service in a local stack: rows of a tenant of our own."""

    def __init__(self, stack, table, **fixed):
        self.stack, self.table, self.fixed = stack, table, {"tenant_id": new_id("tnt"), "space_id": new_id("spc"), **fixed}

    def add(self, **values):
        values = {**self.fixed, **values}
        ages = {name: value for name, value in values.items() if value.startswith("now()")}
        plain = {name: value for name, value in values.items() if name not in ages}
        self.stack.sql(f"INSERT INTO {self.table} ({', '.join([*plain, *ages])}) VALUES "
                       f"({', '.join(['%s'] * len(plain) + list(ages.values()))})", *plain.values())

    def left(self, column):
        return {row[0] for row in self.stack.sql(f"SELECT {column} FROM {self.table} WHERE tenant_id = %s",
                                                 self.fixed["tenant_id"])}


@pytest.mark.parametrize("service", ["certreg", "provisioner", "policy", "orchestrator"])
def test_keys_of_requests_are_kept_for_a_day(stack, service):
    rows = Rows(stack, f"{service}.idempotency", digest=digest(b""), resource_id="x")
    rows.add(key="old", created_at="now() - interval '24 hours 1 second'")
    rows.add(key="young", created_at="now() - interval '23 hours 59 minutes'")
    with copies(BUILD / f"bin/strongroom-{service}", stack.folder / f"etc/{service}.conf"):
        wait_for(lambda: rows.left("key") == {"young"}, "the old key is gone")


def test_challenges_and_used_assertions_are_forgotten(stack):
    tenant, space, member = stack.sql("SELECT tenant_id, space_id, id FROM certreg.member LIMIT 1")[0]
    challenges = Rows(stack, "certreg.challenge", tenant_id=tenant, space_id=space, member_id=member, spki="s", nonce="n")
    old, young = unique("chl-old"), unique("chl-young")
    challenges.add(id=old, expires_at="now() - interval '61 minutes'")
    challenges.add(id=young, expires_at="now() + interval '1 minute'")
    assertions = Rows(stack, "certreg.assertion", subject_id="sbx")
    assertions.add(jti="old", expires_at="now() - interval '11 minutes'")
    assertions.add(jti="young", expires_at="now() - interval '1 minute'")
    with copies(BUILD / "bin/strongroom-certreg", stack.folder / "etc/certreg.conf"):
        wait_for(lambda: assertions.left("jti") == {"young"}, "the old assertion is gone")
        wait_for(lambda: old not in challenges.left("id"), "the old challenge is gone")
    assert young in challenges.left("id")


def test_upload_sessions_are_forgotten_unless_somebody_writes(stack):
    rows = Rows(stack, "registry_gw.upload", repository="r", backend_id="b", created_by="m")
    rows.add(id="old", expires_at="now() - interval '1 second'")
    rows.add(id="written", expires_at="now() - interval '1 second'", lease_until="now() + interval '5 minutes'", owner="other")
    rows.add(id="young")
    with copies(BUILD / "bin/strongroom-registry-gw", stack.folder / "etc/registry-gw.conf"):
        wait_for(lambda: "old" not in rows.left("id"), "the old session is gone")
    assert rows.left("id") == {"written", "young"}


class Objects:
    """Objects of a run's tenant at an orchestrator, aged and looked at."""

    def __init__(self, orchestrator, run):
        self.orchestrator, self.run, self.sql = orchestrator, run, orchestrator.certreg.postgres.sql

    def input(self, data=b"rows", closed=True):
        made = self.run.member("POST", "/v1/objects", {"role": "input"}).json["id"]
        path = f"/v1/objects/{made}"
        assert self.run.member("PATCH", path, data, Content_Range=f"0-{len(data) - 1}").status == 202
        if closed:
            assert self.run.member("PUT", f"{path}?digest={digest(data)}").status == 201
        return made

    def output(self):
        return self.run.agent.output(self.run.id, self.run.fence, b"output").json["id"]

    def due(self, made):
        self.sql("UPDATE orchestrator.object SET due_at = now() - interval '1 second' WHERE id = %s", made)
        return made

    def was_looked_at(self, made):
        return self.sql("SELECT 1 FROM orchestrator.object WHERE id = %s AND due_at > now() + interval '23 hours'", made)

    def row(self, made):
        return self.sql("SELECT state FROM orchestrator.object WHERE id = %s", made)

    def file(self, made):
        return list((self.orchestrator.folder / "objects").glob(f"*/{made}"))

    def is_gone(self, made):
        return not self.row(made) and not self.file(made)

    def used(self):
        tenant = self.run.claims["tenant"]
        return self.sql("SELECT used_bytes FROM orchestrator.usage WHERE tenant_id = %s", tenant)[0][0]

    def sweep(self, **changes):
        return copies(self.orchestrator.program, self.orchestrator.conf, **changes)

    def stays(self, made):
        wait_for(lambda: self.was_looked_at(made), "the sweep looked at it")
        assert self.row(made) != [("deleted",)] and self.file(made)


@pytest.fixture
def objects(orchestrator):  # noqa: F811
    return Objects(orchestrator, Run(orchestrator, orchestrator.certreg.client("acme-algo")).running())


def test_forsaken_upload_goes_with_its_bytes(objects):
    kept, before = objects.input(closed=False), objects.used()
    left = objects.due(objects.input(b"forsaken", closed=False))
    assert objects.used() == before + 8
    with objects.sweep():
        wait_for(lambda: objects.is_gone(left), "the upload is gone")
    assert objects.used() == before and objects.row(kept) == [("open",)] and objects.file(kept)
    assert objects.run.member("HEAD", f"/v1/objects/{left}").status == 404


def test_each_piece_puts_the_end_off(objects):
    made = objects.due(objects.input(closed=False))
    assert objects.run.member("PATCH", f"/v1/objects/{made}", b"more", Content_Range="4-7").status == 202
    assert objects.sql(f"SELECT due_at > now() + {WEEK} - interval '1 minute' FROM orchestrator.object WHERE id = %s", made)[0][0]


def test_upload_in_progress_is_not_swept(objects):
    """The announced bytes do not all come; the connection stays while the sweep looks."""
    made = objects.input(closed=False)
    token = objects.orchestrator.certreg.client("acme-algo", audience="orchestrator").token
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(objects.orchestrator.socket))
        raw.sendall((f"PATCH /v1/objects/{made} HTTP/1.1\r\nHost: sandboxes\r\nAuthorization: Bearer {token}\r\n"
                     "Content-Range: 4-1003\r\nContent-Length: 1000\r\n\r\n").encode() + b"some")
        wait_for(lambda: objects.run.member("HEAD", f"/v1/objects/{made}").headers["Upload-Offset"] == "8", "bytes came")
        objects.due(made)
        with objects.sweep():
            objects.stays(made)
    wait_for(lambda: objects.run.member("PATCH", f"/v1/objects/{made}", b"x", Content_Range="8-8").status == 202,
             "the cut upload goes on")


def test_what_a_living_run_needs_stays(objects):
    made, output = objects.input(), objects.output()
    objects.sql("UPDATE orchestrator.run SET inputs = %s WHERE id = %s",
                f'[{{"slot": "input/rows", "object": "{made}"}}]', objects.run.id)
    objects.sql("UPDATE orchestrator.object SET closed_at = now() - interval '9 days' WHERE id = ANY(%s)", [made, output])
    for one in (made, output):
        objects.due(one)
    with objects.sweep(object_retention_days=1):
        objects.stays(made)
        objects.stays(output)
    assert objects.run.member("GET", f"/v1/objects/{made}").body == b"rows"


def ended_run(objects, days):
    """The run's output, and an output that the run does not name; the run ended so many days ago."""
    stray, output = objects.output(), objects.output()
    assert objects.run.result(output, b"output").status == 200
    objects.sql("UPDATE orchestrator.run SET ended_at = now() - %s * interval '1 day' WHERE id = %s", days, objects.run.id)
    objects.sql("UPDATE orchestrator.object SET closed_at = now() - interval '9 days' WHERE id = %s", output)
    return objects.due(stray), objects.due(output)


def test_output_that_no_run_names_goes(objects):
    stray, output = ended_run(objects, days=1000)
    made = objects.due(objects.input())
    with objects.sweep():
        wait_for(lambda: objects.is_gone(stray), "the stray output is gone")
        objects.stays(output)
        objects.stays(made)
    assert objects.run.member("GET", f"/v1/objects/{output}").body == b"output"


@pytest.mark.parametrize("days, goes", [(2, False), (4, True)])
def test_retention_counts_from_the_end_of_the_last_run(objects, days, goes):
    made, unused = objects.input(), objects.input()
    objects.sql("UPDATE orchestrator.run SET inputs = %s WHERE id = %s",
                f'[{{"slot": "input/rows", "object": "{made}"}}]', objects.run.id)
    _, output = ended_run(objects, days)
    for one in (made, unused):
        objects.sql("UPDATE orchestrator.object SET closed_at = now() - %s * interval '1 day' WHERE id = %s",
                    9 if one == made else days, one)
        objects.due(one)
    with objects.sweep(object_retention_days=3):
        for one in (made, unused, output):
            if goes:
                wait_for(lambda one=one: objects.is_gone(one), "the object is gone")
            else:
                objects.stays(one)


def test_what_a_killed_sweep_left_is_ended(objects):
    """Killed behind the row's change: bytes without a claim. Killed behind the bytes' end: a row without bytes."""
    one, other = objects.input(), objects.input()
    objects.sql("UPDATE orchestrator.object SET state = 'deleted' WHERE id = ANY(%s)", [one, other])
    objects.file(other)[0].unlink()
    with objects.sweep(count=3):
        wait_for(lambda: objects.is_gone(one) and objects.is_gone(other), "both are gone")


def test_deleted_object_leaves_no_row(objects):
    made = objects.input()
    assert objects.run.member("DELETE", f"/v1/objects/{made}").status == 204
    with objects.sweep():
        wait_for(lambda: objects.is_gone(made), "the row is gone")
