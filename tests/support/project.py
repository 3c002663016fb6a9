# SPDX-License-Identifier: Apache-2.0
"""A project whose app is what a test wants: an OCI image of busybox and tests/support/hostile.c, made here by hand, and a
small table. `go(argv, limits)` runs it, each time under a policy, an order and a boot of its own."""
import base64
import csv
import hashlib
import io
import json
import os
import subprocess
import tarfile

import pytest
from client_project import Project
from local_stack import BUILD, ROOT, wait_for
from making import make

ANSWERS = """
name: {name}
template: {template}
accept_evidence: none
code: {{mode: local, url: src}}
image: {{archive: image}}
data: data.csv
projection: {{name: {name}, columns: [CODE, DESCRIPTION], minimum_rows: 1}}
"""


def shell(script):
    return ["/bin/busybox", "sh", "-euc", script]


def hostile(*attempts):
    return ["/bin/hostile", *attempts]


def hostile_program():
    program = BUILD / "tests/hostile"
    if not program.exists():
        make(BUILD, program)
    return program


def layer(files):
    """A tar of {path: (bytes, mode), or the target of a link} with their folders."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in sorted({path.rpartition("/")[0] for path in files} - {""}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
                continue
            data, entry.mode = content
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def write_image(folder, files):
    """An OCI layout of one layer."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, kind):
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": "sha256:" + name, "size": len(data)}

    tar = blob(layer(files), "layer.v1.tar")
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/busybox", "true"]},
                              "rootfs": {"type": "layers", "diff_ids": [tar["digest"]]}}).encode(), "config.v1+json")
    manifest = blob(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                                "config": config, "layers": [tar]}).encode(), "manifest.v1+json")
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def write_rows(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["CODE", "DESCRIPTION"], *rows])


class App(Project):
    def __init__(self, program, stack, folder, name, files=None, rows=(("1", "one"), ("2", "two")), template="small"):
        super().__init__(program, stack, folder)
        self.name = name
        self.configure()
        (folder / "src").mkdir()
        (folder / "src/README").write_text("the app is in the image\n")
        write_image(folder / "image", {"bin/busybox": (open("/bin/busybox", "rb").read(), 0o755),
                                       "bin/hostile": (hostile_program().read_bytes(), 0o755), **(files or {})})
        write_rows(folder / "data.csv", rows)
        (folder / "answers.yml").write_text(ANSWERS.format(name=name, template=template))
        self.run("setup", "--answers", "answers.yml")
        self.plan = (folder / "main.yml").read_text()

    def write_plan(self, argv, **limits):
        """main.yml with that program and those limits."""
        lines = ["        argv:", *(f"          - {json.dumps(word)}" for word in argv)]
        if limits:
            lines += ["        limits:", *(f"          {key}: {value}" for key, value in limits.items())]
        task = "      prepare-policy:\n"
        assert self.plan.count(task) == 1
        (self.folder / "main.yml").write_text(self.plan.replace(task, task + "\n".join(lines) + "\n"))

    def go(self, argv=None, limits=None, check=True, more=(), **env):
        """A new run, to its end or, by STRONGROOM_CRASH_AT, to a point before it."""
        if argv:
            self.write_plan(argv, **(limits or {}))
        return self.run("run", "--from", "execute-policy", *more, check=check, **env)

    def start(self):
        """A new run in the background; what it says is in the file `stderr`."""
        return subprocess.Popen([self.program, "run", "--from", "execute-policy"], cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=open(self.folder / "stderr", "w"),
                                env={**os.environ, "XDG_CONFIG_HOME": str(self.config)})

    def run_id(self):
        """The run of the newest order, whether or not the client knows of it."""
        task = self.state()["tasks"]["execute-policy"]
        order = task["work"][f"round-{task['work']['round']}"]["order"]
        return self.stack.sql("SELECT id FROM orchestrator.run WHERE order_id = %s", order)[0][0]

    def outputs(self, task):
        return self.state()["tasks"][task]["outputs"]

    def receipt(self):
        envelope = json.loads((self.folder / self.outputs("retrieve-output")["receipt"]).read_text())
        return json.loads(base64.b64decode(envelope["payload"]))["predicate"]

    def stdout(self):
        return (self.folder / "output/stdout").read_text()

    def result(self):
        return json.loads((self.folder / "output/result.json").read_text())

    def said(self):
        """What tests/support/hostile.c found out, {attempt: outcome}."""
        return dict(line.split("=", 1) for line in self.stdout().splitlines() if "=" in line)

    def refused(self, done, exit_code, code):
        """The command failed with exactly that; `code` may also be the reason of a refusal in the sandbox."""
        assert done.returncode == exit_code, done.stderr
        last = [line for line in done.stderr.splitlines() if line.startswith("strongroom: ")][-1]
        assert code in last.replace(":", " ").split(), last

    def wait_for_run(self, state, limit_s=180):
        run = self.run_id()
        wait_for(lambda: self.stack.sql("SELECT state FROM orchestrator.run WHERE id = %s", run) == [(state,)],
                 f"run {run} to be {state}", limit_s)
        return run

    def delete_sandbox(self):
        sandbox = self.state().get("sandbox")
        if sandbox:
            self.run("sandbox", "delete", sandbox["id"], check=False)


def app_fixture(name, hooks=False, **more):
    """A fixture of one project for a module of tests; its sandbox goes with it."""
    @pytest.fixture(scope="module")
    def app(stack, tmp_path_factory):
        from client_project import program_with_hooks
        made = App(program_with_hooks() if hooks else BUILD / "bin/strongroom", stack, tmp_path_factory.mktemp(name), name, **more)
        yield made
        made.delete_sandbox()
    return app
