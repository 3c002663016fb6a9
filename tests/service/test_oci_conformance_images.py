# SPDX-License-Identifier: Apache-2.0
"""The OCI distribution specification 1.1 from outside: manifests, tags, deletion and referrers (end-3, 7, 8, 9, 10, 12).
Images are encrypted, since nothing else gets in."""
import contextlib
import json
import re
import secrets
import urllib.parse

import pytest

from registry_stack import INDEX_TYPE, MANIFEST_TYPE, VECTOR, refused, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)

MIB = 1024 * 1024
MISSING = "sha256:" + "0" * 64
SHA512 = "sha512:" + "0" * 128
DOCKER_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def document_of(repository, **more):
    """An image whose blobs are there and whose digest is its own."""
    document = json.loads((VECTOR / "manifest.json").read_text())
    repository.push_blob((VECTOR / "layer.enc").read_bytes())
    document["config"].update(repository.push_blob(b"{}"))
    document["annotations"] = {"salt": secrets.token_hex(8)}
    document.update(more)
    return document


def put(repository, reference, document, media_type=MANIFEST_TYPE):
    """Answer and bytes; `reference` may be a function of the digest."""
    text = json.dumps(document).encode()
    name = reference(sha256(text)) if callable(reference) else reference
    return repository.ask("PUT", f"manifests/{name}", text, Content_Type=media_type), text


def pushed(repository, reference="v1", **more):
    answer, text = put(repository, reference, document_of(repository, **more))
    assert answer.status == 201, answer.body
    return answer, text


def descriptor(text, media_type=MANIFEST_TYPE):
    return {"mediaType": media_type, "digest": sha256(text), "size": len(text)}


def index_of(*children, **more):
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(children), **more}


# --- end-3: manifests ---

@pytest.mark.parametrize("by", ["tag", "digest"])
def test_pull_a_manifest(repository, by):
    _, text = pushed(repository)
    reference = "v1" if by == "tag" else sha256(text)
    answer, head = (repository.ask(method, f"manifests/{reference}") for method in ("GET", "HEAD"))
    assert (answer.status, answer.body) == (200, text) and (head.status, head.body) == (200, b"")
    for headers in (answer.headers, head.headers):
        assert headers["Content-Type"] == MANIFEST_TYPE and headers["Docker-Content-Digest"] == sha256(text)
        assert headers["Content-Length"] == str(len(text))


def test_manifests_that_are_not_there(repository):
    for reference in ("none", MISSING):
        refused(repository.ask("GET", f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
        assert repository.ask("HEAD", f"manifests/{reference}").status == 404
    refused(repository.ask("GET", "manifests/sha256:baddigeststring"), 400, "DIGEST_INVALID")


@pytest.mark.parametrize("tag", [".a", "-a", "a" * 129, "a+b"])
def test_bad_tags(repository, tag):
    refused(repository.ask("GET", f"manifests/{tag}"), 400, "MANIFEST_INVALID")
    answer, _ = put(repository, tag, document_of(repository))
    refused(answer, 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("tag", ["a", "_", "V1.0_x-y", "9", "a" * 128])
def test_good_tags(repository, tag):
    _, text = pushed(repository, tag)
    assert repository.ask("GET", f"manifests/{tag}").body == text


# --- end-7: pushing manifests ---

def test_push_answers(repository):
    for reference in ("v1", lambda digest: digest):
        answer, text = pushed(repository, reference)
        assert answer.headers["Docker-Content-Digest"] == sha256(text)
        assert repository.ask("GET", answer.headers["Location"]).body == text
        assert "OCI-Subject" not in answer.headers


def test_type_parameters_are_ignored(repository):
    text = json.dumps(document_of(repository)).encode()
    answer = repository.ask("PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE + "; charset=utf-8")
    assert answer.status == 201
    assert repository.ask("GET", "manifests/v1").headers["Content-Type"] == MANIFEST_TYPE


def test_a_tag_moves(repository):
    _, first = pushed(repository)
    _, second = pushed(repository)
    assert repository.ask("GET", "manifests/v1").body == second
    assert repository.ask("GET", f"manifests/{sha256(first)}").body == first


def test_many_tags_at_once(repository):
    tags = [f"t{number}" for number in range(10)]
    query = "&".join(f"tag={tag}" for tag in [*tags, "t0"])
    answer, text = pushed(repository, lambda digest: f"{digest}?{query}")
    assert {tag.strip() for tag in answer.headers["OCI-Tag"].split(",")} == set(tags)
    assert repository.ask("GET", "tags/list").json["tags"] == tags
    for tag in tags:
        assert repository.ask("GET", f"manifests/{tag}").body == text
    answer, _ = put(repository, lambda digest: f"{digest}?tag=good&tag=-bad", document_of(repository))
    refused(answer, 400, "MANIFEST_INVALID")
    assert repository.ask("HEAD", "manifests/good").status == 404


def test_manifest_by_another_digest(repository):
    answer, _ = put(repository, MISSING, document_of(repository))
    refused(answer, 400, "DIGEST_INVALID")
    answer, _ = put(repository, "sha256:baddigeststring", document_of(repository))
    refused(answer, 400, "DIGEST_INVALID")
    assert repository.ask("HEAD", f"manifests/{MISSING}").status == 404


@pytest.mark.parametrize("part", ["config", "layers"])
def test_manifest_of_missing_blobs(repository, part):
    document = document_of(repository)
    (document[part] if part == "config" else document[part][0])["digest"] = MISSING
    answer, text = put(repository, "v1", document)
    refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")
    for reference in ("v1", sha256(text)):
        assert repository.ask("HEAD", f"manifests/{reference}").status == 404


def test_layers_lie_here(repository):
    document = document_of(repository)
    document["layers"][0].update(digest=MISSING, urls=["https://elsewhere.test/layer"])
    answer, _ = put(repository, "v1", document)
    assert "layer 0" in refused(answer, 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"schemaVersion":1}', b'{"schemaVersion":2,"layers":{}}\xff'])
def test_what_is_no_manifest(repository, text):
    refused(repository.ask("PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE), 400, "MANIFEST_INVALID")


def test_type_is_said_once(repository):
    answer, _ = put(repository, "v1", document_of(repository, mediaType=MANIFEST_TYPE), DOCKER_TYPE)
    refused(answer, 400, "MANIFEST_INVALID")
    answer, _ = put(repository, "v1", document_of(repository), "application/json")
    refused(answer, 400, "MANIFEST_INVALID")


def of_size(document, size):
    document["annotations"] = {"fill": ""}
    document["annotations"]["fill"] = "x" * (size - len(json.dumps(document)))
    return document


def too_large(repository, size):
    """The answer comes at the head, before the bytes."""
    token = repository.client.token(f"repository:{repository.name}:pull,push")
    with contextlib.closing(repository.client.connect()) as connection:
        connection.putrequest("PUT", f"/v2/{repository.name}/manifests/larger")
        for name, value in (("Content-Length", str(size)), ("Content-Type", MANIFEST_TYPE), ("Authorization", f"Bearer {token}")):
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["errors"][0]["code"]


def test_manifests_up_to_4_mib(repository):
    answer, text = put(repository, "large", of_size(document_of(repository), 4 * MIB))
    assert (answer.status, len(text)) == (201, 4 * MIB), answer.body
    assert repository.ask("GET", "manifests/large").body == text
    assert too_large(repository, 4 * MIB + 1) == (413, "SIZE_INVALID")


def test_index(repository):
    _, image = pushed(repository)
    answer, text = put(repository, "multi", index_of(descriptor(image)), INDEX_TYPE)
    assert answer.status == 201
    pulled = repository.ask("GET", "manifests/multi")
    assert (pulled.body, pulled.headers["Content-Type"]) == (text, INDEX_TYPE)
    nested, _ = put(repository, "nested", index_of(descriptor(text, INDEX_TYPE)), INDEX_TYPE)
    assert nested.status == 201
    empty, _ = put(repository, "empty", index_of(), INDEX_TYPE)
    assert empty.status == 201
    missing, _ = put(repository, "missing", index_of(descriptor(image), {**descriptor(image), "digest": MISSING}), INDEX_TYPE)
    assert MISSING in refused(missing, 400, "MANIFEST_BLOB_UNKNOWN")
    assert repository.ask("HEAD", "manifests/missing").status == 404


def test_an_index_names_no_blob_and_no_neighbour(repository, algo):
    document = document_of(repository)
    answer, _ = put(repository, "v1", index_of({**document["layers"][0], "mediaType": MANIFEST_TYPE}), INDEX_TYPE)
    refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")
    neighbour = algo.repository("acme/n-" + secrets.token_hex(4))
    _, image = pushed(neighbour)
    answer, _ = put(repository, "v1", index_of(descriptor(image)), INDEX_TYPE)
    refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")


# --- end-8: tags ---

def test_tags(repository):
    refused(repository.ask("GET", "tags/list"), 404, "NAME_UNKNOWN")
    _, text = pushed(repository, lambda digest: digest)
    assert repository.ask("GET", "tags/list").json == {"name": repository.name, "tags": []}
    tags = sorted(["b", "B", "a10", "a9", "_", "0", "a-b", "a.b"])
    for tag in tags:
        assert repository.ask("PUT", f"manifests/{tag}", text, Content_Type=MANIFEST_TYPE).status == 201
    assert repository.ask("GET", "tags/list").json == {"name": repository.name, "tags": tags}
    got, path = [], "tags/list?n=3"
    while path:
        page = repository.ask("GET", path)
        assert page.status == 200 and page.json["name"] == repository.name
        got.append(page.json["tags"])
        path = page.headers["Link"] and re.fullmatch('<(.*)>; rel="next"', page.headers["Link"])[1]
    assert got == [tags[:3], tags[3:6], tags[6:]]
    assert repository.ask("GET", f"tags/list?last={tags[4]}").json["tags"] == tags[5:]
    assert repository.ask("GET", "tags/list?last=zzz&n=1").json["tags"] == []
    for query in ("n=0", "n=8", "n=99"):
        page = repository.ask("GET", f"tags/list?{query}")
        assert "Link" not in page.headers and page.json["tags"] == ([] if query == "n=0" else tags)
    for query in ("n=-1", "n=x", "n="):
        assert repository.ask("GET", f"tags/list?{query}").status == 400


# --- end-9, end-10: deletion ---

def test_delete_a_tag(repository):
    _, text = pushed(repository)
    repository.ask("PUT", "manifests/v2", text, Content_Type=MANIFEST_TYPE)
    assert repository.ask("DELETE", "manifests/v1").status == 202
    refused(repository.ask("GET", "manifests/v1"), 404, "MANIFEST_UNKNOWN")
    refused(repository.ask("DELETE", "manifests/v1"), 404, "MANIFEST_UNKNOWN")
    assert repository.ask("GET", "tags/list").json["tags"] == ["v2"]
    for reference in ("v2", sha256(text)):
        assert repository.ask("GET", f"manifests/{reference}").body == text


def test_delete_a_manifest(repository):
    _, text = pushed(repository)
    _, other = pushed(repository, "other")
    repository.ask("PUT", "manifests/v2", text, Content_Type=MANIFEST_TYPE)
    assert repository.ask("DELETE", f"manifests/{sha256(text)}").status == 202
    for reference in ("v1", "v2", sha256(text)):
        refused(repository.ask("GET", f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
        refused(repository.ask("DELETE", f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
    assert repository.ask("GET", "tags/list").json["tags"] == ["other"]
    assert repository.ask("PUT", "manifests/v1", text, Content_Type=MANIFEST_TYPE).status == 201
    assert repository.ask("GET", "manifests/v1").body == text


def test_delete_a_blob(repository):
    digest = repository.push_blob(b"unused" + secrets.token_bytes(8))["digest"]
    assert repository.ask("DELETE", f"blobs/{digest}").status == 202
    assert repository.ask("HEAD", f"blobs/{digest}").status == 404
    refused(repository.ask("GET", f"blobs/{digest}"), 404, "BLOB_UNKNOWN")
    refused(repository.ask("DELETE", f"blobs/{digest}"), 404, "BLOB_UNKNOWN")


def test_a_blob_in_use_stays(repository):
    _, text = pushed(repository)
    layer = json.loads(text)["layers"][0]["digest"]
    assert sha256(text) in refused(repository.ask("DELETE", f"blobs/{layer}"), 405, "UNSUPPORTED")
    assert repository.ask("DELETE", f"manifests/{sha256(text)}").status == 202
    assert repository.ask("DELETE", f"blobs/{layer}").status == 202
    assert repository.ask("HEAD", f"blobs/{layer}").status == 404


def test_deletion_needs_its_right(gateway, repository):
    _, text = pushed(repository)
    digest = repository.push_blob(b"x")["digest"]
    for path in ("manifests/v1", f"manifests/{sha256(text)}", f"blobs/{digest}"):
        answer = repository.ask("DELETE", path, actions="pull,push")
        refused(answer, 401, "UNAUTHORIZED")
        assert f'scope="repository:{repository.name}:delete"' in answer.headers["WWW-Authenticate"]
        stranger = gateway.client("globex-owner").repository(repository.name)
        refused(stranger.ask("DELETE", path), 403, "DENIED")
    assert repository.ask("GET", "manifests/v1").status == 200


# --- end-12: referrers ---

def referrers(repository, subject, query=""):
    answer = repository.ask("GET", f"referrers/{subject}{query}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, INDEX_TYPE), answer.body
    assert set(answer.json) == {"schemaVersion", "mediaType", "manifests"}
    assert (answer.json["schemaVersion"], answer.json["mediaType"]) == (2, INDEX_TYPE)
    return answer.json["manifests"], answer.headers


def test_no_referrers(repository):
    assert referrers(repository, MISSING)[0] == []


def by_digest(descriptors):
    return sorted(descriptors, key=lambda item: item["digest"])


def test_referrers(repository):
    _, image = pushed(repository)
    subject = descriptor(image)
    typed, first = pushed(repository, lambda digest: digest, subject=subject, artifactType="test/one+x",
                          annotations={"a": "b", "ü": "\"%"})
    assert typed.headers["OCI-Subject"] == sha256(image)
    _, second = pushed(repository, "second", subject=subject)
    _, third = put(repository, "third", index_of(subject=subject), INDEX_TYPE)
    _, fourth = put(repository, "fourth", index_of(subject=subject, artifactType="test/one+x"), INDEX_TYPE)
    config = json.loads(second)["config"]["mediaType"]
    wanted = by_digest([
        {**descriptor(first), "artifactType": "test/one+x", "annotations": {"a": "b", "ü": "\"%"}},
        {**descriptor(second), "artifactType": config, "annotations": json.loads(second)["annotations"]},
        descriptor(third, INDEX_TYPE), {**descriptor(fourth, INDEX_TYPE), "artifactType": "test/one+x"}])
    got, headers = referrers(repository, sha256(image))
    assert got == wanted and "OCI-Filters-Applied" not in headers
    for kind in ("test/one+x", config, "none", ""):
        got, headers = referrers(repository, sha256(image), "?artifactType=" + urllib.parse.quote(kind, safe=""))
        assert got == [item for item in wanted if item.get("artifactType", "") == kind]
        assert headers["OCI-Filters-Applied"] == "artifactType"


def test_referrers_in_pages(repository):
    texts = [pushed(repository, lambda digest: digest, subject={"mediaType": MANIFEST_TYPE, "digest": MISSING, "size": 1},
                    artifactType="a/b&c")[1] for _ in range(3)]
    got, path = [], "?n=2&artifactType=a/b%26c"
    while path:
        page, headers = referrers(repository, MISSING, path)
        got.append(page)
        path = headers["Link"] and re.fullmatch(f'</v2/{repository.name}/referrers/{MISSING}(.*)>; rel="next"',
                                                headers["Link"])[1]
    assert [len(page) for page in got] == [2, 1]
    assert [item["digest"] for page in got for item in page] == sorted(map(sha256, texts))


def test_large_referrers_come_one_by_one(repository):
    subject = {"mediaType": MANIFEST_TYPE, "digest": MISSING, "size": 1}
    for _ in range(2):
        answer, _ = put(repository, lambda digest: digest, of_size(
            document_of(repository, subject=subject, salt=secrets.token_hex(8)), 4 * MIB))
        assert answer.status == 201
    first, headers = referrers(repository, MISSING)
    assert len(first) == 1
    path = re.fullmatch('<(.*)>; rel="next"', headers["Link"])[1]
    rest = repository.ask("GET", path)
    assert len(rest.json["manifests"]) == 1 and "Link" not in rest.headers
    assert rest.json["manifests"][0]["digest"] != first[0]["digest"]


def test_subject_may_come_later_and_referrers_leave(repository):
    image = json.dumps(document_of(repository)).encode()
    answer, text = pushed(repository, "sig", subject=descriptor(image))
    assert answer.headers["OCI-Subject"] == sha256(image)
    assert [item["digest"] for item in referrers(repository, sha256(image))[0]] == [sha256(text)]
    assert repository.ask("PUT", "manifests/v1", image, Content_Type=MANIFEST_TYPE).status == 201
    assert repository.ask("DELETE", "manifests/sig").status == 202  # the tag alone
    assert len(referrers(repository, sha256(image))[0]) == 1
    assert repository.ask("DELETE", f"manifests/{sha256(text)}").status == 202
    assert referrers(repository, sha256(image))[0] == []


@pytest.mark.parametrize("subject", [7, {}, {"digest": "sha256:1"}, {"digest": SHA512}])
def test_bad_subjects(repository, subject):
    answer, _ = put(repository, "v1", document_of(repository, subject=subject))
    refused(answer, 400, "MANIFEST_INVALID")


def test_referrers_of_others_are_not_told(gateway, repository):
    _, image = pushed(repository)
    pushed(repository, "sig", subject=descriptor(image))
    stranger = gateway.client("globex-owner")
    refused(stranger.repository(repository.name).ask("GET", f"referrers/{sha256(image)}"), 404, "NAME_UNKNOWN")
    assert referrers(stranger.repository("globex/c-" + secrets.token_hex(4)), sha256(image))[0] == []
