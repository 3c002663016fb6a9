# SPDX-License-Identifier: Apache-2.0
"""registry-gw's protocol in front of a real docker-registry: login, blobs, uploads, manifests, tags, tenancy."""
import hashlib
import json
import secrets

import pytest

from certreg_stack import P256, claims_of
from registry_stack import INDEX_TYPE, MANIFEST_TYPE, VECTOR, sha256
from registry_stack import gateway  # noqa: F401 (fixture)

CONFIG = json.loads((VECTOR / "manifest.json").read_text())["config"]["digest"]


@pytest.fixture(scope="module")
def algo(gateway):
    return gateway.client("acme-algo")


@pytest.fixture
def repository(algo):
    return algo.repository("acme/app-" + secrets.token_hex(4))


def push_config(repository, manifest):
    """The vector's config is not kept: the test puts one of its own under the manifest's name."""
    config = repository.push_blob(b"{}")
    document = json.loads(manifest)
    document["config"].update(config)
    return json.dumps(document).encode()


def pushed(repository, tag="v1"):
    answer, manifest = repository.push_image(tag, lambda text: push_config(repository, text))
    assert answer.status == 201, answer.body
    assert answer.headers["Docker-Content-Digest"] == sha256(manifest)
    return manifest


# --- login ---

def test_challenge_says_where_tokens_are(gateway, algo):
    answer = algo.ask("GET", "/v2/")
    assert (answer.status, answer.oci) == (401, "UNAUTHORIZED")
    assert answer.headers.get_all("WWW-Authenticate") == [
        f'Bearer realm="{gateway.base_url}/v1/registry-token",service="registry-gw"']
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert algo.ask("GET", "/v2/", token=algo.token()).status == 200


@pytest.mark.parametrize("method, path, scope", [
    ("GET", "manifests/v1", "repository:acme/x:pull"),
    ("HEAD", "blobs/" + CONFIG, "repository:acme/x:pull"),
    ("POST", "blobs/uploads/", "repository:acme/x:pull,push"),
    ("POST", f"blobs/uploads/?mount={CONFIG}&from=acme/y", "repository:acme/x:pull,push repository:acme/y:pull"),
    ("DELETE", "manifests/" + CONFIG, "repository:acme/x:delete"),
    ("GET", "tags/list", "repository:acme/x:pull")])
def test_challenge_names_the_scope(algo, method, path, scope):
    answer = algo.ask(method, f"/v2/acme/x/{path}")
    assert answer.status == 401
    assert f',scope="{scope}"' in answer.headers["WWW-Authenticate"]
    assert "error=" not in answer.headers["WWW-Authenticate"]
    answer = algo.ask(method, f"/v2/acme/x/{path}", token=algo.token("repository:acme/other:pull,push"))
    assert answer.status == 401
    assert f'scope="{scope}",error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    answer = algo.ask(method, f"/v2/acme/x/{path}", token=algo.token() + "x")
    assert answer.status == 401 and 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def put_without_body(client, length, token=None):
    """Status, headers and OCI code of the answer to a manifest whose bytes never come."""
    connection = client.connect()
    try:
        connection.putrequest("PUT", "/v2/acme/x/manifests/v1")
        connection.putheader("Content-Length", str(length))
        if token:
            connection.putheader("Authorization", f"Bearer {token}")
        connection.endheaders(b"{")
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())["errors"][0]["code"]
    finally:
        connection.close()


def test_a_manifest_is_not_read_before_its_token(algo):
    status, headers, code = put_without_body(algo, 100000)
    assert (status, code) == (401, "UNAUTHORIZED")
    assert headers["WWW-Authenticate"].endswith(',scope="repository:acme/x:pull,push"')
    status, headers, code = put_without_body(algo, 100000, algo.token("repository:acme/x:pull"))
    assert status == 401 and 'error="insufficient_scope"' in headers["WWW-Authenticate"]


def test_the_edge_of_the_registry_refuses_as_oci_has_it(algo):
    assert put_without_body(algo, 1 << 30)[::2] == (413, "SIZE_INVALID")


def test_tokens_of_other_services_do_not_count(gateway, algo):
    token = gateway.certreg.client("acme-algo").token
    assert algo.ask("GET", "/v2/", token=token).oci == "UNAUTHORIZED"


def test_who_may_only_read_cannot_push(gateway, repository):
    pushed(repository)
    reader = gateway.client("acme-data").repository(repository.name)
    assert reader.ask("GET", "manifests/v1").status == 200
    assert reader.ask("POST", "blobs/uploads/").status == 401


def test_there_is_no_catalogue(algo):
    assert algo.ask("GET", "/v2/_catalog").status == 401
    answer = algo.ask("GET", "/v2/_catalog", token=algo.token("registry:catalog:*"))
    assert answer.status == 404 and b"repositories" not in answer.body


# --- blobs ---

def test_blob_comes_back_whole_and_in_ranges(repository):
    data = secrets.token_bytes(1_000_000)
    digest = repository.push_blob(data)["digest"]
    head = repository.ask("HEAD", f"blobs/{digest}")
    assert (head.status, head.headers["Content-Length"]) == (200, "1000000")
    assert head.headers["Docker-Content-Digest"] == digest
    answer = repository.ask("GET", f"blobs/{digest}")
    assert answer.status == 200 and answer.body == data and answer.headers["Docker-Content-Digest"] == digest
    for text, first, last in (("10-19", 10, 19), ("999990-", 999990, 999999), ("-5", 999995, 999999),
                              ("5-99999999", 5, 999999)):
        part = repository.ask("GET", f"blobs/{digest}", Range=f"bytes={text}")
        assert part.status == 206, text
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/1000000"
        assert part.body == data[first:last + 1]
    assert repository.ask("GET", f"blobs/{digest}", Range="bytes=1000000-").oci == "RANGE_INVALID"


def test_unknown_blob_and_bad_digest(repository):
    missing = "sha256:" + "0" * 64
    assert repository.ask("GET", f"blobs/{missing}").oci == "BLOB_UNKNOWN"
    assert repository.ask("HEAD", f"blobs/{missing}").status == 404
    assert repository.ask("GET", "blobs/sha256:12").oci == "DIGEST_INVALID"
    assert repository.ask("GET", "blobs/sha512:" + "0" * 128).oci == "DIGEST_INVALID"


# --- uploads ---

def test_post_with_digest_is_the_whole_upload(repository):
    data = secrets.token_bytes(100_000)
    answer = repository.ask("POST", f"blobs/uploads/?digest={sha256(data)}", data)
    assert answer.status == 201, answer.body
    assert answer.headers["Location"] == f"/v2/{repository.name}/blobs/{sha256(data)}"
    assert repository.ask("GET", answer.headers["Location"]).body == data


def test_pieces_by_patch_and_the_last_by_put(repository):
    data = secrets.token_bytes(300_000)
    location = repository.open()
    first = repository.ask("PATCH", location, data[:100_000], Content_Range="0-99999")
    assert first.status == 202 and first.headers["Range"] == "0-99999" and first.headers["Location"] == location
    second = repository.ask("PATCH", location, data[100_000:200_000], chunked=True)
    assert second.status == 202 and second.headers["Range"] == "0-199999"
    assert repository.offset(location) == 200_000
    assert repository.close(location, sha256(data), data[200_000:]).status == 201
    assert repository.ask("GET", f"blobs/{sha256(data)}").body == data
    assert repository.ask("GET", location).oci == "BLOB_UPLOAD_UNKNOWN"


def test_piece_at_the_wrong_place_changes_nothing(repository):
    location = repository.open()
    assert repository.ask("PATCH", location, b"12345", Content_Range="0-4").status == 202
    answer = repository.ask("PATCH", location, b"x", Content_Range="9-9")
    assert (answer.status, answer.oci) == (416, "RANGE_INVALID")
    assert answer.headers["Range"] == "0-4"
    assert repository.ask("PATCH", location, b"123", Content_Range="5-5").oci == "SIZE_INVALID"
    assert repository.ask("PATCH", location, b"1", Content_Range="bytes 5-5").oci == "BLOB_UPLOAD_INVALID"
    assert repository.offset(location) == 5
    assert repository.close(location, sha256(b"12345")).status == 201


def test_wrong_digest_leaves_the_session(repository):
    location = repository.open()
    repository.ask("PATCH", location, b"right")
    answer = repository.close(location, sha256(b"wrong"))
    assert (answer.status, answer.oci) == (400, "DIGEST_INVALID")
    assert repository.close(location, "sha256:zz").oci == "DIGEST_INVALID"
    assert repository.ask("PUT", location).oci == "DIGEST_INVALID"
    assert repository.close(location, sha256(b"right")).status == 201


def test_cancelled_upload_is_gone(repository):
    location = repository.open()
    assert repository.ask("DELETE", location, actions="pull,push").status == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert repository.ask(method, location, actions="pull,push").oci == "BLOB_UPLOAD_UNKNOWN"


def test_session_belongs_to_who_opened_it(gateway, repository):
    location = repository.open()
    colleague = gateway.client("acme-owner").repository(repository.name)
    assert colleague.ask("GET", location).oci == "BLOB_UPLOAD_UNKNOWN"
    assert colleague.ask("PATCH", location, b"x").oci == "BLOB_UPLOAD_UNKNOWN"
    elsewhere = repository.client.repository("acme/elsewhere")
    moved = location.replace(repository.name, elsewhere.name)
    assert elsewhere.ask("GET", moved).oci == "BLOB_UPLOAD_UNKNOWN"


def test_mount_takes_what_the_token_pulls(repository, algo):
    data = secrets.token_bytes(5000)
    digest = repository.push_blob(data)["digest"]
    target = algo.repository("acme/mounted-" + secrets.token_hex(4))
    path = f"blobs/uploads/?mount={digest}&from={repository.name}"
    both = algo.token(f"repository:{target.name}:pull,push", f"repository:{repository.name}:pull")
    assert target.ask("POST", path).status == 202  # no right on the source: an upload like any other
    assert target.ask("HEAD", f"blobs/{digest}").status == 404
    answer = target.ask("POST", path, token=both)
    assert (answer.status, answer.headers["Location"]) == (201, f"/v2/{target.name}/blobs/{digest}")
    assert target.ask("GET", f"blobs/{digest}").body == data


# --- manifests and tags ---

def test_manifest_keeps_its_bytes(repository):
    manifest = pushed(repository)
    for reference in ("v1", sha256(manifest)):
        answer = repository.ask("GET", f"manifests/{reference}")
        assert answer.body == manifest and answer.headers["Content-Type"] == MANIFEST_TYPE
        head = repository.ask("HEAD", f"manifests/{reference}")
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(manifest)))
        assert head.headers["Docker-Content-Digest"] == sha256(manifest)
    assert repository.ask("GET", "manifests/none").oci == "MANIFEST_UNKNOWN"


def replaced(text, old, new):
    changed = text.replace(old, new)
    assert changed != text
    return changed


@pytest.mark.parametrize("change, why", [
    (lambda text: replaced(text, b"+encrypted", b""), "layer 0: its media type"),
    (lambda text: replaced(text, b"image.enc.keys.jwe", b"image.enc.keys.none"), "layer 0: it has no key packet"),
    (lambda text: replaced(text, b"image.enc.pubopts", b"image.enc.nopubopts"), "layer 0"),
    (lambda text: json.dumps({**json.loads(text), "layers": []}).encode(), "no layers")])
def test_plaintext_is_refused_with_the_layer_and_the_reason(repository, change, why):
    answer, manifest = repository.push_image("plain", change)
    assert (answer.status, answer.oci) == (403, "DENIED"), answer.body
    assert why in answer.json["errors"][0]["message"]
    assert answer.json["errors"][0]["detail"]["code"] == "manifest.not_encrypted"
    assert repository.ask("GET", "manifests/plain").status == 404


@pytest.mark.parametrize("body, headers, code", [
    (b"{", {}, "MANIFEST_INVALID"),
    (b'{"schemaVersion":2,"schemaVersion":2}', {}, "MANIFEST_INVALID"),
    (b"[" * 100000, {}, "MANIFEST_INVALID"),
    (b'{"schemaVersion":1}', {}, "MANIFEST_INVALID"),
    (b'{"schemaVersion":2,"manifests":[]}', {"Content_Type": "text/plain"}, "MANIFEST_INVALID"),
    (b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}', {}, "MANIFEST_INVALID"),
    (b'{"schemaVersion":2,"layers":[],"manifests":[]}', {}, "MANIFEST_INVALID"),
    (b'{"schemaVersion":2,"layers":[],"manifests":[]}', {"Content_Type": INDEX_TYPE}, "MANIFEST_INVALID")])
def test_malformed_manifests(repository, body, headers, code):
    answer = repository.ask("PUT", "manifests/bad", body, **{"Content_Type": MANIFEST_TYPE, **headers})
    assert (answer.status, answer.oci) == (400, code)


def test_manifest_limits_and_references(repository):
    too_big = repository.ask("PUT", "manifests/big", b" " * (4 * 1024 * 1024 + 1), Content_Type=MANIFEST_TYPE)
    assert too_big.status == 413
    wrong = repository.ask("PUT", "manifests/" + CONFIG, (VECTOR / "manifest.json").read_bytes(),
                           Content_Type=MANIFEST_TYPE)
    assert (wrong.status, wrong.oci) == (400, "DIGEST_INVALID")
    assert repository.ask("GET", "manifests/-bad").oci == "MANIFEST_INVALID"
    answer, _ = repository.push_image("v1")  # its config was not uploaded
    assert (answer.status, answer.oci) == (400, "MANIFEST_BLOB_UNKNOWN")


def test_large_manifest_is_taken(repository):
    def grow(text):
        document = json.loads(push_config(repository, text))
        document["annotations"] = {f"test.{i}": "x" * 10_000 for i in range(390)}
        return json.dumps(document).encode()
    answer, manifest = repository.push_image("large", grow)
    assert answer.status == 201 and len(manifest) > 3_900_000
    assert hashlib.sha256(repository.ask("GET", "manifests/large").body).hexdigest() == sha256(manifest)[7:]


def test_index_names_only_what_was_checked(repository):
    manifest = pushed(repository)
    child = {"mediaType": MANIFEST_TYPE, "digest": sha256(manifest), "size": len(manifest)}

    def put(children):
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": children}).encode()
        return repository.ask("PUT", "manifests/multi", body, Content_Type=INDEX_TYPE)
    assert put([child]).status == 201
    answer = put([child, {**child, "digest": CONFIG}])
    assert (answer.status, answer.oci) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert CONFIG in answer.json["errors"][0]["message"]
    assert repository.ask("GET", "manifests/multi").headers["Content-Type"] == INDEX_TYPE


def test_tags_in_pages(repository):
    assert repository.ask("GET", "tags/list").oci == "NAME_UNKNOWN"
    for tag in ("b", "B", "a10", "a9"):
        pushed(repository, tag)
    assert repository.ask("GET", "tags/list").json == {"name": repository.name, "tags": ["B", "a10", "a9", "b"]}
    page = repository.ask("GET", "tags/list?n=2")
    assert page.json["tags"] == ["B", "a10"]
    assert page.headers["Link"] == f'</v2/{repository.name}/tags/list?n=2&last=a10>; rel="next"'
    rest = repository.ask("GET", "tags/list?n=2&last=a10")
    assert rest.json["tags"] == ["a9", "b"] and "Link" not in rest.headers
    none = repository.ask("GET", "tags/list?n=0")
    assert none.json["tags"] == [] and "Link" not in none.headers
    assert repository.ask("GET", "tags/list?n=x").status == 400


def test_deleted_manifest_takes_its_tags_with_it(repository):
    manifest = pushed(repository)
    assert repository.ask("DELETE", f"manifests/{sha256(manifest)}").status == 202
    assert repository.ask("GET", "manifests/v1").status == 404
    assert repository.ask("DELETE", f"manifests/{sha256(manifest)}").oci == "MANIFEST_UNKNOWN"
    index = json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": MANIFEST_TYPE, "digest": sha256(manifest), "size": len(manifest)}]}).encode()
    assert repository.ask("PUT", "manifests/i", index, Content_Type=INDEX_TYPE).oci == "MANIFEST_BLOB_UNKNOWN"


def test_delete_by_tag(repository):
    manifest = pushed(repository)
    answer = repository.ask("DELETE", "manifests/v1")
    assert answer.status == 202 or (answer.status, answer.oci) == (405, "UNSUPPORTED")
    assert repository.ask("GET", f"manifests/{sha256(manifest)}").status == 200


# --- tenants ---

def test_other_tenants_see_nothing(gateway, repository):
    manifest = pushed(repository)
    layer = json.loads(manifest)["layers"][0]["digest"]
    stranger = gateway.client("globex-owner").repository(repository.name)
    for path, code in (("manifests/v1", "NAME_UNKNOWN"), (f"blobs/{layer}", "NAME_UNKNOWN"),
                       ("tags/list", "NAME_UNKNOWN")):
        answer = stranger.ask("GET", path)
        assert (answer.status, answer.oci) == (404, code)
    assert stranger.ask("HEAD", f"blobs/{layer}").status == 404
    for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/v1"), ("DELETE", f"manifests/{sha256(manifest)}")):
        answer = stranger.ask(method, path)
        assert (answer.status, answer.oci) == (403, "DENIED")
    own = gateway.client("globex-owner").repository("globex/app")
    assert own.ask("HEAD", f"blobs/{layer}").status == 404
    assert own.ask("POST", f"blobs/uploads/?mount={layer}&from={repository.name}").status == 202
    assert own.ask("HEAD", f"blobs/{layer}").status == 404


@pytest.mark.parametrize("name", ["acme/UP", "acme/a..b", "acme/a/", "acme/-a", "acme/a___b", "acme/a%2fb", "acme/a%00",
                                  "acme/../globex/x", "acme/" + "a" * 300])
def test_bad_names(algo, name):
    answer = algo.ask("GET", f"/v2/{name}/tags/list", token=algo.token("repository:acme/x:pull"))
    assert answer.status == 400


# --- agents ---

def tenant_of(gateway, member):
    return claims_of(gateway.client(member).token())["tenant"]


@pytest.fixture
def sandbox(request, gateway, repository, tmp_path):
    """The agent of a sandbox, acme's own or one of a tenant that acme lets run it, and the manifest."""
    manifest = pushed(repository)
    name, key = "sbx_" + secrets.token_hex(6) + "7" + secrets.token_hex(2)[:3] + "8" + secrets.token_hex(8)[:15], \
        P256(tmp_path / "machine.pem")
    gateway.certreg.provisioner.table[f"/internal/v1/sandboxes/{name}"] = {
        "id": name, "tenant": tenant_of(gateway, getattr(request, "param", "acme-algo")), "space": "x",
        "state": "ready", "boot": 1, "sig_jwk": key.jwk(), "enc_jwk": {}, "sig": "x", "enc": "x"}
    gateway.certreg.orchestrator.table[f"/internal/v1/sandboxes/{name}/image"] = {
        "tenant": tenant_of(gateway, "acme-algo"), "repository": repository.name, "manifest": sha256(manifest)}
    return gateway.agent(name, key).repository(repository.name), manifest


@pytest.mark.parametrize("sandbox", ["acme-algo", "globex-owner"], indirect=True)
def test_agent_pulls_its_image_and_nothing_else(repository, sandbox):
    agent, manifest = sandbox
    document = json.loads(manifest)
    other = repository.push_blob(b"other")
    token = agent.client.token(f"repository:{repository.name}:pull,push,delete")
    assert agent.ask("GET", f"manifests/{sha256(manifest)}", token=token).body == manifest
    layer = agent.ask("GET", f"blobs/{document['layers'][0]['digest']}", token=token)
    assert layer.body == (VECTOR / "layer.enc").read_bytes()
    assert agent.ask("HEAD", f"blobs/{document['config']['digest']}", token=token).status == 200
    for method, path in (("GET", "manifests/v1"), ("GET", f"blobs/{other['digest']}"), ("GET", "tags/list"),
                         ("HEAD", f"blobs/{other['digest']}"), ("POST", "blobs/uploads/"),
                         ("GET", "/v2/acme/elsewhere/manifests/v1"),
                         ("PUT", "manifests/v1"), ("DELETE", f"manifests/{sha256(manifest)}")):
        answer = agent.ask(method, path, token=token)
        assert answer.status == 404, (method, path, answer.body)
    second = json.loads(manifest)
    second["annotations"] = {"another": "image"}
    text = json.dumps(second).encode()
    assert repository.ask("PUT", "manifests/v2", text, Content_Type=MANIFEST_TYPE).status == 201
    assert agent.ask("GET", f"manifests/{sha256(text)}", token=token).oci == "MANIFEST_UNKNOWN"


@pytest.mark.parametrize("sandbox", ["globex-owner"], indirect=True)
def test_what_another_tenant_lets_an_agent_pull(gateway, repository, sandbox):
    """One image, while it is said so: nothing beside it, nothing in the lender's name elsewhere, nothing of who has it not."""
    agent, manifest = sandbox
    pull, path = f"repository:{repository.name}:pull", f"manifests/{sha256(manifest)}"
    assert agent.ask("GET", path, token=agent.client.token(pull)).body == manifest
    own = gateway.client("globex-owner").repository("globex/app")
    pushed(own)
    blob = json.loads(manifest)["layers"][0]["digest"]
    for scope, wanted in ((f"repository:{own.name}:pull", own.name), (pull, own.name), (pull + f" repository:{own.name}:pull", own.name)):
        assert agent.ask("GET", f"/v2/{wanted}/{path}", token=agent.client.token(scope)).oci == "NAME_UNKNOWN"
        assert agent.ask("GET", f"/v2/{wanted}/blobs/{blob}", token=agent.client.token(scope)).oci == "NAME_UNKNOWN"
    said = gateway.certreg.orchestrator.table
    where, = (where for where, image in said.items() if image.get("repository") == repository.name)
    lent = said[where]
    said[where] = {**lent, "tenant": tenant_of(gateway, "globex-owner")}  # who has no such repository lends none
    assert agent.ask("GET", path, token=agent.client.token(pull)).oci == "MANIFEST_UNKNOWN"
    del said[where]
    assert agent.ask("GET", path, token=agent.client.token(pull)).oci == "NAME_UNKNOWN"
