# SPDX-License-Identifier: Apache-2.0
"""The agent's end of :attest, asked by an agent of our own with real tokens and proofs: which questions it gets, and whose
answers count. The provisioner is real; its sandboxes are rows without VMs, which no loop looks after."""
import json
import os
import shutil
import subprocess

import pytest

from certreg_stack import BASE_URL, P256, certreg_process, openssl
from conftest import BUILD, ROOT, short_folder
from test_agent_routes import Agent, Orchestrator, new_id
from trust import digest, nonce


class Provisioner(Orchestrator):
    program = BUILD / "bin/strongroom-provisioner"

    def __init__(self, folder, certreg):
        self.folder, self.certreg, self.process = folder, certreg, None
        self.socket, self.conf, self.log = folder / "prv.sock", folder / "prv.conf", folder / "log"
        self.postgres = certreg.postgres
        runtime, owner = self.postgres.make_roles("provisioner")
        self.postgres.drop_schema("provisioner")
        key = P256(folder / "service.pem")
        (certreg.folder / "peers/provisioner.pem").write_bytes(openssl("pkey", "-in", key.file, "-pubout"))
        openssl("req", "-x509", "-new", "-key", str(key.file), "-subj", "/CN=edge", "-out", str(folder / "ca.pem"))
        (folder / "guest.json").write_text(json.dumps(
            {name: digest(name.encode()) for name in ("kernel", "initramfs", "agent")} | {"cmdline": "quiet"}))
        (folder / "vtpm.conf").write_text(f"create_certs_tool_config = {folder}/localca.conf\n")
        (folder / "localca.conf").write_text(f"signingkey = {key.file}\nissuercert = {folder}/ca.pem\n")
        self.conf.write_text("".join(f"{name} = {value}\n" for name, value in {
            "listen": f"unix:{self.socket}", "base_url": BASE_URL, "database": runtime, "migrate_database": owner,
            "redis": certreg.redis.address, "service_key": key.file, "peers_dir": certreg.folder / "peers",
            "certreg_url": f"unix:{certreg.socket}", "log_level": "info", "templates_dir": ROOT / "deploy/templates",
            "sandboxes_dir": folder / "sandboxes", "guest_dir": folder, "launcher": BUILD / "bin/strongroom-launch",
            "relay": BUILD / "bin/strongroom-relay", "edge_ca": folder / "ca.pem", "edge_address": "127.0.0.1:1",
            "sandbox_uid": 55000 if os.geteuid() == 0 else 0, "vtpm_setup": folder / "vtpm.conf", "vtpm_ca": folder / "ca.pem",
            "vtpm_chain": folder / "ca.pem", "vtpm_stock": 0}.items()))
        subprocess.run([self.program, "--config", self.conf, "--migrate"], check=True, timeout=60)

    def stop(self):
        self.policy = self.certreg  # nobody stands in for anybody here
        self.process.terminate()
        assert self.process.wait(30) == 0 and "Sanitizer" not in self.log.read_text(), self.log.read_text()[-4000:]

    def add(self, table, **row):
        known = {name for name, in self.postgres.sql("""SELECT column_name::text FROM information_schema.columns
            WHERE table_schema = 'provisioner' AND table_name = %s""", table)}
        row = {name: value for name, value in row.items() if name in known}
        self.postgres.sql(f"INSERT INTO provisioner.{table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())


class Box(Agent):
    """A ready sandbox's row, and its agent."""

    audience = "provisioner"

    def __init__(self, provisioner, claims, boot=1):
        super().__init__(provisioner, claims, boot)
        self.tenant = claims["tenant"]
        provisioner.add("sandbox", tenant_id=self.tenant, space_id=claims["space"], id=self.id, name="box", template_id="small",
                        template_version=1, parameters="{}", state="ready", boot=boot, launched_boot=boot, claim="{}", initdata="{}",
                        created_by="mbr_x", lease_until="infinity", run_at="infinity", driver="qemu", vcpus=1, memory_mib=1, weight=1)

    def asked(self, boot=None, age="0 s", **more):
        row = {"id": new_id("att"), "nonce": nonce(), "member": "mbr_x", **more}
        created, = self.orchestrator.postgres.sql("SELECT (now() - %s::interval)::text", age)[0]
        self.orchestrator.add("attestation", tenant_id=self.tenant, space_id=self.record["space"], sandbox_id=self.id,
                              boot=boot or self.boot, created_at=created, **row)
        return row

    def next(self):
        return self.ask("GET", "/v1/agent/attestations")

    def answer(self, name, **body):
        return self.ask("PUT", f"/v1/agent/attestations/{name}", body)

    def row(self, name):
        return self.orchestrator.postgres.sql(
            "SELECT state, activated, evidence, failure_code, credential FROM provisioner.attestation WHERE id = %s", name)[0]


@pytest.fixture(scope="module")
def provisioner(postgres, redis):
    with short_folder("sr-crt-") as crt, short_folder("sr-prv-") as folder, certreg_process(crt, postgres, redis) as certreg:
        running = Provisioner(folder, certreg)
        running.start()
        yield running
        running.stop()
        shutil.rmtree(folder / "sandboxes", ignore_errors=True)


@pytest.fixture
def box(provisioner):
    return Box(provisioner, provisioner.certreg.client("acme-algo").claims)


def test_questions_come_in_their_order_and_end(box):
    assert box.next().status == 204
    first = box.asked(age="30 s", credential='{"blob":"AAAA","secret":"AAAA"}')
    second = box.asked(age="10 s")
    box.asked(age="3 min")  # nobody waits for that any more
    box.asked(boot=2)
    assert box.next().json == {"id": first["id"], "nonce": first["nonce"], "credential": {"blob": "AAAA", "secret": "AAAA"}}
    assert box.answer(first["id"], activated="AAAA", evidence={"v": "x"}).status == 204
    assert box.row(first["id"]) == ("done", "AAAA", '{"v":"x"}', None, None)
    assert box.next().json == {"id": second["id"], "nonce": second["nonce"], "credential": None}
    assert box.answer(second["id"], failure={"code": "tpm.failed", "detail": "x"}).status == 204
    assert box.row(second["id"]) == ("failed", None, None, "tpm.failed", None)
    assert box.next().status == 204


def test_the_first_answer_counts(box):
    name = box.asked()["id"]
    assert box.answer(name, evidence={"v": "x"}).status == 204
    assert box.answer(name, failure={"code": "tpm.failed", "detail": "x"}).status == 204
    assert box.row(name)[0] == "done"


@pytest.mark.parametrize("body, code", [
    ({}, "attestation.bad_answer"), ({"evidence": {}, "failure": {"code": "x", "detail": "x"}}, "attestation.bad_answer"),
    ({"failure": {"code": "x"}}, "json.invalid_fields"), ({"evidence": "x"}, "json.invalid_fields"),
    ({"evidence": {}, "more": 1}, "json.invalid_fields")])
def test_answers_of_another_shape(box, body, code):
    name = box.asked()["id"]
    answer = box.answer(name, **body)
    assert (answer.status, answer.json["code"]) == (400, code)
    assert box.row(name)[0] == "pending"


def test_whose_questions(provisioner, box):
    """Of another sandbox, of another tenant, of another boot, and of nobody: all the same."""
    claims = provisioner.certreg.client("acme-algo").claims
    others = [Box(provisioner, claims).asked()["id"],
              Box(provisioner, provisioner.certreg.client("globex-owner").claims).asked()["id"], box.asked(boot=2)["id"], new_id("att")]
    for name in others:
        answer = box.answer(name, evidence={"v": "x"})
        assert (answer.status, answer.json["code"]) == (404, "attestation.not_found")
    assert box.next().status == 204
    assert [box.row(name)[0] for name in others[:3]] == ["pending"] * 3


def test_who_is_no_agent(provisioner, box):
    member = provisioner.certreg.client("acme-algo", audience="provisioner").token
    for headers in ({}, {"Authorization": f"Bearer {member}"}, {"Authorization": f"DPoP {box.token}"}):
        assert provisioner.ask("GET", "/v1/agent/attestations", **headers).status == 401
        assert provisioner.ask("PUT", f"/v1/agent/attestations/{new_id('att')}", {"evidence": {}}, **headers).status == 401
