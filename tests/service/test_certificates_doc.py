# SPDX-License-Identifier: Apache-2.0
"""docs/certificates.md as it is printed: curl and openssl against a stack's edge; and `strongroom cert` beside it."""
import base64
import json
import os
import re
import secrets
import subprocess
import urllib.parse

import pytest

from client_project import Project, program_with_hooks
from local_stack import ROOT, LocalStack

PARTS = ["postgres", "redis", "certreg", "edge"]


@pytest.fixture(scope="module")
def stack():
    with LocalStack(PARTS) as running:
        yield running


def test_recipe(stack, tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/certificates.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 8
    key_file = stack.folder / "credentials/acme-algo.key"
    done = subprocess.run(["bash", "-euo", "pipefail"], input="\n".join(blocks), text=True, cwd=tmp_path, capture_output=True,
                          timeout=120, env={**os.environ, "URL": stack.url, "CA": stack.ca, "KEY_FILE": str(key_file)}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record, replacement, revoked = (json.loads((tmp_path / name).read_text()) for name in ("record", "replacement", "revoked"))
    assert record["state"] == "active" and record["name"] == "me on this machine"
    assert replacement["replaces"] == record["id"] and replacement["name"] == record["name"]
    assert revoked["id"] == record["id"] and revoked["state"] == "revoked" and revoked["revocation_reason"] == "keyCompromise"
    assert "next.crt: OK" in done.stdout and "next.crt: good" in done.stdout


def test_ocsp_by_get(stack, tmp_path):
    """RFC 6960 appendix A, through the edge: base64 in the path, slashes and all."""
    ca, text = stack.folder / "pki/machine-ca.pem", ""
    while not ("/" in text and "+" in text):
        serial = secrets.randbits(150) | 1 << 150
        subprocess.run(["openssl", "ocsp", "-issuer", ca, "-serial", str(serial), "-no_nonce", "-reqout", tmp_path / "request"], check=True,
                       capture_output=True)
        text = base64.b64encode((tmp_path / "request").read_bytes()).decode()
    for path in (urllib.parse.quote(text, safe=""), text):
        answer = subprocess.run(["curl", "-sSf", "--path-as-is", "--cacert", stack.ca, f"{stack.url}/v1/ocsp/{path}"], check=True,
                                capture_output=True).stdout
        (tmp_path / "answer").write_bytes(answer)
        said = subprocess.run(["openssl", "ocsp", "-issuer", ca, "-CAfile", ca, "-serial", str(serial), "-no_nonce", "-respin",
                               tmp_path / "answer"], check=True, capture_output=True, text=True)
        assert f"{serial}: unknown" in said.stdout and "Response verify OK" in said.stderr


def test_client_commands(stack, tmp_path):
    project = Project(program_with_hooks(), stack, tmp_path)
    project.configure()
    for name in ("old", "new"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                        "-out", f"{name}.crt", "-subj", "/CN=cli", "-days", "90", "-addext", "basicConstraints=critical,CA:FALSE"],
                       cwd=tmp_path, check=True, capture_output=True)
    old = project.run("cert", "register", "--certificate", "old.crt", "--key", "old.key", "--name", "cli key").stdout.strip()
    assert project.run("cert", "register", "--certificate", "old.crt", "--key", "old.key").stdout.strip() == old
    wrong = project.run("cert", "rotate", old, "--certificate", "new.crt", "--key", "new.key", "--old-key", "new.key", check=False)
    assert wrong.returncode != 0 and "certificate.proof_invalid" in wrong.stderr
    new = project.run("cert", "rotate", old, "--certificate", "new.crt", "--key", "new.key", "--old-key", "old.key", "--overlap",
                      "60").stdout.strip()
    assert json.loads(project.run("cert", "show", new).stdout)["replaces"] == old
    listed = project.run("cert", "list", "--state", "retiring").stdout
    assert old in listed and new not in listed
    assert project.run("cert", "revoke", new, "--reason", "superseded", "--comment", "done").stdout.strip() == f"{new} revoked"
    refused = project.run("cert", "revoke", old, "--reason", "because", check=False)
    assert refused.returncode != 0 and "certificate.bad_reason" in refused.stderr
