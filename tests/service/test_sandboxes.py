# SPDX-License-Identifier: Apache-2.0
"""The provisioner at the edge of a real stack: templates, and sandboxes that are real VMs until they are taken down. What a VM
proves of itself is tests/e2e's."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import ssl
import time
import urllib.parse
import uuid

import psycopg2
import pytest

from local_stack import ROOT, problem, unique, wait_for
from trust import Key, b64url, digest, evidence

LIMIT_S = 300
VM_USERS = 256


def claim(**more):
    return {"v": "strongroom-claim-1", "owner": digest(b"somebody"), "policy": None, "nonce": b64url(os.urandom(32)), **more}


def body(**more):
    return {"template": "small", "name": unique("box"), "parameters": {"memory_mib": 512}, "claim": claim(), **more}


def until(client, path, states):
    """The record once its state is one of these, by long polls."""
    end, etag = time.monotonic() + LIMIT_S, None
    while time.monotonic() < end:
        answer = client.get(f"{path}?wait=10s", headers={"If-None-Match": etag} if etag else {})
        if answer.status_code == 304:
            continue
        if answer.status_code == 404 and "deleted" in states:
            return None
        record, etag = answer.json(), answer.json().get("etag")
        if record["state"] in states:
            return record
    raise AssertionError(f"{path} is not {states} in {LIMIT_S} s")


@pytest.fixture
def sandbox(owner):
    made = owner.made("/v1/sandboxes", body())
    yield made
    owner.delete(f"/v1/sandboxes/{made['id']}")
    until(owner, f"/v1/sandboxes/{made['id']}", {"deleted"})


def test_templates(owner):
    templates = owner.get("/v1/templates").json()["items"]
    small = next(template for template in templates if template["id"] == "small")
    assert owner.get("/v1/templates/small").json() == small
    assert small["parameters"]["properties"]["memory_mib"]["minimum"] == 256
    problem(owner.get("/v1/templates/none"), 404, "template.not_found")


def host_side(stack, sandbox_id):
    """What a VM's user owns on the host: two files, in folders that are not its own."""
    folder = stack.folder / "sandboxes" / sandbox_id
    user = (folder / "vm/console.log").stat().st_uid
    assert {path.stat().st_uid for path in (folder, folder / "vm")} == {os.geteuid()}
    assert os.geteuid() != 0 or user != 0
    return user


def read_quietly(path):
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def check_cage(stack, sandbox_id, user):
    """QEMU sees what it needs of the host's files, and its relay is another user's and no other sandbox's."""
    folder = stack.folder / "sandboxes"
    pid = int((folder / sandbox_id / "qemu.pid").read_text().split()[0])
    root = pathlib.Path(f"/proc/{pid}/root")
    assert {path.name for path in root.iterdir()} - {"lib64", "usr", "lib"} == {"dev", folder.resolve().parts[1]}
    assert {path.name for path in (root / "dev").iterdir()} <= {"null", "urandom", "kvm"}
    assert {path.name for path in (root / "usr").iterdir()} <= {"bin", "lib", "lib64", "share"}
    assert [path.name for path in (root / "usr/bin").iterdir()] == ["qemu-system-x86_64"]
    seen = pathlib.Path(str(root) + str(folder.resolve()))
    assert [path.name for path in seen.iterdir()] == [sandbox_id]
    assert {path.name for path in (seen / sandbox_id).iterdir()} == {"initrd.img", "vm"}
    assert {path.name for path in seen.parent.iterdir()} <= {"sandboxes", "guest"}
    relays = [path.parent for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
              if b"\0--sandbox\0" + sandbox_id.encode() + b"\0" in read_quietly(path)]
    assert [relay.stat().st_uid for relay in relays] == [user + VM_USERS]


def test_sandbox_lives_stops_and_goes(stack, owner, stranger, sandbox):
    wanted, key = body(), str(uuid.uuid4())
    made = owner.post("/v1/sandboxes", wanted, key)
    assert made.status_code == 202, made.text
    record, path = made.json(), made.headers["Location"]
    assert (record["name"], record["boot"], record["parameters"]) == (wanted["name"], 1, {**wanted["parameters"], "vcpus": 1})
    assert owner.post("/v1/sandboxes", wanted, key).json()["id"] == record["id"]
    assert record["id"] in [item["id"] for item in owner.get("/v1/sandboxes?page_size=200").json()["items"]]

    problem(owner.post(f"{path}:start", {"claim": claim()}), 409, "sandbox.busy")
    ready = until(owner, path, {"ready", "failed"})
    assert ready["state"] == "ready", ready["failure"]
    assert ready["evidence"]["claim"] == wanted["claim"] and ready["evidence"]["enc"] == ready["enc_jwk"]
    assert owner.get(f"{path}/console").headers["Content-Type"].startswith("text/plain")
    user = host_side(stack, record["id"])
    if os.geteuid() == 0:
        check_cage(stack, record["id"], user)
    assert os.geteuid() != 0 or user != host_side(stack, until(owner, f"/v1/sandboxes/{sandbox['id']}", {"ready"})["id"])

    for answer in (stranger.get(path), stranger.get(f"{path}/console"), stranger.post(f"{path}:stop"),
                   stranger.post(f"{path}:start", {"claim": claim()}), stranger.delete(path)):
        problem(answer, 404, "sandbox.not_found")

    fresh = claim()
    assert owner.post(f"{path}:start", {"claim": fresh}).status_code == 202
    assert owner.post(f"{path}:start", {"claim": fresh}).json()["boot"] == 2  # the retry is the same boot
    again = until(owner, path, {"ready", "failed"})
    assert again["state"] == "ready" and again["boot"] == 2, again["failure"]
    assert again["evidence"]["claim"] == fresh and again["enc_jwk"] != ready["enc_jwk"]

    assert owner.post(f"{path}:stop").status_code == 202
    stopped = until(owner, path, {"stopped"})
    assert stopped["failure"] is None
    assert owner.post(f"{path}:stop").json()["state"] == "stopped"
    assert owner.delete(path).status_code == 202
    until(owner, path, {"deleted"})
    problem(owner.get(path), 404, "sandbox.not_found")


@pytest.mark.parametrize("change, status, code", [
    ({"template": "none"}, 404, "template.not_found"),
    ({"parameters": {"memory_mib": 1}}, 400, "template.bad_parameter"),
    ({"parameters": {"memory_mib": "512"}}, 400, "template.bad_parameter"),
    ({"parameters": {"cores": 2}}, 400, "template.bad_parameter"),
    ({"claim": claim(nonce="short")}, 400, "claim.invalid"), ({"claim": claim(more=1)}, 400, "claim.invalid"),
    ({"claim": {}}, 400, "claim.invalid"), ({"more": 1}, 400, "json.invalid_fields"),
])
def test_sandbox_of_another_shape(owner, change, status, code):
    problem(owner.post("/v1/sandboxes", body(**change)), status, code)


def test_auditor_only_looks(stack, owner, sandbox):
    auditor, path = stack.client("acme-audit"), f"/v1/sandboxes/{sandbox['id']}"
    assert auditor.get(path).json()["id"] == sandbox["id"]
    for answer in (auditor.post("/v1/sandboxes", body()), auditor.post(f"{path}:stop"), auditor.delete(path),
                   auditor.post(f"{path}:start", {"claim": claim()})):
        problem(answer, 403, "auth.role_missing")


def test_enrolment_without_its_secret(stack, owner, sandbox):
    path = f"/v1/enrolments/{sandbox['id']}"
    for header in ({}, {"Authorization": "Enrolment guessed"}, {"Authorization": f"Bearer {owner.token('provisioner')}"}):
        problem(owner.http.post(f"{stack.url}{path}/claim", json={}, headers=header), 401, "enrolment.denied")
        problem(owner.http.post(stack.url + path, json={}, headers=header), 401, "enrolment.denied")


def test_who_may_not_send_a_body_is_told_so_before(stack, sandbox):
    """By the head alone, through the edge: of the body that the head promises not a byte comes."""
    address = urllib.parse.urlsplit(stack.url)
    for path, code in ((f"/v1/enrolments/{sandbox['id']}", "enrolment.denied"), ("/v1/sandboxes", "auth.missing")):
        connection = http.client.HTTPSConnection(
            address.hostname, address.port, timeout=20, context=ssl.create_default_context(cafile=stack.ca))
        connection.putrequest("POST", path)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", "10000"), ("Authorization", "Enrolment x")):
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (401, code)
        connection.close()


def test_an_enrolment_secret_is_for_the_first_keys_and_one_boot(stack, owner):
    made = owner.made("/v1/sandboxes", body())
    path, secret = f"/v1/sandboxes/{made['id']}", stack.folder / "sandboxes" / made["id"] / "vm/secret"
    header = {"Authorization": f"Enrolment {wait_for(lambda: secret.exists() and secret.read_text(), 'the secret')}"}
    ready = until(owner, path, {"ready", "failed"})
    assert ready["state"] == "ready", ready["failure"]

    def enrol(boot, said):
        return owner.http.post(f"{stack.url}/v1/enrolments/{made['id']}", json={"boot": boot, "evidence": said}, headers=header)

    said = ready["evidence"]
    again = enrol(1, said)
    assert again.status_code == 200 and again.json() == {"id": made["id"], "boot": 1}
    other = evidence(Key("enc"), Key(), said["claim"], said["initdata"])
    problem(enrol(1, other), 409, "enrolment.other_keys")
    for boot in (0, 2):
        problem(enrol(boot, said), 409, "enrolment.other_boot")
        problem(enrol(boot, other), 409, "enrolment.other_boot")
    assert owner.get(path).json()["evidence"] == said

    assert owner.post(f"{path}:start", {"claim": claim()}).status_code == 202
    problem(enrol(1, said), 401, "enrolment.denied")
    owner.delete(path)
    until(owner, path, {"deleted"})


def vm_of(stack, sandbox_id):
    return int((stack.folder / "sandboxes" / sandbox_id / "qemu.pid").read_text().split()[0])


def hears(pid, signal_number):
    """Whether that signal waits for the process."""
    (pending,) = (line.split()[1] for line in open(f"/proc/{pid}/status") if line.startswith("ShdPnd:"))
    return int(pending, 16) >> (signal_number - 1) & 1


def test_a_vm_that_hangs_delays_no_other(stack, owner, stranger, sandbox):
    other = stranger.made("/v1/sandboxes", body())
    paths = [f"/v1/sandboxes/{record['id']}" for record in (sandbox, other)]
    assert [until(client, path, {"ready", "failed"})["state"] for client, path in zip((owner, stranger), paths)] == ["ready"] * 2
    hung = vm_of(stack, sandbox["id"])
    os.kill(hung, signal.SIGSTOP)
    assert owner.post(f"{paths[0]}:stop").status_code == 202
    wait_for(lambda: hears(hung, signal.SIGTERM), "the step that waits for this VM")
    assert stranger.post(f"{paths[1]}:stop").status_code == 202
    until(stranger, paths[1], {"stopped"})
    assert owner.get(paths[0]).json()["state"] == "stopping"
    until(owner, paths[0], {"stopped"})
    stranger.delete(paths[1])
    until(stranger, paths[1], {"deleted"})


@pytest.mark.parametrize("service, table", [("provisioner", "sandbox"), ("orchestrator", "run")])
def test_who_has_least_in_hand_comes_first(stack, service, table):
    """The claim of the loops, on rows of nobody's in a transaction that is taken back."""
    text = (ROOT / f"services/{service}/queries.sql").read_text()
    (claim_due,) = re.findall(r"-- name: sweep_due\n(.*?)\n\n", text, re.DOTALL)
    connection = psycopg2.connect(host=str(stack.sockets / "postgres"), user="postgres", dbname="strongroom")
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET search_path = {service}")
            cursor.execute(f"CREATE TEMPORARY TABLE {table} (tenant_id text, id text, state text, run_at timestamptz, "
                           "lease_until timestamptz)")
            for row in [("a", "1", 9, 1), ("a", "2", 8, -1), ("a", "3", 7, -1), ("b", "4", 6, -1), ("b", "5", -1, -1)]:
                cursor.execute(f"INSERT INTO {table} SELECT %s, %s, %s, now() - %s * interval '1 minute', now() + %s * interval '1 minute'",
                               (*row[:2], {"sandbox": "ready", "run": "queued"}[table], *row[2:]))
            claimed = []
            for _ in range(4):
                cursor.execute(claim_due)
                claimed += [row[:2] for row in cursor.fetchall()]
        assert claimed == [("b", "4"), ("a", "2"), ("a", "3")]
    finally:
        connection.rollback()
        connection.close()
