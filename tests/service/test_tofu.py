# SPDX-License-Identifier: Apache-2.0
"""The driver tofu from outside: a sandbox's whole life with the stand-in for OpenTofu (tests/support/tofu_stand_in.py, which says
what it replays), the real http backend and the real module's files; each way a run can fail; what a stranger's text may not do."""
import contextlib
import fcntl
import json
import os
import pathlib
import stat
import termios

import pytest

from local_stack import alive as process_lives, wait_for
from sandbox_remains import remains
from test_sandboxes import claim, until
from tofu_cloud import TEMPLATE, TYPES, Cloud, Guest, TofuStack, alive

AT_REST = {"ready", "failed", "stopped"}
UP = ["init", "plan", "show plan.out", "apply plan.out", "output"]
DOWN = ["init", "plan -destroy", "show plan.out", "apply plan.out"]


@pytest.fixture(scope="module")
def cloud():
    made = Cloud()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def tofu(cloud):
    with TofuStack(cloud) as running:
        yield running


@pytest.fixture
def owner(tofu):
    return tofu.client("acme-owner")


def path_of(record):
    return f"/v1/sandboxes/{record['id']}"


@pytest.fixture
def make(tofu, owner, cloud):
    """Makes sandboxes that go with the test, and leave nothing."""
    made = []

    def one(**parameters):
        record = owner.made("/v1/sandboxes", {"template": TEMPLATE, "name": "box", "claim": claim(), "parameters": parameters})
        made.append(record)
        return record
    yield one
    cloud.fail("none", "none")
    for record in made:
        owner.delete(path_of(record))
    for record in made:
        until(owner, path_of(record), {"deleted"})
        assert cloud.of(record["id"]) == [] and tofu.row(record["id"]) is None
        assert remains(tofu, record["id"]) == []


def ready(owner, cloud, record, boot=1):
    assert Guest(owner, cloud, record["id"], boot).enrol().status_code in (200, 201)
    end = until(owner, path_of(record), AT_REST)
    assert end["state"] == "ready", end["failure"]
    wait_for(lambda: cloud.commands(record["id"])[-1] == "output", "tofu to say what it made")
    return end


def failed(owner, record, code):
    end = until(owner, path_of(record), AT_REST)
    assert (end["state"], end["failure"]["code"]) == ("failed", code), end["failure"]
    return end["failure"]["detail"]


def test_life_of_a_machine(tofu, owner, cloud, make):
    record = make(disk_gb=64)
    first = ready(owner, cloud, record)
    assert first["driver"] == "tofu" and cloud.commands(record["id"]) == UP
    assert len(cloud.of(record["id"])) == TYPES and cloud.machine(record["id"])["values"]["disk_gb"] == 64
    owner.post(f"{path_of(record)}:restart", {"claim": claim()})
    second = ready(owner, cloud, record, boot=2)
    assert second["boot"] == 2 and second["enc_jwk"] != first["enc_jwk"]
    assert len(cloud.of(record["id"])) == TYPES and cloud.commands(record["id"]) == UP * 2
    owner.post(f"{path_of(record)}:stop")
    assert until(owner, path_of(record), {"stopped"})["failure"] is None
    assert cloud.of(record["id"]) == [] and cloud.commands(record["id"]) == UP * 2 + DOWN
    owner.post(f"{path_of(record)}:start", {"claim": claim()})
    assert ready(owner, cloud, record, boot=3)["boot"] == 3


def test_run_has_its_own_user_and_a_small_world(tofu, owner, cloud, make):
    record = make()
    ready(owner, cloud, record)
    runs = [line for line in cloud.log(record["id"]) if "argv" in line]
    for run in runs:
        assert not [name for name in run["env"] if name not in (
            "PATH", "LANG", "HOME", "TMPDIR", "CHECKPOINT_DISABLE", "CLOUD_DIR", "ARM_CLIENT_SECRET", "LC_CTYPE", "PWD")
            and not name.startswith("TF_")]
        assert run["group"]
        assert ("ARM_CLIENT_SECRET" in run["env"]) == (run["argv"][0] in ("plan", "apply"))
        assert not [word for word in run["argv"] if "4711" in word or "lock=false" in word]
    assert [int(run["run"]) for run in runs] == list(range(1, len(runs) + 1))  # each with a password of its own
    folder = tofu.folder / f"sandboxes/tofu/{record['id']}"
    if os.geteuid() == 0:
        assert {run["uid"] for run in runs} == {(folder / "working").stat().st_uid} and 0 not in {run["uid"] for run in runs}
    assert stat.S_IMODE((folder / "working").stat().st_mode) == 0o700
    assert not (folder / "working/plan.out").exists()
    wait_for(lambda: {path.name for path in folder.iterdir()} == {
        "working", "run.lock", "control", "exit", "out", "err", "console.log"}, "the secret to go")
    log = (tofu.folder / "log/provisioner.log").read_text()
    assert "cloud-password-4711" not in log and "enrolment_secret" not in log


def test_text_of_a_member_is_never_a_template(tofu, owner, cloud, make):
    """Neither in main.tf.json, where it would be evaluated, nor anywhere but in the file of values."""
    record = make(vm_size="Standard_DC4as_v5")
    ready(owner, cloud, record)
    work = tofu.folder / f"sandboxes/tofu/{record['id']}/working"
    main = (work / "main.tf.json").read_text()
    values = json.loads((work / "terraform.tfvars.json").read_text())
    assert "Standard_DC4as_v5" not in main and record["id"] not in main and values["vm_size"] == "Standard_DC4as_v5"
    document = json.loads(main)
    assert set(document) == {"terraform", "variable", "module", "output"} and document["terraform"] == {"backend": {"http": {}}}
    assert document["module"]["machine"]["source"] == "./module"
    assert all(value == f"${{var.{name}}}" for name, value in document["module"]["machine"].items() if name != "source")
    assert document["variable"]["user_data"] == {"sensitive": True}


def test_plan_with_what_is_not_allowed_is_not_applied(owner, cloud, make):
    for kind, word in (("forbidden", "aws_iam_user"), ("provisioner", "provisioner"), ("data", "data.external.x")):
        cloud.fail("show", kind)
        record = make()
        assert word in failed(owner, record, "tofu.plan_forbidden")
        assert "apply plan.out" not in cloud.commands(record["id"]) and cloud.of(record["id"]) == []


def test_what_is_no_plan_is_not_applied(owner, cloud, make):
    cloud.fail("show", "not_a_plan")
    record = make()
    failed(owner, record, "tofu.bad_plan")
    assert cloud.commands(record["id"]) == UP[:3] and cloud.of(record["id"]) == []


@contextlib.contextmanager
def held_before_apply(tofu):
    """Whoever notes in the row that a plan was checked waits there, its digest taken, until `with` ends."""
    holder = tofu.connect()
    with holder.cursor() as cursor:
        cursor.execute("""CREATE FUNCTION provisioner.hold() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END';
            CREATE TRIGGER hold BEFORE UPDATE ON provisioner.tofu FOR EACH ROW
            WHEN (OLD.step = 'show' AND NEW.step = 'apply') EXECUTE FUNCTION provisioner.hold()""")
        holder.commit()
        cursor.execute("SELECT pg_advisory_lock(4711)")
        holder.commit()
    try:
        yield lambda: wait_for(lambda: tofu.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"),
                               "the checked plan")
    finally:
        holder.close()
        tofu.sql("DROP TRIGGER hold ON provisioner.tofu; DROP FUNCTION provisioner.hold()")


def test_plan_swapped_after_its_check_is_not_applied(tofu, owner, cloud, make):
    with held_before_apply(tofu) as checked:
        record = make()
        checked()
        plan = tofu.folder / f"sandboxes/tofu/{record['id']}/working/plan.out"
        plan.write_text(json.dumps({**json.loads(plan.read_text()), "swapped": True}))
    failed(owner, record, "tofu.plan_changed")
    assert cloud.commands(record["id"]) == UP[:3] and cloud.of(record["id"]) == []


@pytest.mark.parametrize("step, kind, code", [
    ("init", "providers", "tofu.providers"), ("init", "other_version", "tofu.other_version"), ("plan", "provider_error", "tofu.plan_failed"),
    ("plan", "other_version", "tofu.other_version"), ("apply", "no_output", "tofu.output_failed")])
def test_failures_have_codes(owner, cloud, make, step, kind, code):
    cloud.fail(step, kind)
    record = make()
    failed(owner, record, code)
    wait_for(lambda: cloud.of(record["id"]) == [], "nothing to be left")


def test_what_failed_half_way_is_removed(tofu, owner, cloud, make):
    cloud.fail("apply", "provider_error")
    record = make()
    detail = failed(owner, record, "tofu.apply_failed")
    assert "QuotaExceeded: no cores left" in detail and "secret detail" not in detail
    assert "module.machine.azurerm_network_interface.sandbox" in detail
    assert cloud.of(record["id"]) == [] and cloud.commands(record["id"]) == UP[:4] + DOWN
    console = owner.get(f"{path_of(record)}/console").text
    assert "QuotaExceeded" in console and "secret detail" not in console
    owner.post(f"{path_of(record)}:retry")
    assert ready(owner, cloud, record, boot=2)


def test_state_that_was_not_saved_is_pushed(tofu, owner, cloud, make):
    cloud.fail("apply", "state_lost")
    record = make()
    ready(owner, cloud, record)
    commands = cloud.commands(record["id"])
    assert commands == UP[:4] + ["state push errored.tfstate"] + UP[1:]
    assert len(cloud.of(record["id"])) == TYPES  # none was made twice
    assert not (tofu.folder / f"sandboxes/tofu/{record['id']}/working/errored.tfstate").exists()


def test_push_is_repeated_and_the_folder_kept(tofu, owner, cloud, make):
    record = make()
    ready(owner, cloud, record)
    work = tofu.folder / f"sandboxes/tofu/{record['id']}/working"
    (work / "errored.tfstate").write_text("{}")
    os.chown(work / "errored.tfstate", work.stat().st_uid, work.stat().st_uid)
    cloud.fail("push", "fails", times=2)
    owner.delete(path_of(record))
    wait_for(lambda: cloud.commands(record["id"]).count("state push errored.tfstate") == 3, "three pushes")
    assert work.exists() and len(cloud.of(record["id"])) == TYPES
    (work / "errored.tfstate").unlink(missing_ok=True)


def test_stale_plan_is_made_anew(owner, cloud, make):
    cloud.fail("apply", "stale")
    record = make()
    ready(owner, cloud, record)
    assert cloud.commands(record["id"]) == UP[:4] + UP[1:]


@pytest.mark.parametrize("kind", ["garbage", "huge"])
@pytest.mark.parametrize("step", ["init", "plan", "apply"])
def test_lines_that_nobody_wants_do_no_harm(owner, cloud, make, step, kind):
    cloud.fail(step, kind)
    record = make()
    ready(owner, cloud, record)
    console = owner.get(f"{path_of(record)}/console").text
    assert "\x1b" not in console and "xxxx" not in console


def test_progress_is_seen(tofu, owner, cloud, make):
    (cloud.things / "slow").touch()
    cloud.fail("apply", "slow")
    record = make()
    text = wait_for(lambda: (owner.get(path_of(record)).json()["progress"] or {}).get("text", "").startswith("tofu apply: ")
                    and owner.get(path_of(record)).json()["progress"]["text"], "progress")
    assert "module.machine." in text
    (cloud.things / "slow").unlink()
    ready(owner, cloud, record)


def test_cancel_interrupts_once_and_cleans_up(tofu, owner, cloud, make):
    cloud.fail("apply", "hang")
    record = make()
    wait_for(lambda: [line for line in cloud.log(record["id"]) if line.get("hangs")], "tofu to hang")
    assert owner.post(f"{path_of(record)}:cancel").status_code == 202
    end = until(owner, path_of(record), {"stopped"})
    assert end["failure"]["code"] == "sandbox.cancelled"
    signals = [line for line in cloud.log(record["id"]) if "signal" in line]
    assert len(signals) == 1 and not signals[0]["second"]
    assert cloud.of(record["id"]) == [] and cloud.commands(record["id"])[-1] == DOWN[-1]


def test_second_wish_to_stop_is_no_second_interrupt(tofu, owner, cloud, make):
    """Which tofu would take for "at once", and lose its state."""
    (cloud.things / "slow").touch()
    cloud.fail("apply", "hang")
    record = make()
    wait_for(lambda: [line for line in cloud.log(record["id"]) if line.get("hangs")], "tofu to hang")
    assert owner.post(f"{path_of(record)}:cancel").status_code == 202
    wait_for(lambda: [line for line in cloud.log(record["id"]) if "signal" in line], "the interrupt")
    assert owner.delete(path_of(record)).status_code == 202
    with open(tofu.folder / f"sandboxes/tofu/{record['id']}/control", "r+b", buffering=0) as control:
        for _ in range(3):
            control.write(b"i")
            wait_for(lambda: fcntl.ioctl(control, termios.FIONREAD, bytes(4)) == bytes(4), "the wish to be read")
    (cloud.things / "slow").unlink()
    until(owner, path_of(record), {"deleted"})
    assert [line["second"] for line in cloud.log(record["id"]) if "signal" in line] == [False]
    assert cloud.of(record["id"]) == [] and cloud.commands(record["id"])[:4] == UP[:4]


def test_provisioner_killed_while_tofu_works(tofu, owner, cloud, make):
    """The run lives on, saves its state to whoever serves it then, and is collected; where nobody served it yet, its state is pushed."""
    (cloud.things / "slow").touch()
    cloud.fail("apply", "slow")
    record = make()
    wait_for(lambda: [line for line in cloud.log(record["id"]) if line.get("slow")], "tofu to apply")
    tofu.kill("provisioner")
    assert alive(tofu.folder / f"sandboxes/tofu/{record['id']}/working")
    tofu.command("up")
    (cloud.things / "slow").unlink()
    ready(owner, cloud, record)
    commands = cloud.commands(record["id"])
    assert commands == UP or (commands[:5], commands[-1]) == ([*UP[:4], "state push errored.tfstate"], UP[-1])
    assert len(cloud.of(record["id"])) == TYPES


@pytest.mark.parametrize("step", ["init", "apply", "output"])
def test_tofu_killed_while_it_works_goes_on(tofu, owner, cloud, make, step):
    """By the kernel, say. An apply is planned anew; the backend's lock does not outlive its run."""
    cloud.fail(step, "killed")
    record = make()
    ready(owner, cloud, record)
    commands = {"init": UP[:1] + UP, "apply": UP[:4] + UP[1:], "output": UP + UP[4:]}[step]
    wait_for(lambda: cloud.commands(record["id"]) == commands, "the runs to be over")
    assert len(cloud.of(record["id"])) == TYPES


def test_deleted_in_the_middle(tofu, owner, cloud, make):
    (cloud.things / "slow").touch()
    cloud.fail("apply", "slow")
    record = make()
    wait_for(lambda: [line for line in cloud.log(record["id"]) if line.get("slow")], "tofu to apply")
    (cloud.things / "slow").unlink()
    assert owner.delete(path_of(record)).status_code == 202
    until(owner, path_of(record), {"deleted"})
    assert cloud.of(record["id"]) == [] and remains(tofu, record["id"]) == []


def test_removal_is_repeated_until_it_is_done(tofu, owner, cloud, make):
    record = make()
    ready(owner, cloud, record)
    cloud.fail("destroy", "provider_error", times=2)
    owner.delete(path_of(record))
    until(owner, path_of(record), {"deleted"})
    assert cloud.of(record["id"]) == [] and cloud.commands(record["id"]).count("apply plan.out") == 4


def look_now(tofu, record):
    """What tofu_drift does each hour here."""
    wait_for(lambda: tofu.row(record["id"])[1:2] == ("done",), "the machine to be made")
    tofu.sql("UPDATE provisioner.tofu SET next_at = now() WHERE sandbox_id = %s", record["id"])


def test_machine_that_is_gone_is_a_sandbox_that_died(tofu, owner, cloud, make):
    record = make()
    ready(owner, cloud, record)
    cloud.fail("refresh", "changed", times=9)
    look_now(tofu, record)
    wait_for(lambda: "plan -refresh-only" in cloud.commands(record["id"]), "tofu to look")
    wait_for(lambda: tofu.row(record["id"], "running") == (None,), "the look to be over")
    assert owner.get(path_of(record)).json()["state"] == "ready"  # changed, but there
    for path, thing in cloud.of(record["id"]):
        if "machine" in thing["type"]:
            path.unlink()
    look_now(tofu, record)
    end = until(owner, path_of(record), {"stopped"})
    assert end["failure"]["code"] == "sandbox.died" and cloud.of(record["id"]) == []


def test_module_that_was_altered_is_not_run(tofu, owner, cloud, make, tmp_path):
    settings = tofu.folder / f"etc/tofu/{TEMPLATE}/variables.json"
    kept = settings.read_text()
    for bad in ("[]", "{", json.dumps({"source": "git::https://evil"}), json.dumps({"vm_size": "x"}), json.dumps({"Bad-name": 1})):
        settings.write_text(bad)
        failed(owner, make(), "tofu.bad_settings")
    settings.write_text(kept)
    lock = tofu.folder / f"etc/tofu/{TEMPLATE}/terraform.lock.hcl"
    lock.rename(lock.with_suffix(".away"))
    failed(owner, make(), "tofu.bad_settings")
    lock.with_suffix(".away").rename(lock)
    evil = tofu.folder / f"etc/tofu/{TEMPLATE}/env/TF_CLI_ARGS"
    evil.write_text("-lock=false")
    failed(owner, make(), "tofu.bad_settings")
    evil.unlink()


def test_plan_and_state_hold_no_secret_on_disk_in_clear(tofu, owner, cloud, make):
    record = make()
    guest = Guest(owner, cloud, record["id"])
    secret = guest.data["enrolment_secret"]
    assert guest.enrol().status_code in (200, 201)
    until(owner, path_of(record), {"ready"})
    stored = json.dumps(tofu.sql("SELECT row_to_json(t)::text FROM provisioner.tofu t WHERE sandbox_id = %s", record["id"]))
    assert secret not in stored and "instance_id" not in stored
    assert process_lives(tofu.pid("provisioner"))
    for path in pathlib.Path(tofu.folder / f"sandboxes/tofu/{record['id']}").glob("*"):
        if path.is_file() and not stat.S_ISFIFO(path.stat().st_mode):
            assert secret not in path.read_text(errors="replace"), path
