# SPDX-License-Identifier: Apache-2.0
"""docker's token flow with the real programs: podman, buildah and skopeo login get in with an API key and nobody else does."""
import os
import shutil
import subprocess

import pytest

from local_stack import LocalStack


@pytest.fixture(scope="module")
def stack():
    with LocalStack(["postgres", "redis", "certreg", "registry", "registry-gw", "edge"]) as stack:
        yield stack


@pytest.fixture
def login(stack, tmp_path):
    """The registry's CA is trusted by a folder of certificates; credentials go to a file of the test's own."""
    certificates = tmp_path / "certs"
    certificates.mkdir()
    (certificates / "ca.crt").write_text(open(stack.ca).read())
    registry = stack.url.removeprefix("https://")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path),
                   "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}

    def run(program, password, user="anybody"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
        return subprocess.run([program, "login", "--cert-dir", certificates, "--username", user, "--password-stdin", registry],
                              input=password, text=True, capture_output=True, timeout=60, env=environment, check=False)
    return run


@pytest.mark.parametrize("program", ["podman", "buildah", "skopeo"])
def test_login(stack, login, program, tmp_path):
    key = stack.key("acme-owner")
    done = login(program, key)
    assert done.returncode == 0 and "Login Succeeded" in done.stdout, done.stderr
    assert stack.url.removeprefix("https://") in (tmp_path / "auth.json").read_text()
    done = login(program, key, user="key_" + key.split("_")[1])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", ["podman", "buildah", "skopeo"])
@pytest.mark.parametrize("change", [lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"), lambda key: "password"])
def test_login_with_a_wrong_key(stack, login, program, change, tmp_path):
    done = login(program, change(stack.key("acme-owner")))
    assert done.returncode != 0 and "invalid username/password" in done.stderr, done.stderr
    assert not (tmp_path / "auth.json").exists() or "127.0.0.1" not in (tmp_path / "auth.json").read_text()
