# SPDX-License-Identifier: Apache-2.0
"""The examples of the second way in, each against an object store with signed URLs and with nothing of Strongroom around it, in a
file system where their files are where they look for them; and the object store itself."""
import base64
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from conftest import BUILD, ROOT
from making import make
from object_store import ObjectStore
from test_agent import pki  # noqa: F401

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace takes root")
EXAMPLES = ROOT / "examples/second-way"
RW = "/opt/fortanix/enclave-os/app-config/rw"
TABLE = b'CODE,DESCRIPTION\n1,"Sinusitis, ""viral"""\n2,Gingivitis\n3,"Sinusitis, ""viral"""\n4,\n'
SAID = 'count 3\nunique 2\ntop Sinusitis, "viral"\nfreq 2\n'


def seal(key, plain):
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, plain, None)


def unseal(key, message):
    return AESGCM(key).decrypt(message[:12], message[12:], None)


class Case:
    """One input and one output at a store, and a folder that an app takes for its root's /opt/fortanix."""

    def __init__(self, store, folder, table=TABLE):
        self.store, self.folder = store, folder / "app-config"
        self.keys = {"input": os.urandom(32), "output": os.urandom(32)}
        store.put("/tables/a b.csv".replace(" ", "%20"), seal(self.keys["input"], table))
        self.place("input", "table", "/tables/a%20b.csv", "GET")
        self.place("output", "answer", "/answers/1", "PUT")

    def place(self, port, name, path, method, **changes):
        folder = self.folder / "rw" / port / name / "dataset"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "location.txt").write_text(self.store.url(path))
        query = changes.get("query", self.store.query(path, method))
        (folder / "credentials.bin").write_text(json.dumps({
            "query_string": base64.b64encode(query.encode()).decode(), "encryption": {"key": self.keys[port].hex()}}, separators=(",", ":")))

    def run(self, argv, **env):
        """In a mount namespace of its own, with this folder in its place."""
        script = ('mount -t tmpfs none /opt && mkdir -p /opt/fortanix/enclave-os/app-config && '
                  'mount --bind "$0" /opt/fortanix/enclave-os/app-config && exec "$@"')
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, self.folder, *argv],
                              env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, timeout=60)

    def answer(self):
        return json.loads(unseal(self.keys["output"], self.store.objects["/answers/1"]))


@pytest.fixture(scope="session")
def shell(tmp_path_factory):
    """A folder of busybox's applets and aes-gcm: the image's /bin."""
    if not (BUILD / "examples/aes-gcm").exists():
        make(BUILD, "examples-second-way")
    folder = tmp_path_factory.mktemp("bin")
    shutil.copy("/bin/busybox", folder)
    subprocess.run([folder / "busybox", "--install", "-s", folder], check=True)
    shutil.copy(BUILD / "examples/aes-gcm", folder)
    return folder


@pytest.fixture(params=["python", "shell"])
def app(request):
    if request.param == "python":
        return lambda case, **env: case.run([sys.executable, EXAMPLES / "python/describe.py"], **env)
    folder = request.getfixturevalue("shell")
    return lambda case, **env: case.run(
        ["env", f"PATH={folder}", folder / "sh", EXAMPLES / "shell/describe.sh"], **env)


@pytest.fixture
def store():
    with ObjectStore() as made:
        yield made


@AS_ROOT
def test_an_app_reads_works_and_writes(app, store, tmp_path):
    case = Case(store, tmp_path)
    done = app(case)
    assert done.returncode == 0, done.stderr
    assert case.answer() == {"returncode": 0, "stdout": SAID, "stderr": ""}
    assert store.asked == [("GET", "/tables/a%20b.csv", 200), ("PUT", "/answers/1", 200)]


@AS_ROOT
def test_an_app_tells_of_its_failure_where_its_output_is(app, store, tmp_path):
    case = Case(store, tmp_path)
    data = bytearray(store.objects["/tables/a%20b.csv"])
    data[20] ^= 1
    store.put("/tables/a%20b.csv", bytes(data))
    assert app(case).returncode == 1
    assert case.answer()["returncode"] == 1 and "altered" in case.answer()["stderr"] and case.answer()["stdout"] == ""
    case.place("input", "table", "/tables/a%20b.csv", "GET", query=store.query("/tables/a%20b.csv", "GET", -1))
    assert app(case).returncode == 1 and case.answer()["returncode"] == 1
    assert store.asked[-2] == ("GET", "/tables/a%20b.csv", 403)


@AS_ROOT
def test_python_over_tls(pki, tmp_path):  # noqa: F811
    folder, _ = pki
    with ObjectStore(folder / "edge.pem", folder / "edge.key") as store:
        case = Case(store, tmp_path)
        argv = [sys.executable, EXAMPLES / "python/describe.py"]
        assert case.run(argv).returncode != 0 and not store.asked, "nobody vouches for this server"
        done = case.run(argv, SSL_CERT_FILE=str(folder / "ca.pem"))
        assert done.returncode == 0, done.stderr
        assert case.answer()["stdout"] == SAID


# --- the object store ---

def asked(url, method="GET", data=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as failure:
        return failure.code, failure.read()


def test_a_signed_url_is_for_one_thing(store):
    store.put("/a", b"text")
    query = store.query("/a")
    assert asked(f"{store.url('/a')}?{query}") == (200, b"text")
    assert asked(store.url("/a")) == (403, b"no signature")
    assert asked(f"{store.url('/b')}?{query}") == (403, b"wrong signature")
    assert asked(f"{store.url('/a')}?{query}", "PUT", b"x") == (403, b"signed for another method")
    assert asked(f"{store.url('/a')}?{query[:-1]}{'0' if query[-1] != '0' else '1'}") == (403, b"wrong signature")
    assert asked(f"{store.url('/a')}?{query.replace('expires=1', 'expires=2')}") == (403, b"wrong signature")
    assert asked(f"{store.url('/a')}?{store.query('/a', seconds=0)}") == (403, b"expired")
    assert asked(f"{store.url('/b')}?{store.query('/b')}") == (404, b"no such object")
    assert asked(f"{store.url('/b')}?{store.query('/b', 'PUT')}", "PUT", b"new") == (200, b"") and store.objects["/b"] == b"new"


# --- the helper ---

def test_aes_gcm(shell, tmp_path):
    key = os.urandom(32)
    (tmp_path / "key").write_text(key.hex())

    def run(verb, data, file="key"):
        return subprocess.run([shell / "aes-gcm", verb, tmp_path / file], input=data, capture_output=True, timeout=60)

    for size in (0, 1, 16, 65536, 200001):
        plain = os.urandom(size)
        assert unseal(key, run("encrypt", plain).stdout) == plain
        assert run("decrypt", seal(key, plain)).stdout == plain
    sealed = bytearray(seal(key, b"text"))
    sealed[-1] ^= 1
    for bad in (bytes(sealed), b"", bytes(27)):
        done = run("decrypt", bad)
        assert (done.returncode, done.stdout) == (1, b"")
    with pytest.raises(InvalidTag):
        unseal(os.urandom(32), run("encrypt", b"x").stdout)
    (tmp_path / "short").write_text("00")
    assert run("encrypt", b"x", "short").returncode == run("encrypt", b"x", "none").returncode == 1
    assert subprocess.run([shell / "aes-gcm"], capture_output=True, timeout=60).returncode == 2
