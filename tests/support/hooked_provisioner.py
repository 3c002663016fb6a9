# SPDX-License-Identifier: Apache-2.0
"""A stack's provisioner with kill points (lib/crash.h), armed with one at a time, and revived when it died of it, with the next."""
import os
import shutil
import subprocess

from local_stack import BUILD, ROOT, alive
from making import make

HOOKED = BUILD.parent / f"{BUILD.name}-hooks"
PROGRAM = "strongroom-provisioner"
SCRIPT = """#!/bin/sh
{settings}
STRONGROOM_CRASH_AT=$(cat "{armed}" 2>/dev/null) STRONGROOM_CRASH_LOG="{log}" exec "$0-hooked" "$@"
"""


class HookedProvisioner:
    """The stack is told of a build whose provisioner is a script around the one with kill points; `settings` are rows of its
    configuration."""

    def __init__(self, stack, folder, **settings):
        self.stack, self.armed, self.log, self.deaths, self.points = stack, folder / "armed", folder / "passed", 0, []
        make(HOOKED, HOOKED / "bin" / PROGRAM, TEST_HOOKS=1)
        build = folder / "build"
        (build / "bin").mkdir(parents=True)
        for program in (BUILD / "bin").iterdir():
            (build / "bin" / program.name).symlink_to(program)
        (build / "guest").symlink_to(BUILD / "guest")
        self.script = build / "bin" / PROGRAM
        self.configure(**settings)
        self.env = {**stack.env, "BUILD": str(build)}
        shutil.copy(HOOKED / "bin" / PROGRAM, stack.folder / f"bin/{PROGRAM}-hooked")

    def configure(self, **settings):
        """From its next start on."""
        self.script.unlink()
        self.script.write_text(SCRIPT.format(
            armed=self.armed, log=self.log, settings="\n".join(f"export STRONGROOM_{name.upper()}='{value}'" for name, value in settings.items())))
        self.script.chmod(0o755)

    def up(self):
        # armed, it may die before it is ready: then revive() goes on
        subprocess.run([ROOT / "deploy/local/stack", "up", "provisioner", "edge"], env=self.env, check=not self.armed.exists(), timeout=300,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def arm(self, *points):
        """Starts it anew, to die at the first point; revived, at the second."""
        self.log.unlink(missing_ok=True)
        self.armed.write_text(points[0])
        self.points = list(points[1:])
        self.kill()

    def kill(self):
        self.stack.kill("provisioner")
        self.up()

    def revive(self):
        """Whether it had died; then it lives again, and the next point is armed."""
        if alive(self.stack.pid("provisioner")):
            return False
        self.deaths += 1
        self.armed.unlink()
        if self.points:
            self.armed.write_text(self.points.pop(0))
        self.up()
        return True

    def passed(self):
        return set(self.log.read_text().split("\n")) if self.log.exists() else set()

    def end(self):
        """The stack's own again."""
        self.armed.unlink(missing_ok=True)
        if alive(self.stack.pid("provisioner")):
            self.stack.kill("provisioner")
        self.stack.command("up")
        os.unlink(self.stack.folder / f"bin/{PROGRAM}-hooked")
