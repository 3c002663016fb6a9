# SPDX-License-Identifier: Apache-2.0
"""lib/redis_conn.h against real servers: TCP, TLS, an ACL user, Sentinels and a failover."""
import subprocess

import pytest

from certreg_stack import openssl
from conftest import Redis, short_folder, wait_for
from registry_stack import free_port
from test_wake import Probe

PASSWORD = "correct-horse-battery"
# What a wake-up needs, as docs/deploy.md has it; the default user may look, and ring nobody.
USERS = f"user default on nopass ~* +@all -xadd\n" \
        f"user wakes on >{PASSWORD} ~{{strongroom}}:wake:* +auth +xadd +xread +xrevrange +role\n"


class Remote(Redis):
    """A Redis that listens on TCP, too; `ask` goes by its unix socket."""

    def __init__(self, folder, *arguments):
        super().__init__(folder)
        folder.mkdir(exist_ok=True)
        self.port, self.arguments = free_port(), arguments

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", *self.listen(), "--bind", "127.0.0.1", "--unixsocket", str(self.socket), "--save", "",
             "--dir", str(self.folder), "--logfile", str(self.folder / "redis.log"), *map(str, self.arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_for(self.answers, "redis answers")

    def answers(self):
        try:
            return self.ask("PING") == "PONG"
        except (OSError, RuntimeError):
            return False

    def listen(self):
        return ["--port", str(self.port)]


class Sentinel(Remote):
    def start(self):
        conf = self.folder / "sentinel.conf"
        conf.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\nunixsocket {self.socket}\n"
                        f"logfile {self.folder}/sentinel.log\n"
                        f"sentinel monitor wakes 127.0.0.1 {self.arguments[0]} 1\n"
                        "sentinel down-after-milliseconds wakes 500\nsentinel failover-timeout wakes 3000\n")
        self.process = subprocess.Popen(["redis-server", str(conf), "--sentinel"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL)
        wait_for(self.answers, "sentinel answers")


@pytest.fixture
def folder():
    with short_folder("sr-wake-") as made:
        yield made


@pytest.fixture
def run():
    """Starts servers, and ends them behind the test."""
    started = []

    def one(server):
        started.append(server)
        server.start()
        return server

    yield one
    for server in reversed(started):
        server.kill()


@pytest.fixture
def probe():
    probes = []

    def one(address, **settings):
        probes.append(Probe(address, "run", **settings))
        return probes[-1]

    yield one
    for each in probes:
        each.close()


def assert_wakes(sender, receiver, key):
    sender.ring("run", key)
    assert sender.next_ring() == f"run {key}"
    assert receiver.next_ring() == f"run {key}"


@pytest.fixture
def password(folder):
    file = folder / "password"
    file.write_text(PASSWORD + "\n")
    return file


@pytest.fixture
def acl(folder):
    file = folder / "users.acl"
    file.write_text(USERS)
    return file


def test_tcp(probe, run, folder):
    address = f"redis://127.0.0.1:{run(Remote(folder / 'r')).port}"
    sender, receiver = probe(address), probe(address)
    sender.wait_ok(), receiver.wait_ok()
    assert_wakes(sender, receiver, "run_1")


def test_user_and_password(probe, run, folder, acl, password):
    address = f"redis://localhost:{run(Remote(folder / 'r', '--aclfile', acl)).port}"
    sender, receiver = (probe(address, REDIS_USER="wakes", REDIS_PASSWORD_FILE=password) for _ in range(2))
    sender.wait_ok(), receiver.wait_ok()
    assert_wakes(sender, receiver, "run_1")


@pytest.mark.parametrize("user, secret", [("wakes", "wrong"), ("nobody", PASSWORD), ("", PASSWORD), ("wakes", "")])
def test_wrong_login_is_no_redis(probe, run, folder, acl, user, secret):
    """Who is not let in goes on alone, and says why."""
    server = run(Remote(folder / "r", "--aclfile", acl))
    (folder / "other").write_text(secret)
    alone = probe(f"redis://127.0.0.1:{server.port}", REDIS_USER=user, REDIS_PASSWORD_FILE=folder / "other")
    alone.ring("run", "run_1")
    assert alone.next_ring() == "run run_1"
    if secret:
        wait_for(lambda: server.ask("ACL", "LOG"), "the wrong login is refused")
    assert not alone.is_ok()


class Tls(Remote):
    def __init__(self, folder, names):
        super().__init__(folder)
        key, cert, other = folder / "key.pem", folder / "cert.pem", folder / "other.pem"
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        for file, name in (cert, "redis"), (other, "other"):
            openssl("req", "-x509", "-new", "-key", key, "-subj", f"/CN={name}", "-days", 1, "-addext",
                    f"subjectAltName={names}", "-out", file)
        self.cert, self.other, self.key = cert, other, key

    def broken_handshakes(self):
        return (self.folder / "redis.log").read_text().count("Error accepting a client connection")

    def listen(self):
        return ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", str(self.cert), "--loglevel", "verbose", "--tls-key-file",
                str(self.key), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(self.cert)]


def test_tls(probe, run, folder):
    server = run(Tls(folder / "r", "DNS:localhost,IP:127.0.0.1"))
    for host in "localhost", "127.0.0.1":
        address = f"rediss://{host}:{server.port}"
        sender, receiver = (probe(address, REDIS_CA=server.cert) for _ in range(2))
        sender.wait_ok(), receiver.wait_ok()
        assert_wakes(sender, receiver, "run_1")
        sender("flood 2000")
        sender.ring("run", "last")
        wait_for(lambda: receiver.next_ring() == "run last", "all of a flood comes through TLS")


def test_tls_after_a_kill(probe, run, folder):
    server = run(Tls(folder / "r", "IP:127.0.0.1"))
    sender, receiver = (probe(f"rediss://127.0.0.1:{server.port}", REDIS_CA=server.cert) for _ in range(2))
    sender.wait_ok(), receiver.wait_ok()
    server.kill()
    wait_for(lambda: not sender.is_ok() and not receiver.is_ok(), "loss is noticed")
    server.start()
    sender.wait_ok(), receiver.wait_ok()
    assert_wakes(sender, receiver, "run_2")


@pytest.mark.parametrize("names, ca", [("DNS:elsewhere", "cert"), ("IP:127.0.0.1", "other")])
def test_tls_that_is_somebody_elses(probe, run, folder, names, ca):
    """Another name, or another CA: nothing is sent there."""
    server = run(Tls(folder / "r", names))
    alone = probe(f"rediss://127.0.0.1:{server.port}", REDIS_CA=getattr(server, ca))
    alone.ring("run", "run_1")
    assert alone.next_ring() == "run run_1"
    wait_for(lambda: server.broken_handshakes() > 2, "it tries again and again")
    assert not alone.is_ok()
    assert server.ask("EXISTS", "{strongroom}:wake:run") == 0


def test_sentinels_and_a_failover(probe, run, folder):
    master = run(Remote(folder / "a"))
    replica = run(Remote(folder / "b", "--replicaof", f"127.0.0.1 {master.port}"))
    sentinel = run(Sentinel(folder / "s", master.port))
    wait_for(lambda: "slave0" in master.ask("INFO", "replication") and
             any("ip" == word for word in (sentinel.ask("SENTINEL", "REPLICAS", "wakes") or [[]])[0]),
             "the sentinel knows the replica")
    address = f"sentinel://wakes@127.0.0.1:1,127.0.0.1:{sentinel.port}"
    sender, receiver = probe(address), probe(address)
    sender.wait_ok(), receiver.wait_ok()
    assert_wakes(sender, receiver, "run_1")
    assert master.ask("EXISTS", "{strongroom}:wake:run") == 1
    master.kill()
    wait_for(lambda: replica.ask("ROLE")[0] == "master", "the failover")
    sender.wait_ok(), receiver.wait_ok()
    assert_wakes(sender, receiver, "run_2")


@pytest.mark.parametrize("address", [
    "http://x", "redis://", "redis://h:0", "redis://h:65536", "redis://h:1x", "redis://a,b", "redis://u@h", "redis://[::1",
    "sentinel://h:1", "sentinel://@h", "unix:relative", "rediss://h:1/0", "sentinel://m@" + ",".join("h" * 17)])
def test_bad_addresses_are_no_redis(probe, address):
    alone = probe(address)
    alone.ring("run", "run_1")
    assert alone.next_ring() == "run run_1"
