# SPDX-License-Identifier: Apache-2.0
"""Backup and restore of a whole stack: what its members made is there again, and nothing altered gets in."""
import base64
import hashlib
import io
import os
import pathlib
import re
import secrets
import shutil
import stat
import tarfile
import tempfile

import pytest

from certreg_stack import P256
from local_stack import LocalStack, unique
from test_objects import uploaded
from trust import World

DATA = os.urandom(1 << 20)


def register(client, folder):
    """A certificate, registered with proof of possession."""
    key = P256(folder / "somebody.key")
    challenge = client.made("/v1/challenges", {"spki": key.spki()})
    nonce, tenant = secrets.token_hex(32), client.get("/v1/tenants/self").json()["name"]
    message = f"strongroom-cert-pop-v1\n{client.stack.url}\n{tenant}\n{key.spki()}\n{challenge['nonce']}\n{nonce}\n"
    return client.made("/v1/certificates", {"certificate_pem": key.certificate("somebody"), "proof": {
        "challenge": challenge["id"], "client_nonce": nonce,
        "signature": base64.b64encode(key.sign(message.encode())).decode()}})


class Saved:
    """A stack with a policy, an object and a certificate, its backup, and what came after the backup."""

    def __init__(self, stack, folder):
        self.stack, self.folder = stack, folder
        owner = stack.client("acme-owner")
        world = World(owner.space())
        self.policy = owner.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})
        self.object = uploaded(owner, DATA)
        self.certificate = register(owner, folder.parent)
        said = stack.command("backup", str(folder)).stdout
        self.digest = re.search(r"sha256:[0-9a-f]{64}", said)[0]
        self.late = owner.made("/v1/projections", {"name": unique("late"), "columns": ["A"]})

    def check(self, stack):
        owner = stack.client("acme-owner")
        shown = owner.get(f"/v1/policies/{self.policy['id']}").json()
        assert shown["document"] == self.policy["document"] and shown["approvals"] == self.policy["approvals"]
        assert owner.get(self.object).content == DATA
        certificate = owner.get(f"/v1/certificates/{self.certificate['id']}").json()
        assert certificate == self.certificate
        assert owner.get(f"/v1/projections/{self.late['id']}").status_code == 404
        uploaded(owner, b"made after the restore")


@pytest.fixture(scope="module")
def saved(stack):
    with tempfile.TemporaryDirectory(prefix="strongroom-backup-") as folder:
        yield Saved(stack, pathlib.Path(folder) / "one")


@pytest.fixture
def altered(saved, tmp_path):
    """A copy of the backup, to be tampered with."""
    copy = tmp_path / "altered"
    shutil.copytree(saved.folder, copy)
    return copy


@pytest.fixture
def empty():
    """A stack that was never started."""
    other = LocalStack()
    yield other
    other.__exit__(None, None, None)


def restored(stack):
    for path in sorted(stack.folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            return path
    return None


def seal(folder):
    """Digests as backup writes them: what somebody does who alters a backup with care."""
    (folder / "SHA256SUMS").write_text("".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in ("database.dump", "files.tar")))


def test_backup_is_private_and_the_stack_runs_on(saved):
    assert stat.S_IMODE(saved.folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in saved.folder.iterdir()) == ["SHA256SUMS", "database.dump", "files.tar"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved.folder.iterdir()} == {0o600}
    parts = {part["part"]: part["state"] for part in saved.stack.status()["parts"]}
    wanted = saved.stack.parts or list(parts)
    assert {parts[part] for part in wanted} == {"running"}


def test_nothing_is_restored_onto_a_running_stack(saved):
    done = saved.stack.command("restore", str(saved.folder), check=False)
    assert done.returncode != 0 and "runs: 'stack down' first" in done.stdout
    assert saved.stack.client("acme-owner").get(f"/v1/projections/{saved.late['id']}").status_code == 200


def test_an_existing_folder_is_not_overwritten(saved):
    done = saved.stack.command("backup", str(saved.folder), check=False)
    assert done.returncode != 0 and "exists" in done.stdout


@pytest.mark.parametrize("name", ["database.dump", "files.tar", "SHA256SUMS"])
def test_one_altered_byte_is_refused(altered, empty, name):
    data = bytearray((altered / name).read_bytes())
    data[len(data) // 2] ^= 1
    (altered / name).write_bytes(data)
    done = empty.command("restore", str(altered), check=False)
    assert done.returncode != 0 and "digests do not match" in done.stdout
    assert restored(empty) is None


@pytest.mark.parametrize("name", ["database.dump", "files.tar", "SHA256SUMS"])
def test_a_missing_file_is_refused(altered, empty, name):
    (altered / name).unlink()
    done = empty.command("restore", str(altered), check=False)
    assert done.returncode != 0 and f"lacks '{name}'" in done.stdout
    assert restored(empty) is None


@pytest.mark.parametrize("member", [
    {"name": "keys/link", "type": tarfile.SYMTYPE, "linkname": "../objects"}, {"name": "bin/strongroom-certreg"},
    {"name": "objects/device", "type": tarfile.CHRTYPE}, {"name": "../outside"}, {"name": "keys/../../outside"},
])
def test_an_archive_with_anything_else_is_refused(altered, empty, member):
    info = tarfile.TarInfo()
    for name, value in member.items():
        setattr(info, name, value)
    with tarfile.open(altered / "files.tar", "a") as archive:
        archive.addfile(info, io.BytesIO())
    seal(altered)
    done = empty.command("restore", str(altered), check=False)
    assert done.returncode != 0 and "holds what no backup has" in done.stdout
    assert restored(empty) is None


def test_a_resealed_backup_has_another_digest(saved, altered, empty):
    with tarfile.open(altered / "files.tar", "a") as archive:
        archive.addfile(tarfile.TarInfo("keys/extra"), io.BytesIO())
    seal(altered)
    done = empty.command("restore", str(altered), saved.digest, check=False)
    assert done.returncode != 0 and "is not the backup with the digest" in done.stdout
    assert restored(empty) is None


def test_a_failed_restore_leaves_the_stack_as_it_was(saved, altered):
    """The dump is cut, and its digest made anew: Postgres finds out in the middle of the work."""
    dump = (altered / "database.dump").read_bytes()
    (altered / "database.dump").write_bytes(dump[:len(dump) // 2])
    seal(altered)
    stack = saved.stack
    stack.command("down")
    try:
        done = stack.command("restore", str(altered), check=False)
        assert done.returncode != 0 and "as it was before" in done.stdout, done.stdout
    finally:
        stack.command("up", *stack.parts)
    owner = stack.client("acme-owner")
    assert owner.get(f"/v1/projections/{saved.late['id']}").status_code == 200
    assert owner.get(saved.object).content == DATA


def test_everything_is_there_again_in_an_empty_stack(saved, empty):
    saved.stack.command("down")  # its edge has the port that clients of the backup know
    try:
        empty.command("restore", str(saved.folder), saved.digest)
        with empty:
            saved.check(empty)
            for path in (empty.folder / "keys").rglob("*"):
                before = saved.stack.folder / path.relative_to(empty.folder)
                assert path.stat().st_uid == before.stat().st_uid
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    finally:
        saved.stack.command("up", *saved.stack.parts)


def test_a_stopped_stack_goes_back_to_the_backup(saved):
    stack = saved.stack
    stack.command("down")
    try:
        stack.command("restore", str(saved.folder), saved.digest)
    finally:
        stack.command("up", *stack.parts)
    saved.check(stack)
