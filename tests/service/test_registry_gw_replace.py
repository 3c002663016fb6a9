# SPDX-License-Identifier: Apache-2.0
"""POST /v1/images/{id}:replace gives all tags of an image to another one that was pushed by its digest, and the old one goes, at
once: what `strongroom image reencrypt` ends with."""
import concurrent.futures
import json

import psycopg2
import pytest

import gateway_kit as kit
from conftest import wait_for
from registry_stack import algo, gateway, owner, problem, refused, repository  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def pusher(gateway):
    return gateway.member("acme-algo")


def made(repository, document, *tags):
    """Put by its digest, then by each tag."""
    for reference in (kit.digest_of(document), *tags):
        kit.made(repository, document, reference)
    return document


@pytest.fixture
def image(repository):
    return made(repository, kit.manifest(repository, kit.layer(repository)), "v1", "latest")


@pytest.fixture
def other(repository):
    return made(repository, kit.manifest(repository, kit.layer(repository)))


def replace(member, shown, digest, tags=None, etag=None):
    digest = digest if isinstance(digest, str) else kit.digest_of(digest)
    body = {"digest": digest, "tags": shown["tags"] if tags is None else tags}
    return member.ask("POST", f"/v1/images/{shown['id']}:replace", body, etag or shown["etag"])


def is_there(repository, document, *tags):
    for reference in (kit.digest_of(document), *tags):
        assert repository.ask("GET", f"manifests/{reference}").json == document


def is_gone(repository, *documents):
    for document in documents:
        refused(repository.ask("GET", f"manifests/{kit.digest_of(document)}"), 404, "MANIFEST_UNKNOWN")


def test_one_image_for_another(gateway, pusher, repository, image, other):
    used, before = gateway.quota("acme-algo")["images"]["used"], pusher.image(repository, tag="v1")
    answer = replace(pusher, before, other)
    assert answer.status == 200, answer.body
    assert (answer.json["digest"], answer.json["tags"]) == (kit.digest_of(other), ["latest", "v1"])
    is_there(repository, other, "v1", "latest")
    is_gone(repository, image)
    problem(pusher.ask("GET", f"/v1/images/{before['id']}"), 404, "image.not_found")
    assert gateway.quota("acme-algo")["images"]["used"] == used - 1
    records = [json.loads(text) for text, in gateway.postgres.sql("SELECT record FROM registry_gw.audit_outbox ORDER BY id")]
    assert [one["detail"] for one in records if one["action"] == "image.replace" and repository.name in one["on"]] == [
        kit.digest_of(image)]


def test_what_is_refused_changes_nothing(gateway, pusher, repository, image, other):
    shown, missing = pusher.image(repository, tag="v1"), "sha256:" + "0" * 64
    problem(pusher.ask("POST", f"/v1/images/{shown['id']}:replace", {"digest": missing, "tags": []}), 428, "resource.if_match_missing")
    problem(replace(pusher, shown, missing), 404, "manifest.not_found")
    for digest in (image, "v1", "", "sha256:" + "A" * 64):
        problem(replace(pusher, shown, digest), 422, "image.replace")
    for tags in ([], ["v1"], ["v1", "latest", "more"], ["v1", 7]):
        problem(replace(pusher, shown, other, tags), 409, "image.tags_moved")
    problem(replace(gateway.member("acme-data"), shown, other), 403, "auth.role_missing")
    problem(replace(gateway.member("globex-owner"), shown, other), 404, "image.not_found")
    kit.made(repository, image, "v1")
    problem(replace(pusher, shown, other), 412, "resource.changed")
    is_there(repository, image, "v1", "latest")
    assert pusher.image(repository, digest=kit.digest_of(other))["tags"] == []


def test_the_rule_of_now(pusher, owner, repository, image, other, tmp_path):
    assert owner.put_rule(recipients=[{"name": "machine", "certificate": kit.Machine(tmp_path).pem}]).status == 200
    try:
        problem(replace(pusher, pusher.image(repository, tag="v1"), other), 403, "manifest.recipient_missing")
    finally:
        assert owner.put_rule().status == 200
    is_there(repository, image, "v1", "latest")


def test_an_index_goes_with_what_only_it_named(gateway, pusher, repository, other):
    """Of four images one has a tag, one is named by another index, and one is what comes."""
    single, tagged, shared = (made(repository, kit.manifest(repository, kit.layer(repository))) for _ in range(3))
    made(repository, tagged, "own")
    inner = made(repository, kit.index(single, tagged))
    index, another = made(repository, kit.index(inner, shared, other), "all"), made(repository, kit.index(shared), "another")
    used = gateway.quota("acme-algo")["images"]["used"]
    assert replace(pusher, pusher.image(repository, tag="all"), other).status == 200
    for document, *tags in ((other, "all"), (tagged, "own"), (shared,), (another, "another")):
        is_there(repository, document, *tags)
    is_gone(repository, index, inner, single)
    assert gateway.quota("acme-algo")["images"]["used"] == used - 3


def test_an_index_for_one_of_its_images_without_any_tag(pusher, repository, other):
    index = made(repository, kit.index(other))
    assert replace(pusher, pusher.image(repository, digest=kit.digest_of(index)), other).status == 200
    is_there(repository, other)
    is_gone(repository, index)


def test_what_an_index_names_stays_without_tags(pusher, repository, image, other):
    index = made(repository, kit.index(image), "all")
    assert replace(pusher, pusher.image(repository, tag="v1"), other).status == 200
    is_there(repository, other, "v1", "latest")
    is_there(repository, index, "all")
    is_there(repository, image)


def test_twins(pusher, repository, image):
    shown = pusher.image(repository, tag="v1")
    others = [made(repository, kit.manifest(repository, kit.layer(repository))) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda one: replace(pusher, shown, one), others))
    won, = [one for one, answer in zip(others, answers) if answer.status == 200]
    assert {answer.json["code"] for answer in answers if answer.status != 200} <= {"image.not_found", "resource.changed",
                                                                                 "manifest.not_found", "image.tags_moved"}
    is_there(repository, won, "v1", "latest")
    is_gone(repository, image)


def test_killed_in_the_middle_every_tag_is_where_it_was(gateway, pusher, repository, image, other):
    """The transaction waits for a tag that somebody holds; the gateway dies there."""
    shown, holder = pusher.image(repository, tag="v1"), psycopg2.connect(gateway.postgres.conninfo())
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE tag SET%'"
    try:
        holder.cursor().execute("SELECT 1 FROM registry_gw.tag WHERE repository = %s AND name = 'v1' FOR UPDATE", (repository.name,))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(replace, pusher, shown, other)
            wait_for(lambda: gateway.postgres.sql(waits)[0][0] == 1, "the tags are about to move")
            gateway.kill()
            assert isinstance(answer.exception(), OSError)
    finally:
        holder.close()
        gateway.start()
    wait_for(lambda: repository.ask("GET", "tags/list").status != 503, "revocations are known")
    is_there(repository, image, "v1", "latest")
    assert replace(pusher, pusher.image(repository, tag="v1"), other).status == 200
    is_there(repository, other, "v1", "latest")
