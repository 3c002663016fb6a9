# SPDX-License-Identifier: Apache-2.0
"""docs/images.md as it is printed, against a real stack."""
import os
import re
import shutil
import subprocess

import pytest

from client_project import program_with_hooks
from local_stack import ROOT, LocalStack

PARTS = ["postgres", "redis", "certreg", "policy", "registry", "registry-gw", "edge"]
TOOLS = ["skopeo", "openssl"]


@pytest.fixture(scope="module")
def stack():
    with LocalStack(PARTS) as running:
        yield running


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)) or not any(map(shutil.which, ("docker", "podman", "buildah"))),
                    reason="skopeo, openssl, or docker, podman or buildah is not installed")
def test_page_works_as_printed(stack, tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/images.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6 and len(blocks[0].splitlines()) <= 10
    (tmp_path / "app").mkdir()
    shutil.copy("/bin/busybox", tmp_path / "app/busybox")
    (tmp_path / "app/Containerfile").write_text('FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT ["/bin/busybox"]\n')
    (tmp_path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    # skopeo wants a policy of the machine, which a container may not have
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/skopeo").write_text(f'#!/bin/sh\nexec {shutil.which("skopeo")} --policy {tmp_path}/policy.json "$@"\n')
    (tmp_path / "bin/skopeo").chmod(0o755)
    (tmp_path / "bin/strongroom").symlink_to(program_with_hooks().resolve())
    subprocess.run([tmp_path / "bin/strongroom", "image", "build", "app", "plain"], cwd=tmp_path, check=True, timeout=120)
    done = subprocess.run(["bash", "-euo", "pipefail"], input="\n".join(blocks), text=True, cwd=tmp_path, capture_output=True,
                          timeout=300, check=False, env={
                              **os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "XDG_CONFIG_HOME": str(tmp_path / "config"),
                              "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"), "TMPDIR": str(tmp_path), "URL": stack.url,
                              "CA": stack.ca, "KEY_FILE": str(stack.folder / "credentials/acme-owner.key")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tar+gzip+encrypted" in done.stdout and '"v1"' in done.stdout and "both deleted" in done.stdout and '"tags":["v3"]' in done.stdout
    assert (tmp_path / "opened/oci-layout").exists()
    assert stack.key("acme-owner") not in done.stdout + done.stderr
