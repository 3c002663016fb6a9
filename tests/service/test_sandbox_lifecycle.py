# SPDX-License-Identifier: Apache-2.0
"""The state table of sandboxes from outside: every verb in every state, ends by themselves, quotas and their queue, the console.
Sandboxes here are processes (process-dev), so that many fit into a test."""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from client_project import Project
from local_stack import BUILD, ROOT, problem, unique, wait_for
from sandbox_remains import groups, remains
from test_sandboxes import claim, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver 'process' takes root")
AT_REST = {"ready", "failed", "stopped"}


def body(**more):
    return {"template": "process-dev", "name": unique("box"), "claim": claim(), **more}


def path_of(record):
    return f"/v1/sandboxes/{record['id']}"


@pytest.fixture
def make(owner):
    """Makes sandboxes that go with the test."""
    made = []

    def one(client=owner, **more):
        record = client.made("/v1/sandboxes", body(**more))
        made.append((client, record))
        return record
    yield one
    for client, record in made:
        client.delete(path_of(record))
    for client, record in made:
        until(client, path_of(record), {"deleted"})


def ready(client, record):
    end = until(client, path_of(record), AT_REST)
    assert end["state"] == "ready", end["failure"]
    return end


def process_of(stack, record):
    return int((stack.folder / f"sandboxes/process/{record['id']}/agent.pid").read_text().split()[0])


def nothing_of(stack, record):
    return remains(stack, record["id"]) == []


def test_life_of_a_process(stack, owner, make):
    record = make()
    assert (record["driver"], record["boot"]) == ("process", 1) and record["progress"]["percent"] < 100
    assert record["state"] == "creating" or (record["state"] == "queued" and record["queue"]["position"] >= 1)
    up = ready(owner, record)
    assert up["progress"]["percent"] == 100 and up["queue"] is None and up["takes"] == {
        "vcpus": 1, "memory_mib": 256, "weight": 1}
    pid = process_of(stack, record)
    assert f"strongroom-{record['id']}" in groups()
    assert (pathlib.Path(f"/proc/{pid}/root/agent")).exists()
    assert re.search(r"^Seccomp:\t2$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert pathlib.Path(f"/proc/{pid}/uid_map").read_text().split()[:3][0] == "0" != pathlib.Path(
        f"/proc/{pid}/uid_map").read_text().split()[1]
    assert len(pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()) == 3  # two lines of title, and lo
    owner.post(f"{path_of(record)}:restart", {"claim": claim()})
    again = until(owner, path_of(record), AT_REST)
    assert (again["state"], again["boot"]) == ("ready", 2) and again["enc_jwk"] != up["enc_jwk"]
    assert owner.delete(path_of(record)).status_code == 202
    until(owner, path_of(record), {"deleted"})
    wait_for(lambda: nothing_of(stack, record), "the end of its relay")
    problem(owner.delete(path_of(record)), 404, "sandbox.not_found")


def test_delete_twice_at_once(stack, owner, make):
    record = make()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda client: client.delete(path_of(record)), [stack.client("acme-owner") for _ in range(4)]))
    assert {answer.status_code for answer in answers} <= {202, 404} and 202 in [answer.status_code for answer in answers]
    until(owner, path_of(record), {"deleted"})
    wait_for(lambda: nothing_of(stack, record), "the end of its processes")


def test_cancel_while_it_is_made(stack, owner, make):
    record = make()
    answer = owner.post(f"{path_of(record)}:cancel")
    assert answer.status_code == 202
    end = until(owner, path_of(record), AT_REST)
    if end["state"] == "stopped":
        assert end["failure"]["code"] == "sandbox.cancelled"
        assert not (stack.folder / f"sandboxes/process/.runc/{record['id']}").exists()
    assert owner.post(f"{path_of(record)}:cancel").json()["state"] == end["state"]  # nothing is under way
    problem(owner.post(f"{path_of(record)}:retry"), 409, "sandbox.busy")


def test_one_that_dies_and_one_that_is_tried_again(stack, owner, make):
    record = make()
    ready(owner, record)
    os.kill(process_of(stack, record), signal.SIGKILL)
    died = until(owner, path_of(record), {"stopped"})
    assert died["failure"]["code"] == "sandbox.died"
    stack.sql("UPDATE provisioner.sandbox SET state = 'failed', revision = revision + 1 WHERE id = %s", record["id"])
    answer = owner.post(f"{path_of(record)}:retry")
    assert answer.status_code == 202 and answer.json()["boot"] == 2
    assert owner.post(f"{path_of(record)}:retry").status_code in (202, 409)  # it is on its way, or there already
    again = ready(owner, record)
    assert again["boot"] == 2 and again["evidence"]["claim"] == died["evidence"]["claim"]


def test_ends_by_themselves(stack, owner, make):
    short, idle = make(ttl_s=2), make(idle_timeout_s=1)
    assert short["expires_at"] and idle["idle_timeout_s"] == 1
    until(owner, path_of(short), {"deleted"})
    wait_for(lambda: nothing_of(stack, short), "the end of its relay")
    stopped = until(owner, path_of(idle), {"stopped"})
    assert stopped["failure"]["code"] == "sandbox.idle"
    problem(owner.post("/v1/sandboxes", body(ttl_s=-1)), 400, "json.invalid_fields")


@pytest.mark.parametrize("text", ["$(id)", "`id`", "; rm -rf /", "<domain type='kvm'/>", "]]>", "${var.x}", "\n", "a'b\"c", "../..", "%n"])
def test_words_of_shells_and_documents(owner, text):
    """Parameters are numbers or listed words; a name is only a name."""
    problem(owner.post("/v1/sandboxes", body(parameters={"memory_mib": text})), 400, "template.bad_parameter")
    problem(owner.post("/v1/sandboxes", body(parameters={text: 1})), 400, "template.bad_parameter")
    problem(owner.post("/v1/sandboxes", body(template=text)), 404, "template.not_found")
    made = owner.post("/v1/sandboxes", body(name=text))
    assert made.status_code == 202 and made.json()["name"] == text
    assert owner.delete(path_of(made.json())).status_code == 202


@pytest.fixture
def operator(stack):
    return stack.client("system-operator")


@pytest.fixture
def limits(owner, operator):
    """Sets limits of the caller's tenant; they go with the test."""
    tenant = owner.get("/v1/quotas/self").json()["tenant"]

    def set_limits(**some):
        answer = operator.ask("PUT", f"/v1/quotas/{tenant}", json=some)
        assert answer.status_code == 200, answer.text
        return answer.json()
    yield set_limits
    set_limits()


def test_quota_of_a_tenant(owner, stranger, make, limits):
    assert limits(sandboxes=1)["limits"]["sandboxes"] == 1
    first = make()
    ready(owner, first)
    second, third = make(), make()
    waiting = owner.get(path_of(third)).json()
    assert (waiting["state"], waiting["queue"]) == ("queued", {"position": 2, "reason": "quota.tenant"})
    assert owner.get(path_of(second)).json()["queue"]["position"] == 1
    other = make(client=stranger)  # whose own quota has room
    ready(stranger, other)
    assert owner.get("/v1/quotas/self").json()["used"] == {
        "queued": 2, "sandboxes": 1, "vcpus": 1, "memory_mib": 256, "weight": 1}
    owner.post(f"{path_of(first)}:stop")
    ready(owner, second)
    assert owner.get(path_of(third)).json()["queue"] == {"position": 1, "reason": "quota.tenant"}
    assert owner.post(f"{path_of(third)}:cancel").status_code == 202
    assert until(owner, path_of(third), {"stopped"})["failure"]["code"] == "sandbox.cancelled"


def test_quota_of_a_member_and_sizes(owner, make, limits):
    limits(member_sandboxes=1, memory_mib=300, lifetime_s=3600)
    first = make()
    assert first["expires_at"]
    ready(owner, first)
    assert owner.get(path_of(make(parameters={"memory_mib": 64}))).json()["queue"]["reason"] in ("quota.tenant", "quota.member")
    problem(owner.post("/v1/sandboxes", body(parameters={"memory_mib": 400})), 422, "quota.too_large")
    problem(owner.post("/v1/sandboxes", body(ttl_s=7200)), 422, "quota.lifetime")


def test_quotas_are_the_operators(stack, owner, operator):
    tenant = owner.get("/v1/quotas/self").json()["tenant"]
    for answer in (owner.get(f"/v1/quotas/{tenant}"), owner.ask("PUT", f"/v1/quotas/{tenant}", json={"sandboxes": 9})):
        problem(answer, 403, "auth.role_missing")
    problem(operator.get("/v1/quotas/none"), 404, "quota.not_found")
    problem(operator.ask("PUT", f"/v1/quotas/{tenant}", json={"sandboxes": -1}), 400, "json.invalid_fields")
    assert operator.get(f"/v1/quotas/{tenant}").json()["tenant"] == tenant


def test_console(owner, make):
    record = make()
    ready(owner, record)
    whole = wait_for(lambda: "enrolled" in (said := owner.get(f"{path_of(record)}/console")).text and said, "the agent's word")
    offset = int(whole.headers["Console-Offset"])
    assert offset == len(whole.content)
    rest = owner.get(f"{path_of(record)}/console?after=10")
    assert rest.content == whole.content[10:] and int(rest.headers["Console-Offset"]) == offset
    none = owner.get(f"{path_of(record)}/console?after={offset}&wait=1s")
    assert none.status_code == 200 and none.content == b""
    problem(owner.get(f"{path_of(record)}/console?after=x"), 400, "page.bad_token")
    with owner.http.get(owner.stack.url + f"{path_of(record)}/console", stream=True, timeout=60, headers={
            "Authorization": f"Bearer {owner.token('provisioner')}", "Accept": "text/event-stream"}) as events:
        said = ""
        for line in events.iter_lines():
            if line.startswith(b"data: "):
                said += json.loads(line[6:])["text"]
            if "enrolled" in said:
                break
    assert whole.text.startswith(said[:100])


def test_client_looks_on(stack, owner, make, tmp_path):
    client = Project(BUILD / "bin/strongroom", stack, tmp_path)
    client.configure()
    id = make()["id"]
    assert client.run("sandbox", "wait", id).stdout == f"{id} ready\n"
    wait_for(lambda: "enrolled" in client.run("sandbox", "logs", id).stdout, "the agent's word")
    assert client.run("sandbox", "retry", id, check=False).returncode == 1
    assert "ready" in client.run("sandbox", "cancel", id).stdout
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        followed = pool.submit(client.run, "sandbox", "logs", id, "--follow")
        client.run("sandbox", "stop", id)
        assert "enrolled" in followed.result(120).stdout
    assert "sandbox.failed" in client.run("sandbox", "wait", id, check=False).stderr
    assert "deleting" in client.run("sandbox", "delete", id).stdout


def test_a_runtime_that_is_none(stack):
    done = subprocess.run([stack.folder / "bin/strongroom-provisioner", "--config", stack.folder / "etc/provisioner.conf"],
                          env={**os.environ, "STRONGROOM_PROCESS_RUNTIME": "docker", "STRONGROOM_LISTEN": f"unix:{stack.folder}/none.sock"},
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "sandbox.bad_runtime" in done.stderr


def test_a_published_template_stays_what_it_is(stack, tmp_path):
    templates = tmp_path / "templates"
    shutil.copytree(ROOT / "deploy/templates", templates)
    conf = re.sub(r"(?m)^templates_dir = .*$", f"templates_dir = {templates}", (stack.folder / "etc/provisioner.conf").read_text())
    (tmp_path / "provisioner.conf").write_text(re.sub(r"(?m)^listen = .*$", f"listen = unix:{tmp_path}/http.sock", conf))

    def start():
        return subprocess.Popen([stack.folder / "bin/strongroom-provisioner", "--config", tmp_path / "provisioner.conf"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    file = templates / "process-dev/template.yaml"
    published = file.read_text()
    file.write_text(published.replace("max: 8192", "max: 9999"))
    refused = start()
    assert refused.wait(60) == 1 and "template.changed" in refused.stderr.read()
    file.write_text(published.replace("max: 8192", "max: 9999").replace("version: 1", "version: 2"))
    taken = start()
    wait_for(lambda: (tmp_path / "http.sock").exists() or taken.poll() is not None, "the service with version 2")
    assert taken.poll() is None
    taken.terminate()
    assert taken.wait(60) == 0
