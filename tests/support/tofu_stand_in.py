#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the program tofu, since there is no binary of it to be had for the tests. It says what OpenTofu's documentation
of its machine-readable UI, its plan format and its http backend says it would, talks to the backend for real, honours one SIGINT,
and fails in each documented way when the cloud's file `fail.json` wants it. Its cloud is the folder CLOUD_DIR: a file for each object.
It knows no HCL: which resources there are it takes from the lines `resource "type"` of the module."""
import base64
import hashlib
import json
import os
import pathlib
import re
import signal
import sys
import time
import urllib.error
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent / "things"  # what the test wants and reads, with or without the cloud's secrets
CLOUD = pathlib.Path(os.environ.get("CLOUD_DIR", "/nonexistent"))
STATE = {"interrupted": False}
STARTED = time.monotonic()


def emit(kind, message, level="info", **more):
    print(json.dumps({"@level": level, "@message": message, "@module": "tofu.ui", "@timestamp": "2026-11-22T02:00:00.000000Z",
                      "type": kind, **more}), flush=True)


def diagnostic(summary, detail="", address=None, code=1):
    emit("diagnostic", f"Error: {summary}", "error",
         diagnostic={"severity": "error", "summary": summary, "detail": detail, **({"address": address} if address else {})})
    sys.exit(code)


def note(**more):
    """What the test looks at afterwards."""
    with open(HERE / "log.ndjson", "a") as file:
        file.write(json.dumps({"cwd": os.getcwd(), **more}) + "\n")


def wants(step):
    """The failure that the test asked for, once."""
    path = HERE / "fail.json"
    try:
        wanted = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if wanted.get("step") != step or wanted.get("times", 1) < 1:
        return None
    wanted["times"] = wanted.get("times", 1) - 1
    path.write_text(json.dumps(wanted))
    return wanted["kind"]


def on_interrupt(*_):
    note(signal="SIGINT", second=STATE["interrupted"])
    if STATE["interrupted"]:
        os._exit(1)  # forced: the state is lost
    STATE["interrupted"] = True
    emit("log", "Interrupt received. Please wait for OpenTofu to exit or data loss may occur.", "error")


def general(kind):
    """Ways to fail that every step has."""
    if kind == "hang":
        note(hangs=True)
        while not STATE["interrupted"] or (HERE / "slow").exists():
            time.sleep(0.02)
        diagnostic("operation canceled")
    if kind == "deaf":  # hears no SIGINT at all
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        note(hangs=True)
        while True:
            time.sleep(1)
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "garbage":
        print("panic: runtime error\n\x00\xff{]", flush=True)
        print('{"type": 7}\n[]\n"text"\n{"type": "never_heard_of", "@message": "\\u001b[31mred", "@level": "info"}', flush=True)
    if kind == "huge":
        print('{"@level":"info","@message":"' + "x" * (1 << 20) + '","type":"log"}', flush=True)
    if kind == "other_version":
        emit("version", "OpenTofu 9.0", tofu="9.0.0", ui="2.0")
        sys.exit(0)


# --- the backend ---

def ask(method, body=None, query=""):
    request = urllib.request.Request(os.environ["TF_HTTP_ADDRESS"] + query, method=method,
                                     data=None if body is None else json.dumps(body).encode())
    who = f"{os.environ['TF_HTTP_USERNAME']}:{os.environ['TF_HTTP_PASSWORD']}"
    request.add_header("Authorization", "Basic " + base64.b64encode(who.encode()).decode())
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.add_header("Content-MD5", base64.b64encode(hashlib.md5(request.data).digest()).decode())
    for attempt in range(8):
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == 7:
                return error.code, error.read()
        except OSError:
            if attempt == 7:
                return 0, b""
        time.sleep(0.2 * (attempt + 1))
    return 0, b""


class Backend:
    def __init__(self, operation):
        self.id = str(uuid.uuid4())
        self.info = {"ID": self.id, "Operation": operation, "Info": "", "Who": "stand-in", "Version": "1.10.0",
                     "Created": "2026-11-22T02:00:00Z", "Path": ""}

    def __enter__(self):
        limit = next((float(word.partition("=")[2].rstrip("s")) for word in sys.argv if word.startswith("-lock-timeout=")), 0)
        end = time.monotonic() + limit
        while True:
            status, body = ask("LOCK", self.info)
            if status == 200:
                return self
            if status not in (409, 423) or time.monotonic() > end or STATE["interrupted"]:
                diagnostic("Error acquiring the state lock", f"HTTP {status}: {body[:100]!r}")
            time.sleep(0.5)

    def __exit__(self, *_):
        ask("UNLOCK", self.info)

    def get(self):
        status, body = ask("GET")
        if status == 204 or not body:
            return {"version": 4, "terraform_version": "1.10.0", "serial": 0, "lineage": str(uuid.uuid4()), "outputs": {},
                    "resources": []}
        if status != 200:
            diagnostic("Failed to load state", f"HTTP {status}")
        return json.loads(body)

    def put(self, state, lost=False):
        status = 0 if lost else ask("POST", state, f"?ID={self.id}")[0]
        if status != 200:
            pathlib.Path("errored.tfstate").write_text(json.dumps(state))
            note(errored=True)
            diagnostic("Failed to save state", f"Error saving state: HTTP error: {status}")


# --- configuration and plan ---

def configuration():
    main = json.loads(pathlib.Path("main.tf.json").read_text())
    values = json.loads(pathlib.Path("terraform.tfvars.json").read_text())
    if set(main["variable"]) != set(values):
        diagnostic("No value for required variable", str(set(main["variable"]) ^ set(values)))
    types = []
    for file in sorted(pathlib.Path("module").glob("*.tf")):
        types += re.findall(r'^resource "(\w+)" "(\w+)"', file.read_text(), re.MULTILINE)
    return main, values, types


def changes_of(state, values, types, destroy):
    """[(address, type, actions)]: of the resource with the user data a replacement, when that changed."""
    have = {one["address"]: one for one in state["resources"]}
    if destroy:
        return [(address, one["type"], ["delete"]) for address, one in have.items()]
    fingerprint = hashlib.sha256(values["user_data"].encode()).hexdigest()
    changes = []
    for kind, name in types:
        address = f"module.machine.{kind}.{name}"
        old = have.get(address)
        if not old:
            changes.append((address, kind, ["create"]))
        elif "machine" in kind or "instance" in kind:
            changes.append((address, kind, ["no-op"] if old["fingerprint"] == fingerprint else ["delete", "create"]))
        else:
            changes.append((address, kind, ["no-op"]))
    return changes


def show_plan(plan):
    extra = wants("show")
    general(extra)
    resources = [{"address": address, "mode": "managed", "type": kind, "name": "sandbox", "provider_name": "registry/x",
                  "change": {"actions": actions, "before": None, "after": {"fraction": 0.5}}}
                 for address, kind, actions in plan["changes"]]
    module = {"resources": [{"address": f"{kind}.{name}", "mode": "managed", "type": kind, "name": name}
                            for kind, name in plan["types"]]}
    if extra == "forbidden":
        resources.append({"address": "module.machine.aws_iam_user.root", "mode": "managed", "type": "aws_iam_user",
                          "change": {"actions": ["create"]}})
    if extra == "provisioner":
        module["resources"][0]["provisioners"] = [{"type": "local-exec", "expressions": {}}]
    if extra == "data":
        module["resources"].append({"address": "data.external.x", "mode": "data", "type": "external", "name": "x"})
    if extra == "not_a_plan":
        print('{"format_version": "9.9"}')
        return
    print(json.dumps({"format_version": "1.2", "terraform_version": "1.10.0", "variables": {}, "resource_changes": resources,
                      "configuration": {"provider_config": {}, "root_module": {"module_calls": {
                          "machine": {"source": "./module", "module": module}}}}, "errored": False}))


# --- commands ---

def version():
    emit("version", "OpenTofu 1.10.0", tofu="1.10.0", ui="1.2")


def init():
    kind = wants("init")
    general(kind)
    version()
    if not pathlib.Path(".terraform.lock.hcl").exists() or "-lockfile=readonly" not in sys.argv:
        diagnostic("Provider dependency changes detected", "no lock file")
    if kind == "providers":
        diagnostic("Failed to install provider", "could not find registry/x in the mirror")
    pathlib.Path(".terraform").mkdir(exist_ok=True)
    emit("log", "OpenTofu has been successfully initialized!")


def plan():
    if "-refresh-only" in sys.argv:
        return refresh()
    kind = wants("plan")
    general(kind)
    version()
    if kind == "provider_error":
        diagnostic("creating client: no credentials", "AuthorizationFailed", "module.machine.azurerm_linux_virtual_machine.sandbox")
    main, values, types = configuration()
    destroy = "-destroy" in sys.argv
    with Backend("OperationTypePlan") as backend:
        state = backend.get()
    changes = changes_of(state, values, types, destroy)
    for address, kind_of, actions in changes:
        if actions != ["no-op"]:
            emit("planned_change", f"{address}: Plan to {actions[-1]}",
                 change={"resource": {"addr": address, "resource_type": kind_of}, "action": actions[-1]})
    emit("change_summary", "Plan", changes={"add": len(changes), "change": 0, "remove": 0, "operation": "plan"})
    pathlib.Path("plan.out").write_text(json.dumps({"serial": state["serial"], "lineage": state["lineage"], "values": values,
                                                    "types": types, "changes": changes, "destroy": destroy}))


def refresh():
    kind = wants("refresh")
    general(kind)
    version()
    with Backend("OperationTypeRefresh") as backend:
        state = backend.get()
    drift = 0
    for one in state["resources"]:
        if not (CLOUD / one["id"]).exists():
            drift += 1
            emit("resource_drift", f"{one['address']}: Drift detected (delete)",
                 change={"resource": {"addr": one["address"]}, "action": "delete"})
        elif kind == "changed":
            drift += 1
            emit("resource_drift", f"{one['address']}: Drift detected (update)",
                 change={"resource": {"addr": one["address"]}, "action": "update"})
    emit("change_summary", "Plan", changes={"add": 0, "change": 0, "remove": 0, "operation": "plan"})
    sys.exit(2 if drift else 0)


def make(state, address, kind, values):
    number = hashlib.sha256(f"{values['sandbox_id']} {values['boot']} {address}".encode()).hexdigest()[:16]
    thing = {"address": address, "type": kind, "id": f"i-{number}",
             "fingerprint": hashlib.sha256(values["user_data"].encode()).hexdigest()}
    half = CLOUD / f".{thing['id']}"  # whoever looks, or kills this process, sees all of it or nothing
    half.write_text(json.dumps({"sandbox": values["sandbox_id"], "type": kind, "boot": values["boot"], "values": values}))
    half.rename(CLOUD / thing["id"])
    state["resources"].append(thing)


def drop(state, address):
    for one in [one for one in state["resources"] if one["address"] == address]:
        (CLOUD / one["id"]).unlink(missing_ok=True)
        state["resources"].remove(one)


def apply():
    saved = json.loads(pathlib.Path(sys.argv[-1]).read_text())
    kind = wants("destroy" if saved["destroy"] else "apply")
    version()
    with Backend("OperationTypeApply") as backend:
        state = backend.get()
        if kind == "stale" or (state["serial"], state["serial"] and state["lineage"]) != (
                saved["serial"], saved["serial"] and saved["lineage"]):
            diagnostic("Saved plan is stale", "The given plan file can no longer be applied")
        state["lineage"] = saved["lineage"]
        for number, (address, of, actions) in enumerate(saved["changes"]):
            if actions == ["no-op"]:
                continue
            if STATE["interrupted"]:
                backend.put(state)
                diagnostic("execution halted", "", address)
            emit("apply_start", f"{address}: Creating...", hook={"resource": {"addr": address}, "action": actions[-1]})
            if number == 1:
                general(kind)
            if kind == "provider_error" and number == 1:
                emit("apply_errored", f"{address}: failed", "error", hook={"resource": {"addr": address}, "action": "create"})
                state["serial"] += 1
                backend.put(state)
                backend.__exit__()
                diagnostic("QuotaExceeded: no cores left", "Operation could not be completed\nsecret detail", address)
            if kind == "slow":
                note(slow=True)
                end = time.monotonic() + 5
                while time.monotonic() < end and not STATE["interrupted"] and (HERE / "slow").exists():
                    emit("apply_progress", f"{address}: Still creating...", hook={"resource": {"addr": address}})
                    time.sleep(0.05)
            if "delete" in actions:
                drop(state, address)
            if "create" in actions:
                make(state, address, of, saved["values"])
            emit("apply_complete", f"{address}: done", hook={"resource": {"addr": address}, "action": actions[-1]})
            state["serial"] += 1
            backend.put(state, lost=kind == "state_lost" and number == 1)
        machine = [one for one in state["resources"] if "machine" in one["type"] or one["type"] == "aws_instance"]
        state["outputs"] = {"instance_id": {"value": machine[0]["id"], "type": "string"},
                            "console": {"value": "look there", "type": "string"}} if machine else {}
        if kind == "no_output":
            state["outputs"] = {}
        state["serial"] += 1
        backend.put(state)
    emit("change_summary", "Apply complete!", changes={"add": 1, "change": 0, "remove": 0, "operation": "apply"})
    emit("outputs", "Outputs: 2", outputs={})


def output():
    general(wants("output"))
    with_state = Backend("none").get()
    print(json.dumps({name: {"sensitive": False, **one} for name, one in with_state["outputs"].items()}))


def push():
    if wants("push"):
        sys.exit(1)
    state = json.loads(pathlib.Path("errored.tfstate").read_text())
    with Backend("OperationTypePush") as backend:
        if ask("POST", state, f"?ID={backend.id}")[0] != 200:
            sys.exit(1)


def main():
    signal.signal(signal.SIGINT, on_interrupt)
    note(argv=sys.argv[1:], env=sorted(os.environ), uid=os.geteuid(), group=os.getpgid(0) == os.getpid(),
         run=os.environ.get("TF_HTTP_USERNAME"))
    command = sys.argv[1]
    if command == "show":
        return show_plan(json.loads(pathlib.Path(sys.argv[-1]).read_text()))
    return {"init": init, "plan": plan, "apply": apply, "output": output, "state": push}[command]()


if __name__ == "__main__":
    main()
