# SPDX-License-Identifier: Apache-2.0
"""The second way in, run to its end from the command line alone, by the commands that docs/second-way.md prints: the example in
busybox's shell, which knows nothing of Strongroom, over a table in somebody's object store; its answer lies encrypted in that store,
for its owner to read."""
import hashlib
import json
import os
import pathlib
import re
import subprocess

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from local_stack import BUILD, ROOT, unique, wait_for
from object_store import ObjectStore
from printed import Page
from project import App

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver 'process' takes root")
TABLE = b'CODE,DESCRIPTION\n1,"Sinusitis, ""viral"""\n2,Gingivitis\n3,"Sinusitis, ""viral"""\n4,\n'
SAID = 'count 3\nunique 2\ntop Sinusitis, "viral"\nfreq 2\n'
APPLETS = "sh cat env find mktemp sed base64 awk touch tr head grep rm wc nc wget printf".split()
IN, OUT = "/tables/rows.csv", "/answers/1"
PAGE = Page("second-way.md")
PLAN, WORKFLOW = (block.splitlines() for block in PAGE.blocks("yaml"))


def program_files(path):
    """A program of this machine with what it is linked to, for an image."""
    linked = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
    return {file.lstrip("/"): (pathlib.Path(file).read_bytes(), 0o755) for file in [path, *re.findall(r"(/\S+) \(", linked)]}


def store_of(folder):
    """An object store at localhost, under a CA of its own: ca.pem."""
    def openssl(*words):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", *words],
                       check=True, cwd=folder, stderr=subprocess.DEVNULL, timeout=60)
    openssl("-subj", "/CN=store's CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("-subj", "/CN=store", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
            "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "store.key", "-out", "store.pem")
    return ObjectStore(folder / "store.pem", folder / "store.key", name="localhost")


class SecondWay(App):
    """The example's image, two datasets at the store, and a plan of a policy over both."""
    configured = ()  # of the plan's lines: an application of the catalogue, and its configuration

    def __init__(self, stack, folder, template="process-dev"):
        subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={BUILD}", "examples-second-way"], check=True)
        files = {f"bin/{name}": "busybox" for name in APPLETS}
        files["bin/aes-gcm"] = ((BUILD / "examples/aes-gcm").read_bytes(), 0o755)
        files["app/describe.sh"] = ((ROOT / "examples/second-way/shell/describe.sh").read_bytes(), 0o755)
        self.store, self.key = store_of(folder).__enter__(), os.urandom(32)
        files.update(program_files("/usr/bin/openssl"), **{"ca.pem": ((folder / "ca.pem").read_bytes(), 0o644)})
        super().__init__(BUILD / "bin/strongroom", stack, folder, unique("describe"), files, template=template)
        (folder / "offers").mkdir()
        nonce = os.urandom(12)
        self.sealed = nonce + AESGCM(self.key).encrypt(nonce, TABLE, None)
        self.store.put(IN, self.sealed)
        self.datasets = {"input": unique("drugs"), "output": unique("answer")}
        self.mine = {"drugs": self.datasets["input"], "answer": self.datasets["output"], "https://store.example/drugs.csv": self.store.url(IN),
                     "https://store.example/answers/1": self.store.url(OUT), "store.example:443": f"localhost:{self.store.port}",
                     "sha256:…": "sha256:" + hashlib.sha256(self.sealed).hexdigest()}
        self.type("dataset create")
        (folder / "drugs.key").write_text(self.key.hex())
        self.plan = re.sub(r" *pub_client: .*\n", "", self.plan)
        self.write_egress("managed")

    def type(self, *commands):
        """The page's lines that begin so, with what is this project's own in its places; what the last one prints."""
        for command in commands:
            for words in PAGE.lines(command, self.mine):
                said = self.run(*words).stdout
        return said.strip()

    def credentials(self, **queries):
        """Sealed for the datasets, then offered to the policy."""
        self.queries = {"input": self.store.query(IN), "output": self.store.query(OUT, "PUT"), **queries}
        self.mine["own.key"] = self.outputs("get-certs")["key"]
        (self.folder / "query").write_text(self.queries["input"])
        (self.folder / "query-put").write_text(self.queries["output"])
        self.type("dataset credentials", "offer --dataset")

    def write_egress(self, mode, *domains, script="/app/describe.sh"):
        allowed = f", domains: {json.dumps(domains)}" if domains else ""
        lines = [PLAN[0], PLAN[1].replace("managed", mode).replace("]}", f"]{allowed}}}"), *self.configured, "env: {PATH: /bin}"]
        task = "      prepare-policy:\n"
        assert self.plan.count(task) == 1
        whole = self.plan
        self.plan = whole.replace(task, task + "".join(f"        {line}\n" for line in lines))
        self.write_plan(["/bin/sh", script] if script.startswith("/app") else ["/bin/sh", "-euc", script])
        self.plan = whole

    def answer(self):
        self.run("dataset", "credentials", self.datasets["output"], "--out", "answer.credentials")
        key = bytes.fromhex(json.loads((self.folder / "answer.credentials").read_text())["encryption"]["key"])
        message = self.store.objects[OUT]
        return json.loads(AESGCM(key).decrypt(message[:12], message[12:], None))

    def locate(self, *options):
        self.run("dataset", "update", self.datasets["input"], *options)

    def fails(self, code):
        done = self.go(check=False)
        assert done.returncode != 0 and code in done.stderr, done.stderr
        return done


@pytest.fixture(scope="module")
def app(stack, tmp_path_factory):
    made = SecondWay(stack, tmp_path_factory.mktemp("second-way"))
    made.run("run", "--until", "get-certs")
    yield made
    made.delete_sandbox()
    made.store.__exit__()


def test_an_application_that_knows_nothing(app):
    app.credentials()
    app.go()
    assert app.answer() == {"returncode": 0, "stdout": SAID, "stderr": ""}
    assert app.store.asked == [("GET", IN, 200), ("PUT", OUT, 200)]
    receipt = app.receipt()
    assert receipt["inputs"][-1]["digest"].startswith("sha256:") and receipt["outputs"][0]["digest"].startswith("sha256:")
    used, = receipt["egress"]
    assert used["target"] == f"localhost:{app.store.port}" and used["connections"] == 2
    counted = wait_for(lambda: app.stack.sql(  # a moment behind
        "SELECT target FROM orchestrator.run_egress WHERE run_id = %s AND connections = 2 AND bytes_in >= %s",
        receipt["run"], used["bytes_in"]), "the host's count", 30)
    assert counted == [(used["target"],)] and used["bytes_in"] > len(app.sealed)


def test_what_a_location_refuses_ends_the_run(app):
    """Before the application starts: nothing is stored."""
    del app.store.objects[OUT], app.store.asked[:]
    app.credentials(input=app.store.query(IN, "GET", seconds=-1))
    app.fails("egress.refused")
    assert app.store.asked == [("GET", IN, 403)]


def test_other_bytes_than_the_policy_names(app):
    app.locate("--location", app.store.url(IN), "--digest", "sha256:" + hashlib.sha256(app.sealed).hexdigest())
    app.credentials()
    app.store.put(IN, app.sealed + b"x")
    app.fails("input.digest")
    app.store.put(IN, app.sealed)
    assert OUT not in app.store.objects


def test_a_host_that_nobody_lets_it_reach(app):
    app.locate("--location", f"https://store.invalid{IN}")
    app.credentials()
    app.fails("egress.address_refused")
    app.locate("--location", app.store.url(IN))


def test_a_space_that_nobody_knows(app):
    app.configured = ("space: nowhere",)
    app.write_egress("managed")
    del app.configured
    done = app.run("run", "--until", "prepare-policy", check=False)
    assert done.returncode != 0 and "client.not_found: space 'nowhere'" in done.stderr, done.stderr


def test_direct(app):
    """With TLS from the application to the approved domain, by the real query string, and to no other."""
    script = """
        field() { sed -n "s/.*\\"$2\\" *: *\\"\\([^\\"]*\\)\\".*/\\1/p" "$1"; }
        get() {
            printf 'GET %s HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' "$2" |
                /usr/bin/openssl s_client -quiet -verify_return_error -CAfile /ca.pem -proxy ${HTTPS_PROXY#http://} -connect $1 2>&1 | grep -m 1 -E '^HTTP|CONNECT'
        }
        here=$(echo /opt/fortanix/enclave-os/app-config/rw/input/*/dataset)
        location=$(cat $here/location.txt); host=${location#https://}
        get ${host%%/*} "/${host#*/}?$(field $here/credentials.bin query_string | base64 -d)"
        get localhost:1 / || echo none
    """
    app.write_egress("direct", f"localhost:{app.store.port}", script=script)
    app.credentials()
    del app.store.asked[:]
    app.go()
    said = app.stdout() + (app.folder / "output/stderr").read_text()
    reached, refused = app.stdout().splitlines() or [said, said]
    assert reached.startswith("HTTP/1.1 200") and "403" in refused, app.stdout()
    assert app.store.asked == [("GET", IN, 200)]
    read = app.run("policy", "show", "policy/policy.json").stdout  # what is shown when people approve
    assert f"the app can send anything to localhost:{app.store.port}, outside the receipt\n" in read, read
    receipt = app.receipt()
    assert [(used["target"], used["connections"]) for used in receipt["egress"]] == [(f"localhost:{app.store.port}", 1)]
    assert receipt["outputs"][0]["digest"] is None
