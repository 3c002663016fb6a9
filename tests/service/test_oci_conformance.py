# SPDX-License-Identifier: Apache-2.0
"""The OCI distribution specification 1.1 from outside: blobs, uploads, mounts, names and errors (end-1, 2, 4, 5, 6, 11, 13,
14). With test_oci_conformance_images.py every endpoint with its statuses, headers, error codes and refusals. Written from
the specification's text; end-1 to end-14 are its own names."""
import contextlib
import http.client
import json
import re
import secrets

import pytest

from registry_stack import MANIFEST_TYPE, refused, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)

MISSING = "sha256:" + "0" * 64
SHA512 = "sha512:" + "0" * 128


# --- end-1 ---

def test_version_check(algo):
    assert algo.ask("GET", "/v2/", token=algo.token()).status == 200
    answer = algo.ask("GET", "/v2/")
    refused(answer, 401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")


# --- end-2: blobs ---

@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pull_a_blob(repository, method):
    data = secrets.token_bytes(2048)
    digest = repository.push_blob(data)["digest"]
    answer = repository.ask(method, f"blobs/{digest}")
    assert answer.status == 200 and answer.body == (data if method == "GET" else b"")
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Content-Length"] == "2048"
    assert repository.ask(method, f"blobs/{MISSING}").status == 404


@pytest.mark.parametrize("text, first, last", [("0-0", 0, 0), ("500-1499", 500, 1499), ("500-", 500, 2047),
                                               ("-500", 1548, 2047), ("-9999", 0, 2047), ("2000-5000", 2000, 2047)])
def test_ranges_of_a_blob(repository, text, first, last):
    data = secrets.token_bytes(2048)
    answer = repository.ask("GET", f"blobs/{repository.push_blob(data)['digest']}", Range=f"bytes={text}")
    assert answer.status == 206 and answer.body == data[first:last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/2048"
    assert answer.headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("text", ["500-0", "2048-", "5000-10000", "-0", "-"])
def test_ranges_that_cannot_be_had(repository, text):
    digest = repository.push_blob(secrets.token_bytes(2048))["digest"]
    refused(repository.ask("GET", f"blobs/{digest}", Range=f"bytes={text}"), 416, "RANGE_INVALID")


def test_other_ranges_give_the_whole(repository):
    data = secrets.token_bytes(100)
    digest = repository.push_blob(data)["digest"]
    for text in ("lines=0-1", "bytes=0-1,5-6"):
        answer = repository.ask("GET", f"blobs/{digest}", Range=text)
        assert (answer.status, answer.body) == (200, data)


@pytest.mark.parametrize("digest", ["sha256:12", "sha256:" + "A" * 64, "sha256:" + "0" * 65, "md5:" + "0" * 32, "x"])
def test_bad_digests(repository, digest):
    refused(repository.ask("GET", f"blobs/{digest}"), 400, "DIGEST_INVALID")
    refused(repository.ask("DELETE", f"blobs/{digest}"), 400, "DIGEST_INVALID")
    refused(repository.ask("GET", f"referrers/{digest}"), 400, "DIGEST_INVALID")
    refused(repository.ask("POST", f"blobs/uploads/?digest={digest}", b"x"), 400, "DIGEST_INVALID")
    refused(repository.ask("POST", f"blobs/uploads/?mount={digest}&from=acme/x"), 400, "DIGEST_INVALID")
    location = repository.open()
    refused(repository.close(location, digest), 400, "DIGEST_INVALID")
    assert repository.offset(location) == 0  # it lives


def test_sha512_is_refused_clearly(repository):
    location = repository.open()
    for answer in (repository.ask("GET", f"blobs/{SHA512}"), repository.ask("GET", f"manifests/{SHA512}"),
                   repository.ask("PUT", f"manifests/{SHA512}", b"{}", Content_Type=MANIFEST_TYPE),
                   repository.ask("POST", "blobs/uploads/?digest-algorithm=sha512"),
                   repository.ask("POST", f"blobs/uploads/?digest={SHA512}", b"x"), repository.close(location, SHA512)):
        assert "use sha256" in refused(answer, 400, "DIGEST_INVALID")
    assert repository.ask("POST", "blobs/uploads/?digest-algorithm=sha256").status == 202


# --- end-4, 5, 6, 13, 14: uploads ---

def test_post_then_put(repository):
    data = secrets.token_bytes(512)
    answer = repository.ask("POST", "blobs/uploads/")
    assert answer.status == 202 and answer.headers["Location"]
    done = repository.close(answer.headers["Location"], sha256(data), data)
    assert done.status == 201 and repository.ask("GET", done.headers["Location"]).body == data


def test_post_alone(repository):
    data = secrets.token_bytes(512)
    done = repository.ask("POST", f"blobs/uploads/?digest={sha256(data)}", data)
    assert done.status == 201 and done.headers["Docker-Content-Digest"] == sha256(data)
    assert repository.ask("GET", done.headers["Location"]).body == data
    refused(repository.ask("POST", f"blobs/uploads/?digest={MISSING}", data), 400, "DIGEST_INVALID")
    assert repository.ask("HEAD", f"blobs/{MISSING}").status == 404


@pytest.mark.parametrize("last_by", ["PATCH", "PUT"])
def test_chunks(repository, last_by):
    data = secrets.token_bytes(3 * 1000 - 5)
    location = repository.open()
    for start in (0, 1000, 2000):
        piece = data[start:start + 1000]
        span = f"{start}-{start + len(piece) - 1}"
        if start == 2000 and last_by == "PUT":
            continue
        answer = repository.ask("PATCH", location, piece, Content_Range=span)
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{start + len(piece) - 1}")
        assert answer.headers["Location"] == location
        status = repository.ask("GET", location)
        assert (status.status, status.headers["Range"]) == (204, f"0-{start + len(piece) - 1}")
        assert status.headers["Location"] == location and status.body == b""
    body = {"body": data[2000:], "Content_Range": "2000-2994"} if last_by == "PUT" else {}
    done = repository.ask("PUT", f"{location}?digest={sha256(data)}", **body)
    assert done.status == 201 and repository.ask("GET", done.headers["Location"]).body == data


def test_stream_without_length(repository):
    data = secrets.token_bytes(100_000)
    location = repository.open()
    answer = repository.ask("PATCH", location, data, chunked=True)
    assert (answer.status, answer.headers["Range"]) == (202, "0-99999")
    assert repository.close(location, sha256(data)).status == 201


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("start", [0, 4, 6, 1000])
def test_chunks_out_of_order(repository, method, start):
    data = secrets.token_bytes(10)
    location = repository.open()
    assert repository.ask("PATCH", location, data[:5], Content_Range="0-4").status == 202
    path = f"{location}?digest={sha256(data)}" if method == "PUT" else location
    answer = repository.ask(method, path, data[5:], Content_Range=f"{start}-{start + 4}")
    refused(answer, 416, "RANGE_INVALID")
    assert (answer.headers["Location"], answer.headers["Range"]) == (location, "0-4")
    status = repository.ask("GET", location)
    assert (status.status, status.headers["Range"]) == (204, "0-4")
    done = repository.ask("PUT", f"{location}?digest={sha256(data)}", data[5:], Content_Range="5-9")
    assert done.status == 201 and repository.ask("GET", f"blobs/{sha256(data)}").body == data


@pytest.mark.parametrize("text, code", [("bytes 0-4", "BLOB_UPLOAD_INVALID"), ("0-4/5", "BLOB_UPLOAD_INVALID"),
                                        ("4-0", "BLOB_UPLOAD_INVALID"), ("0-", "BLOB_UPLOAD_INVALID"),
                                        ("0-5", "SIZE_INVALID"), ("0-3", "SIZE_INVALID")])
def test_bad_content_ranges(repository, text, code):
    location = repository.open()
    refused(repository.ask("PATCH", location, b"12345", Content_Range=text), 400, code)
    assert repository.offset(location) == 0


def test_empty_session_and_empty_blob(repository):
    location = repository.open()
    assert repository.ask("GET", location).headers["Range"] == "0-0"
    assert repository.close(location, sha256(b"")).status == 201
    assert repository.ask("GET", f"blobs/{sha256(b'')}").body == b""


def test_close_needs_the_right_digest(repository):
    location = repository.open()
    refused(repository.close(location, MISSING, b"data"), 400, "DIGEST_INVALID")
    refused(repository.ask("PUT", location), 400, "DIGEST_INVALID")
    assert repository.offset(location) == 4
    assert repository.close(location, sha256(b"data")).status == 201


def test_cancel(repository):
    location = repository.open()
    assert repository.ask("PATCH", location, b"data").status == 202
    assert repository.ask("DELETE", location).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        refused(repository.ask(method, location), 404, "BLOB_UPLOAD_UNKNOWN")
    refused(repository.close(location, sha256(b"data")), 404, "BLOB_UPLOAD_UNKNOWN")
    assert repository.ask("HEAD", f"blobs/{sha256(b'data')}").status == 404


def test_sessions_that_never_were(repository):
    location = re.sub("[^/]+$", "upl_" + "0" * 32, repository.open())
    for method in ("GET", "PATCH", "DELETE"):
        refused(repository.ask(method, location), 404, "BLOB_UPLOAD_UNKNOWN")


def push_by(way, repository, data, digest):
    """The answer that closes it; the ways are those of the specification's own conformance suite."""
    if way == "post only":
        return repository.ask("POST", f"blobs/uploads/?digest={digest}", data)
    location, half = repository.open(), len(data) // 2
    if way == "post and put":
        return repository.close(location, digest, data)
    if way == "stream":
        assert repository.ask("PATCH", location, data, chunked=True).status == 202
        return repository.close(location, digest)
    assert repository.ask("PATCH", location, data[:half], Content_Range=f"0-{half - 1}").status == 202
    last = {"body": data[half:], "Content_Range": f"{half}-{len(data) - 1}"}
    if way == "chunks":
        assert repository.ask("PATCH", location, **last).status == 202
        last = {}
    return repository.ask("PUT", f"{location}?digest={digest}", **last)


@pytest.mark.parametrize("way", ["post only", "post and put", "stream", "chunks", "chunks, the last by put"])
def test_ways_to_push_and_a_wrong_digest_in_each(repository, way):
    data = secrets.token_bytes(3000)
    refused(push_by(way, repository, data + b"oh no", sha256(data)), 400, "DIGEST_INVALID")
    assert repository.ask("HEAD", f"blobs/{sha256(data)}").status == 404
    done = push_by(way, repository, data, sha256(data))
    assert done.status == 201 and done.headers["Docker-Content-Digest"] == sha256(data)
    head = repository.ask("HEAD", f"blobs/{sha256(data)}")
    assert (head.status, head.headers["Content-Length"]) == (200, "3000")
    assert repository.ask("GET", done.headers["Location"]).body == data
    assert repository.ask("DELETE", f"blobs/{sha256(data)}").status == 202
    assert repository.ask("HEAD", f"blobs/{sha256(data)}").status == 404


def test_no_least_length_of_chunks(repository):
    """Chunks of one byte are taken, so OCI-Chunk-Min-Length is not there."""
    opened = repository.ask("POST", "blobs/uploads/")
    assert opened.status == 202 and "OCI-Chunk-Min-Length" not in opened.headers
    location = opened.headers["Location"]
    for at in range(3):
        assert repository.ask("PATCH", location, b"x", Content_Range=f"{at}-{at}").status == 202
    assert repository.close(location, sha256(b"xxx")).status == 201


# --- end-11: mounts ---

def test_mounts_without_a_source(repository, algo):
    """`from` is optional, and a registry that does not look elsewhere opens an upload."""
    source = algo.repository("acme/s-" + secrets.token_hex(4))
    digest = source.push_blob(secrets.token_bytes(100))["digest"]
    answer = repository.ask("POST", f"blobs/uploads/?mount={digest}")
    assert answer.status in (201, 202) and answer.headers["Location"]
    if answer.status == 202:
        assert repository.offset(answer.headers["Location"]) == 0


def test_mount(repository, algo):
    data = secrets.token_bytes(512)
    source = algo.repository("acme/s-" + secrets.token_hex(4))
    digest = source.push_blob(data)["digest"]
    token = algo.token(f"repository:{repository.name}:pull,push", f"repository:{source.name}:pull")
    answer = repository.ask("POST", f"blobs/uploads/?mount={digest}&from={source.name}", token=token)
    assert answer.status == 201 and repository.ask("GET", answer.headers["Location"]).body == data
    assert answer.headers["Docker-Content-Digest"] == digest


def test_mounts_that_become_uploads(repository, algo, gateway):
    data = secrets.token_bytes(512)
    source = algo.repository("acme/s-" + secrets.token_hex(4))
    digest = source.push_blob(data)["digest"]
    token = algo.token(f"repository:{repository.name}:pull,push", f"repository:{source.name}:pull")
    foreign = gateway.client("globex-owner").repository("globex/s-" + secrets.token_hex(4))
    there = foreign.push_blob(secrets.token_bytes(600))["digest"]
    answers = [repository.ask("POST", f"blobs/uploads/?mount={MISSING}&from={source.name}", token=token),
               repository.ask("POST", f"blobs/uploads/?mount={digest}"),
               repository.ask("POST", f"blobs/uploads/?mount={digest}&from={source.name}"),  # the token does not pull it
               repository.ask("POST", f"blobs/uploads/?mount={there}&from={foreign.name}"),
               repository.ask("POST", f"blobs/uploads/?mount={MISSING}&from={foreign.name}")]
    assert [answer.status for answer in answers] == [202] * 5
    foreign_two = [{name for name in answer.headers} for answer in answers[3:]]
    assert foreign_two[0] == foreign_two[1]  # what another tenant has is not told
    for answer in answers:
        assert repository.offset(answer.headers["Location"]) == 0
    for name in (digest, there):
        assert repository.ask("HEAD", f"blobs/{name}").status == 404


# --- names, methods ---

@pytest.mark.parametrize("name", ["acme/UP", "acme/a..b", "acme/-a", "acme/a-", "acme/a___b", "acme/a._b", "acme/" + "a" * 241])
def test_bad_names(algo, name):
    token = algo.token("repository:acme/x:pull,push")
    for method, path in (("GET", "tags/list"), ("GET", "manifests/v1"), ("POST", "blobs/uploads/"),
                         ("GET", f"referrers/{MISSING}")):
        refused(algo.ask(method, f"/v2/{name}/{path}", token=token), 400, "NAME_INVALID")


@pytest.mark.parametrize("name", ["acme/a", "acme/a/b/c", "acme/a.b", "acme/a_b", "acme/a__b", "acme/a---b",
                                  "acme/" + "a" * 240])
def test_good_names(algo, name):
    repository = algo.repository(name)
    digest = repository.push_blob(b"x")["digest"]
    assert repository.ask("GET", f"blobs/{digest}").body == b"x"


def test_other_methods(repository):
    for method, path in (("POST", "manifests/v1"), ("PATCH", f"blobs/{MISSING}"), ("PUT", "tags/list")):
        answer = repository.ask(method, path, b"")
        refused(answer, 405, "UNSUPPORTED")
        assert answer.headers["Allow"]


def test_errors_are_the_specifications(gateway, repository):
    """Every refusal has exactly its members, and a 404 of the edge is one of them."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)) as connection:
        connection.request("GET", "/v2/acme/x/blobs/" + MISSING)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    assert answer.status == 401 and answer.headers["Content-Type"] == "application/json"
    assert [set(error) for error in body["errors"]] == [{"code", "message", "detail"}]
