# SPDX-License-Identifier: Apache-2.0
"""Another tenant's ids are like ids that nobody has: every route of every service with an id in its path, and every id in a
body, is asked twice by a stranger. Status, headers, body and the SQL statements behind it must be the same both times; the
owner's own request shows that it was good enough to reach what it names."""
import re
import secrets

import pytest

import gateway_kit
from alike import absent, same
from contract import contracts
from local_stack import unique
from peers import Orchestrator
from spaces import Party, certificate_of, found, invite
from statements import Statements
from test_certreg_members import NEVER, Secret
from test_runs import Case
from trust import Key, World, b64url, digest, envelope, jcs, nonce, wrap

# Not about anybody's rows: what is said of each would be said to everybody.
EVERYBODYS = {
    "GET /internal/v1/spaces/{space_id}/tenants": "a service asks, in nobody's name",
    "GET /internal/v1/sandboxes/{sandbox_id}": "services ask, in nobody's name",
    "GET /internal/v1/sandboxes/{sandbox_id}/image": "services ask, in nobody's name",
}
# Ids that a client makes for what it creates are unique in the instance; they hold 74 random bits.
OWN_IDS = {"POST /v1/keys .id", "POST /v1/invitations .id", "POST /v1/tenants .owner.id", "POST /v1/keys/{key_id}:rotate .id",
           "POST /v1/invitations/{invitation_id}:accept .key.id"}
# Kept as they are and compared with the caller's own: nobody looks up whose they are.
NOT_LOOKED_UP = {"POST /v1/projections .members", "PUT /v1/projections/{projection_id} .members",
                 "POST /v1/workflows/{workflow_id}:request .policies.object"}  # the last: of the workflow's own graph
AGENTS = "/v1/agent/"  # test_cross_tenant_agents.py
TEMPLATES = "/v1/templates/"  # the instance's own; test_templates.py tells who sees which
SERVICES = [contract for contract in contracts() if contract.service != "controller"]  # that one is somebody else's


GRAPH = {"v": "strongroom-graph-1", "objects": {}, "edges": {}, "positions": {}}


def application(tenant):
    return {"name": unique("app"), "image": {"repository": f"{tenant.party.tenant['name']}/app", "manifest": digest(b"image")}}


class Tenant:
    """An owner with one of everything."""

    def __init__(self, stack, name):
        self.party = Party(stack.client(name))
        self.client = client = self.party.client
        self.space, self.world = found(self.party), None
        client.tokens.clear()
        self.case = Case(client)
        self.world = self.case.world
        claim = {"v": "strongroom-claim-1", "owner": digest(b"somebody"), "policy": None, "nonce": nonce()}
        self.sandbox = client.made("/v1/sandboxes", {"template": "small", "name": unique("box"), "claim": claim})["id"]
        invitation = Secret("sri", "inv")
        client.made("/v1/invitations", invitation.words(name=unique("m"), roles=["auditor"], expires_at=NEVER))
        run = client.post("/v1/runs", {"pipeline": self.case.pipeline, "sandbox": self.sandbox, "order": self.case.order()})
        assert run.status_code == 202, run.text
        projection = self.projection()
        self.ids = {
            "tenant_id": self.party.tenant["id"], "certificate_id": self.party.certificate["id"],
            "member_id": client.made("/v1/members", {"name": unique("svc"), "roles": ["auditor"]})["id"],
            "key_id": client.made("/v1/keys", Secret("sr", "key").words(name=unique("key")))["id"],
            "challenge_id": client.made("/v1/challenges", {"spki": Key().spki})["id"],
            "space_id": self.space["id"], "invitation_id": invitation.id, "sandbox_id": self.sandbox,
            "policy_id": self.case.policy["id"], "pipeline_id": self.case.pipeline, "order_id": self.case.order(),
            "projection_id": projection, "dataset_id": self.dataset(), "run_id": run.json()["id"],
            "object_id": client.made("/v1/objects", {"role": "input"})["id"], "attestation_id": self.attestation(stack),
            "image_id": self.image(), "slot": "image", **self.app()}
        for kind, name in ("datasets", "share_id"), ("projections", "projection_share_id"):
            path = f"/v1/{kind}/{self.ids[kind[:-1] + '_id']}/shares"
            self.ids[name] = client.made(path, {"space": self.space["id"]})["id"]
        self.ids["constraint_id"] = self.constraint()["id"]
        self.ids["workflow_id"] = client.made("/v1/workflows", {"name": unique("flow"), "graph": GRAPH})["id"]
        self.ids["version"] = "1"

    def constraint(self):
        return self.client.made("/v1/constraints", {"document": demand(self.dataset())})

    def app(self):
        app = self.client.made("/v1/apps", application(self))
        config = self.client.made("/v1/app-configs", {"name": unique("acf"), "app": app["id"]})
        share = self.client.made(f"/v1/apps/{app['id']}/shares", {"space": self.space["id"]})
        return {"app_id": app["id"], "app_share_id": share["id"], "task_id": app["build"]["task"], "config_id": config["id"]}

    def image(self):
        repository = gateway_kit.EdgeRepository(self.client, f"{self.party.tenant['name']}/{unique('app')}")
        digest = gateway_kit.made(repository, gateway_kit.manifest(repository, gateway_kit.layer(repository)))
        found, = self.client.get(f"/v1/images?repository={repository.name}&digest={digest}").json()["items"]
        return found["id"]

    def dataset(self):
        return self.client.made("/v1/datasets", {"name": unique("dst"), "direction": "input", "location": {"url": PLACE},
                                                 "credentials": sealed()})["id"]

    def projection(self):
        return self.client.made("/v1/projections", {"name": unique("prj"), "columns": ["A"]})["id"]

    def attestation(self, stack):
        """A question that no agent has answered and that is not forgotten while the tests run."""
        made = "att_" + secrets.token_hex(16)
        stack.sql("""INSERT INTO provisioner.attestation (tenant_id, space_id, id, sandbox_id, boot, member, nonce, created_at)
            VALUES (%s, %s, %s, %s, 1, 'mbr_x', %s, now() + interval '1 hour')""",
                  self.party.tenant["id"], self.party.tenant["space"], made, self.sandbox, nonce())
        return made

    def space_invitation(self, guest):
        return invite(self.party, self.space, guest.party.key.spki)[0]["id"]

    def close(self):
        self.client.post(f"/v1/runs/{self.ids['run_id']}:cancel")
        self.client.delete(f"/v1/sandboxes/{self.sandbox}")


@pytest.fixture(scope="module")
def acme(stack):
    tenant = Tenant(stack, "acme-owner")
    yield tenant
    tenant.close()


@pytest.fixture(scope="module")
def globex(stack):
    tenant = Tenant(stack, "globex-owner")
    yield tenant
    tenant.close()


@pytest.fixture(scope="module")
def statements(stack, acme, globex):
    for tenant in acme, globex:
        tenant.client.post(f"/v1/sandboxes/{tenant.sandbox}:stop")  # its agent would ask now and then
    with Statements(stack) as running:
        yield running


def said(answer):
    is_problem = answer.headers.get("Content-Type", "").startswith("application/problem") and answer.content
    return answer.status_code, answer.json()["code"] if is_problem else None


# --- routes ---

def joining(acme, globex, ids):
    """Signed well on both sides, for a space that does not know of it."""
    payload = {"space": ids["space_id"], "name": acme.space["name"], "tenant": acme.party.tenant["name"],
               "to": globex.party.key.spki, "nonce": nonce(), "iat": 1700000000, "exp": 4000000000, "spki": acme.party.key.spki}
    accepted = {"invitation": digest(jcs(payload)), "tenant": globex.party.tenant["name"], "iat": 1700000000}
    return {"invitation": envelope(acme.party.key, "strongroom-space-invitation+jws", payload),
            "acceptance": globex.party.sign("strongroom-space-acceptance+jws", accepted)}


PLACE = "https://store.example/rows"


def sealed():
    return wrap(Key("enc"), {"typ": "strongroom-credentials+jwe", "kid": nonce(), "location": digest(PLACE.encode())}, b"{}")


def demand(subject):
    """A scoped policy that allows everything."""
    return {"v": "strongroom-constraints-1", "scope": "dataset", "subject": subject, "name": unique("demand"), **{member: None for member in (
        "images", "templates", "runners", "recipients", "evidence", "egress", "limits", "gates", "not_after")}}


def proof():
    return {"challenge": "chl_" + secrets.token_hex(16), "client_nonce": secrets.token_hex(32), "signature": "AAAA"}


CLAIM = {"v": "strongroom-claim-1", "owner": digest(b"x"), "policy": None, "nonce": b64url(bytes(32))}
# What a route is sent beside its path: good enough for its owner to get past the id.
BODIES = {
    "PUT /v1/members/{member_id}": lambda acme, globex, ids: {"roles": ["auditor"], "state": "active"},
    "PUT /v1/certificates/{certificate_id}": lambda acme, globex, ids: {"name": unique("c"), "labels": {}},
    "POST /v1/certificates/{certificate_id}:revoke": lambda acme, globex, ids: {"reason": "superseded"},
    "POST /v1/certificates/{certificate_id}:rotate": lambda acme, globex, ids: {
        "certificate_pem": certificate_of(Key()), "proof": proof(), "proof_old": proof()},
    "POST /v1/invitations/{invitation_id}:accept": lambda acme, globex, ids: {
        "secret": Secret("sri", "inv").text, "key": Secret("sr", "key").words(name="first")},
    "POST /v1/keys/{key_id}:rotate": lambda acme, globex, ids: {"hash": Secret("sr", "key").hash},
    "POST /v1/spaces/{space_id}:join": joining,
    "POST /v1/spaces/{space_id}/invitations": lambda acme, globex, ids: {"invitation": joining(acme, globex, ids)["invitation"]},
    "POST /v1/orders/{order_id}/grants": lambda acme, globex, ids: {"releases": []},
    "POST /v1/runs/{run_id}:order": lambda acme, globex, ids: {"sandbox": globex.sandbox, "order": globex.ids["order_id"]},
    "POST /v1/images/{image_id}:rewrap": lambda acme, globex, ids: {"manifest": "e30=", "tags": []},
    "POST /v1/images/{image_id}:replace": lambda acme, globex, ids: {"digest": digest(b"x"), "tags": []},
    "POST /v1/policies/{policy_id}/approvals": lambda acme, globex, ids: {"approval": acme.world.approval()},
    "POST /v1/policies/{policy_id}:explain": lambda acme, globex, ids: {},
    "PUT /v1/constraints/{constraint_id}": lambda acme, globex, ids: {"document": demand(globex.dataset())},
    "PUT /v1/pipelines/{pipeline_id}": lambda acme, globex, ids: {"template": "small", "policy": globex.ids["policy_id"]},
    "PUT /v1/projections/{projection_id}": lambda acme, globex, ids: {"name": unique("prj"), "columns": ["A"]},
    "PUT /v1/datasets/{dataset_id}": lambda acme, globex, ids: {"name": unique("dst")},
    "POST /v1/datasets/{dataset_id}/versions": lambda acme, globex, ids: {
        "object": globex.ids["object_id"], "digest": digest(b"x"), "size": 1},
    "PUT /v1/workflows/{workflow_id}": lambda acme, globex, ids: {"name": unique("flow"), "graph": GRAPH},
    "POST /v1/workflows/{workflow_id}:validate": lambda acme, globex, ids: {},
    "POST /v1/workflows/{workflow_id}:request": lambda acme, globex, ids: {"version": 1, "policies": []},
    "POST /v1/workflows/{workflow_id}:withdraw": lambda acme, globex, ids: {"version": 1},
    "PUT /v1/apps/{app_id}": lambda acme, globex, ids: application(globex),
    "PUT /v1/app-configs/{config_id}": lambda acme, globex, ids: {"name": unique("acf"), "app": globex.ids["app_id"]},
    "POST /v1/tasks/{task_id}:deny": lambda acme, globex, ids: {},
    "POST /v1/projections/{projection_id}/shares": lambda acme, globex, ids: {"space": globex.ids["space_id"]},
    "POST /v1/datasets/{dataset_id}:fetch-description": lambda acme, globex, ids: {"url": PLACE},
    "PUT /v1/datasets/{dataset_id}/credentials": lambda acme, globex, ids: {"credentials": sealed()},
    "POST /v1/apps/{app_id}/shares": lambda acme, globex, ids: {"space": globex.ids["space_id"]},
    "POST /v1/datasets/{dataset_id}/shares": lambda acme, globex, ids: {"space": globex.ids["space_id"]},
    "POST /v1/sandboxes/{sandbox_id}:start": lambda acme, globex, ids: {"claim": CLAIM},
    "POST /v1/sandboxes/{sandbox_id}:restart": lambda acme, globex, ids: {"claim": CLAIM},
    "PUT /v1/quotas/{tenant_id}": lambda acme, globex, ids: {"sandboxes": 1},
    "PUT /v1/registry/quotas/{tenant_id}": lambda acme, globex, ids: {"bytes": 1, "images": 1, "uploads": 1},
    "POST /v1/sandboxes/{sandbox_id}:attest": lambda acme, globex, ids: {},
    "POST /v1/enrolments/{sandbox_id}/claim": lambda acme, globex, ids: {},
    "POST /v1/enrolments/{sandbox_id}": lambda acme, globex, ids: {"boot": 1, "evidence": {}},
}
HEADERS = {"POST /v1/enrolments/{sandbox_id}/claim": {"Authorization": "Enrolment wrong"},
           "POST /v1/enrolments/{sandbox_id}": {"Authorization": "Enrolment wrong"}}
# The owner is refused like everybody: tenants are for operators, secrets are asked for before all else, a draft has no version.
NOT_EVEN_ITS_OWNER = ("/v1/tenants/", "/v1/quotas/", "/v1/registry/quotas/", "/v1/enrolments/", "/v1/invitations/{invitation_id}:accept",
                      "/v1/workflows/{workflow_id}/versions/{version}")

OPERATIONS = sorted((operation for contract in SERVICES for operation in contract.operations
                     if "{" in operation.path and not operation.path.startswith((AGENTS, TEMPLATES)) and str(operation) not in EVERYBODYS),
                    key=lambda operation: (operation.method == "DELETE", "/sandboxes" in operation.path))  # owners ask, too


class Asked:
    """One operation, asked with some ids by some tenant, with a good body and an If-Match that never fits."""

    def __init__(self, operation, acme, globex):
        self.operation, self.acme, self.globex, self.name = operation, acme, globex, str(operation)
        assert bool(operation.input_schema()) == (self.name in BODIES), f"BODIES must tell what to send to {self.name}"

    def __call__(self, client, ids):
        more, headers = {}, {"If-Match": '"r999999"', **HEADERS.get(self.name, {})}
        if self.name in BODIES:
            more["json"] = BODIES[self.name](self.acme, self.globex, ids)
        elif self.operation.method == "PATCH":
            more["data"], headers["Content-Range"] = b"x", "0-0"
        path = self.operation.path.format(**ids)
        if self.name == "PUT /v1/objects/{object_id}":
            path += "?digest=" + digest(b"x")
        return client.ask(self.operation.method, path, headers=headers, **more)


def ids_for(operation, acme, globex):
    names = re.findall(r"{(\w+)}", operation.path)
    missing = [name for name in names if name not in acme.ids]
    assert not missing, f"class Tenant must make one of {missing}, for {operation}"
    ids = {name: acme.ids[name] for name in names}
    if operation.path.startswith("/v1/apps/") and "share_id" in ids:
        ids["share_id"] = acme.ids["app_share_id"]
    if operation.path.startswith("/v1/projections/") and "share_id" in ids:
        ids["share_id"] = acme.ids["projection_share_id"]
    if operation.path.startswith("/v1/spaces/") and "invitation_id" in ids:
        ids["invitation_id"] = acme.space_invitation(globex)
    return ids


@pytest.mark.parametrize("operation", [row for row in OPERATIONS if row.access != "service"], ids=str)
def test_anothers_id_is_like_none(statements, acme, globex, operation):
    ask, ids = Asked(operation, acme, globex), ids_for(operation, acme, globex)
    answer = same(statements.of, lambda which: lambda: ask(globex.client, which), ids, {name: one if name == "version" else absent(one) for name, one in ids.items()})
    assert 400 <= answer.status_code < 500, answer.text
    if not operation.path.startswith(NOT_EVEN_ITS_OWNER):
        owner = ask(acme.client, ids)
        assert said(owner) != said(answer), f"the owner is not told more: {owner.status_code} {owner.text}"


# --- services in a tenant's name ---

@pytest.mark.parametrize("operation", [row for row in OPERATIONS if row.access == "service"], ids=str)
def test_a_service_in_ones_name_learns_nothing_of_another(stack, statements, acme, globex, operation):
    service, ids = Orchestrator(stack, operation.contract.service), ids_for(operation, acme, globex)
    name, = set(ids) - {"tenant_id"}
    path = operation.path.replace("{tenant_id}", globex.ids["tenant_id"])
    answer = same(statements.of, lambda one: lambda: service.ask(operation.method, path.format(**{name: one})), ids[name], absent(ids[name]))
    assert answer.status_code == 404
    assert service.ask(operation.method, operation.path.format(**ids)).status_code == 200


# --- ids in bodies and queries ---

def order(tenant, policy):
    return {"policy": policy, "order": tenant.world.order(), "grants": tenant.world.grants()}


def run(tenant, **changes):
    return {"pipeline": tenant.ids["pipeline_id"], "sandbox": tenant.sandbox, "order": tenant.case.order(), **changes}


def asking(tenant, policy):
    """For a workflow of one application, which is what the policy would be of."""
    workflow = tenant.client.made("/v1/workflows", {"name": unique("flow"), "graph": {
        **GRAPH, "objects": {"app": {"name": "app", "description": None, "ref": {"app": {
            "app_id": tenant.ids["app_id"], "config_id": tenant.ids["config_id"]}}}}}})
    return "POST", f"/v1/workflows/{workflow['id']}:request", {"version": 1, "policies": [{"object": "app", "policy": policy}]}


def registration(tenant, challenge):
    return {"certificate_pem": certificate_of(Key()), "proof": {**proof(), "challenge": challenge}}


# {an id in a request: (what it is of acme, how the stranger names it)}
NAMED = {
    "POST /v1/keys .member": ("member_id", lambda globex, one: ("POST", "/v1/keys", {
        **Secret("sr", "key").words(name=unique("key")), "member": one})),
    "POST /v1/certificates .proof.challenge": ("challenge_id", lambda globex, one: (
        "POST", "/v1/certificates", registration(globex, one))),
    "POST /v1/certificates/{certificate_id}:rotate .proof.challenge": ("challenge_id", lambda globex, one: (
        "POST", f"/v1/certificates/{globex.ids['certificate_id']}:rotate", {
            **registration(globex, one), "proof_old": {**proof(), "challenge": one}})),
    "POST /v1/runs .pipeline": ("pipeline_id", lambda globex, one: ("POST", "/v1/runs", run(globex, pipeline=one))),
    "POST /v1/runs .sandbox": ("sandbox_id", lambda globex, one: ("POST", "/v1/runs", run(globex, sandbox=one))),
    "POST /v1/runs .order": ("order_id", lambda globex, one: ("POST", "/v1/runs", run(globex, order=one))),
    "POST /v1/runs/{run_id}:order .sandbox": ("sandbox_id", lambda globex, one: (
        "POST", f"/v1/runs/{globex.ids['run_id']}:order", {"sandbox": one, "order": globex.case.order()})),
    "POST /v1/runs/{run_id}:order .order": ("order_id", lambda globex, one: (
        "POST", f"/v1/runs/{globex.ids['run_id']}:order", {"sandbox": globex.sandbox, "order": one})),
    "POST /v1/pipelines .policy": ("policy_id", lambda globex, one: (
        "POST", "/v1/pipelines", {"name": unique("pipe"), "template": "small", "policy": one})),
    "PUT /v1/pipelines/{pipeline_id} .policy": ("policy_id", lambda globex, one: (
        "PUT", f"/v1/pipelines/{globex.ids['pipeline_id']}", {"template": "small", "policy": one})),
    "POST /v1/datasets .projection": ("projection_id", lambda globex, one: (
        "POST", "/v1/datasets", {"name": unique("dst"), "direction": "input", "projection": one})),
    "PUT /v1/datasets/{dataset_id} .projection": ("projection_id", lambda globex, one: (
        "PUT", f"/v1/datasets/{globex.dataset()}", {"name": unique("dst"), "projection": one})),
    "POST /v1/datasets/{dataset_id}/versions .object": ("object_id", lambda globex, one: (
        "POST", f"/v1/datasets/{globex.dataset()}/versions", {"object": one, "digest": digest(b"x"), "size": 1})),
    "POST /v1/app-configs .app": ("app_id", lambda globex, one: ("POST", "/v1/app-configs", {"name": unique("acf"), "app": one})),
    "PUT /v1/app-configs/{config_id} .app": ("app_id", lambda globex, one: (
        "PUT", f"/v1/app-configs/{globex.ids['config_id']}", {"name": unique("acf"), "app": one})),
    "POST /v1/apps/{app_id}/shares .space": ("space_id", lambda globex, one: (
        "POST", f"/v1/apps/{globex.ids['app_id']}/shares", {"space": one})),
    "GET /v1/app-configs ?app": ("app_id", lambda globex, one: ("GET", f"/v1/app-configs?app={one}", None)),
    "POST /v1/projections/{projection_id}/shares .space": ("space_id", lambda globex, one: (
        "POST", f"/v1/projections/{globex.ids['projection_id']}/shares", {"space": one})),
    "POST /v1/datasets/{dataset_id}/shares .space": ("space_id", lambda globex, one: (
        "POST", f"/v1/datasets/{globex.dataset()}/shares", {"space": one})),
    "GET /v1/datasets ?space": ("space_id", lambda globex, one: ("GET", f"/v1/datasets?space={one}", None)),
    "GET /v1/policies/{policy_id}/diff ?with": ("policy_id", lambda globex, one: (
        "GET", f"/v1/policies/{globex.ids['policy_id']}/diff?with={one}", None)),
    "POST /v1/constraints .document.subject": ("dataset_id", lambda globex, one: (
        "POST", "/v1/constraints", {"document": demand(one)})),
    "PUT /v1/constraints/{constraint_id} .document.subject": ("dataset_id", lambda globex, one: (
        "PUT", f"/v1/constraints/{globex.ids['constraint_id']}", {"document": demand(one)})),
    "GET /v1/constraints ?subject": ("dataset_id", lambda globex, one: ("GET", f"/v1/constraints?subject={one}", None)),
    "POST /v1/workflows .space": ("space_id", lambda globex, one: (
        "POST", "/v1/workflows", {"name": unique("flow"), "space": one, "graph": GRAPH})),
    "GET /v1/workflows ?space": ("space_id", lambda globex, one: ("GET", f"/v1/workflows?space={one}", None)),
    "POST /v1/workflows/{workflow_id}:request .policies.policy": ("policy_id", asking),
    "POST /v1/orders .policy": ("policy_id", lambda globex, one: ("POST", "/v1/orders", order(globex, one))),
    "POST /v1/policies .policy.space": ("space_id", lambda globex, one: ("POST", "/v1/policies", submission(one))),
    "GET /v1/policies ?space": ("space_id", lambda globex, one: ("GET", f"/v1/policies?space={one}", None)),
    "GET /v1/audit/records ?on": ("policy_id", lambda globex, one: ("GET", f"/v1/audit/records?on={one}", None)),
    "GET /v1/audit/records ?who": ("member_id", lambda globex, one: ("GET", f"/v1/audit/records?who={one}", None)),
    "DELETE /v1/spaces/{space_id}/members/{tenant_id} of one's own": ("tenant_id", lambda globex, one: (
        "DELETE", f"/v1/spaces/{globex.ids['space_id']}/members/{one}", None)),
    "DELETE /v1/spaces/{space_id}/invitations/{invitation_id} of one's own": ("invitation_id", lambda globex, one: (
        "DELETE", f"/v1/spaces/{globex.ids['space_id']}/invitations/{one}", None)),
}


def submission(space):
    world = World(space)
    return {"policy": world.policy, "approvals": [world.approval()]}


def ids_in(contract, schema, path=""):
    """The members of a body that name something by an id."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if name in ("PolicyDocument", "Envelope", "Evidence", "Jws", "Grant", "Claim"):
        return  # what people sign
    if name:
        schema = contract.document["components"]["schemas"][name]
    if "_[0-9a-f]{32}" in schema.get("pattern", "") or path.rpartition(".")[2] in (
            "policy", "pipeline", "sandbox", "order", "object", "projection", "challenge", "run", "app") and schema.get("type") == "string":
        yield path
    for member, inner in schema.get("properties", {}).items():
        yield from ids_in(contract, inner, f"{path}.{member}")
    if isinstance(schema.get("items"), dict):
        yield from ids_in(contract, schema["items"], path)


def test_every_id_in_a_body_is_tried():
    there = {f"{operation} {path}" for contract in SERVICES for operation in contract.operations
             if operation.input_schema() and not operation.path.startswith(AGENTS)
             for path in ids_in(contract, operation.input_schema())}
    assert there - OWN_IDS - NOT_LOOKED_UP - set(NAMED) == set()


@pytest.mark.parametrize("name", NAMED)
def test_anothers_id_inside_is_like_none(statements, acme, globex, name):
    kind, request = NAMED[name]

    def ask(one):
        method, path, body = request(globex, one)
        etag = globex.client.get(path).headers.get("ETag") if method == "PUT" else None
        return lambda: globex.client.ask(method, path, json=body, headers={"If-Match": etag} if etag else {})

    same(statements.of, ask, acme.ids[kind], absent(acme.ids[kind]))
