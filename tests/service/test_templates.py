# SPDX-License-Identifier: Apache-2.0
"""Templates over HTTP: operators make, publish and deprecate them, members see those that are for them and no others."""
import itertools

import jsonschema
import pytest

from local_stack import problem, unique
from test_sandboxes import claim, until

YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
def operator(stack):
    return stack.client("system-operator")


def document(id, version=1, **more):
    fields = {"title": "For a test", "driver": "process", "class": "none", **more}
    parameters = fields.pop("parameters", '[{name: memory_mib, type: integer, help: MiB, min: 64, max: 512, default: "128"}]')
    return f"id: {id}\nversion: {version}\n" + "".join(f"{name}: {value}\n" for name, value in fields.items()) + f"parameters: {parameters}\n"


def post(client, text):
    return client.ask("POST", "/v1/templates", data=text, headers=YAML)


def version_of(id, version=1):
    return f"/v1/templates/{id}/versions/{version}"


def published(operator, id, version=1, **more):
    made = post(operator, document(id, version, **more))
    assert made.status_code == 201, made.text
    answer = operator.post(f"{version_of(id, version)}:publish")
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids_of(client):
    return [item["id"] for item in client.get("/v1/templates").json()["items"]]


def test_life_of_a_template(operator, owner):
    id = unique("life")
    made = post(operator, document(id))
    assert made.status_code == 201 and made.headers["Location"] == version_of(id)
    assert (made.json()["state"], made.json()["built_in"], made.json()["document"]) == ("draft", False, document(id))
    again = post(operator, document(id))
    assert again.status_code == 200 and again.json() == made.json()
    problem(post(operator, document(id, title="Another")), 409, "template.exists")
    problem(owner.get(f"/v1/templates/{id}"), 404, "template.not_found")
    problem(owner.get(version_of(id)), 404, "template.not_found")
    problem(owner.post("/v1/sandboxes", {"template": id, "claim": claim()}), 404, "template.not_found")

    etag = made.headers["ETag"]
    replace = {"data": document(id, title="Mended"), "headers": {**YAML, "If-Match": etag}}
    problem(operator.ask("PUT", version_of(id), data=document(id), headers=YAML), 428, "resource.if_match_missing")
    mended = operator.ask("PUT", version_of(id), **replace)
    assert mended.status_code == 200 and mended.json()["title"] == "Mended"
    problem(operator.ask("PUT", version_of(id), **replace), 412, "resource.changed")
    fresh = {**YAML, "If-Match": mended.headers["ETag"]}
    for other in (document(id, 2), document(id + "x")):
        problem(operator.ask("PUT", version_of(id), data=other, headers=fresh), 422, "template.other_version")
    problem(operator.post(f"{version_of(id)}:deprecate"), 409, "template.not_now")

    for _ in range(2):
        public = operator.post(f"{version_of(id)}:publish")
        assert public.status_code == 200 and public.json()["state"] == "published"
    assert owner.get(f"/v1/templates/{id}").json()["title"] == "Mended" and id in ids_of(owner)
    fresh["If-Match"] = public.headers["ETag"]
    problem(operator.ask("PUT", version_of(id), data=document(id), headers=fresh), 409, "template.published")
    problem(operator.delete(version_of(id), fresh["If-Match"]), 409, "template.published")

    published(operator, id, 2, title="Second", weight=3)
    assert [(item["version"], item["state"]) for item in operator.get(f"/v1/templates/{id}/versions").json()["items"]] == [
        (2, "published"), (1, "published")]
    newest = owner.get(f"/v1/templates/{id}").json()
    assert (newest["version"], newest["weight"]) == (2, 3) and ids_of(owner).count(id) == 1
    assert operator.post(f"{version_of(id, 2)}:deprecate").json()["state"] == "deprecated"
    assert owner.get(f"/v1/templates/{id}").json()["version"] == 1
    assert owner.get(version_of(id, 2)).json()["state"] == "deprecated"
    problem(owner.post("/v1/sandboxes", {"template": id, "template_version": 2, "claim": claim()}), 404, "template.not_found")
    problem(operator.post(f"{version_of(id, 2)}:publish"), 409, "template.not_now")
    operator.post(f"{version_of(id)}:deprecate")
    assert id not in ids_of(owner)
    problem(owner.get(f"/v1/templates/{id}"), 404, "template.not_found")


def test_a_draft_is_dropped(operator):
    id = unique("draft")
    etag = post(operator, document(id)).headers["ETag"]
    problem(operator.delete(version_of(id)), 428, "resource.if_match_missing")
    assert operator.delete(version_of(id), etag).status_code == 204
    problem(operator.get(version_of(id)), 404, "template.not_found")
    for version in ("0", "x", "1x", "-1", "9" * 30):
        problem(operator.get(version_of(id, version)), 404, "template.not_found")


def test_templates_are_the_operators(owner):
    for answer in (post(owner, document("mine")), owner.get("/v1/templates/small/versions"),
                   owner.ask("PUT", version_of("small"), data=document("small"), headers={**YAML, "If-Match": '"r1"'}),
                   owner.delete(version_of("small"), '"r1"'), owner.post(f"{version_of('small')}:publish"),
                   owner.post(f"{version_of('small')}:deprecate")):
        problem(answer, 403, "auth.role_missing")


def test_files_of_the_release(operator, owner):
    shown = owner.get(version_of("small")).json()
    assert shown["state"] == "published" and "tenants" not in shown and "document" not in shown
    assert operator.get(version_of("small")).json()["built_in"] is True
    problem(post(operator, document("small", 9)), 409, "template.built_in")


def test_of_another_tenant(operator, owner, stranger):
    """It does not exist: not in the list, not by its name, not by its version, and not for a sandbox."""
    id, tenant = unique("private"), owner.get("/v1/quotas/self").json()["tenant"]
    published(operator, id, tenants=f"[{tenant}]")
    assert id in ids_of(owner) and id not in ids_of(stranger)
    shown = owner.get(f"/v1/templates/{id}").json()
    assert tenant not in str(shown)
    unknown = stranger.get("/v1/templates/nothing").json()
    for answer in (stranger.get(f"/v1/templates/{id}"), stranger.get(version_of(id)),
                   stranger.post("/v1/sandboxes", {"template": id, "claim": claim()}),
                   stranger.post("/v1/sandboxes", {"template": id, "template_version": 1, "claim": claim()})):
        assert set(problem(answer, 404, "template.not_found")) == set(unknown)
    published(operator, id, 2)
    assert stranger.get(f"/v1/templates/{id}").json()["version"] == 2
    problem(stranger.post("/v1/sandboxes", {"template": id, "template_version": 1, "claim": claim()}), 404, "template.not_found")


def test_of_a_role(stack, operator, owner):
    id = unique("roles")
    published(operator, id, roles="[auditor]")
    assert id in ids_of(stack.client("acme-audit")) and id not in ids_of(owner)
    problem(owner.post("/v1/sandboxes", {"template": id, "claim": claim()}), 404, "template.not_found")


def test_parameters(operator, owner):
    """What the generated schema says is what is let in."""
    id = unique("params")
    published(operator, id, parameters="""
  - {name: memory_mib, type: integer, help: MiB, min: 64, max: 512, default: "128"}
  - {name: region, type: text, help: where, pattern: "^[a-z]+-[0-9]$", default: north-1}
  - {name: size, type: text, help: how large, enum: [s, m], default: s}""")
    schema = owner.get(f"/v1/templates/{id}").json()["parameters"]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {name: one["default"] for name, one in schema["properties"].items()} == {
        "memory_mib": 128, "region": "north-1", "size": "s"}
    for bad in ({"memory_mib": 63}, {"memory_mib": 513}, {"memory_mib": "64"}, {"region": "North"}, {"region": "n-1; id"},
                {"region": 1}, {"size": "l"}, {"more": 1}, {"region": "a" * 255 + "-1"}):
        assert not jsonschema.Draft202012Validator(schema).is_valid(bad)
        problem(owner.post("/v1/sandboxes", {"template": id, "claim": claim(), "parameters": bad}), 400, "template.bad_parameter")
    good = {"memory_mib": 64, "region": "south-2"}
    assert jsonschema.Draft202012Validator(schema).is_valid(good)
    made = owner.made("/v1/sandboxes", {"template": id, "template_version": 1, "claim": claim(), "parameters": good})
    assert made["parameters"] == {**good, "size": "s"} and made["template"] == {"id": id, "version": 1}
    owner.delete(f"/v1/sandboxes/{made['id']}")
    until(owner, f"/v1/sandboxes/{made['id']}", {"deleted"})


def bad_parameters(text):
    return document("bad", parameters=f"[{{{text}}}]")


@pytest.mark.parametrize("text", [
    "", "\0", "id: [", "just words", document("bad") + "more: 1\n", document("Bad"), document("bad", 0), document("bad", -1),
    document("a" * 64), document("bad", weight=-1), document("bad", weight=1000001), document("bad", driver="none"),
    document("bad", **{"class": "tee-tdx"}), document("bad", **{"class": "software-tpm"}), document("bad", roles="[king]"),
    document("bad", tenants="[acme]"), document("&a bad", title="*a"),
    bad_parameters('name: Bad, type: integer, help: h, min: 1, max: 2, default: "1"'),
    bad_parameters('name: a, type: integer, help: h, min: 2, max: 1, default: "1"'),
    bad_parameters('name: a, type: integer, help: h, min: 1, max: 2, default: "3"'),
    bad_parameters('name: a, type: integer, help: h, min: 1, max: 2, default: "1 "'),
    bad_parameters('name: a, type: integer, help: h, min: 1, max: 2, default: one'),
    bad_parameters('name: a, type: integer, help: h, min: 1, max: 2, default: "1", pattern: x'),
    bad_parameters('name: a, type: integer, help: h, default: "1"}, {name: a, type: text, help: h, default: x'),
    bad_parameters("name: a, type: text, help: h, enum: [x], default: y"),
    bad_parameters("name: a, type: text, help: h, pattern: '^x$', default: y"),
    bad_parameters("name: a, type: text, help: h, pattern: '(', default: y"),
    bad_parameters(r"name: a, type: text, help: h, pattern: '(y)\1', default: yy"),
    bad_parameters("name: a, type: text, help: h, min: 1, default: y"),
    bad_parameters("name: a, type: number, help: h, default: y"), "id: bad\n" + "#" * 20000,
], ids=itertools.count())
def test_documents_that_are_none(operator, text):
    answer = post(operator, text.encode())
    if len(text) > 16384:
        problem(answer, 413, "request.body_too_large")
    else:
        problem(answer, 400, "template.invalid")
        assert "template.invalid" in answer.text
