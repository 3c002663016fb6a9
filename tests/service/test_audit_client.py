# SPDX-License-Identifier: Apache-2.0
"""`strongroom audit` and what a profile keeps: the log's key, the newest checkpoint, and that each newer one extends it."""
import base64
import fcntl
import hashlib
import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import merkle
from client_project import Project
from local_stack import BUILD, LocalStack, wait_for

PARTS = ["postgres", "redis", "certreg", "edge"]


@pytest.fixture(scope="module")
def stack():
    with LocalStack(PARTS) as running:
        yield running


@pytest.fixture
def project(stack, tmp_path):
    made = Project(BUILD / "bin/strongroom", stack, tmp_path)
    made.configure()
    return made


@pytest.fixture
def witness_key(tmp_path):
    subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", tmp_path / "witness.pem"], check=True)
    return tmp_path / "witness.pem"


def is_refused(done, code):
    assert done.returncode == 7 and code in done.stderr, done.stdout + done.stderr
    return True


def look(project, witness_key):
    """Makes the client ask for the newest checkpoint; the instance knows no witness, which is said after that."""
    done = project.run("audit", "witness", "--key", str(witness_key), "--name", "witness.test/1", check=False)
    assert done.returncode != 0
    return done


def log_key(stack, file=None):
    """The verifier key of C2SP's signed-note, from the private one."""
    name = stack.url.removeprefix("https://") + "/audit"
    public = b"\1" + subprocess.run(["openssl", "pkey", "-in", file or stack.folder / "keys/audit-log-key.pem", "-pubout", "-outform",
                                     "DER"], check=True, stdout=subprocess.PIPE).stdout[-32:]
    key_id = hashlib.sha256(name.encode() + b"\n" + public).hexdigest()[:8]
    return f"{name}+{key_id}+{base64.b64encode(public).decode()}"


def note_by(stack, tmp_path, size, root):
    """A checkpoint that the log's own key signs, of a log that is not this one."""
    name, key_id, _ = log_key(stack).split("+", 2)
    text = f"{name}\n{size}\n{base64.b64encode(root).decode()}\n"
    (tmp_path / "text").write_text(text)
    signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", stack.folder / "keys/audit-log-key.pem", "-in",
                                tmp_path / "text"], check=True, stdout=subprocess.PIPE).stdout
    return f"{text}\n\u2014 {name} {base64.b64encode(bytes.fromhex(key_id) + signature).decode()}\n"


def test_key_is_shown_and_pinned_when_nobody_told_it(stack, tmp_path, witness_key):
    made = Project(BUILD / "bin/strongroom", stack, tmp_path)
    done = made.configure()
    assert log_key(stack) in done.stdout + done.stderr
    assert (made.profile() / "log-key").read_text() == log_key(stack)
    assert "audit.unknown_witness" in look(made, witness_key).stderr
    assert merkle.Head((made.profile() / "checkpoint").read_text()).signed_by(log_key(stack), tmp_path)


@pytest.mark.parametrize("right", [True, False])
def test_key_of_the_trust_file_counts(stack, tmp_path, witness_key, right):
    made = Project(BUILD / "bin/strongroom", stack, tmp_path)
    trust = json.loads((tmp_path / "trust.json").read_text())
    trust["log_key"] = log_key(stack) if right else log_key(stack, witness_key)
    (tmp_path / "trust.json").write_text(json.dumps(trust))
    made.configure()
    assert not (made.profile() / "log-key").exists()
    done = look(made, witness_key)
    assert "audit.unknown_witness" in done.stderr if right else is_refused(done, "log.unsigned")


def test_list_export_verify(stack, project, tmp_path):
    wait_for(lambda: "token.issue" in project.run("audit", "list").stdout, "the own token is recorded")
    records = [json.loads(line) for line in project.run("--json", "audit", "list", "--action", "token.issue").stdout.splitlines()]
    assert {record["action"] for record in records if "action" in record} == {"token.issue"}
    project.run("audit", "export", "log.ndjson")
    done = project.run("audit", "verify", "log.ndjson")
    assert "in order" in done.stdout and "key comes from the file" not in done.stderr
    lines = (tmp_path / "log.ndjson").read_text().splitlines()
    (tmp_path / "log.ndjson").write_text("\n".join(line.replace("token.issue", "token.other") for line in lines) + "\n")
    assert is_refused(project.run("audit", "verify", "log.ndjson", check=False), "log.record_altered")


@pytest.mark.parametrize("size", [1, 2, 10 ** 6])
def test_another_log_than_before_is_refused(stack, project, witness_key, tmp_path, size):
    look(project, witness_key)
    kept = project.profile() / "checkpoint"
    assert merkle.Head(kept.read_text()).size > 2
    kept.write_text(note_by(stack, tmp_path, size, bytes(32)))
    assert is_refused(look(project, witness_key), "log.inconsistent")
    assert merkle.Head(kept.read_text()).size == size, "what was seen before stays"


def test_checkpoint_of_another_process_is_never_replaced_by_an_older_one(stack, project, witness_key, tmp_path):
    look(project, witness_key)
    folder, kept = project.profile(), project.profile() / "checkpoint"
    waiting = re.compile(rf"-> FLOCK .*:{folder.stat().st_ino} ")
    with ThreadPoolExecutor() as pool:
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = pool.submit(look, project, witness_key)
            wait_for(lambda: waiting.search(Path("/proc/locks").read_text()), "the client waits for the profile", 30)
            kept.write_text(note_by(stack, tmp_path, 10 ** 6, bytes(32)))
        finally:
            os.close(lock)
        assert is_refused(done.result(), "log.inconsistent")
    assert merkle.Head(kept.read_text()).size == 10 ** 6


def test_altered_checkpoint_file_is_refused(project, witness_key):
    look(project, witness_key)
    kept = project.profile() / "checkpoint"
    head = merkle.Head(kept.read_text())
    kept.write_text(kept.read_text().replace(f"\n{head.size}\n", f"\n{head.size - 1}\n"))
    assert is_refused(look(project, witness_key), "log.wrong_signature")
