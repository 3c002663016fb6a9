# SPDX-License-Identifier: Apache-2.0
"""The second way in, in a measured VM and by the commands of docs/second-way.md: an application with a configuration GETs its data and
PUTs its answer at places that it never learns, and neither does the operator learn what opens them; and with TLS of its own an
application gets as far as the policy says, and no further."""
import base64
import json
import re

import pytest
from canaries import kept, search
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from local_stack import unique, wait_for
from test_release import task_of
from test_second_way_runs import IN, OUT, PLAN, SAID, WORKFLOW, SecondWay

RW = "/opt/fortanix/enclave-os/app-config/rw/"
LOOK = f"""
    tell() {{ printf '%s ' "$1"; base64 | tr -d '\\n'; echo; }}
    ask() {{ wget -q -O /tmp/answer --header 'Content-Type: application/json' "$@"; }}
    cd {RW}
    find . -type f | while read -r file; do tell "${{file#./}}" <"$file"; done
    env | tell env
    ask http://$NODE_AGENT/v1/sys/version; tell version </tmp/answer
    ask --post-file csr.json http://$NODE_AGENT/v1/certificate/issue; tell issued </tmp/answer
    ask "http://$NODE_AGENT/v1/certificate/result/$(sed 's/.*"task_id":"\\([^"]*\\)".*/\\1/' /tmp/answer)"; tell result </tmp/answer
    touch /beside
    exec sh /app/describe.sh
"""
FETCH = r"""
    get() {
        printf 'GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' "$2" | /usr/bin/openssl s_client -quiet -verify_return_error \
            -verify_hostname localhost -CAfile /ca.pem -proxy ${HTTPS_PROXY#http://} -connect $1 2>/tmp/error || true
    }
"""


class Configured(SecondWay):
    """With an application of the catalogue and its configuration."""

    def catalogue(self):
        name, self.mine["study"] = unique("describe"), unique("study")
        self.run("space", "create", self.mine["study"])
        self.plan = self.plan.replace(task_of(self.plan, "get-data-projection"), "")
        for task in "set-sandbox-specs", "prepare-policy":
            self.plan = self.plan.replace(f"      {task}:\n", f"      {task}:\n        space: {self.mine['study']}\n")
        self.write_egress("managed")
        self.run("run", "--until", "dockerize-algo")
        image = self.outputs("dockerize-algo")
        (self.folder / "files").mkdir()
        self.app_key = ec.generate_private_key(ec.SECP256R1())
        asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(self.app_key, hashes.SHA256())
        (self.folder / "files/csr.json").write_text(json.dumps({"csr": asked.public_bytes(serialization.Encoding.PEM).decode()}))
        self.mine |= {"describe": name, "describe-1": name, "config/": "files",
                      "acme/describe@sha256:…": f"{image['repository']}@{image['manifest']}"}
        self.type("app create")
        shown = json.loads(self.run("--json", "app", "show", name).stdout.splitlines()[-1])
        for part in "build", "domains":
            self.mine["tsk_…"] = shown[part]["task"]
            self.type("task approve")
        self.type("app-config create", "app share")
        self.id = self.type("app-config id")
        self.configured = [f"{member}: {self.mine[value]}" for member, value in (line.split(": ") for line in PLAN[2:])]

    def agree(self):
        """To the policy, as to that of a workflow."""
        (self.folder / "study.yml").write_text("".join(
            re.sub(r"(?<=: )[a-z0-9-]+", lambda word: self.mine.get(word[0], word[0]), line) + "\n" for line in WORKFLOW))
        self.type("dataset share", "workflow create", "workflow validate", "run --until upload-policy")
        self.mine["describe=pol_…"] = f"describe={self.outputs('upload-policy')['policy_id']}"
        self.type("workflow request")
        read = self.type("approve")
        assert "none of its own; the agent fetches and stores the locations above" in read and self.store.url(OUT) in read, read


@pytest.fixture(scope="module")
def app(stack, tmp_path_factory):
    made = Configured(stack, tmp_path_factory.mktemp("measured-egress"), template="measured-small")
    made.catalogue()
    yield made
    made.delete_sandbox()
    made.store.__exit__()


def test_what_is_managed_is_nobodys_to_see(app):
    app.write_egress("managed", script=LOOK)
    app.credentials()
    app.agree()
    app.run("run")
    assert app.answer() == {"returncode": 0, "stdout": SAID, "stderr": ""}
    assert app.store.asked == [("GET", IN, 200), ("PUT", OUT, 200)]
    receipt = app.receipt()
    assert receipt["class"] == "software-tpm"
    assert [(used["target"], used["connections"]) for used in receipt["egress"]] == [(f"localhost:{app.store.port}", 2)]
    look_at_what_it_found(app)
    look_at_what_the_operator_has(app)


def look_at_what_it_found(app):
    """Places in the guest, files as applications of this kind expect them, and a node agent that knows its key."""
    said = {name: base64.b64decode(text) for name, text in (line.split() for line in app.stdout().splitlines())}
    drugs, answer = f"input/{app.datasets['input']}", "output/result"
    assert set(said) == {"app-config.json", "csr.json", "env", "version", "issued", "result", *(
        f"{port}/dataset/{file}" for port in (drugs, answer) for file in ("location.txt", "credentials.bin"))}
    for port in drugs, answer:
        assert said[f"{port}/dataset/location.txt"] == f"http://127.0.0.1:9093/{port}".encode()
        shown = json.loads(said[f"{port}/dataset/credentials.bin"])
        assert base64.b64decode(shown["query_string"]) == b"managed=1"
    for real in (f"localhost:{app.store.port}", IN, OUT, *app.queries.values()):
        assert real.encode() not in b"".join(said.values()), real
    assert {b"NODE_AGENT=127.0.0.1:9092", b"APPCONFIG_ID=" + app.id.encode()} <= set(said["env"].splitlines())
    assert json.loads(said["version"])["api_version"] == "v1"
    assert said["result"] == said["issued"] and json.loads(said["issued"])["task_status"] == "SUCCESS"
    leaf = x509.load_pem_x509_certificate(json.loads(said["issued"])["certificate"].encode())
    name, = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert leaf.public_key().public_numbers() == app.app_key.public_key().public_numbers() and name.value == app.id


def look_at_what_the_operator_has(app):
    """No key and no query string anywhere; the URLs without one where docs/visible.md says, and in no log."""
    secrets = {"key": app.key, "key as text": app.key.hex().encode(), **{
        f"{port}'s query": query.encode() for port, query in app.queries.items()}, **{
        f"{port}'s signature": query.rpartition("=")[2].encode() for port, query in app.queries.items()}}
    everything = kept(app.stack)
    assert b"input fetched" in everything["logs"] and app.store.url(IN).encode() in everything["postgres"]
    assert search(everything, secrets) == set()
    places = {"input's URL": app.store.url(IN).encode(), "output's URL": app.store.url(OUT).encode()}
    assert {place for place, _ in search(everything, places)} == {"postgres"}


def test_what_the_policy_allows_is_reached_and_no_more(app):
    """Direct: a boot and a policy later."""
    target = f"localhost:{app.store.port}"
    app.write_egress("direct", target, script=f"""{FETCH}
        get {target} '{IN}?{app.store.query(IN)}' >/tmp/got; head -n 1 /tmp/got
        get localhost:1 /; grep -o 403 /tmp/error
    """)
    app.credentials()
    del app.store.asked[:]
    app.go()
    said = app.stdout()
    assert said.startswith("HTTP/1.1 200") and said.endswith("403\n"), said
    assert app.store.asked == [("GET", IN, 200)]
    receipt = app.receipt()
    assert receipt["class"] == "software-tpm"
    used, = receipt["egress"]
    assert (used["target"], used["connections"]) == (target, 1) and used["bytes_in"] > len(app.sealed), json.dumps(used)
    counted = wait_for(lambda: app.stack.sql(  # a moment behind
        "SELECT target FROM orchestrator.run_egress WHERE run_id = %s AND connections = 1 AND bytes_in >= %s", receipt["run"],
        used["bytes_in"]), "the host's count", 30)
    assert counted == [(target,)]
