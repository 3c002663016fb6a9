# SPDX-License-Identifier: Apache-2.0
"""The local stack as a user starts it (deploy/local/stack), and its members as HTTP clients at the edge."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

import psycopg2
import requests

import traffic

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD") or "build")
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
AUDIENCES = {
    "tenants": "certreg", "spaces": "certreg", "invitations": "certreg", "members": "certreg", "keys": "certreg",
    "challenges": "certreg", "certificates": "certreg",
    "templates": "provisioner", "sandboxes": "provisioner", "quotas": "provisioner",
    "policies": "policy", "pipelines": "policy", "datasets": "policy", "projections": "policy", "workflows": "policy", "orders": "policy",
    "runs": "orchestrator", "objects": "orchestrator",
    "images": "registry-gw", "registry": "registry-gw",
}


def wait_for(condition, what, limit_s=180):
    """Polls until condition() is true, and returns its value."""
    end = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        time.sleep(0.02)
    return value


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class LocalStack:
    """`parts`: all of them unless named."""

    running = []

    def __init__(self, parts=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="strongroom-test-"))
        self.folder.chmod(0o755)
        self.parts = parts or os.environ.get("STACK_PARTS", "").split()
        self.env = {**os.environ, "STACK": str(self.folder), "BUILD": str(BUILD), "STACK_LIMIT_S": "120", "FETCH_PREFIXES": "127.0.0.0/8",
                    "FETCH_PORTS": "1024-65535"}

    def command(self, *arguments, check=True):
        return subprocess.run([ROOT / "deploy/local/stack", *arguments], env=self.env, check=check, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)

    def __enter__(self):
        try:
            self.command("up", *self.parts)
        except subprocess.CalledProcessError as failure:
            self.__exit__(None, None, None)
            raise AssertionError(failure.stdout) from failure
        self.url = (self.folder / "etc/base-url").read_text().strip() if (self.folder / "etc/base-url").exists() \
            else self._url_of_config()
        self.ca = str(self.folder / "pki/ca.pem")
        LocalStack.running.append(self)
        return self

    def _url_of_config(self):
        for line in (self.folder / "etc/policy.conf").read_text().splitlines():
            if line.startswith("base_url"):
                return line.split("=", 1)[1].strip()
        raise AssertionError("no base_url in etc/policy.conf")

    def __exit__(self, *_):
        if self in LocalStack.running:
            LocalStack.running.remove(self)
        self.command("down", check=False)
        keep = os.environ.get("KEEP_STACK")
        self.command("purge", check=False) if not keep else None
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def status(self):
        return json.loads(self.command("status", "--json", check=False).stdout)

    def pid(self, part):
        return int((self.folder / f"pids/{part}.pid").read_text().split()[0])

    def deaths(self):
        """What the logs say last of parts that ended unasked, such as a sanitizer's report."""
        ended = [file.stem for file in (self.folder / "pids").glob("*.pid") if not alive(self.pid(file.stem))]
        return {part: (self.folder / f"log/{part}.log").read_text(errors="replace")[-6000:] for part in ended}

    def kill(self, part):
        """As with kill -9; returns when the process is gone. `command("up")` repairs."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), f"end of '{part}'")

    @property
    def sockets(self):
        """The folder of the sockets."""
        return pathlib.Path(re.search(r"host=(\S+)/postgres ", (self.folder / "etc/policy.conf").read_text())[1])

    def connect(self):
        """The database's administrator, whom no row-level security binds."""
        return psycopg2.connect(host=str(self.sockets / "postgres"), user="postgres", dbname="strongroom")

    def sql(self, statement, *arguments):
        """Rows of the administrator's statement."""
        connection = self.connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, arguments or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def key(self, member):
        return (self.folder / f"credentials/{member}.key").read_text().strip()

    def client(self, member):
        return Client(self, self.key(member))


class Client:
    """One member at the edge; tokens are fetched per audience and kept."""

    def __init__(self, stack, key):
        self.stack, self.key, self.tokens = stack, key, {}
        self.http = requests.Session()
        self.http.trust_env = False  # no proxy, no other CA bundle
        self.http.verify = stack.ca
        self.http.hooks["response"].append(traffic.observe)

    def token(self, audience):
        known = self.tokens.get(audience)
        if not known or known[1] < time.time():
            answer = self.http.post(f"{self.stack.url}/v1/token", data={
                "grant_type": "client_credentials", "audience": audience,
                "client_id": "key_" + self.key.split("_")[1], "client_secret": self.key})
            assert answer.status_code == 200, answer.text
            known = (answer.json()["access_token"], time.time() + 300)
            self.tokens[audience] = known
        return known[0]

    def ask(self, method, path, *, headers=None, **more):
        audience = AUDIENCES.get(path.split("/")[2].split("?")[0], "policy")
        headers = {"Authorization": f"Bearer {self.token(audience)}", **(headers or {})}
        return self.http.request(method, self.stack.url + path, headers=headers, timeout=120, **more)

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body=None, key=None, **more):
        headers = {**more.pop("headers", {}), **({"Idempotency-Key": key} if key else {})}
        if body is not None:
            more["json"] = body
        return self.ask("POST", path, headers=headers, **more)

    def put(self, path, body, etag=None, **more):
        headers = {"If-Match": etag} if etag else {}
        return self.ask("PUT", path, json=body, headers=headers, **more)

    def delete(self, path, etag=None, **more):
        headers = {"If-Match": etag} if etag else {}
        return self.ask("DELETE", path, headers=headers, **more)

    def made(self, path, body, **more):
        """A create that must work: its record."""
        answer = self.post(path, body, **more)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json()

    def space(self):
        return self.get("/v1/tenants/self").json()["space"]


def problem(answer, status, code):
    """The answer is a refusal of exactly that kind; returns its problem document."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    body = answer.json()
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert body["code"] == code, body
    assert body["request_id"] and body["status"] == status
    return body


def unique(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"
