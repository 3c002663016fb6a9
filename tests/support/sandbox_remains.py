# SPDX-License-Identifier: Apache-2.0
"""What a sandbox leaves on its host: it should be nothing."""
import contextlib
import os
import pathlib


def read_quietly(path):
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def groups():
    return {path.name for path in pathlib.Path("/sys/fs/cgroup").glob("**/strongroom-sbx_*")}


def remains(stack, id):
    """Folders, states and sockets with its id, its uid, its cgroup, and processes that carry the id."""
    folder = stack.folder / "sandboxes"
    found = [str(path) for path in folder.glob(f"**/{id}*")]
    found += [str(link) for link in (folder / ".users").glob("*") if os.readlink(link) == id]
    found += [name for name in groups() if id in name]
    return found + [str(path) for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if id.encode() in read_quietly(path)]
