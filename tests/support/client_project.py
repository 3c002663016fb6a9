# SPDX-License-Identifier: Apache-2.0
"""A project folder with a profile of its own, and the client with kill points that works in it."""
import json
import os
import pathlib
import subprocess

from local_stack import BUILD, ROOT
from making import make

HOOKED = pathlib.Path(f"{BUILD}-hooks")


def program_with_hooks():
    """The client with kill points; sanitizer builds have them anyway."""
    plain = BUILD / "bin/strongroom"
    if plain.exists() and b"STRONGROOM_CRASH_AT" in plain.read_bytes():
        return plain
    make(HOOKED, HOOKED / "bin/strongroom", TEST_HOOKS=1)
    return HOOKED / "bin/strongroom"


class Project:
    def __init__(self, program, stack, folder):
        self.program, self.stack, self.folder = program, stack, folder
        self.config = folder / "config"
        self.config.mkdir()
        given = stack.folder / "credentials/trust.json"
        nothing = {"v": "strongroom-trust-1", "edge_ca_spki": "sha256:" + "0" * 64, "templates": {}}
        (folder / "trust.json").write_text(given.read_text() if given.exists() else json.dumps(nothing))

    def run(self, *arguments, check=True, stdin="", **env):
        done = subprocess.run([self.program, *arguments], cwd=self.folder, text=True, capture_output=True, input=stdin,
                              env={**os.environ, "XDG_CONFIG_HOME": str(self.config), **env}, timeout=300)
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def configure(self, member="acme-owner", check=True):
        return self.run("configure", "--url", self.stack.url, "--ca", self.stack.ca, "--key-file", "-", "--trust",
                        "trust.json", stdin=self.stack.key(member), check=check)

    def state(self):
        return json.loads((self.folder / ".pbstate").read_text())

    def profile(self):
        return self.config / "strongroom/profiles/default"

    def prepare(self, name=None):
        """The demo's project, under a name of its own when one is given, in a sandbox that boots sooner."""
        subprocess.run([ROOT / "examples/conditions/prepare", self.folder], check=True)
        answers = self.folder / "answers.yml"
        text = answers.read_text().replace("template: measured-small", "template: small") \
            .replace("accept_evidence: software-tpm", "accept_evidence: none")
        if name:
            text = text.replace("name: conditions-describe", f"name: {name}").replace("name: conditions\n", f"name: {name}\n")
        answers.write_text(text)
        self.run("setup", "--answers", "answers.yml")
