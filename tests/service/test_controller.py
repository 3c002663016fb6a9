# SPDX-License-Identifier: Apache-2.0
"""The driver `controller` against a real HTTPS server that makes real VMs (tests/support/controller_server.py): the life of a
sandbox, answers that are lost, late, wrong or hostile, and the provisioner killed in between."""
import os
import uuid

import pytest
from cryptography.hazmat.primitives import serialization

from contract import contracts
from controller import Controller, write_certificate
from hooked_provisioner import HookedProvisioner
from local_stack import BUILD, unique, wait_for
from test_sandboxes import claim, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the Controller takes root for its machines' namespaces")
AT_REST = {"ready", "failed", "stopped"}


@pytest.fixture(scope="module")
def controller(tmp_path_factory):
    made = Controller(tmp_path_factory.mktemp("controller"), BUILD / "guest", BUILD / "bin/strongroom-relay")
    yield made
    made.end()


@pytest.fixture(scope="module")
def hooked(stack, controller, tmp_path_factory):
    made = HookedProvisioner(stack, tmp_path_factory.mktemp("hooked"), **controller.settings())
    made.kill()
    yield made
    made.end()


def body(**more):
    return {"template": "controller", "name": unique("box"), "parameters": {"memory_mib": 512}, "claim": claim(), **more}


def path_of(record):
    return f"/v1/sandboxes/{record['id']}"


@pytest.fixture
def make(hooked, owner, controller):
    made = []

    def one(**more):
        made.append(owner.made("/v1/sandboxes", body(**more)))
        return made[-1]
    yield one
    for operation in ("machine_create", "machine_show", "machine_stop", "machine_delete"):
        controller.mischief(operation)
    for record in made:
        owner.delete(path_of(record))
    for record in made:
        until(owner, path_of(record), {"deleted"})
    assert not {record["id"] for record in made} & set(controller.did()["machines"])


def starts(controller, record):
    return [boot for id, boot in controller.did()["starts"] if id == record["id"]]


def test_life_of_a_machine(stack, owner, controller, make):
    """Made, enrolled by its own guest, restarted with other keys, stopped, killed behind our back, deleted."""
    record = make()
    up = until(owner, path_of(record), AT_REST)
    assert up["state"] == "ready", up["failure"]
    assert (up["driver"], up["boot"], up["evidence"]["class"]) == ("controller", 1, "none")
    assert controller.did()["machines"][record["id"]]["state"] == "running"
    wait_for(lambda: controller.did()["machines"][record["id"]]["console_bytes"] > 0, "a word on its console")
    wait_for(lambda: "enrolled" in owner.get(f"{path_of(record)}/console").text, "the guest's word on the console")
    assert owner.post(f"{path_of(record)}:restart", {"claim": claim()}).status_code == 202
    again = until(owner, path_of(record), AT_REST)
    assert (again["state"], again["boot"]) == ("ready", 2) and again["enc_jwk"] != up["enc_jwk"]
    controller.mischief("machine_show", "500", times=3)
    wait_for(lambda: controller.did()["asked"]["machine_show"] > 8, "several looks")
    assert owner.get(path_of(record)).json()["state"] == "ready", "an unwell Controller is no dead machine"
    controller.kill(record["id"])
    assert until(owner, path_of(record), {"stopped"})["failure"]["code"] == "sandbox.died"
    assert starts(controller, record) == [1, 2]
    owner.delete(path_of(record))
    until(owner, path_of(record), {"deleted"})
    assert controller.ask("GET", f"/v1/machines/{record['id']}").status_code == 404
    assert not (stack.folder / "sandboxes/controller" / record["id"]).exists()


@pytest.fixture
def switched_off(controller):
    """Machines do not boot: what is said about them is all that counts."""
    controller.power(False)
    yield
    controller.power(True)


def test_asked_again_until_it_answers(owner, controller, switched_off, make):
    """With the same key: the machine is made once, also when it was the answer that was lost."""
    kinds = ["lost", "500", "cut", "429", "hang"]
    controller.mischief("machine_create", *kinds, times=1)
    records = [make() for _ in kinds]
    wait_for(lambda: all(starts(controller, record) for record in records), "the machines")
    for record in records:
        owner.post(f"{path_of(record)}:cancel")
    for record in records:
        until(owner, path_of(record), AT_REST)
    assert [starts(controller, record) for record in records] == [[1]] * len(kinds)
    assert sorted(controller.did()["dealt"].values()) == sorted(kinds)


BAD_ANSWERS = {
    "garbage": "controller.bad_answer", "empty": "controller.bad_answer", "list": "controller.bad_answer",
    "twice": "controller.bad_answer", "more": "controller.bad_answer", "state": "controller.bad_answer",
    "nul": "controller.bad_answer", "utf8": "controller.bad_answer", "302": "controller.bad_answer",
    "other": "controller.other_machine", "boot": "controller.other_machine", "huge": "controller.too_large",
    "401": "controller.denied", "403": "controller.denied", "404": "controller.refused", "422": "controller.refused",
    "409": "controller.conflict", "429": "controller.busy", "503": "controller.failed", "cut": "controller.truncated",
    "lost": "controller.unreachable", "hang": "controller.timeout"}


def test_bad_answers(owner, controller, switched_off, make):
    """Each ends the attempt with a code of its own, and what may have been made of it is ended."""
    controller.mischief("machine_create", *BAD_ANSWERS)
    records = [make() for _ in BAD_ANSWERS]
    ends = {record["id"]: until(owner, path_of(record), AT_REST) for record in records}
    did = controller.did()
    assert {did["dealt"][id]: (end["state"], end["failure"]["code"]) for id, end in ends.items()} == {
        kind: ("failed", code) for kind, code in BAD_ANSWERS.items()}
    assert {did["machines"][id]["state"] for id in ends if id in did["machines"]} == {"ended"}


def failure(owner, make):
    end = until(owner, path_of(make()), AT_REST)
    return end["state"], end["failure"]["code"]


def test_another_token(owner, controller, switched_off, make):
    """It is read for each call."""
    controller.token.write_text("another\n")
    try:
        assert failure(owner, make) == ("failed", "controller.denied")
    finally:
        controller.token.write_text(controller.secret + "\n")


def test_no_way_to_a_controller(stack, hooked, owner, controller, switched_off, make, tmp_path):
    """Another CA than theirs, a certificate that they do not take, no TLS, no Controller at all."""
    other = tmp_path / "other.pem"
    write_certificate(other, "provisioner", serialization.load_pem_private_key(controller.key.read_bytes(), None))
    found = {}
    try:
        for settings in ({"controller_ca": stack.folder / "pki/ca.pem"}, {"controller_cert": other},
                         {"controller_url": "http://127.0.0.1:9"}, {"controller_url": ""}):
            hooked.configure(**{**controller.settings(), **settings})
            hooked.kill()
            found[str(settings)] = failure(owner, make)
    finally:
        hooked.configure(**controller.settings())
        hooked.kill()
    assert list(found.values()) == [("failed", f"controller.{code}") for code in ("tls", "tls", "not_https", "not_configured")], found


def test_stop_and_delete_go_on_when_the_controller_is_well_again(stack, owner, controller, switched_off, make):
    """It says that it will, and does not; it fails; in the end it does."""
    record = make()
    wait_for(lambda: starts(controller, record), "the machine")
    controller.mischief("machine_stop", "500", times=1)
    controller.mischief("machine_delete", "deaf")
    owner.delete(path_of(record))
    log = stack.folder / "log/provisioner.log"
    wait_for(lambda: [line for line in log.read_text().splitlines() if "controller.will_not_end" in line and record["id"] in line],
             "the end of its patience")
    controller.mischief("machine_delete", "500", times=1)
    until(owner, path_of(record), {"deleted"})
    assert record["id"] not in controller.did()["machines"]


def test_killed_behind_the_request(hooked, owner, controller, make):
    """The machine is there and nobody remembers: the next one of us ends it and starts this boot anew."""
    hooked.arm("controller:created")
    deaths = hooked.deaths
    record = make()
    wait_for(lambda: starts(controller, record), "the machine")
    wait_for(hooked.revive, "the provisioner's death")
    up = until(owner, path_of(record), AT_REST)
    assert (up["state"], hooked.deaths) == ("ready", deaths + 1), up["failure"]
    assert starts(controller, record) == [1, 1]


def test_machines_that_no_sandbox_owns(hooked, owner, controller, switched_off):
    """Two pages of them; another Strongroom's machine stays."""
    spki = owner.get("/v1/templates/controller").json()["edge_ca_spki"]
    ids = [f"sbx_{uuid.uuid4().hex}" for _ in range(3)]
    for id, whose in zip(ids, (spki, spki, "sha256:" + "0" * 64)):
        assert controller.ask("POST", "/v1/machines", json={
            "id": id, "boot": 1, "owner": whose, "edge": "127.0.0.1:9", "initdata": "{}", "enrolment_secret": "x",
            "parameters": {"memory_mib": 256}}).status_code == 201
    hooked.kill()
    wait_for(lambda: not set(ids[:2]) & set(controller.did()["machines"]), "the end of the orphans")
    assert ids[2] in controller.did()["machines"]
    assert controller.ask("DELETE", f"/v1/machines/{ids[2]}").status_code == 204


def test_what_is_asked_and_answered_is_described(owner, controller, switched_off, make):
    """The test's Controller speaks what proto/openapi/controller.json says, or the tests above prove little."""
    contract, = (contract for contract in contracts() if contract.service == "controller")
    schemas = contract.document["components"]["schemas"]
    record = make()
    wait_for(lambda: starts(controller, record), "the machine")
    shown = controller.ask("GET", f"/v1/machines/{record['id']}").json()
    assert contract.faults(schemas["Machine"], shown) == []
    listed = controller.ask("GET", f"/v1/machines?owner={owner.get('/v1/templates/controller').json()['edge_ca_spki']}").json()
    assert contract.faults(schemas["Page"], listed) == [] and record["id"] in listed["items"]
    assert contract.faults(schemas["Machine"], {**shown, "id": "x"}) != []
