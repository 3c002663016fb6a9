# SPDX-License-Identifier: Apache-2.0
"""Acme runs an image of globex's: only while globex shares the application that is this very image, and approved it; and what
was decided about an application holds the policies that name it."""
import concurrent.futures
import contextlib

import pytest

from local_stack import problem, unique, wait_for
from peers import orchestrator  # noqa: F401 (fixtures)
from spaces import acme, found_together, globex, space  # noqa: F401 (fixtures)
from trust import World, digest

LOCK = "hashtextextended('policy.start', 0)"
OTHER = digest(b"another image")


class Lent:
    """An application of the lender, in a repository of its own, and an order of acme's to run it."""

    def __init__(self, acme, lender, space):
        self.acme, self.lender, self.space = acme, lender, space
        self.repository, self.manifest = f"{lender.tenant['name']}/{unique('app')}", digest(unique("image").encode())
        self.app = lender.client.made("/v1/apps", {"name": unique("app"), "image": {
            "repository": self.repository, "manifest": self.manifest}})
        self.path = f"/v1/apps/{self.app['id']}"

    def approve(self):
        assert self.lender.client.post(f"/v1/tasks/{self.app['build']['task']}:approve").status_code == 200
        return self

    def share(self):
        self.shared = f"{self.path}/shares/{self.lender.client.made(f'{self.path}/shares', {'space': self.space})['id']}"
        return self

    def change(self, **image):
        record = self.lender.client.get(self.path).json()
        answer = self.lender.client.put(self.path, {"name": record["name"], "image": {**record["image"], **image}}, record["etag"])
        assert answer.status_code == 200, answer.text
        return answer

    def order(self, **image):
        world = World(self.space, self.repository)
        world.policy["image"].update({"manifest": self.manifest, **image})
        policy = self.acme.client.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})
        order = self.acme.client.made("/v1/orders", {"policy": policy["id"], "order": world.order(), "grants": world.grants()})
        return f"/internal/v1/tenants/{self.acme.tenant['id']}/orders/{order['id']}"


@pytest.fixture
def lent(acme, globex, space):
    return Lent(acme, globex, space)


def blocked(orchestrator, order):
    """By what, whatever is asked: the run neither starts nor gets a token for the image."""
    shown, started = orchestrator.get(order).json(), orchestrator.ask("POST", f"{order}:start").json()
    assert (shown["image_tenant"], started["started_at"]) == (None, None)
    assert started["blocked"] == shown["blocked"]
    return shown["blocked"]["code"]


def test_an_image_is_lent_by_a_share_of_what_is_approved(globex, orchestrator, lent):
    order = lent.order()
    assert blocked(orchestrator, order) == "image.not_shared"
    lent.share()
    assert blocked(orchestrator, order) == "image.not_shared"
    lent.approve()
    assert orchestrator.get(order).json()["image_tenant"] == globex.tenant["id"]
    assert orchestrator.ask("POST", f"{order}:start").json()["started_at"]


@pytest.mark.parametrize("image", [{"manifest": OTHER}, {"repository": "globex/other"}])
def test_it_is_this_image_and_no_other(orchestrator, lent, image):
    lent.approve().share()
    assert blocked(orchestrator, lent.order(**image)) == "image.not_shared"


@pytest.mark.parametrize("end", ["unshare", "delete", "change"])
def test_what_is_lent_no_more_is_not_run(globex, orchestrator, lent, end):
    order = lent.approve().share().order()
    if end == "change":
        lent.change(manifest=OTHER)
    else:
        path, etag = (lent.shared, None) if end == "unshare" else (lent.path, globex.client.get(lent.path).json()["etag"])
        assert globex.client.delete(path, etag).status_code == 204
    assert blocked(orchestrator, order) == "image.not_shared"


def test_a_share_that_ends_behind_the_start_gives_no_more_tokens(globex, orchestrator, lent):
    order = lent.approve().share().order()
    assert orchestrator.ask("POST", f"{order}:start").json()["started_at"]
    assert globex.client.delete(lent.shared).status_code == 204
    assert orchestrator.get(order).json()["image_tenant"] is None


def test_a_share_with_another_space_lends_nothing(acme, globex, orchestrator, lent):
    lent.approve()
    globex.client.made(f"{lent.path}/shares", {"space": found_together(acme, globex)["id"]})
    assert blocked(orchestrator, lent.order()) == "image.not_shared"


def test_nobody_lends_what_is_anothers(acme, globex, orchestrator, lent):
    """A repository is its tenant's, by its name: who shares one of acme's hides nothing from acme and gives nobody anything."""
    image = {"repository": f"{acme.tenant['name']}/app", "manifest": lent.manifest}
    problem(globex.client.post("/v1/apps", {"name": unique("app"), "image": image}), 422, "app.foreign_image")
    record = globex.client.get(lent.path).json()
    problem(globex.client.put(lent.path, {"name": record["name"], "image": image}, record["etag"]), 422, "app.foreign_image")
    lent.repository = image["repository"]
    assert orchestrator.get(lent.order()).json()["image_tenant"] == acme.tenant["id"]


# --- withdrawals and starts ---

@pytest.mark.parametrize("end", ["app's share", "app", "app's image", "dataset's share", "dataset"])
def test_nothing_is_taken_back_while_a_run_starts(stack, globex, space, lent, end):
    """Whoever takes back waits for the lock that starts share."""
    lent.share()
    data = globex.client.made("/v1/datasets", {"name": unique("data"), "direction": "input"})
    path = f"/v1/datasets/{data['id']}"
    share = globex.client.made(f"{path}/shares", {"space": space})
    delete = globex.client.delete
    take = {"app's share": lambda: delete(lent.shared), "app": lambda: delete(lent.path, lent.app["etag"]),
            "app's image": lambda: lent.change(manifest=OTHER),
            "dataset's share": lambda: delete(f"{path}/shares/{share['id']}"), "dataset": lambda: delete(path, data["etag"])}[end]
    told = "SELECT last_value, is_called FROM policy.outbox_id_seq"
    before = stack.sql(told)
    with contextlib.closing(stack.connect()) as db, concurrent.futures.ThreadPoolExecutor(1) as pool:
        cursor = db.cursor()
        cursor.execute(f"SELECT pg_advisory_lock_shared({LOCK})")
        taken = pool.submit(take)
        wait_for(lambda: taken.done() or stack.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
                 "who takes back to wait", 20)
        assert not taken.done()
        cursor.execute(f"SELECT pg_advisory_unlock_shared({LOCK})")
        assert taken.result().status_code in (200, 204)
    assert stack.sql(told) != before, "orders are looked at again"


# --- what was decided about an application ---

class Named(Lent):
    """A policy that names it, with a configuration."""

    def __init__(self, acme, lender, space, **app):
        super().__init__(acme, lender, space)
        if app:
            record = lender.client.get(self.path).json()
            self.app = lender.client.put(self.path, {**{m: record[m] for m in ("name", "image")}, **app}, record["etag"]).json()
        self.config = lender.client.made("/v1/app-configs", {"name": unique("config"), "app": self.app["id"]})

    def submit(self, query="", image=None, **policy):
        runtime = {member: self.config[member] for member in ("app_config", "labels", "zone_ca")}
        world = World(self.space, self.repository, app={
            "id": self.app["id"], "config": self.config["id"], "runtime": runtime, "app_config_id": self.config["app_config_id"]}, **policy)
        world.policy["image"].update({"manifest": self.manifest, **(image or {})})
        return self.acme.client.post(f"/v1/policies{query}", {"policy": world.policy, "approvals": [world.approval()]})

    def approve_domains(self):
        assert self.lender.client.post(f"/v1/tasks/{self.app['domains']['task']}:approve").status_code == 200


def direct(*domains):
    return {"mode": "direct", "domains": list(domains), "roots": None}


def test_a_policy_runs_no_build_that_nobody_approved(acme, globex, space):
    for named in (Named(acme, acme, space), Named(acme, globex, space).share()):
        problem(named.submit(), 422, "app.build_not_approved")
        problem(named.submit("?validate_only=true"), 422, "app.build_not_approved")
        named.approve()
        assert named.submit().status_code == 201


def test_a_policy_has_the_image_of_its_application(acme, globex, space):
    named = Named(acme, acme, space).approve()
    problem(named.submit(image={"manifest": OTHER}), 422, "app.wrong_image")
    problem(named.submit(image={"repository": "acme/other"}), 422, "app.wrong_image")
    problem(Named(acme, globex, space).approve().submit(), 422, "app.not_found")  # globex shows it to nobody


def test_a_policy_connects_to_no_domain_that_nobody_approved(acme, space):
    named = Named(acme, acme, space, allowed_domains=["a.example", "b.example:8443"]).approve()
    problem(named.submit(egress=direct("a.example:443")), 422, "app.domain_not_approved")
    named.approve_domains()
    assert named.submit(egress=direct("a.example:443", "b.example:8443")).status_code == 201
    for other in ("a.example:8443", "b.example:443", "c.example:443", "a.example.org:443"):
        problem(named.submit(egress=direct("a.example:443", other)), 422, "app.domain_not_approved")
    assert named.submit(egress={"mode": "none", "domains": [], "roots": None}).status_code == 201
