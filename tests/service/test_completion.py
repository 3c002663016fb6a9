# SPDX-License-Identifier: Apache-2.0
"""Completion of the client in real shells on a terminal: the tab key after the beginning of a command and of an option."""
import os
import pty
import select
import shutil
import signal
import subprocess

import pytest

from local_stack import BUILD

PROGRAM = BUILD / "bin/strongroom"
SHELLS = {  # how it starts without anybody's settings, and a `strongroom` that shows what it was given
    "bash": (["bash", "--norc", "--noprofile", "-i"], """strongroom() { printf '<%s>' "$@"; echo end; }"""),
    "zsh": (["zsh", "-f", "-i"], """strongroom() { printf '<%s>' "$@"; echo end; }"""),
    "fish": (["fish", "--no-config", "-i"], """function strongroom; printf '<%s>' $argv; echo end; end"""),
}
PATIENCE_S = 60


class Terminal:
    def __init__(self, argv, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(argv[0], argv, {**os.environ, "HOME": str(folder), "TERM": "dumb", "PS1": "$ ", "HISTFILE": "/dev/null"})
        self.seen = ""

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def wait_for(self, text):
        while text not in self.seen:
            assert select.select([self.fd], [], [], PATIENCE_S)[0], self.seen
            self.seen += os.read(self.fd, 65536).decode(errors="replace")
        self.seen = self.seen.split(text, 1)[1]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture(params=SHELLS)
def terminal(request, tmp_path):
    argv, shown = SHELLS[request.param]
    if not shutil.which(argv[0]):
        pytest.skip(f"{argv[0]} is not installed")
    script = subprocess.run([PROGRAM, "completion", request.param], check=True, capture_output=True, text=True).stdout
    (tmp_path / "completion").write_text(script + shown + "\n")
    (tmp_path / "answers.yml").touch()
    made = Terminal(argv, tmp_path)
    made.type("source ./completion; echo rea''dy\n")
    made.wait_for("ready")
    yield made
    made.close()


@pytest.mark.parametrize("keys, words", [
    ("stat\t", "status"),
    ("status --pl\tx", "status --plan x"),
    ("--prof\tme stat\t", "--profile me status"),
    ("sandbox cre\t", "sandbox create"),
    ("setup --answers ans\t", "setup --answers answers.yml"),
])
def test_tab_completes(terminal, keys, words):
    terminal.type(f"strongroom {keys}\n")
    terminal.wait_for("".join(f"<{word}>" for word in words.split()) + "end")


def test_every_command_and_option_is_there():
    script = subprocess.run([PROGRAM, "completion", "bash"], check=True, capture_output=True, text=True).stdout
    usage = subprocess.run([PROGRAM, "help"], check=True, capture_output=True, text=True).stdout
    commands = [line.split()[0] for line in usage.split("\n\n")[2].splitlines()]
    assert {"run", "completion", "version"} <= set(commands)
    for command in commands:
        help_text = subprocess.run([PROGRAM, "help", command], check=True, capture_output=True, text=True).stdout
        options = [line.split()[0] for line in help_text.splitlines() if line.startswith("  --")]
        row = next(line for line in script.splitlines() if line.startswith(f"\t{command}) words="))
        assert row.split("options='")[1].split("'")[0].split() == options, command


def test_unknown_shell():
    done = subprocess.run([PROGRAM, "completion", "csh"], capture_output=True, text=True)
    assert done.returncode == 2 and "usage.arguments" in done.stderr
