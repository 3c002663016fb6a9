# SPDX-License-Identifier: Apache-2.0
"""Applications, what is approved about them, and their configurations with their APPCONFIG_ID."""
import base64
import hashlib
import json
from concurrent import futures

import pytest

from local_stack import problem, unique
from spaces import Party, found_together

RW = "/opt/fortanix/enclave-os/app-config/rw/"
OTHER = "sha256:" + "b" * 64


def body(**changes):
    return {"name": unique("app"), "image": {"repository": "acme/describe", "manifest": "sha256:" + "a" * 64}, **changes}


def changed(client, record, **changes):
    """PUT of what the record says, but for the changes."""
    asked = {name: record[name] for name in ("name", "description", "image", "allowed_domains", "labels")} | changes
    answer = client.put(f"/v1/apps/{record['id']}", asked, record["etag"])
    assert answer.status_code == 200, answer.text
    return answer.json()


def task(client, task_id):
    answer = client.get(f"/v1/tasks/{task_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(client, record):
    return client.get(f"/v1/apps/{record['id']}").json()


@pytest.fixture
def app(owner):
    return owner.made("/v1/apps", body())


# --- applications and tasks ---

def test_an_image_waits_for_its_task(owner):
    app = owner.made("/v1/apps", body(labels={"größe": "✓"}, description="d"))
    assert app["build"]["status"] == "PENDING" and app["domains"] == {"status": "NONE", "whitelisted": [], "task": None}
    waiting = task(owner, app["build"]["task"])
    assert (waiting["type"], waiting["status"], waiting["entity_id"]) == ("BUILD_WHITELIST", "INPROGRESS", app["id"])
    assert waiting["image"] == "acme/describe@sha256:" + "a" * 64 and waiting["approvals"] == [] and "domains" not in waiting
    assert waiting["id"] in owner.get("/v1/tasks?status=INPROGRESS").text
    approved = owner.post(f"/v1/tasks/{waiting['id']}:approve").json()
    assert approved["status"] == "SUCCESS" and approved["approvals"] == [{"user": approved["created_by"], "status": "APPROVED"}]
    after = shown(owner, app)
    assert after["build"] == {"status": "WHITELISTED", "task": waiting["id"]} and after["etag"] != app["etag"]
    problem(owner.post(f"/v1/tasks/{waiting['id']}:deny", {}), 409, "task.decided")
    assert shown(owner, app) == after
    assert waiting["id"] not in owner.get("/v1/tasks?status=INPROGRESS").text


def test_a_denied_image_is_rejected_with_the_reason(owner):
    app = owner.made("/v1/apps", body())
    denied = owner.post(f"/v1/tasks/{app['build']['task']}:deny", {"reason": "not reviewed"}).json()
    assert denied["status"] == "DENIED" and denied["reason"] == "not reviewed" and denied["decided_at"]
    assert denied["approvals"][0]["status"] == "DENIED" and shown(owner, app)["build"]["status"] == "REJECTED"
    problem(owner.post(f"/v1/tasks/{denied['id']}:approve"), 409, "task.decided")


def test_what_was_approved_before_needs_no_new_task(owner):
    app = owner.made("/v1/apps", body())
    first, image = app["build"]["task"], app["image"]
    owner.post(f"/v1/tasks/{first}:approve")
    app = changed(owner, shown(owner, app), description="more")
    assert app["build"] == {"status": "WHITELISTED", "task": first}
    app = changed(owner, app, image={**image, "manifest": OTHER})
    second = app["build"]["task"]
    assert app["build"]["status"] == "PENDING" and second != first
    app = changed(owner, app, image=image)
    assert app["build"] == {"status": "WHITELISTED", "task": first}
    over = task(owner, second)
    assert over["status"] == "FAILED" and over["approvals"] == []
    problem(owner.post(f"/v1/tasks/{second}:approve"), 409, "task.decided")
    assert shown(owner, app)["build"]["status"] == "WHITELISTED"


def test_domains_wait_for_their_own_task(owner):
    app = owner.made("/v1/apps", body(allowed_domains=["b.example:8443", "a.example"]))
    assert app["allowed_domains"] == ["a.example", "b.example:8443"] and app["domains"]["status"] == "PENDING"
    waiting = task(owner, app["domains"]["task"])
    assert waiting["type"] == "DOMAIN_WHITELIST" and waiting["domains"] == app["allowed_domains"] and "image" not in waiting
    owner.post(f"/v1/tasks/{waiting['id']}:approve")
    app = shown(owner, app)
    assert app["domains"] == {"status": "WHITELISTED", "whitelisted": ["a.example", "b.example:8443"], "task": waiting["id"]}
    assert app["build"]["status"] == "PENDING"
    wider = changed(owner, app, allowed_domains=["c.example", "a.example"])
    assert wider["domains"]["status"] == "PENDING" and wider["domains"]["whitelisted"] == app["allowed_domains"]
    owner.post(f"/v1/tasks/{wider['domains']['task']}:deny", {})
    assert shown(owner, app)["domains"]["status"] == "REJECTED"
    again = changed(owner, shown(owner, app), allowed_domains=["b.example:8443", "a.example"])
    assert again["domains"] == app["domains"]
    none = changed(owner, again, allowed_domains=[])
    assert none["domains"] == {"status": "NONE", "whitelisted": [], "task": None}


def test_two_decisions_at_once_are_one(owner):
    waiting = owner.made("/v1/apps", body())["build"]["task"]
    with futures.ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda i: owner.post(f"/v1/tasks/{waiting}:approve") if i % 2 else
                             owner.post(f"/v1/tasks/{waiting}:deny", {"reason": str(i)}), range(8)))
    assert sorted(answer.status_code for answer in said) == [200] + 7 * [409]


def test_who_may_decide(stack, stranger, app):
    algorithm, data = stack.client("acme-algo"), stack.client("acme-data")
    made = algorithm.made("/v1/apps", body())
    for client in algorithm, data:
        problem(client.post(f"/v1/tasks/{made['build']['task']}:approve"), 403, "auth.role_missing")
        problem(client.post(f"/v1/tasks/{made['build']['task']}:deny", {}), 403, "auth.role_missing")
    problem(data.post("/v1/apps", body()), 403, "auth.role_missing")
    problem(stranger.post(f"/v1/tasks/{app['build']['task']}:approve"), 404, "task.not_found")
    assert app["build"]["task"] not in stranger.get("/v1/tasks").text
    assert app["id"] not in stranger.get("/v1/apps").text


def test_bad_applications(owner):
    image = {"repository": "acme/describe", "manifest": "sha256:" + "a" * 64}
    for bad in ({"repository": "acme"}, {"repository": "a/../b"}, {"repository": "/a"}, {"manifest": "latest"}, {"tag": "x"}):
        problem(owner.post("/v1/apps", body(image={**image, **bad})), 400, "app.bad_image")
    for bad in ("", "UPPER.example", "10.0.0.1", "169.254.169.254", "a..b", ".a", "-a.b", "a.b:0", "a.b:65536", "a.b:", "http://a",
                "a b", "[::1]", "a." + 250 * "b" + ".c", 7):
        problem(owner.post("/v1/apps", body(allowed_domains=[bad])), 400, "app.bad_domain")
    problem(owner.post("/v1/apps", body(allowed_domains=["a.b", "a.b"])), 400, "app.bad_domain")
    for good in ("a.b:65535", "localhost", "x" + 248 * "y" + ".abc", "1password.com"):
        assert owner.post("/v1/apps", body(allowed_domains=[good])).status_code == 201
    for bad in ({"a": 1}, {"a": "x" * 257}, {"": "x"}, {str(i): "" for i in range(65)}):
        problem(owner.post("/v1/apps", body(labels=bad)), 400, "label.invalid")
    problem(owner.post("/v1/apps", body(more=1)), 400, "json.invalid_fields")
    problem(owner.post("/v1/apps", body(allowed_domains=[f"a{i}.b" for i in range(65)])), 400, "json.invalid_fields")
    name = unique("app")
    owner.made("/v1/apps", body(name=name))
    problem(owner.post("/v1/apps", body(name=name)), 409, "app.name_taken")
    problem(owner.get("/v1/tasks?status=x"), 400, "task.bad_status")


def test_a_deleted_application_waits_for_nothing(owner):
    app = owner.made("/v1/apps", body())
    config = owner.made("/v1/app-configs", {"name": unique("acf"), "app": app["id"]})
    problem(owner.delete(f"/v1/apps/{app['id']}", app["etag"]), 409, "app.in_use")
    assert task(owner, app["build"]["task"])["status"] == "INPROGRESS"
    assert owner.delete(f"/v1/app-configs/{config['id']}", config["etag"]).status_code == 204
    problem(owner.get(f"/v1/app-configs/{config['id']}"), 404, "app_config.not_found")
    assert owner.delete(f"/v1/apps/{app['id']}", app["etag"]).status_code == 204
    assert task(owner, app["build"]["task"])["status"] == "FAILED"
    problem(owner.post("/v1/app-configs", {"name": unique("acf"), "app": app["id"]}), 422, "app.not_found")


def test_a_share_shows_an_application_and_its_configurations(stack):
    acme, globex = Party(stack.client("acme-owner")), Party(stack.client("globex-owner"))
    space = found_together(acme, globex)["id"]
    app, hidden = (acme.client.made("/v1/apps", body()) for _ in range(2))
    files = {RW + "a": {"contents": "QQ=="}}
    config, other = (acme.client.made("/v1/app-configs", {"name": unique("acf"), "app": one["id"], "app_config": files})
                     for one in (app, hidden))
    problem(globex.client.get(f"/v1/apps/{app['id']}"), 404, "app.not_found")
    assert globex.client.get(f"/v1/app-configs?app={app['id']}").json()["items"] == []
    share = acme.client.made(f"/v1/apps/{app['id']}/shares", {"space": space})
    assert globex.client.get(f"/v1/apps/{app['id']}").json() == app
    assert acme.client.get(f"/v1/apps/{app['id']}/shares").json()["items"] == [share]
    problem(globex.client.get(f"/v1/apps/{app['id']}/shares"), 404, "app.not_found")
    assert globex.client.get(f"/v1/app-configs/{config['id']}").json() == config
    assert [item["id"] for item in globex.client.get(f"/v1/app-configs?app={app['id']}").json()["items"]] == [config["id"]]
    listed = globex.client.get("/v1/apps?page_size=200").text
    assert app["id"] in listed and hidden["id"] not in listed
    problem(globex.client.get(f"/v1/app-configs/{other['id']}"), 404, "app_config.not_found")
    problem(globex.client.get(f"/v1/tasks/{app['build']['task']}"), 404, "task.not_found")
    problem(globex.client.post("/v1/app-configs", {"name": unique("acf"), "app": app["id"]}), 422, "app.not_found")
    theirs = body(image={**app["image"], "repository": "globex/describe"})
    for answer in (globex.client.put(f"/v1/apps/{app['id']}", theirs, app["etag"]), globex.client.delete(f"/v1/apps/{app['id']}", app["etag"]),
                   globex.client.delete(f"/v1/app-configs/{config['id']}", config["etag"]),
                   globex.client.post(f"/v1/tasks/{app['build']['task']}:approve")):
        assert answer.status_code == 404, answer.text
    assert acme.client.delete(f"/v1/apps/{app['id']}/shares/{share['id']}").status_code == 204
    problem(globex.client.get(f"/v1/apps/{app['id']}"), 404, "app.not_found")
    problem(globex.client.get(f"/v1/app-configs/{config['id']}"), 404, "app_config.not_found")
    acme.client.made(f"/v1/apps/{hidden['id']}/shares", {"space": space})
    acme.client.delete(f"/v1/app-configs/{other['id']}", other["etag"])
    assert globex.client.get(f"/v1/apps/{hidden['id']}").status_code == 200
    assert acme.client.delete(f"/v1/apps/{hidden['id']}", hidden["etag"]).status_code == 204
    problem(globex.client.get(f"/v1/apps/{hidden['id']}"), 404, "app.not_found")


# --- configurations ---

def expected_id(files, labels, workflow=None):
    """As others compute it: field order fixed, maps sorted by bytes, compact."""
    config = {"app_config": {path: files[path] for path in sorted(files, key=str.encode)},
              "labels": {name: labels[name] for name in sorted(labels, key=str.encode)}, "zone_ca": []}
    if workflow:
        config["workflow"] = workflow
    return hashlib.sha256(json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def test_a_configuration_and_its_id(owner, app):
    files = {RW + name: {"contents": base64.b64encode(name.encode()).decode()} for name in ("b.txt", "a/ü.json")}
    labels, workflow = {"\U0001f600": "1", "\ue000": "2"}, {
        "workflow_id": "wfl_1", "app_name": "n", "port_map": {"input": {"x": {"dataset": {"id": "dst_1"}}}}}
    asked = {"name": unique("acf"), "app": app["id"], "ports": ["input", "output"], "app_config": files, "labels": labels}
    config = owner.made("/v1/app-configs", asked)
    assert config["app_config_id"] == expected_id(files, labels) and config["workflow"] is None
    assert (config["app_config"], config["labels"], config["ports"]) == (files, labels, ["input", "output"])
    placed = owner.put(f"/v1/app-configs/{config['id']}", {**asked, "workflow": workflow}, config["etag"]).json()
    assert placed["app_config_id"] == expected_id(files, labels, workflow) and placed["workflow"] == workflow
    assert owner.get(f"/v1/app-configs/{config['id']}").json() == placed
    listed, = (item for item in owner.get("/v1/app-configs").json()["items"] if item["id"] == config["id"])
    assert listed["app_config_id"] == placed["app_config_id"] and "app_config" not in listed


def test_bad_configurations(owner, stranger, app):
    def refused(code, status=400, client=owner, **changes):
        problem(client.post("/v1/app-configs", {"name": unique("acf"), "app": app["id"], **changes}), status, code)

    for path in ("/etc/passwd", RW, RW + "../x", RW + "a/../../x", RW + "input/a", RW + "app-config.json", "a"):
        refused("app_config.path", app_config={path: {"contents": ""}})
    refused("app_config.path", app_config={RW + "a": {"contents": ""}, RW + "a/b": {"contents": ""}})
    sizes = {"a": 256 << 10, "b": 256 << 10, "c": 1}
    refused("app_config.too_large", app_config={
        RW + name: {"contents": base64.b64encode(bytes(size)).decode()} for name, size in sizes.items()})
    for files in ({RW + "a": {"contents": "?"}}, {RW + "a": {}}, {RW + "a": {"contents": "", "mode": 1}}, {RW + "a": "x"}):
        refused("app_config.invalid", app_config=files)
    refused("app_config.invalid", workflow={"workflow_id": "w"})
    refused("app_config.bad_ports", ports=["input", "input"])
    refused("app_config.bad_ports", ports=["In put"])
    refused("json.invalid_fields", zone="x")
    refused("app.not_found", 422, app="app_" + "0" * 32)
    refused("app.not_found", 422, client=stranger)
