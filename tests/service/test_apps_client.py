# SPDX-License-Identifier: Apache-2.0
"""Applications, their configurations and what is decided about them, through the client."""
import base64
import json
import os
import pathlib

import pytest

from client_project import Project
from local_stack import BUILD, LocalStack, unique
from test_apps import RW, expected_id

DIGEST = "sha256:" + "a" * 64
VECTORS = os.environ.get("STRONGROOM_VECTORS")


@pytest.fixture(scope="module")
def stack():
    with LocalStack(["postgres", "redis", "certreg", "policy", "edge"]) as running:
        yield running


@pytest.fixture
def person(stack, tmp_path):
    project = Project(BUILD / "bin/strongroom", stack, tmp_path)
    project.configure()
    return project


def told(person, *arguments):
    """The result of a command, as programs see it."""
    lines = [json.loads(line) for line in person.run("--json", *arguments).stdout.splitlines()]
    result, = (line for line in lines if line["type"] == "result")
    return result


def made(person, *more):
    name = unique("app")
    return name, told(person, "app", "create", name, "--image", f"acme/describe@{DIGEST}", *more)


def test_application_and_its_tasks(person):
    name, app = made(person, "--domains", "b.example:8443,a.example", "--labels", "a=1,b=x=y", "--description", "d")
    assert app["labels"] == {"a": "1", "b": "x=y"} and app["description"] == "d"
    waiting = person.run("task", "list", "--status", "INPROGRESS").stdout
    build, domains = app["build"]["task"], app["domains"]["task"]
    assert f"acme/describe@{DIGEST}" in waiting and build in waiting and "a.example,b.example:8443" in waiting
    assert person.run("task", "approve", build).stdout == f"{build} SUCCESS\n"
    assert person.run("task", "deny", domains, "--reason", "too wide").stdout == f"{domains} DENIED\n"
    denied = told(person, "task", "show", domains)
    assert (denied["reason"], denied["kind"]) == ("too wide", "DOMAIN_WHITELIST")
    again = person.run("task", "approve", domains, check=False)
    assert again.returncode == 1 and "task.decided" in again.stderr
    line, = (line for line in person.run("app", "list").stdout.splitlines() if name in line)
    assert line.split()[2:5] == ["acme/describe", "WHITELISTED", "REJECTED"]
    updated = told(person, "app", "update", name, "--domains", "")
    assert updated["allowed_domains"] == [] and updated["labels"] == app["labels"] and updated["build"]["status"] == "WHITELISTED"
    told_of = person.run("app", "update", name, "--image", "acme/describe@sha256:" + "b" * 64)
    assert "strongroom task approve tsk_" in told_of.stderr + told_of.stdout
    person.run("app", "delete", name)
    assert "client.not_found" in person.run("app", "show", name, check=False).stderr


def test_shared_and_taken_back(person):
    name, app = made(person)
    space = unique("space")
    person.run("space", "create", space)
    share = person.run("app", "share", name, "--space", space).stdout.strip()
    assert "share.exists" in person.run("app", "share", name, "--space", space, check=False).stderr
    assert person.run("app", "unshare", name, "--space", space).stdout == f"{share} deleted\n"
    assert "client.not_found" in person.run("app", "unshare", name, "--space", space, check=False).stderr
    assert person.run("app", "share", app["id"], check=False).returncode == 2


def test_configuration_from_a_folder(person):
    folder = person.folder / "files"
    (folder / "a").mkdir(parents=True)
    (folder / "a/b.txt").write_bytes(b"\0\xff")
    (folder / "c.json").write_text("{}")
    name, _ = made(person)
    config = unique("acf")
    done = person.run("app-config", "create", config, "--app", name, "--ports", "input,output", "--files", "files",
                      "--labels", "location=East US")
    files = {RW + "a/b.txt": {"contents": base64.b64encode(b"\0\xff").decode()}, RW + "c.json": {"contents": "e30="}}
    wanted = expected_id(files, {"location": "East US"})
    assert done.stdout.split()[1] == wanted
    assert person.run("app-config", "id", config).stdout.strip() == wanted
    shown = told(person, "app-config", "show", config)
    assert shown["app_config"] == files and shown["app_config_id"] == wanted
    workflow = {"workflow_id": "wfl_1", "app_name": "n", "port_map": {}}
    (person.folder / "workflow.json").write_text(json.dumps(workflow))
    assert person.run("app-config", "id", config, "--workflow", "workflow.json").stdout.strip() == \
        expected_id(files, {"location": "East US"}, workflow)
    person.run("app-config", "delete", config)


def test_the_id_is_not_the_servers_word(person):
    """Somebody with the database writes another one there."""
    name, _ = made(person)
    config = person.run("app-config", "create", unique("acf"), "--app", name).stdout.split()[0]
    person.stack.sql("UPDATE policy.app_config SET app_config_id = %s WHERE id = %s", "f" * 64, config)
    assert told(person, "app-config", "show", config)["app_config_id"] == "f" * 64
    assert person.run("app-config", "id", config).stdout.strip() == expected_id({}, {})


def test_what_is_not_a_file_is_refused(person):
    name, _ = made(person)
    folder = person.folder / "files"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    done = person.run("app-config", "create", unique("acf"), "--app", name, "--files", "files", check=False)
    assert done.returncode == 1 and "files.kind" in done.stderr
    (folder / "link").unlink()
    (folder / "input").write_text("x")
    done = person.run("app-config", "create", unique("acf"), "--app", name, "--files", "files", check=False)
    assert "app_config.path" in done.stderr
    for words in (["create", "x"], ["id"]):
        assert person.run("app-config", *words, check=False).returncode == 2


@pytest.mark.skipif(not VECTORS, reason="STRONGROOM_VECTORS is not set")
@pytest.mark.parametrize("name", ["datasets", "files-and-labels", "one-file-no-labels"])
def test_published_ids_without_a_server(tmp_path, stack, name):
    person = Project(BUILD / "bin/strongroom", stack, tmp_path)  # has no profile
    vector = json.loads(pathlib.Path(VECTORS, "appconfig-id", f"{name}.json").read_text())
    for shape in (vector["runtime_app_config"], vector["runtime_app_config"]["config"]):
        (tmp_path / "runtime.json").write_text(json.dumps(shape))
        assert person.run("app-config", "id", "--runtime", "runtime.json").stdout.strip() == vector["expected_appconfig_id"]
