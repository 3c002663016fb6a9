# SPDX-License-Identifier: Apache-2.0
"""test_cross_tenant.py for the routes of agents and for the registry: another tenant's runs, objects, repositories, digests and
uploads are like none."""
import json
import os
import re
import secrets

import pytest

from alike import absent, same
from conftest import ROOT
from contract import contracts
from registry_stack import MANIFEST_TYPE, VECTOR, sha256
from registry_stack import gateway  # noqa: F401 (fixture)
from test_agent_routes import Run, orchestrator  # noqa: F401 (fixture)
from test_registry_gw import push_config
from trust import digest

# --- agents ---

OUTPUT = b"output"
# {route or id in a body: (what it is of the other tenant, the agent's request that names it)}
AGENTS = {
    "GET /v1/agent/runs/{run_id}": ("run", lambda own, one: own.agent.ask("GET", f"/v1/agent/runs/{one}")),
    "POST /v1/agent/runs/{run_id}/events": ("run", lambda own, one: own.agent.event(one, own.fence)),
    "POST /v1/agent/objects .run": ("run", lambda own, one: own.agent.ask(
        "POST", "/v1/agent/objects", {"role": "output", "run": one, "fence": own.fence})),
    "GET /v1/agent/objects/{object_id}": ("object", lambda own, one: own.agent.ask("GET", f"/v1/agent/objects/{one}")),
    "HEAD /v1/agent/objects/{object_id}": ("object", lambda own, one: own.agent.ask("HEAD", f"/v1/agent/objects/{one}")),
    "PATCH /v1/agent/objects/{object_id}": ("object", lambda own, one: own.agent.ask(
        "PATCH", f"/v1/agent/objects/{one}", OUTPUT, Content_Range=f"0-{len(OUTPUT) - 1}")),
    "PUT /v1/agent/objects/{object_id}": ("object", lambda own, one: own.agent.ask(
        "PUT", f"/v1/agent/objects/{one}?digest={digest(OUTPUT)}")),
    # what ends a run, last
    "POST /v1/agent/runs/{run_id}/result": ("run", lambda own, one: own.agent.ask(
        "POST", f"/v1/agent/runs/{one}/result", {"fence": own.fence, "refusal": {"code": "approval.missing", "detail": "x"}})),
    "POST /v1/agent/runs/{run_id}/result .output.object": ("object", lambda own, one: own.result(one, OUTPUT)),
}


@pytest.fixture(scope="module")
def acme(orchestrator):
    run = Run(orchestrator, orchestrator.certreg.client("acme-algo")).running()
    run.output_id = run.agent.output(run.id, run.fence, OUTPUT).json["id"]
    return run


@pytest.fixture(scope="module")
def globex(orchestrator):
    return Run(orchestrator, orchestrator.certreg.client("globex-owner"), who="globex-owner").running()


def counted(postgres, role):
    def of(request):
        with postgres.statements_of(role) as found:
            answer = request()
        return answer, found
    return of


def test_every_route_of_agents_is_tried():
    there = {str(operation) for contract in contracts() for operation in contract.operations
             if operation.path.startswith("/v1/agent/") and "{" in operation.path}
    assert there - set(AGENTS) == {"PUT /v1/agent/attestations/{attestation_id}"}  # test_attestations.py


@pytest.mark.parametrize("name", AGENTS)
def test_anothers_id_is_like_none(postgres, acme, globex, name):
    kind, ask = AGENTS[name]
    real = acme.id if kind == "run" else acme.output_id
    answer = same(counted(postgres, "orchestrator"), lambda one: lambda: ask(globex, one), real, absent(real))
    assert answer.status == 404, answer.body
    assert ask(acme, real).status != 404


# --- the registry ---

ROUTE = re.compile(r'(?:ROUTE|LOOK|STREAM)\("(\w+)", "/v2/{name\.\.\.}/([^"]+)"')
BLOB = secrets.token_bytes(100)
# {route below a repository: (what it names there, its body)}
REGISTRY = {
    "GET tags/list": (None, None),
    "GET manifests/{reference}": ("manifest", None), "PUT manifests/{reference}": ("manifest", b"{}"),
    "DELETE manifests/{reference}": ("manifest", None),
    "HEAD blobs/{digest}": ("blob", None), "GET blobs/{digest}": ("blob", None), "DELETE blobs/{digest}": ("blob", None),
    "GET referrers/{digest}": ("subject", None),
    "POST blobs/uploads": (None, None), "POST blobs/uploads/": (None, None),
    "GET blobs/uploads/{upload_id}": ("upload", None), "PATCH blobs/uploads/{upload_id}": ("upload", BLOB),
    "PUT blobs/uploads/{upload_id}": ("upload", BLOB), "DELETE blobs/uploads/{upload_id}": ("upload", None),
}


def image(repository, manifest):
    """One that nobody else has."""
    subject = {"mediaType": MANIFEST_TYPE, "digest": sha256(repository.name.encode()), "size": 2}
    return json.dumps({**json.loads(push_config(repository, manifest)), "subject": subject}).encode()


class Pushed:
    """A repository with an image, a blob and an open upload."""

    def __init__(self, gateway, who, name):
        self.repository = gateway.client(who).repository(name)
        answer, manifest = self.repository.push_image("v1", lambda text: image(self.repository, text))
        assert answer.status == 201, answer.body
        self.manifest, self.subject = sha256(manifest), sha256(name.encode())
        self.blob = self.repository.push_blob(os.urandom(100))["digest"]
        self.upload = self.repository.open().rpartition("/")[2]


@pytest.fixture(scope="module")
def theirs(gateway):
    return Pushed(gateway, "acme-algo", "acme/app-" + secrets.token_hex(6))


@pytest.fixture(scope="module")
def ours(gateway):
    return Pushed(gateway, "globex-owner", "globex/app-" + secrets.token_hex(6))


def path_of(route, kind, named):
    method, path = route.split()
    path = re.sub(r"{\w+}", named or "", path)
    return method, path + ("?digest=" + sha256(BLOB) if method == "PUT" and kind == "upload" else "")


def test_every_route_of_the_registry_is_tried():
    there = {" ".join(route) for route in ROUTE.findall((ROOT / "services/registry-gw/main.c").read_text())}
    assert len(there) > 10 and there == set(REGISTRY)


@pytest.mark.parametrize("route", REGISTRY)
def test_anothers_repository_is_like_none(postgres, theirs, ours, route):
    """Neither a repository that another tenant has not, nor one of a tenant that is not there, is told from one that is."""
    kind, body = REGISTRY[route]
    method, path = path_of(route, kind, kind and getattr(theirs, kind))

    def ask(name):
        repository = ours.repository.client.repository(name)
        return lambda: repository.ask(method, path, body)

    for nothing in absent(theirs.repository.name), "none" + theirs.repository.name[4:]:
        answer = same(counted(postgres, "registry_gw"), ask, theirs.repository.name, nothing)
        assert answer.status in (403, 404), answer.body


IN_OURS = [route for route, (kind, _) in REGISTRY.items() if kind]


@pytest.mark.parametrize("route", IN_OURS)
def test_what_another_has_is_not_in_ones_own(postgres, theirs, ours, route):
    kind, body = REGISTRY[route]

    def ask(named):
        method, path = path_of(route, kind, named)
        return lambda: ours.repository.ask(method, path, body)

    real = getattr(theirs, kind)
    answer = same(counted(postgres, "registry_gw"), ask, real, absent(real))
    assert 400 <= answer.status < 500 or kind == "subject" and answer.json["manifests"] == [], answer.body
    method, path = path_of(route, kind, real)
    if method in ("GET", "HEAD"):
        owner = theirs.repository.ask(method, path)
        assert owner.status in (200, 204) and (owner.status, owner.body) != (answer.status, answer.body)


@pytest.mark.parametrize("query", ["mount={blob}&from={name}", "mount={blob}", "mount={manifest}&from={name}"])
def test_anothers_blob_is_not_mounted(postgres, theirs, ours, query):
    def ask(blob):
        path = "blobs/uploads/?" + query.format(blob=blob, manifest=blob, name=theirs.repository.name)
        return lambda: ours.repository.ask("POST", path)

    real = theirs.manifest if "manifest" in query else theirs.blob
    answer = same(counted(postgres, "registry_gw"), ask, real, absent(real))
    assert answer.status == 202 and "Docker-Content-Digest" not in answer.headers


def test_anothers_blobs_make_no_image(postgres, theirs, ours):
    text = image(theirs.repository, (VECTOR / "manifest.json").read_bytes()).decode()
    layer = re.search(r"sha256:[0-9a-f]{64}", text[text.index("layers"):])[0]

    def ask(one):
        manifest = text.replace(layer, one).encode()
        return lambda: ours.repository.ask("PUT", "manifests/v2", manifest, Content_Type=MANIFEST_TYPE)

    answer = same(counted(postgres, "registry_gw"), ask, theirs.blob, absent(theirs.blob))
    assert 400 <= answer.status < 500, answer.body
