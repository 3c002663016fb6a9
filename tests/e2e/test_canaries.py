# SPDX-License-Identifier: Apache-2.0
"""Nothing secret is anywhere but where it belongs: behind a whole run on a stack of its own, whose every program is watched
from its first start on, the database, the queue, the registry, the objects, all logs and all arguments are searched."""
import os
import pathlib
import secrets
import subprocess

import pytest
from canaries import TRACE, encodings, keys_of, places, search
from local_stack import BUILD, ROOT, LocalStack
from project import App, shell

ROT13 = str.maketrans("abcdef", "nopqrs")


class WatchedStack(LocalStack):
    """Writes down every program that it starts; the watchers end with what they watch."""

    def __init__(self, traces):
        super().__init__()
        self.traces = traces

    def command(self, *arguments, check=True):
        if arguments[0] != "up":
            return super().command(*arguments, check=check)
        said = self.traces.with_name("said")
        with open(said, "w") as file:
            done = subprocess.run([*TRACE, self.traces / "stack", ROOT / "deploy/local/stack", *arguments], env=self.env,
                                  stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=600)
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, arguments, said.read_text())
        return done


class WatchedApp(App):
    def run(self, *arguments, check=True, stdin="", **env):
        done = subprocess.run([*TRACE, self.stack.traces / secrets.token_hex(8), self.program, *arguments], cwd=self.folder,
                              env={**os.environ, "XDG_CONFIG_HOME": str(self.config), **env}, input=stdin, text=True,
                              capture_output=True, timeout=300)
        assert not check or done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    return tmp_path_factory.mktemp("watch") / "traces"


@pytest.fixture(scope="module")
def watched(traces):
    traces.mkdir()
    with WatchedStack(traces) as running:
        yield running


@pytest.fixture(scope="module")
def canaries(watched, tmp_path_factory):
    """A run with canaries everywhere; {name: bytes}."""
    cell, in_image = secrets.token_hex(24), secrets.token_hex(24)
    app = WatchedApp(BUILD / "bin/strongroom", watched, tmp_path_factory.mktemp("app"), "canaries",
                     {"lib/canary": (in_image.encode(), 0o644)}, [[str(i), f"row {i} {cell}"] for i in range(300)])
    app.go(shell("cat /input/*/*.csv | tr a-f n-s | tee /output/turned; cat /lib/canary >&2"))
    turned = cell.translate(ROT13)
    assert turned in app.stdout() and turned in (app.folder / "output/output/turned").read_text()
    assert in_image in (app.folder / "output/stderr").read_text()
    member = watched.client("acme-owner")
    assert member.get("/v1/runs").json()["items"][0]["state"] == "succeeded"
    return {"a cell of the data": cell.encode(), "a word of the output": turned.encode(), "a file of the image": in_image.encode(),
            "API key": member.key[-43:].encode(), "other API key": watched.key("globex-owner")[-43:].encode(),
            "token": member.token("orchestrator").encode(), **keys_of(app)}


def test_no_canary_is_found_anywhere(watched, traces, canaries):
    assert len(canaries) >= 12, sorted(canaries)
    everything = places(watched, traces)
    assert all(len(data) > 1000 for name, data in everything.items()), {name: len(data) for name, data in everything.items()}
    for program in (b"qemu-system", b"strongroom-relay", b"strongroom-certreg", b"nginx", b"bin/strongroom"):
        assert program in everything["arguments"], program
    assert search(everything, canaries) == set()


def still_there(sandbox):
    """Pids of what was started for a sandbox: its VM, its relay."""
    return [int(file.parts[2]) for file in pathlib.Path("/proc").glob("[0-9]*/cmdline") if has_argument(file, sandbox)]


def has_argument(file, word):
    try:
        return word.encode() in file.read_bytes().split(b"\0")
    except OSError:
        return False


def test_what_is_planted_is_found(watched, traces, canaries):
    names = list(canaries)
    coded = {name: list(encodings(secret)) for name, secret in canaries.items()}
    folder = watched.folder
    with open(folder / "log/policy.log", "ab") as log:
        log.write(b"x" + coded[names[0]][5] + b"y\n")
    watched.sql("CREATE TABLE public.planted AS SELECT %s AS value", coded[names[1]][1].decode())
    subprocess.run([*TRACE, traces / "planted", "/bin/true", "--key=" + coded[names[2]][4].decode()], check=True)
    subprocess.run(["redis-cli", "-s", watched.sockets / "redis/redis.sock", "SET", "planted", coded[names[3]][8]], check=True,
                   stdout=subprocess.DEVNULL)
    (folder / "objects/planted").write_bytes(b"\0" + canaries[names[5]] + b"\0")
    (folder / "registry/planted").write_bytes(coded[names[6]][2])
    found = search(places(watched, traces), canaries)
    assert found == {("logs", names[0]), ("postgres", names[1]), ("arguments", names[2]), ("redis", names[3]),
                     ("objects", names[5]), ("registry", names[6])}


def test_down_leaves_no_vm(watched, canaries):
    (sandbox,) = [id for id, in watched.sql("SELECT id FROM provisioner.sandbox")]
    assert len(still_there(sandbox)) == 2
    watched.command("down")
    assert still_there(sandbox) == []
