# SPDX-License-Identifier: Apache-2.0
"""The gateway's own listener among clients that do not behave; tests/unit/test_web_hostile.c has the corpus of heads."""
import contextlib
import os
import re
import resource
import secrets
import socket
import urllib.request

import psycopg2
import pytest

from conftest import LIMIT_S, wait_for
from registry_stack import MANIFEST_TYPE, refused, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)
from test_registry_gw_streams import Rss, writes

MIB = 1024 * 1024
CROWD = 10_000
ROOM = 4096  # of lib/web_server.c
CROWD_KIB = 64 * 1024


def raw(gateway, *pieces, shut=False):
    """All that comes back for these bytes until the connection ends."""
    with socket.create_connection(("127.0.0.1", gateway.port), LIMIT_S) as connection:
        for piece in pieces:
            with contextlib.suppress(OSError):  # refused before its end
                connection.sendall(piece)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    return answer


def head(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


@pytest.fixture
def token(repository):
    repository.ask("GET", "tags/list", actions="pull,push")
    return "Authorization: Bearer " + repository._tokens["pull,push"]


# --- crowds ---

@contextlib.contextmanager
def crowd(gateway, count, first_bytes=b""):
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), LIMIT_S))
            connection.sendall(first_bytes)
        yield


def connections(gateway):
    text = urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/metrics", timeout=LIMIT_S).read().decode()
    return int(float(re.search(r"^\S*connections\S* (\S+)$", text, re.M)[1]))


@pytest.mark.parametrize("first_bytes", [b"", b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["idle", "slow heads"])
def test_10000_connections_that_say_nothing(gateway, repository, first_bytes):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(CROWD, hard - 500)
    assert count > ROOM, f"only {hard} descriptors are allowed here"
    digest = repository.push_blob(b"beside the crowd")["digest"]
    repository.ask("GET", f"blobs/{digest}")
    with Rss(gateway) as rss, crowd(gateway, count, first_bytes):
        for _ in range(3):
            assert repository.ask("GET", f"blobs/{digest}").body == b"beside the crowd"
        assert repository.push_blob(secrets.token_bytes(100))
        assert connections(gateway) <= ROOM + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if not os.environ.get("SAN"):  # a sanitizer's memory is its own
        assert rss.growth < CROWD_KIB


# --- heads ---

def test_heads_without_an_end(gateway):
    for filler in (b"X-Long: " + b"a" * 70_000, b"".join(b"X-%d: y\r\n" % number for number in range(1000)),
                   b"GET /v2/" + b"a/" * 40_000):
        answer = raw(gateway, head("GET", "/v2/")[:-2] if not filler.startswith(b"GET") else b"", filler)
        assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 414 ")), answer[:200]


@pytest.mark.parametrize("lines", [
    ["Content-Length: 5", "Transfer-Encoding: chunked"], ["Content-Length: 5", "Content-Length: 6"], ["Content-Length: 5, 5"],
    ["Content-Length: +5"], ["Content-Length: 0x5"], ["Content-Length: 99999999999999999999"], ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding: chunked, identity"], ["Transfer-Encoding : chunked"], ["Content-Length: 5\r\n\tfolded"],
    ["Host: y"], ["Content-Length: -1"]])
@pytest.mark.parametrize("target", ["manifests/v1", "blobs/uploads/", "archives"])
def test_requests_that_two_parsers_read_differently(gateway, repository, token, lines, target):
    method = "PUT" if target == "manifests/v1" else "POST"
    path = f"/v1/registry/archives?repository={repository.name}" if target == "archives" else f"/v2/{repository.name}/{target}"
    hidden = head("DELETE", f"/v2/{repository.name}/manifests/v1")
    answer = raw(gateway, head(method, path, token, *lines), b"0\r\n\r\n" + hidden, shut=True)
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1, answer


@pytest.mark.parametrize("path", ["/v2/../secret", "/v2/acme/../globex/x/tags/list", "/v2/acme/%2e%2e/x/tags/list", "/v2/acme%2fx/tags/list",
                                  "/v2/acme//x/tags/list", "/v2/./acme/x/tags/list", "/v2/acme/x%00/tags/list",
                                  "/v2/acme/x/blobs/..%2f..%2fsecret", "/v2/acme/x/blobs/uploads/../../../tags/list",
                                  "/v2/acme\\x/tags/list", "http://elsewhere/v2/"])
def test_paths_that_climb(gateway, token, path):
    answer = raw(gateway, head("GET", path, token, "Connection: close"))
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")), answer


@pytest.mark.parametrize("name", ["upl_" + "0" * 31 + "/", "..", "upl_%2e%2e", "upl_" + "'" * 8, "x" * 3000, "upl_0;DROP"])
def test_sessions_that_climb(repository, name):
    answer = repository.ask("GET", f"blobs/uploads/{name}", actions="pull,push")
    assert answer.status in (400, 404), (answer.status, answer.body)


@pytest.mark.parametrize("query", ["n=1&last=%00", "n=1&last=%ff", "n=99999999999999999999", "last=" + "a" * 5000,
                                   "&".join(f"a{i}=b" for i in range(100))])
def test_queries_that_are_none(repository, query):
    repository.push_blob(b"x")
    assert repository.ask("GET", f"tags/list?{query}").status in (400, 404, 414)


# --- bodies ---

def test_a_body_that_does_not_come(gateway, repository, token):
    """Half a manifest, and then the client's end of the connection."""
    announced = head("PUT", f"/v2/{repository.name}/manifests/v1", token, "Content-Length: 100", f"Content-Type: {MANIFEST_TYPE}")
    answer = raw(gateway, announced, b"{", shut=True)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert repository.ask("GET", "manifests/v1").status == 404


def test_a_half_closed_upload_keeps_what_came(repository):
    location = repository.open()
    with repository.cut_upload(location, b"first", 100) as connection:
        wait_for(lambda: writes(repository, location), "it is begun")
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            connection.recv(65536)
    assert repository.offset(location) == 5
    assert repository.close(location, sha256(b"first")).status == 201


def test_a_half_close_before_the_upload_began_keeps_what_came(gateway, repository):
    """Somebody holds the row: the end comes first, and the beginning later."""
    location, holder = repository.open(), psycopg2.connect(gateway.postgres.conninfo())
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE upload%'"
    try:
        holder.cursor().execute("SELECT 1 FROM registry_gw.upload WHERE id = %s FOR UPDATE", (location.rsplit("/", 1)[1],))
        with repository.cut_upload(location, b"first", 100) as connection:
            wait_for(lambda: gateway.postgres.sql(waits)[0][0] == 1, "it is about to begin")
            connection.shutdown(socket.SHUT_WR)
            for _ in range(3):
                assert gateway.is_ready()  # by the loop, which has seen the end then
            holder.rollback()
            with contextlib.suppress(ConnectionResetError):
                connection.recv(65536)
    finally:
        holder.close()
    assert repository.offset(location) == 5
    assert repository.close(location, sha256(b"first")).status == 201


def test_more_bytes_than_announced_are_no_upload(gateway, repository, token):
    """What follows a counted body is another request, and garbage there is refused as one."""
    location = repository.open()
    answer = raw(gateway, head("PATCH", location, token, "Content-Length: 5"), b"first" + b"second\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 202 ") and b"HTTP/1.1 400 " in answer
    assert repository.offset(location) == 5


@pytest.mark.parametrize("chunk", [b"fffffffffffffffff\r\n", b"-5\r\nhello\r\n", b"5\r\nhelloXX", b"5 \r\nhello\r\n0\r\n\r\n", b"\r\n",
                                   b"5;" + b"x" * 70_000], ids=range(6))
def test_chunks_that_are_none(gateway, repository, token, chunk):
    location = repository.open()
    answer = raw(gateway, head("PATCH", location, token, "Transfer-Encoding: chunked"), b"4\r\ngood\r\n" + chunk)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert repository.offset(location) in (0, 4, 9)
    assert repository.ask("DELETE", location).status == 204


def test_chunks_that_never_end(gateway, repository, token):
    """One byte a chunk, thousands of them: memory stays where it is, and the client may stop at any time."""
    location = repository.open()
    with Rss(gateway) as rss:
        answer = raw(gateway, head("PATCH", location, token, "Transfer-Encoding: chunked"),
                     b"1\r\nx\r\n" * 300_000, b"0\r\n\r\n" + head("GET", "/v2/", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 202 ") and b"Range: 0-299999" in answer
    assert rss.growth < 16 * 1024 or os.environ.get("SAN")
    assert repository.offset(location) == 300_000


def test_trailers_say_nothing(gateway, repository, token):
    location = repository.open()
    answer = raw(gateway, head("PATCH", location, token, "Transfer-Encoding: chunked"),
                 b"4\r\ngood\r\n0\r\nAuthorization: Bearer x\r\nContent-Length: 99\r\n\r\n" + head("GET", "/v2/", "Connection: close"))
    assert answer.startswith((b"HTTP/1.1 202 ", b"HTTP/1.1 400 ")), answer
    assert repository.offset(location) in (0, 4)


def test_a_body_where_none_belongs(gateway, repository, token):
    for method, path in (("GET", "tags/list"), ("DELETE", "manifests/v1"), ("GET", "manifests/v1")):
        answer = raw(gateway, head(method, f"/v2/{repository.name}/{path}", token, f"Content-Length: {MIB}", "Connection: close"), b"x" * 100)
        assert answer.startswith(b"HTTP/1.1 4"), answer


def test_the_gateway_still_serves(repository):
    refused(repository.ask("GET", "manifests/none"), 404, "MANIFEST_UNKNOWN")
    assert repository.push_blob(b"good")
