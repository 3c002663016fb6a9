# SPDX-License-Identifier: Apache-2.0
"""The operator at work: with the database, the objects and the registry's storage in hand, what is altered between order and
run is refused in the sandbox, what is altered behind the run is refused by the client, each under its code."""
import json
import os
import shutil

import pytest
import trust
from client_project import Project
from local_stack import problem
from project import app_fixture, shell

app = app_fixture("tampering", hooks=True)
APP = shell("cat /input/*/*; echo kept >/output/kept")
SAID = "CODE,DESCRIPTION\n1,one\n2,two\n"


@pytest.fixture(scope="module")
def old(app):
    """A run that went well: (its id, its row)."""
    app.go(APP)
    assert app.stdout() == SAID
    return row_of(app, app.run_id())


ROW = "id, state, fence, output_object, output_digest, output_size, receipt, order_id, sandbox_id"


def row_of(app, run):
    return dict(zip(ROW.split(", "), app.stack.sql(f"SELECT {ROW} FROM orchestrator.run WHERE id = %s", run)[0]))


@pytest.fixture
def ordered(app, old):
    """The project stopped dead with an order placed and no run yet."""
    assert app.go(check=False, STRONGROOM_CRASH_AT="before:create-run").returncode == -9
    return app


def work(app):
    return app.state()["tasks"]["execute-policy"]["work"]


def flip(path, at=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.write_bytes(data)


@pytest.fixture
def put_back():
    """Files that get their old content again."""
    kept = []

    def keep(path):
        assert path.is_file(), path
        kept.append((path, path.read_bytes()))
        return path
    yield keep
    for path, data in kept:
        path.write_bytes(data)


def test_an_altered_policy(ordered):
    policy = ordered.outputs("upload-policy")["policy_id"]
    ordered.stack.sql("""UPDATE policy.policy SET document = replace(document, '"max_runs":100', '"max_runs":900')
                         WHERE id = %s""", policy)
    ordered.refused(ordered.run("run", check=False), 6, "approval.wrong_policy")


def test_a_swapped_grant(ordered):
    """The right policy, slot, run and machine, and another key."""
    machine, sandbox = ordered.state()["sandbox"], work(ordered)["round-1"]
    policy = ordered.outputs("upload-policy")["policy_hash"]
    opening = trust.opening("output", {"key": trust.nonce()})
    header = {"typ": "strongroom-grant+jwe", "policy": policy, "slot": "output", "run_nonce": sandbox["nonce"],
              "kid": thumbprint(machine["enc"])}
    grant = trust.wrap(Recipient(machine["enc"]), header, trust.jcs({"opening": opening, "mode": "once"}))
    assert ordered.stack.sql("UPDATE policy.run_grant SET jwe = %s WHERE order_id = %s AND slot = 'output' RETURNING slot",
                             json.dumps(grant), sandbox["order"]) == [("output",)]
    ordered.refused(ordered.run("run", check=False), 6, "grant.commitment")


def thumbprint(jwk):
    return trust.b64url(bytes.fromhex(trust.digest(trust.jcs({name: jwk[name] for name in ("crv", "kty", "x", "y")}))[7:]))


class Recipient:
    """A public key as trust.wrap() wants it."""

    def __init__(self, jwk):
        from cryptography.hazmat.primitives.asymmetric import ec
        x, y = (int.from_bytes(trust.from_b64url(jwk[name]), "big") for name in ("x", "y"))
        self.private = self
        self._public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()

    def public_key(self):
        return self._public


def blob_of(app):
    """The encrypted layer in the registry's storage."""
    index = json.loads((app.folder / "build/image" / layout_name(app) / "index.json").read_text())
    manifest = index["manifests"][0]["digest"][7:]
    document = json.loads((app.folder / "build/image" / layout_name(app) / "blobs/sha256" / manifest).read_text())
    name = document["layers"][0]["digest"][7:]
    return app.stack.folder / f"registry/docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"


def layout_name(app):
    return os.path.relpath(app.folder / app.outputs("dockerize-algo")["layout"], app.folder / "build/image")


def object_of(app):
    return next(app.stack.folder.glob("objects/*/" + app.outputs("get-data-projection")["object"]))


@pytest.mark.parametrize("file, code", [(object_of, "input.digest"), (blob_of, "image.digest")])
def test_altered_ciphertext(ordered, put_back, file, code):
    flip(put_back(file(ordered)))
    ordered.refused(ordered.run("run", check=False), 6, code)


@pytest.mark.parametrize("file, code", [(object_of, "input.digest"), (blob_of, "image.digest")])
def test_truncated_ciphertext(ordered, put_back, file, code):
    path = put_back(file(ordered))
    os.truncate(path, path.stat().st_size - 7)
    ordered.refused(ordered.run("run", check=False), 6, code)


def test_a_replayed_order(app):
    """A used order is refused; and when the run's row is set back as if it had never been, the machine remembers."""
    app.go(APP)
    before = row_of(app, app.run_id())
    again = {"pipeline": app.outputs("upload-policy")["id"], "sandbox": before["sandbox_id"], "order": before["order_id"]}
    problem(app.stack.client("acme-owner").post("/v1/runs", again), 409, "run.order_used")
    app.stack.sql("""UPDATE orchestrator.run SET state = 'dispatched', fence = fence + 1, output_object = NULL, receipt = NULL,
                     output_digest = NULL, output_size = NULL, ended_at = NULL, run_at = now(), revision = revision + 1
                     WHERE id = %s""", before["id"])
    app.stack.sql("INSERT INTO orchestrator.outbox (topic, key) VALUES ('web', %s)", before["sandbox_id"])
    run = app.wait_for_run("refused")
    assert app.stack.sql("SELECT failure_code FROM orchestrator.run WHERE id = %s", run) == [("order.replayed",)]


def test_old_output_for_a_new_run(app, old):
    """Three lies about one run, each told to the same client in the same state; then the truth."""
    assert app.go(APP, check=False, STRONGROOM_CRASH_AT="after:create-run").returncode == -9
    run = app.wait_for_run("succeeded")
    new = row_of(app, run)
    shutil.copytree(app.folder, app.folder.with_name("waiting"), symlinks=True)
    assert tell(app, run, old | {"receipt": new["receipt"]}, "receipt.wrong_output")
    assert tell(app, run, old, "receipt.wrong_key")
    assert tell(app, run, new | {"receipt": forged(new["receipt"], old["receipt"])}, "receipt.signature")
    tell(app, run, new, None)
    assert app.stdout() == SAID and app.receipt()["run"] == run


def forged(new, old):
    """The new run's words under the old run's signature."""
    return json.dumps(json.loads(new) | {"signatures": [json.loads(new)["signatures"][0] |
                                                        {"sig": json.loads(old)["signatures"][0]["sig"]}]})


def tell(app, run, row, code):
    app.stack.sql("""UPDATE orchestrator.run SET output_object = %s, output_digest = %s, output_size = %s, receipt = %s
                     WHERE id = %s""", *(row[name] for name in ("output_object", "output_digest", "output_size", "receipt")),
                  run)
    told = app.folder.with_name("told")
    shutil.rmtree(told, ignore_errors=True)
    shutil.copytree(app.folder.with_name("waiting"), told, symlinks=True)
    shutil.rmtree(told / "output")
    shutil.rmtree(app.folder)
    told.rename(app.folder)
    done = app.run("run", check=code is None)
    if code:
        app.refused(done, 7, code)
        assert not (app.folder / "output").exists(), "something was given a name"
    return True


def ids(app):
    """One id of each kind, by route."""
    upload, data, state = app.outputs("upload-policy"), app.outputs("get-data-projection"), app.state()
    run = app.run_id()
    return {"certificates": app.outputs("get-certs")["certificate_id"], "sandboxes": state["sandbox"]["id"],
            "policies": upload["policy_id"], "pipelines": upload["id"], "datasets": data["dataset_id"], "runs": run,
            "projections": app.stack.sql("SELECT id FROM policy.projection WHERE name = %s", app.name)[0][0],
            "objects": data["object"], "keys": "key_" + app.stack.key("acme-owner").split("_")[1]}


def test_another_tenants_ids_are_unknown(app, old, stranger, owner):
    known = ids(app)
    calls = [(method, f"/v1/{kind}/{id}") for kind, id in known.items() for method in ("GET", "PUT", "DELETE")]
    calls += [("GET", f"/v1/runs/{known['runs']}/events"), ("POST", f"/v1/runs/{known['runs']}:cancel"),
              ("GET", f"/v1/sandboxes/{known['sandboxes']}/console"), ("POST", f"/v1/sandboxes/{known['sandboxes']}:stop"),
              ("GET", f"/v1/datasets/{known['datasets']}/versions"), ("HEAD", f"/v1/objects/{known['objects']}"),
              ("GET", f"/v1/objects/{old['output_object']}")]
    bodies = {"pipelines": {"template": "small", "policy": known["policies"]}, "datasets": {"name": "x"},
              "certificates": {"name": "x", "labels": {}},
              "projections": {"name": "x", "columns": ["A"], "minimum_rows": 1}}
    shown = {}
    for method, path in calls:
        mine = owner.ask(method, path).status_code if method in ("GET", "HEAD") else 200
        more = {"json": bodies.get(path.split("/")[2])} if method == "PUT" else {}
        answer = stranger.ask(method, path, headers={"If-Match": '"1"'}, **more)
        if answer.status_code not in (404, 405) or mine >= 400 and not (mine in (404, 405) and "/keys/" in path):
            shown[method, path] = (answer.status_code, mine, answer.text)
    assert not shown
    for kind, id in known.items():
        listed = stranger.get(f"/v1/{kind}?page_size=200")
        assert listed.status_code in (200, 404, 405) and id not in listed.text


def test_another_tenants_image_and_things_are_of_no_use(app, stranger, tmp_path):
    """Ids of one's own request that name another tenant's things."""
    known = ids(app)
    run = {"pipeline": known["pipelines"], "sandbox": known["sandboxes"], "order": row_of(app, known["runs"])["order_id"]}
    assert stranger.post("/v1/runs", run).status_code == 404
    assert stranger.post("/v1/pipelines", {"name": "x", "template": "small", "policy": known["policies"]}).status_code == 404
    version = {"object": known["objects"], "digest": app.outputs("get-data-projection")["digest"], "size": 1}
    assert stranger.post(f"/v1/datasets/{known['datasets']}/versions", version).status_code == 404
    other = Project(app.program, app.stack, tmp_path)
    other.configure("globex-owner")
    assert other.run("output", "get", known["runs"], check=False).returncode != 0
