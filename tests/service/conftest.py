# SPDX-License-Identifier: Apache-2.0
"""The real Postgres and Redis, private to a test session, on unix sockets in a short folder."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg2
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD") or ROOT / "build")
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
LIMIT_S = 90


def wait_for(condition, what, limit_s=LIMIT_S):
    """Polls until condition() is true; its exceptions count as false."""
    end = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(OSError, psycopg2.Error):
            value = condition()
            if value:
                return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.01)


def newest_postgres_bin():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    return found[-1].parent if found else pathlib.Path(shutil.which("initdb")).parent


class Postgres:
    """A cluster of its own. Runs as user postgres when the tests run as root (Postgres refuses root)."""

    def __init__(self, folder):
        self.folder, self.data, self.bin = folder, folder / "data", newest_postgres_bin()
        self.database = "strongroom"
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres", "postgres")

    def _run(self, *command):
        subprocess.run([*self._as, *map(str, command)], check=True, cwd=self.folder, timeout=120,
                       stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    def create(self):
        self._run(self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync")
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\n"
                       "fsync = off\nfull_page_writes = off\n"
                       "max_connections = 100\nshared_buffers = 64MB\nlogging_collector = off\n"
                       "shared_preload_libraries = 'pg_stat_statements'\n")
        self.start()
        self.sql(f"CREATE DATABASE {self.database}", database="postgres")
        self.sql(f"REVOKE ALL ON DATABASE {self.database} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC")

    def _pg_ctl(self, *arguments):
        self._run(self.bin / "pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", *arguments)

    def start(self):
        self._pg_ctl("start")

    def stop(self, mode="fast"):
        self._pg_ctl("-m", mode, "stop")

    def restart(self, mode="immediate"):
        self._pg_ctl("-m", mode, "restart")

    def conninfo(self, user="postgres", database=None):
        return f"host={self.folder} user={user} dbname={database or self.database}"

    def sql(self, text, *params, user="postgres", database=None):
        """Runs statements, each committed, and returns the last one's rows (or None)."""
        connection = psycopg2.connect(self.conninfo(user, database))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text, params or None)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    @contextlib.contextmanager
    def statements_of(self, role):
        """The texts and numbers of a role's statements within the block, to compare: [(query, calls)]."""
        self.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self.sql("SELECT pg_stat_statements_reset()")
        found = []
        yield found
        found += self.sql("""SELECT s.query, s.calls FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
            WHERE pg_has_role(%s, r.oid, 'MEMBER') AND r.rolname LIKE %s AND s.query NOT LIKE '%%outbox%%' ORDER BY 1""",
                          role, role + "%")

    def make_roles(self, service):
        """The three roles of docs/ROW-LEVEL-SECURITY.md. Returns (runtime, owner) conninfo."""
        name = service.replace("-", "_")
        if not self.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", name):
            self.sql(f"""CREATE ROLE {name}_owner LOGIN; CREATE ROLE {name} LOGIN NOINHERIT;
                CREATE ROLE {name}_sweep NOLOGIN; GRANT {name}_sweep TO {name};
                GRANT CREATE, CONNECT ON DATABASE {self.database} TO {name}_owner;
                GRANT CONNECT ON DATABASE {self.database} TO {name}""")
        return self.conninfo(name), self.conninfo(f"{name}_owner")

    def drop_schema(self, service):
        self.sql(f"DROP SCHEMA IF EXISTS {service.replace('-', '_')} CASCADE")


class Redis:
    """A redis-server without persistence; `ask` speaks RESP so that no client library is needed."""

    def __init__(self, folder):
        self.folder, self.socket, self.process = folder, folder / "redis.sock", None

    @property
    def address(self):
        return f"unix:{self.socket}"

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no",
             "--dir", str(self.folder), "--logfile", str(self.folder / "redis.log")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_for(lambda: self.ask("PING") == "PONG", "redis answers")

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
        self.socket.unlink(missing_ok=True)

    def ask(self, *words):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket))
            parts = [str(word).encode() for word in words]
            connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            return self._read(connection.makefile("rb"))

    def _read(self, stream):
        line = stream.readline().rstrip(b"\r\n").decode()
        kind, rest = line[:1], line[1:]
        if kind == "-":
            raise RuntimeError(rest)
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return None if rest == "-1" else [self._read(stream) for _ in range(int(rest))]
        return rest


@contextlib.contextmanager
def short_folder(prefix):
    """Below /tmp: Postgres refuses socket paths over 107 bytes, pytest's own folders are longer."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres():
    with short_folder("sr-pg-") as folder:
        server = Postgres(folder)
        server.create()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                server.stop("immediate")


@pytest.fixture(scope="session")
def redis():
    with short_folder("sr-redis-") as folder:
        server = Redis(folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()
