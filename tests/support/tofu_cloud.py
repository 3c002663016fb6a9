# SPDX-License-Identifier: Apache-2.0
"""A stack whose driver tofu runs the stand-in (tofu_stand_in.py), its cloud, and the guest that would boot there."""
import contextlib
import json
import os
import pathlib
import shutil
import tempfile

from local_stack import BUILD, ROOT, LocalStack, wait_for
from trust import Key, evidence

TEMPLATE = "tofu-azure-cvm"
TYPES = 4  # resources of its module


class Cloud:
    """Where the stand-in makes things."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="strongroom-cloud-"))
        (self.folder / "things").mkdir()
        self.things = self.folder / "things"
        for folder in (self.folder, self.things):
            folder.chmod(0o777)
        shutil.copy(ROOT / "tests/support/tofu_stand_in.py", self.folder / "tofu")
        (self.folder / "tofu").chmod(0o755)
        for name in ("log.ndjson", "fail.json"):
            (self.things / name).touch()
            (self.things / name).chmod(0o666)

    def fail(self, step, kind, times=1):
        (self.things / "fail.json").write_text(json.dumps({"step": step, "kind": kind, "times": times}))

    def log(self, sandbox=None):
        lines = [json.loads(line) for line in (self.things / "log.ndjson").read_text().splitlines()]
        return [line for line in lines if not sandbox or sandbox in line["cwd"]]

    def commands(self, sandbox):
        """What tofu was told to do for it, in order."""
        return [" ".join(word for word in line["argv"] if not word.startswith("-") or word in ("-destroy", "-refresh-only"))
                for line in self.log(sandbox) if "argv" in line]

    def of(self, sandbox):
        """What there is for it."""
        found = []
        for path in self.things.glob("i-*"):
            with contextlib.suppress(FileNotFoundError):  # it may go while we look
                found.append((path, json.loads(path.read_text())))
        return [(path, thing) for path, thing in found if thing["sandbox"] == sandbox]

    def machine(self, sandbox):
        return next((thing for _, thing in self.of(sandbox) if "machine" in thing["type"]), None)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def configure(stack, cloud):
    """The operator's settings: variables of the module, its providers' lock file, the cloud's credentials."""
    folder = stack.folder / "etc/tofu" / TEMPLATE
    (folder / "env").mkdir(parents=True)
    (folder / "variables.json").write_text(json.dumps({
        "location": "westeurope", "resource_group_name": "rg", "subnet_id": "/s", "image_id": "/i", "edge_address": "192.0.2.1",
        "edge_port": 443, "admin_public_key": "ssh-ed25519 AAAA", "security_encryption_type": "DiskWithVMGuestState", "tags": {}}))
    (folder / "terraform.lock.hcl").write_text('provider "registry/x" {\n  version = "4.1.0"\n}\n')
    (folder / "env/CLOUD_DIR").write_text(f"{cloud.things}\n")
    (folder / "env/ARM_CLIENT_SECRET").write_text("cloud-password-4711\n")


def build_with(folder, settings):
    """A folder of programs as BUILD whose provisioner has other `settings` than its configuration says."""
    build, name = (ROOT / BUILD).resolve(), "strongroom-provisioner"
    (folder / "bin").mkdir(parents=True)
    for program in (build / "bin").iterdir():
        (folder / "bin" / program.name).symlink_to(program)
    (folder / "guest").symlink_to(build / "guest")
    rows = "".join(f"export STRONGROOM_{key.upper()}='{value}'\n" for key, value in settings.items())
    (folder / "bin" / name).unlink()
    (folder / "bin" / name).write_text(f'#!/bin/sh\n{rows}exec {folder}/{name} "$@"\n')
    (folder / "bin" / name).chmod(0o755)
    shutil.copy(build / "bin" / name, folder)  # where the service's user can reach it
    return str(folder)


class TofuStack(LocalStack):
    def __init__(self, cloud, drift="1h", **settings):
        super().__init__()
        self.env = {**self.env, "TOFU": str(cloud.folder / "tofu"), "TOFU_DRIFT": drift}
        if settings:
            self.env["BUILD"] = build_with(cloud.folder / "build", settings)
        self.cloud = cloud

    def __enter__(self):
        super().__enter__()
        configure(self, self.cloud)
        return self

    def row(self, sandbox, columns="goal, step, boot, run, running, code"):
        found = self.sql(f"SELECT {columns} FROM provisioner.tofu WHERE sandbox_id = %s", sandbox)
        return found[0] if found else None


class Guest:
    """What would boot in the cloud: it has its user data, and enrols."""

    def __init__(self, client, cloud, sandbox, boot=1):
        def booted():
            machine = cloud.machine(sandbox)
            return machine if machine and machine["boot"] == boot else None

        self.client, self.id, self.boot = client, sandbox, boot
        self.data = json.loads(wait_for(booted, "the machine")["values"]["user_data"])

    def enrol(self):
        path = f"{self.data['edge']}/v1/enrolments/{self.id}"
        header = {"Authorization": f"Enrolment {self.data['enrolment_secret']}"}
        answer = self.client.http.post(f"{path}/claim", json={}, headers=header, timeout=60)
        if answer.status_code != 200:
            return answer
        said = evidence(Key("enc"), Key("sig"), answer.json()["claim"], json.loads(self.data["initdata"]))
        return self.client.http.post(path, json={"boot": self.boot, "evidence": said}, headers=header, timeout=60)


def alive(folder):
    """Whether any process works in that folder."""
    for link in pathlib.Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(link) == str(folder):
                return True
        except OSError:
            continue
    return False
