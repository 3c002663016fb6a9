# SPDX-License-Identifier: Apache-2.0
"""deploy/compose/compose.yaml: what it promises of every container, whoever edits it."""
import pathlib
import shutil
import subprocess

import pytest

yaml = pytest.importorskip("yaml")
COMPOSE = pathlib.Path(__file__).parents[2] / "deploy/compose"
DOCUMENT = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
PARTS = DOCUMENT["services"]
SERVICES = {"certreg", "policy", "orchestrator", "registry-gw", "provisioner"}
ONCE = {"setup", "migrate", "bootstrap"}


def members(network):
    return {name for name, part in PARTS.items() if network in part["networks"]}


def mounts(part):
    return {text.split(":")[0]: text for text in PARTS[part].get("volumes", [])}


@pytest.mark.parametrize("name", PARTS)
def test_every_container_is_confined(name):
    part = PARTS[name]
    assert part["read_only"] is True and part["cap_drop"] == ["ALL"] and "no-new-privileges" in part["security_opt"]
    assert part["deploy"]["resources"]["limits"]["memory"] and part["logging"]["options"]["max-size"]
    assert "privileged" not in part and "devices" not in part and "network_mode" not in part
    assert bool(part.get("cap_add")) == (name in {"setup", "provisioner"})
    assert name in ONCE or "healthcheck" in part


def test_one_port_is_published():
    assert {name for name, part in PARTS.items() if part.get("ports")} == {"edge"}
    assert len(PARTS["edge"]["ports"]) == 1


def test_who_reaches_whom():
    assert members("db") == SERVICES | {"postgres", "migrate", "bootstrap"}
    assert members("wake") == SERVICES | {"redis"}
    assert members("parts") == SERVICES | {"edge"}
    assert members("front") == {"edge"}
    assert members("out") == {"policy", "orchestrator"}
    assert members("none") == {"setup", "registry"}
    assert {name for name, network in DOCUMENT["networks"].items() if not network.get("internal")} == {"front", "out"}


def test_keys_are_each_parts_own():
    for name in PARTS:
        own = {volume for volume in mounts(name) if volume.startswith("keys-")}
        if name == "setup":
            assert own == {volume for volume in DOCUMENT["volumes"] if volume.startswith("keys-")}
        else:
            assert own == {"keys-certreg" if name == "bootstrap" else f"keys-{name}"}
        assert ("secrets" in mounts(name)) == (name == "setup")
    assert {name for name in PARTS if "registry-socket" in mounts(name)} == {"registry", "registry-gw"}


@pytest.mark.parametrize("name", sorted({"certreg", "policy", "orchestrator", "registry-gw", "edge", "postgres", "redis", "registry",
                                         "migrate"}))
def test_images_are_not_roots(name):
    lines = (COMPOSE / f"Containerfile.{name}").read_text().splitlines()
    user = [line for line in lines if line.startswith("USER ")]
    assert len(user) == 1 and not user[0].startswith(("USER 0", "USER root"))


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_docker_compose_reads_it():
    done = subprocess.run(["docker-compose", "-f", COMPOSE / "compose.yaml", "config", "-q"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
