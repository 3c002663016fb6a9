# SPDX-License-Identifier: Apache-2.0
"""The second way in, at the agent: an app with a configuration finds its files, its environment and a node agent, in a root that it
may write; and what the image puts in their way is no way out."""
import base64
import datetime
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import trust
from operator_edge import Image, PublicKey
from test_agent import AGENT, AS_ROOT, BUSYBOX, NO_JAIL, Sandbox, opened_output, pki  # noqa: F401
from test_apps import RW, expected_id
from trust import digest, jcs

pytestmark = [AS_ROOT, NO_JAIL]
APPLETS = ("sh", "cat", "find", "wget", "env", "touch", "od", "stat", "sort", "id", "dd", "printf", "sleep", "echo", "ls", "nc")


def runtime(**files):
    return {"app_config": {RW + path: {"contents": base64.b64encode(data).decode()} for path, data in files.items()},
            "labels": {"location": "East US"}, "zone_ca": []}


class AppSandbox(Sandbox):
    """An app that is a shell script, with what the policy says of its configuration."""

    def prepare(self, script, config=None, tree=None, **changes):
        world = self.world
        key = PublicKey({k: v for k, v in world.openings["image"]["secret"]["jwk"].items() if k != "d"})
        applets = {"bin/busybox": BUSYBOX.read_bytes(), **{f"bin/{name}": "busybox" for name in APPLETS}}
        self.operator.image = Image(key, {**applets, "app.sh": script.encode(), **(tree or {})})
        agent = digest(AGENT.read_bytes())
        config = runtime() if config is None else config
        world.policy["limits"]["memory_bytes"] = 1 << 46
        world.policy.update({
            "image": {"repository": "acme/app", **self.operator.image.words},
            "process": {"argv": ["/bin/sh", "/app.sh"], "env": {"PATH": "/bin", "NODE_AGENT": "1.2.3.4:5", "KEPT": "yes"}, "cwd": "/"},
            "slots": {slot: {"commitment": digest(jcs(opening)), "mode": "once", "owner": world.author.spki}
                      for slot, opening in world.openings.items()},
            "inputs": [], "measurements": {"encrypt-output": agent, "decrypt-input": agent, "decrypt-output": digest(b"client")},
            "app": {"id": "app_" + "0" * 31 + "1", "config": "acf_" + "0" * 31 + "1", "runtime": config,
                    "app_config_id": expected_id(config["app_config"], config["labels"], config.get("workflow"))}, **changes})
        return self

    def papers(self):
        return {**super().papers(), "inputs": []}

    def said(self):
        result = self.run(self.papers())
        assert "output" in result, result
        files = opened_output(self, result)
        assert json.loads(files["result.json"])["returncode"] == 0, files
        return files["stdout"].decode()


@pytest.fixture
def sandbox(tmp_path, pki):  # noqa: F811
    tmp_path.chmod(0o755)
    with AppSandbox(tmp_path, pki) as made:
        yield made.enrolled()
        assert made.process.poll() is None, made.log.read_text()
        assert not made.operator.complaints


def test_files_and_environment(sandbox):
    config = runtime(**{"a/b.txt": b"\0binary\n", "c.json": b"{}"})
    config["workflow"] = {"workflow_id": "wfl_1", "app_name": "n", "port_map": {}}
    said = sandbox.prepare("""
        set -e
        cd /opt/fortanix/enclave-os/app-config
        find . -type f | sort
        ls -d rw/input rw/output
        od -An -c rw/a/b.txt
        stat -c '%u %a' rw/a/b.txt rw rw/input
        env | sort
        cat rw/app-config.json
    """, config).said()
    lines = said.splitlines()
    assert lines[:5] == ["./rw/a/b.txt", "./rw/app-config.json", "./rw/c.json", "rw/input", "rw/output"]
    assert lines[5].split() == ["\\0", "b", "i", "n", "a", "r", "y", "\\n"]
    assert lines[6:9] == ["0 644", "0 755", "0 755"]
    env = dict(line.split("=", 1) for line in lines[9:-1])
    app_config_id = sandbox.world.policy["app"]["app_config_id"]
    assert (env["NODE_AGENT"], env["APPCONFIG_ID"], env["KEPT"]) == ("127.0.0.1:9092", app_config_id, "yes")
    assert env["CCM_BACKEND"] == f"127.0.0.1:{sandbox.operator.port}"
    assert json.loads(lines[-1]) == {"config": config, "extra": {"connections": {}}}


def test_the_root_is_the_apps_unless_the_policy_says_no(sandbox):
    script = "touch /beside && echo wrote >/opt/fortanix/enclave-os/app-config/beside && cat /opt/fortanix/enclave-os/app-config/beside"
    assert sandbox.prepare(script).said() == "wrote\n"


def test_a_root_that_is_read_only(sandbox):
    script = f"touch /beside 2>/dev/null || echo no; echo x 2>/dev/null >{RW}a || echo no; cat {RW}a; touch /tmp/x && echo tmp"
    assert sandbox.prepare(script, runtime(a=b"kept\n"), root_filesystem="read-only").said() == "no\nno\nkept\ntmp\n"


def request():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank.example")])
    asked = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(
        x509.SubjectAlternativeName([x509.DNSName("bank.example")]), False).sign(key, hashes.SHA256())
    return key, asked.public_bytes(serialization.Encoding.PEM).decode()


def test_certificate_of_the_node_agent(sandbox):
    key, csr = request()
    sandbox.prepare("""
        set -e
        ask() { wget -q -O - --header 'Content-Type: application/json' "$@"; echo; }
        ask http://$NODE_AGENT/v1/sys/version
        ask --post-file /csr.json http://$NODE_AGENT/v1/certificate/issue | { read -r answer; echo "$answer"
            id=${answer#*task_id\\":\\"}; id=${id%%\\"*}
            ask http://$NODE_AGENT/v1/certificate/result/$id; ask --post-data '' http://$NODE_AGENT/v1/certificate/result/$id; }
    """, tree={"csr.json": json.dumps({"csr": csr}).encode()})
    papers = sandbox.papers()
    result = sandbox.run(papers)
    lines = opened_output(sandbox, result)["stdout"].decode().splitlines()
    version, issued, *again = [json.loads(line) for line in lines if line]
    assert version["api_version"] == "v1" and issued["task_status"] == "SUCCESS" and again == [issued, issued]
    end = "-----END CERTIFICATE-----\n"
    leaf, issuer = (x509.load_pem_x509_certificate((part + end).encode()) for part in issued["certificate"].split(end)[:-1])
    same = lambda a, b: a.public_bytes(*DER) == b.public_bytes(*DER)  # noqa: E731
    DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert same(leaf.public_key(), key.public_key()) and same(issuer.public_key(), sandbox.world.sig.public_key())
    for certificate in leaf, issuer:
        assert certificate.issuer == issuer.subject
        issuer.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    assert issuer.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    name, = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == sandbox.world.policy["app"]["app_config_id"]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [type(entry) for entry in names] == [x509.UniformResourceIdentifier] * 2, "of the request's own names there is none"
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"urn:strongroom:policy:{sandbox.world.hash}", f"urn:strongroom:run:{papers['run']['id']}"]
    assert leaf.not_valid_after - leaf.not_valid_before <= datetime.timedelta(days=1, minutes=2)


def test_what_the_node_agent_refuses(sandbox):
    """A bad request has an answer, and the next good one has one too."""
    _, csr = request()
    body = csr.splitlines()
    body[2] = body[2][::-1]
    big = json.dumps({"csr": "x" * 70000}).encode()
    said = sandbox.prepare("""
        raw() { printf "$@" | nc 127.0.0.1 9092 | sed -n '1p;$p' ; }
        post() { printf 'POST %s HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: %s\\r\\n\\r\\n' "$1" "$(stat -c %s "$2")" >/tmp/r; cat "$2" >>/tmp/r
                 nc 127.0.0.1 9092 </tmp/r; echo; }
        post /v1/certificate/issue /altered; post /v1/certificate/issue /empty; post /v1/certificate/issue /big
        post /v1/certificate/other /empty; post /v1/sys/version /empty
        printf 'nonsense\\r\\n\\r\\n' | nc 127.0.0.1 9092; echo
        printf 'GET / HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n' | nc 127.0.0.1 9092; echo
        wget -q -O - http://$NODE_AGENT/v1/sys/version; echo
    """, tree={"altered": json.dumps({"csr": "\n".join(body) + "\n"}).encode(), "empty": b"{}", "big": big}).said()
    found = [line for line in said.splitlines() if line.startswith(("HTTP", "{"))]
    codes = [json.loads(line).get("code") for line in found if line.startswith("{")]
    assert codes[0] in ("node.bad_request", "cert.request_signature", "cert.request_syntax")
    assert codes[1:5] == ["node.bad_request", "node.too_large", "node.not_found", "node.not_found"]
    assert codes[5].startswith("request.") and codes[6] == "node.bad_request" and codes[7] is None
    assert found[-1].startswith('{"version"')


@pytest.mark.parametrize("tree, outcome", [
    ({"opt/fortanix/enclave-os/app-config/rw/a": b"the image's"}, "ours"),
    ({"opt/fortanix/enclave-os/app-config/rw/a/folder/file": b"x"}, "ours"),
    ({"opt/fortanix/enclave-os": b"a file"}, "image.layer_path"),
])
def test_what_the_image_has_there(sandbox, tree, outcome):
    sandbox.prepare(f"cat {RW}a", runtime(a=b"ours"), tree)
    if outcome == "ours":
        assert sandbox.said() == "ours"
    else:
        result = sandbox.run(sandbox.papers())
        assert result["refusal"]["code"] == outcome


def test_another_runtime_is_refused(sandbox):
    sandbox.prepare("true")
    sandbox.world.policy["app"]["runtime"]["labels"] = {"location": "elsewhere"}
    result = sandbox.run(sandbox.papers())
    assert result["refusal"]["code"] == "app_config.mismatch"
