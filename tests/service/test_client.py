# SPDX-License-Identifier: Apache-2.0
"""The client against real services: profile, setup, the data task under kill -9 at every point, files by hand."""
import http.server
import json
import os
import re
import ssl
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from client_project import Project, program_with_hooks
from local_stack import LocalStack, unique

BOX = "sbx_0190f1c2aaaa7bbb8cccdddddddddddd"
PARTS = ["postgres", "redis", "certreg", "policy", "orchestrator", "edge"]
PLAN = """
- name: conditions-describe
  tasks:
    - get-certs: {name: client}
      register: cert_metadata
    - get-data-projection:
        projection_id: conditions
        data_identifier: data/conditions.csv
        certificate: {{ cert_metadata "certificate" }}
      register: data_metadata
"""


@pytest.fixture(scope="module")
def program():
    return program_with_hooks()


@pytest.fixture(scope="module")
def stack():
    with LocalStack(PARTS) as running:
        yield running


@pytest.fixture
def project(program, stack, tmp_path):
    made = Project(program, stack, tmp_path)
    made.configure()
    made.prepare()
    (tmp_path / "data.yml").write_text(PLAN)
    return made


def test_profile_is_private(project):
    assert project.profile().stat().st_mode & 0o777 == 0o700
    for file in project.profile().iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file
    (project.profile() / "credentials").chmod(0o640)
    refused = project.run("cert", "list", check=False)
    assert refused.returncode == 4 and "profile.permissions" in refused.stderr


def test_help_of_every_command(program):
    def said(*arguments):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), arguments
        return done.stdout

    listed = said("--help")
    assert listed == said("-h") == said("help")
    commands = re.findall(r"^  (\w[\w-]*) +\w", listed.split("strongroom setup && strongroom run")[1], re.MULTILINE)
    assert len(commands) > 20
    for command in commands:
        assert said(command, "--help") == said(command, "show", "--help") == said(command, "-h") == said("help", command)


def test_wrong_api_key_is_exit_4(program, stack, tmp_path):
    made = Project(program, stack, tmp_path)
    key = stack.key("acme-owner")
    wrong = key[:-2] + ("AA" if key[-2:] != "AA" else "BB")
    done = made.run("configure", "--url", stack.url, "--ca", stack.ca, "--key-file", "-", stdin=wrong, check=False)
    assert done.returncode == 4, done.stderr
    assert wrong not in done.stderr + done.stdout


def test_unreachable_server_is_exit_9(project):
    config = project.profile() / "profile.json"
    config.write_text(json.dumps({"v": 1, "url": "https://localhost.invalid:1"}))
    done = project.run("cert", "list", check=False)
    assert done.returncode == 9, done.stderr


def test_wrong_ca_is_refused(program, stack, tmp_path):
    made = Project(program, stack, tmp_path)
    subprocess.run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -out ca -subj /CN=x",
                   shell=True, check=True, cwd=tmp_path, stderr=subprocess.DEVNULL)
    done = made.run("configure", "--url", stack.url, "--ca", "ca", "--key-file", "-", stdin=stack.key("acme-owner"),
                    check=False)
    assert done.returncode == 9 and "upstream.tls" in done.stderr


class Liar(http.server.BaseHTTPRequestHandler):
    """A server that gives tokens, and whatever the test likes for a sandbox."""

    def do_POST(self):
        self.say({"access_token": "t", "expires_in": 600})

    def do_GET(self):
        self.say(self.server.answer if "/v1/sandboxes/" in self.path else {"id": "tnt" + BOX[3:], "name": "liar", "space": "spc" + BOX[3:]})

    def say(self, words):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        text = json.dumps(words).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def liar(tmp_path):
    certificate = tmp_path / "liar.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-keyout", certificate, "-out", tmp_path / "liar-ca.pem", "-subj", "/CN=liar", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "liar-ca.pem", certificate)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_sandbox_that_is_none(program, stack, tmp_path, liar):
    """What is no sandbox, or is another one, is refused by its form; nothing falls over."""
    made = Project(program, stack, tmp_path)
    made.run("configure", "--url", f"https://127.0.0.1:{liar.server_address[1]}", "--ca", "liar-ca.pem", "--key-file", "-",
             stdin=stack.key("acme-owner"))
    for answer in ({}, {"id": BOX, "state": None}, {"id": "../" + BOX, "state": "ready"}):
        liar.answer = answer
        done = made.run("sandbox", "wait", BOX, check=False)
        assert done.returncode == 9 and "upstream.answer" in done.stderr, (done.returncode, done.stderr)
    liar.answer = {"id": BOX, "state": "ready"}
    assert made.run("sandbox", "wait", BOX).stdout == f"{BOX} ready\n"


def test_setup_makes_the_project(project):
    for folder in ("build", "output", "certs", "app", "policy", "artefacts", "keys"):
        assert (project.folder / folder).is_dir()
    assert project.run("setup", "--answers", "answers.yml", check=False).returncode == 1
    tasks = [json.loads(line) for line in project.run("--json", "plan").stdout.splitlines()]
    assert tasks[0]["type"] == "version"
    verdicts = [task for task in tasks if task["type"] == "result"]
    assert len(verdicts) == 13 and {task["verdict"] for task in verdicts} == {"run"}
    assert project.run("plan", "--exit-code", check=False).returncode == 3


def test_setup_without_columns_names_all_of_the_data(project):
    answers, plan = (project.folder / "answers.yml").read_text(), (project.folder / "main.yml").read_bytes()
    columns, name = next(line for line in answers.splitlines() if "columns:" in line), unique("all")
    answers = answers.replace(columns + "\n", "").replace("name: conditions\n", f"name: {name}\n")
    (project.folder / "all.yml").write_text(answers)
    data = project.folder / "data/conditions.csv"
    kept = data.read_bytes()
    data.unlink()
    refused = project.run("setup", "--answers", "all.yml", "--force", check=False)
    assert refused.returncode == 1 and "conditions.csv" in refused.stderr
    assert (project.folder / "main.yml").read_bytes() == plan
    data.write_bytes(kept)
    done = project.run("setup", "--answers", "all.yml", "--force")
    made = next(item for item in project.stack.client("acme-owner").get("/v1/projections").json()["items"] if item["name"] == name)
    assert made["columns"] == kept.split(b"\n")[0].strip().decode().split(",") and len(made["columns"]) == 6
    assert json.dumps(made["columns"], separators=(",", ":")) in done.stderr
    nothing = project.run("projection", "create", "--name", unique("none"), check=False)
    assert nothing.returncode != 0 and "projection.no_columns" in nothing.stderr
    by_hand = project.run("projection", "create", "--name", unique("hand"), "--data", str(data)).stdout.strip()
    assert json.loads(project.run("projection", "show", by_hand).stdout)["columns"] == made["columns"]


def test_keys_and_certificate_are_made_once(project):
    project.run("run", "--until", "get-symmetric-algokey")
    first = project.state()["tasks"]["get-certs"]["outputs"]
    (project.folder / ".pbstate").unlink()
    project.run("run", "--until", "get-symmetric-algokey")
    assert project.state()["tasks"]["get-certs"]["outputs"] == first
    for file in (project.folder / "keys").glob("*.jwe"):
        assert file.stat().st_mode & 0o777 == 0o600
        assert "PRIVATE" not in file.read_text() and '"d"' not in file.read_text()
    assert "PRIVATE" not in (project.folder / ".pbstate").read_text()


def versions(project):
    member = project.stack.client("acme-owner")
    sets = [item for item in member.get("/v1/datasets").json()["items"] if item["name"] == "conditions"]
    assert len(sets) <= 1
    return member.get(f"/v1/datasets/{sets[0]['id']}/versions").json()["items"] if sets else []


def test_killed_at_every_point_does_nothing_twice(project):
    data = project.folder / "data/conditions.csv"
    log = project.folder / "points"
    project.run("run", "--plan", "data.yml", STRONGROOM_CRASH_LOG=str(log))
    project.run("run", "--plan", "data.yml", "--from", "get-data-projection", STRONGROOM_CRASH_LOG=str(log))
    passed = log.read_text().splitlines()
    points = {}
    for point in passed[len(passed) // 2:]:
        points[point] = points.get(point, 0) + 1
    points = [f"{name}#{number}" for name, times in points.items() for number in range(1, times + 1)]
    assert len([point for point in points if point.startswith("checkpoint-")]) >= 8
    for point in points:
        data.write_bytes(data.read_bytes() + b"2001-01-01,,p,e,1," + point.encode() + b"\n")
        before = len(versions(project))
        killed = project.run("run", "--plan", "data.yml", check=False, STRONGROOM_CRASH_AT=point)
        project.run("run", "--plan", "data.yml")
        known = versions(project)
        assert len(known) == before + 1, (point, killed.returncode)
        outputs = project.state()["tasks"]["get-data-projection"]["outputs"]
        newest = max(known, key=lambda item: item["version"])
        assert newest["digest"] == outputs["digest"] and newest["object"] == outputs["object"], point
        again = project.run("--json", "run", "--plan", "data.yml").stdout
        assert [json.loads(line)["state"] for line in again.splitlines()[1:]] == ["skip", "skip"], point


def test_too_few_rows_uploads_nothing(project):
    before = len(versions(project))
    (project.folder / "data/conditions.csv").write_text("START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\na,b,c,d,1,x\n")
    done = project.run("run", "--plan", "data.yml", check=False)
    assert done.returncode == 1 and "projection.too_few_rows" in done.stderr
    assert len(versions(project)) == before
    assert not list((project.folder / "build").glob("input-*"))


def test_second_program_is_locked_out(project):
    holder = subprocess.Popen(["flock", project.folder / ".pbstate.lock", "cat"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    holder.stdin.write("held\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "held\n"
    done = project.run("run", "--plan", "data.yml", check=False)
    holder.communicate()
    assert done.returncode == 1 and "state.locked" in done.stderr


def test_git_at_a_ref(project):
    repository = project.folder / "repository"
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    commits = []
    for content in ("one", "two"):
        (repository / "app").mkdir(exist_ok=True)
        (repository / "app/file").write_text(content)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", content], check=True)
        commits.append(subprocess.run([*git, "rev-parse", "HEAD"], check=True, text=True, stdout=subprocess.PIPE).stdout.strip())
    for ref, content in ((commits[0], "one"), ("main", "two")):
        (project.folder / "git.yml").write_text(
            f"- tasks:\n    - populate-codebase: {{url: '{repository}', ref: {ref}, code_path: app, dest: taken}}\n")
        project.run("run", "--plan", "git.yml")
        assert (project.folder / "taken/file").read_text() == content
        assert project.state()["tasks"]["populate-codebase"]["outputs"]["commit"] == commits[content == "two"]
    (project.folder / "taken/.git").mkdir()  # of its owner, though nothing else is altered
    (project.folder / "git.yml").write_text(
        f"- tasks:\n    - populate-codebase: {{url: '{repository}', ref: {commits[0]}, code_path: app, dest: taken}}\n")
    refused = project.run("run", "--plan", "git.yml", check=False)
    assert refused.returncode == 1 and "codebase.in_the_way" in refused.stderr and (project.folder / "taken/.git").is_dir()
    (project.folder / "taken/.git").rmdir()
    (project.folder / "taken/file").write_text("mine")
    (project.folder / "git.yml").write_text(
        f"- tasks:\n    - populate-codebase: {{url: '{repository}', ref: {commits[0]}, code_path: app, dest: taken}}\n")
    refused = project.run("run", "--plan", "git.yml", check=False)
    assert refused.returncode == 1 and "codebase.in_the_way" in refused.stderr
    assert (project.folder / "taken/file").read_text() == "mine"


def test_small_format_is_nonce_ciphertext_tag(project):
    (project.folder / "plain").write_bytes(b"nobody shall know")
    project.run("encrypt", "--key-file", "key", "--new-key", "plain", "sealed")
    key, sealed = bytes.fromhex((project.folder / "key").read_text()), (project.folder / "sealed").read_bytes()
    assert (project.folder / "key").stat().st_mode & 0o777 == 0o600
    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], None) == b"nobody shall know"
    project.run("decrypt", "--key-file", "key", "sealed", "opened")
    assert (project.folder / "opened").read_bytes() == b"nobody shall know"
    (project.folder / "sealed").write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    refused = project.run("decrypt", "--key-file", "key", "sealed", "tampered", check=False)
    assert refused.returncode == 1 and "aead.tampered" in refused.stderr
    assert not (project.folder / "tampered").exists()


def test_stream_format_gives_no_name_to_what_is_not_whole(project):
    plain = os.urandom(3_000_000)
    (project.folder / "plain").write_bytes(plain)
    project.run("encrypt", "--format", "stream", "--key-file", "key", "--new-key", "--aad", "a", "plain", "sealed")
    project.run("decrypt", "--format", "stream", "--key-file", "key", "--aad", "a", "sealed", "opened")
    assert (project.folder / "opened").read_bytes() == plain
    sealed = (project.folder / "sealed").read_bytes()
    (project.folder / "cut").write_bytes(sealed[:2_000_000])
    for file, aad in (("cut", "a"), ("sealed", "b")):
        done = project.run("decrypt", "--format", "stream", "--key-file", "key", "--aad", aad, file, "bad", check=False)
        assert done.returncode == 1 and "aead." in done.stderr
        assert not list(project.folder.glob("bad*"))
