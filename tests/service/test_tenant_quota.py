# SPDX-License-Identifier: Apache-2.0
"""strongroom tenant quota: members see what their tenant has and may have, operators set it, of images and of sandboxes."""
import json

import pytest

from client_project import Project, program_with_hooks


class Person(Project):
    def quota(self, *arguments, code=None):
        done = self.run("--json", "tenant", "quota", *arguments, check=False)
        last = json.loads(done.stdout.splitlines()[-1])
        if code:
            assert done.returncode != 0 and last["code"] == code, last
            return last
        assert done.returncode == 0, last
        self.tenant = last["tenant"]
        return {limit["name"]: limit for limit in last["limits"]}


@pytest.fixture
def person(stack, tmp_path):
    def make(who):
        (tmp_path / who).mkdir()
        person = Person(program_with_hooks(), stack, tmp_path / who)
        person.configure(who)
        return person
    return make


@pytest.fixture
def operator(person):
    operator = person("system-operator")
    yield operator
    operator.quota("globex", "--set", ",".join(f"{name}=default" for name in operator.quota("globex")))


def test_members_see_their_own(stack, person):
    limits = person("acme-data").quota()
    own = stack.client("acme-data").get("/v1/registry/quota").json()
    assert limits["bytes"] == {"name": "bytes", "limit": 1 << 40, "used": own["bytes"]["used"], "by_operator": False}
    assert {"images", "uploads", "sandboxes", "vcpus", "memory_mib", "weight"} < limits.keys()
    assert limits["sandboxes"]["used"] is not None and limits["lifetime_s"]["used"] is None
    text = person("globex-owner").run("tenant", "quota").stdout
    assert "of 1.0 TiB" in text and "set by the operator" not in text
    person("acme-algo").quota("globex", code="auth.role_missing")


def test_operators_set_some_and_keep_the_others(person, operator):
    first = operator.quota("globex", "--set", "bytes=50g,images=7,vcpus=8,lifetime_s=0")
    assert (first["bytes"]["limit"], first["images"]["limit"], first["vcpus"]["limit"]) == (50 << 30, 7, 8)
    second = operator.quota("globex", "--set", "images=default,memory_mib=4096")
    assert second["images"] == {**first["images"], "limit": 10000, "by_operator": False}
    assert (second["bytes"], second["vcpus"], second["lifetime_s"]) == (first["bytes"], first["vcpus"], first["lifetime_s"])
    assert (second["memory_mib"]["limit"], second["memory_mib"]["by_operator"]) == (4096, True)
    owner = person("globex-owner")
    assert owner.quota() == second
    assert operator.tenant == owner.tenant
    shown = operator.run("tenant", "quota", "globex").stdout
    assert "of 50.0 GiB (set by the operator)" in shown and "any (set by the operator)" in shown


def test_what_is_no_quota(person, operator):
    before = operator.quota("globex")
    for bad in ("more=1", "bytes=1x", "images=1g", "bytes=-1", "bytes=", "bytes=9999999999g", "vcpus=two", "images"):
        operator.quota("globex", "--set", "vcpus=3," + bad, code="usage.option")
    operator.quota("--set", "bytes=1", code="usage.arguments")
    operator.quota("nobody", code="client.not_found")
    assert operator.quota("globex") == before
    person("globex-owner").quota("globex", "--set", "bytes=1", code="auth.role_missing")
