# SPDX-License-Identifier: Apache-2.0
"""A stack's provisioner with kill points (lib/crash.h), armed with one at a time, and revived when it died of it."""
import os
import shutil
import subprocess

from local_stack import BUILD, ROOT, alive

HOOKED = BUILD.parent / f"{BUILD.name}-hooks"
PROGRAM = "strongroom-provisioner"
SCRIPT = """#!/bin/sh
STRONGROOM_CRASH_AT=$(cat "{armed}" 2>/dev/null) STRONGROOM_CRASH_LOG="{log}" exec "$0-hooked" "$@"
"""


class HookedProvisioner:
    """The stack is told of a build whose provisioner is a script around the one with kill points."""

    def __init__(self, stack, folder):
        self.stack, self.armed, self.log, self.deaths = stack, folder / "armed", folder / "passed", 0
        subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={HOOKED}", "TEST_HOOKS=1", f"{HOOKED}/bin/{PROGRAM}"], check=True,
                       stdout=subprocess.DEVNULL)
        build = folder / "build"
        (build / "bin").mkdir(parents=True)
        for program in (BUILD / "bin").iterdir():
            (build / "bin" / program.name).symlink_to(program)
        (build / "guest").symlink_to(BUILD / "guest")
        (build / "bin" / PROGRAM).unlink()
        (build / "bin" / PROGRAM).write_text(SCRIPT.format(armed=self.armed, log=self.log))
        (build / "bin" / PROGRAM).chmod(0o755)
        self.env = {**stack.env, "BUILD": str(build)}
        shutil.copy(HOOKED / "bin" / PROGRAM, stack.folder / f"bin/{PROGRAM}-hooked")

    def up(self):
        subprocess.run([ROOT / "deploy/local/stack", "up", "provisioner", "edge"], env=self.env, check=True, timeout=300,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def arm(self, point):
        """Starts it anew, to die at that point."""
        self.log.unlink(missing_ok=True)
        self.armed.write_text(point)
        self.kill()

    def kill(self):
        self.stack.kill("provisioner")
        self.up()

    def revive(self):
        """Whether it had died; then it lives again, and no point is armed."""
        if alive(self.stack.pid("provisioner")):
            return False
        self.deaths += 1
        self.armed.unlink(missing_ok=True)
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
