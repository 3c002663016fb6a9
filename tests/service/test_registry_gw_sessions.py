# SPDX-License-Identifier: Apache-2.0
"""Whose an upload session is: it outlives the token that opened it, and dies with what the token rests on."""
import base64
import datetime
import json
import secrets
import select
import shutil

import pytest

from certreg_stack import P256, unix_now
from conftest import wait_for
from test_certreg_members import new_key
from registry_stack import MANIFEST_TYPE, RegistryClient, refused, sha256
from registry_stack import algo, gateway, repository  # noqa: F401 (fixtures)

MISSING = "sha256:" + "0" * 64


def part_of(token, number):
    text = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


@pytest.fixture
def forge(gateway, tmp_path):
    """The issuer's own hand: a good token with other claims."""
    key = object.__new__(P256)
    key.file = tmp_path / "issuer.pem"
    shutil.copy(gateway.certreg.signing_keys / "1700000000.pem", key.file)

    def make(token, **claims):
        head = part_of(token, 0)
        return key.jwt(head.pop("typ"), {**part_of(token, 1), **claims}, kid=head["kid"])
    return make


def scope(repository):
    return f"repository:{repository.name}:pull,push,delete"


def made_before(seconds):
    return {"iat": unix_now() - seconds, "exp": unix_now() - seconds + 300}


def test_an_upload_outlives_its_token(repository, algo, forge):
    old = forge(algo.token(scope(repository)), **made_before(1000))
    location = repository.open()
    assert repository.ask("PATCH", location, b"first ", token=old).status == 202
    assert repository.ask("GET", location, token=old).headers["Range"] == "0-5"
    done = repository.ask("PUT", f"{location}?digest={sha256(b'first second')}", b"second", token=old)
    assert done.status == 201, done.body
    assert repository.ask("GET", f"blobs/{sha256(b'first second')}").body == b"first second"
    assert repository.ask("DELETE", repository.open(), token=old).status == 204


def test_an_old_token_begins_nothing_and_publishes_nothing(repository, algo, forge):
    old = forge(algo.token(scope(repository)), **made_before(400))
    for method, path in (("POST", "blobs/uploads/"), ("GET", "tags/list"), ("HEAD", f"blobs/{MISSING}"), ("GET", "/v2/"),
                         ("DELETE", f"blobs/{MISSING}"), ("DELETE", "manifests/v1")):
        answer = repository.ask(method, path, token=old)
        assert answer.status == 401 and 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    answer = repository.ask("PUT", "manifests/v1", b"{}", token=old, Content_Type=MANIFEST_TYPE)
    refused(answer, 401, "UNAUTHORIZED")


def test_a_token_is_late_only_while_revocations_are_told(repository, algo, forge):
    location = repository.open()
    answer = repository.ask("PATCH", location, b"x", token=forge(algo.token(scope(repository)), **made_before(1200)))
    refused(answer, 401, "UNAUTHORIZED")
    assert repository.offset(location) == 0


def test_a_late_token_of_somebody_else_or_for_less(gateway, repository, algo, forge):
    location = repository.open()
    others = gateway.client("acme-owner").token(scope(repository))
    answer = repository.ask("PATCH", location, b"x", token=forge(others, **made_before(400)))
    refused(answer, 404, "BLOB_UPLOAD_UNKNOWN")
    less = forge(algo.token(f"repository:{repository.name}:pull"), **made_before(400))
    refused(repository.ask("PATCH", location, b"x", token=less), 401, "UNAUTHORIZED")
    assert repository.offset(location) == 0


def test_nothing_outlives_the_key_behind_it(repository, algo, forge):
    """A key with an end of its own gives tokens that say so."""
    location = repository.open()
    ends = {"credential_exp": unix_now() - 10}
    old = forge(algo.token(scope(repository)), **made_before(400), **ends)
    for method, path in (("PATCH", location), ("GET", location), ("PUT", f"{location}?digest={sha256(b'')}"), ("DELETE", location)):
        answer = repository.ask(method, path, token=old)
        refused(answer, 401, "UNAUTHORIZED")
        assert answer.json["errors"][0]["detail"]["code"] == "auth.expired"
    later = forge(algo.token(scope(repository)), **made_before(400), credential_exp=unix_now() + 600)
    assert repository.ask("PATCH", location, b"x", token=later).status == 202


def test_a_key_that_ends_says_so_in_its_tokens(gateway, algo):
    key = new_key()
    ends = datetime.datetime.fromtimestamp(unix_now() + 3600, datetime.timezone.utc)
    words = key.words(name="short", expires_at=ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert gateway.certreg.client("acme-owner").post("/v1/keys", words).status == 201
    token = RegistryClient(gateway, key.text).token("repository:acme/x:pull")
    assert part_of(token, 1)["credential_exp"] == int(ends.timestamp())
    assert "credential_exp" not in part_of(algo.token(), 1)


# --- revocation ---

@pytest.fixture
def revocable_since(gateway, repository, algo, forge):
    """Makes a token of that age that rests on a key of its own, and what revokes that key."""
    def make(seconds):
        key = "key_" + secrets.token_hex(6) + "7" + secrets.token_hex(2)[:3] + "8" + secrets.token_hex(8)[:15]
        token = forge(algo.token(scope(repository)), key=key, **made_before(seconds))
        claims = part_of(token, 1)

        def revoke():
            gateway.postgres.sql("INSERT INTO certreg.revocation (tenant_id, space_id, id, state) VALUES (%s, %s, %s, 'revoked')",
                                 claims["tenant"], claims["space"], key)
            gateway.postgres.sql("INSERT INTO certreg.outbox (topic, key) VALUES ('epoch', 'changed')")
            fresh = forge(token, **made_before(100))
            wait_for(lambda: repository.ask("GET", "/v2/", token=fresh).status == 401, "the gateway knows")
        return token, revoke
    return make


@pytest.fixture
def revocable(revocable_since):
    return revocable_since(400)


def is_revoked(answer):
    return answer.status == 401 and answer.json["errors"][0]["detail"]["code"] == "auth.revoked"


def test_revocation_ends_an_upload(repository, revocable):
    token, revoke = revocable
    location = repository.open()
    assert repository.ask("PATCH", location, b"first", token=token).status == 202
    revoke()
    for method, path in (("PATCH", location), ("GET", location), ("DELETE", location),
                         ("PUT", f"{location}?digest={sha256(b'first')}")):
        assert is_revoked(repository.ask(method, path, token=token)), method
    assert repository.ask("HEAD", f"blobs/{sha256(b'first')}").status == 404
    assert repository.offset(location) == 5  # the same member by another key


def begun(repository, location):
    """Waits until the body's request was let in."""
    wait_for(lambda: repository.client.gateway.postgres.sql(
        "SELECT lease_until > now() FROM registry_gw.upload WHERE id = %s", location.rsplit("/", 1)[1])[0][0], "it is begun")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_revocation_in_mid_body(repository, revocable, method):
    token, revoke = revocable
    location = repository.open()
    with repository.cut_upload(location, b"first", 10, token, method, f"?digest={sha256(b'firstrest!')}") as connection:
        begun(repository, location)
        revoke()
        connection.sendall(b"rest!")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 401 ") and b"auth.revoked" in answer
    assert repository.ask("HEAD", f"blobs/{sha256(b'firstrest!')}").status == 404
    assert repository.offset(location) == 10


def test_revocation_ends_a_body_that_does_not_end(repository, revocable):
    token, revoke = revocable
    location = repository.open()
    with repository.cut_upload(location, b"first", 1 << 35, token) as connection:
        begun(repository, location)
        revoke()

        def is_answered():
            connection.sendall(b"x")
            return select.select([connection], [], [], 0)[0]
        wait_for(is_answered, "it is answered before its end")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 401 ") and b"auth.revoked" in answer
    assert repository.offset(location) >= 5
