# SPDX-License-Identifier: Apache-2.0
"""POST /v1/images/{id}:rewrap puts other key packets in an image's place: under all its tags at once, blobs untouched, and
nothing else."""
import base64
import concurrent.futures
import copy
import json

import psycopg2
import pytest

import gateway_kit as kit
from conftest import wait_for
from registry_stack import algo, gateway, owner, problem, refused, repository  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def pusher(gateway):
    return gateway.member("acme-algo")


@pytest.fixture
def image(repository):
    """The manifest of two layers under two tags."""
    document = kit.manifest(repository, kit.layer(repository), kit.layer(repository), annotations={"a": "b"})
    kit.made(repository, document, "v1")
    kit.made(repository, document, "latest")
    return document


def rewrapped(document, **packets):
    """Other packets for each layer."""
    changed = copy.deepcopy(document)
    for layer in changed["layers"]:
        layer["annotations"] = {name: text for name, text in layer["annotations"].items() if ".keys." not in name}
        layer["annotations"].update({f"{kit.ENC}keys.{scheme}": packet for scheme, packet in packets.items()} or
                                    {kit.ENC + "keys.jwe": kit.jwe("bob")})
    return changed


def encoded(document):
    return base64.b64encode(document if isinstance(document, bytes) else json.dumps(document).encode()).decode()


def rewrap(member, shown, document, tags=None, etag=None, children=()):
    body = {"manifest": encoded(document), "tags": shown["tags"] if tags is None else tags}
    if children:
        body["children"] = [encoded(child) for child in children]
    return member.ask("POST", f"/v1/images/{shown['id']}:rewrap", body, etag or shown["etag"])


def untouched(repository, document):
    for tag in ("v1", "latest"):
        assert repository.ask("GET", f"manifests/{tag}").json == document


def test_one_image_for_another(gateway, pusher, repository, image):
    before, after = pusher.image(repository), rewrapped(image)
    answer = rewrap(pusher, before, after)
    assert answer.status == 201, answer.body
    shown = answer.json
    assert (shown["digest"], shown["tags"]) == (kit.digest_of(after), ["latest", "v1"])
    assert [one["kid"] for one in shown["recipients"]] == ["bob"] and answer.headers["Location"] == f"/v1/images/{shown['id']}"
    untouched(repository, after)
    refused(repository.ask("GET", f"manifests/{kit.digest_of(image)}"), 404, "MANIFEST_UNKNOWN")
    problem(pusher.ask("GET", f"/v1/images/{before['id']}"), 404, "image.not_found")
    for part in (image["config"], *image["layers"]):
        assert repository.ask("HEAD", f"blobs/{part['digest']}").status == 200
    assert pusher.image(repository)["id"] == shown["id"]
    records = [json.loads(text) for text, in gateway.postgres.sql("SELECT record FROM registry_gw.audit_outbox ORDER BY id")]
    assert [one["detail"] for one in records if one["action"] == "image.rewrap" and repository.name in one["on"]] == [
        kit.digest_of(image)]


def test_stale_and_missing_etags(pusher, repository, image):
    shown = pusher.image(repository)
    path, body = f"/v1/images/{shown['id']}:rewrap", {"manifest": "AAAA", "tags": []}
    problem(pusher.ask("POST", path, body), 428, "resource.if_match_missing")
    kit.made(repository, image, "v1")
    problem(rewrap(pusher, shown, rewrapped(image)), 412, "resource.changed")
    untouched(repository, image)


def test_tags_that_moved(pusher, repository, image):
    shown, after = pusher.image(repository), rewrapped(image)
    for tags in ([], ["v1"], ["v1", "latest", "more"], ["v1", "other"]):
        problem(rewrap(pusher, shown, after, tags), 409, "image.tags_moved")
    other = kit.manifest(repository, kit.layer(repository))
    kit.made(repository, other, "latest")
    problem(rewrap(pusher, shown, after), 409, "image.tags_moved")
    refused(repository.ask("GET", f"manifests/{kit.digest_of(after)}"), 404, "MANIFEST_UNKNOWN")
    assert repository.ask("GET", "manifests/v1").json == image and repository.ask("GET", "manifests/latest").json == other
    assert rewrap(pusher, shown, after, ["v1"]).status == 201
    assert repository.ask("GET", "manifests/latest").json == other


def layer_change(**change):
    def apply(document):
        document["layers"][1].update(change)
    return apply


def other_options(document):
    document["layers"][1]["annotations"][kit.ENC + "pubopts"] = kit.b64(
        {"cipher": "AES_256_CTR_HMAC_SHA256", "hmac": kit.b64(b"\1" * 32), "cipheroptions": {}})


def other_annotation(document):
    document["layers"][1]["annotations"]["more"] = "text"


CHANGES = {
    "digest": layer_change(digest="sha256:" + "0" * 64), "size": layer_change(size=7), "type": layer_change(
        mediaType=kit.LAYER_TYPE.replace("gzip", "zstd") + "+encrypted"), "options": other_options, "annotation": other_annotation,
    "plain": layer_change(mediaType=kit.LAYER_TYPE), "order": lambda document: document["layers"].reverse(),
    "fewer": lambda document: document["layers"].pop(), "config": lambda document: document["config"].update(size=3),
    "manifest's annotation": lambda document: document["annotations"].update(a="c"),
    "subject": lambda document: document.update(subject={"digest": "sha256:" + "0" * 64, "size": 1, "mediaType": "x"}),
    "more": lambda document: document.update(more=[]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_but_packets_changes(pusher, repository, image, change):
    after = rewrapped(image)
    CHANGES[change](after)
    message = problem(rewrap(pusher, pusher.image(repository), after), 422, "image.rewrap")
    assert ("layer " in message) == (change in ("digest", "size", "type", "options", "annotation", "plain", "order")), message
    untouched(repository, image)


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b"\xff", b"x" * ((4 << 20) + 1)], ids=["none", "cut", "list", "bytes", "long"])
def test_what_is_no_manifest(pusher, repository, image, bad):
    answer = rewrap(pusher, pusher.image(repository), bad)
    assert answer.json["code"] in ("image.rewrap", "json.invalid_fields"), answer.body
    problem(rewrap(pusher, pusher.image(repository), image), 422, "image.rewrap")  # the old one again
    shown = pusher.image(repository)
    for body in ({"manifest": "!", "tags": shown["tags"]}, {"manifest": "e30=", "tags": [7]}, {"manifest": "e30=", "tags": ["a:b"]}):
        problem(pusher.ask("POST", f"/v1/images/{shown['id']}:rewrap", body, shown["etag"]), 422, "image.rewrap")
    untouched(repository, image)


def test_the_rule_holds_for_new_packets(pusher, owner, repository, image, tmp_path):
    machine, shown = kit.Machine(tmp_path), pusher.image(repository)
    assert owner.put_rule(recipients=[{"name": "machine", "certificate": machine.pem}], most=1).status == 200
    try:
        problem(rewrap(pusher, shown, rewrapped(image)), 403, "manifest.recipient_missing")
        two = f"{kit.pkcs7(machine.who)},{kit.pkcs7(machine.who)}"
        problem(rewrap(pusher, shown, rewrapped(image, pkcs7=two)), 403, "manifest.too_many_recipients")
        problem(rewrap(pusher, shown, rewrapped(image, jwe="e30=")), 403, "manifest.not_encrypted")
        untouched(repository, image)
        assert rewrap(pusher, shown, rewrapped(image, pkcs7=kit.pkcs7(machine.who))).status == 201
    finally:
        assert owner.put_rule().status == 200


def test_what_an_index_names_is_not_wrapped_anew(pusher, repository, image):
    index = kit.index(image)
    kit.made(repository, index, "all")
    shown = pusher.image(repository, tag="v1")
    assert kit.digest_of(index) in problem(rewrap(pusher, shown, rewrapped(image)), 409, "image.in_index")
    problem(rewrap(pusher, pusher.image(repository, tag="all"), index), 422, "image.rewrap")
    untouched(repository, image)


# --- an index ---

class Platforms:
    """An index of two images, one of which has a tag of its own; `after` and `children` are the same rewrapped."""

    def __init__(self, repository):
        self.repository = repository
        self.images = [kit.manifest(repository, kit.layer(repository)) for _ in range(2)]
        self.index = kit.index(*self.images, annotations={"a": "b"})
        kit.made(repository, self.images[0], "own")
        kit.made(repository, self.images[1], kit.digest_of(self.images[1]))
        for tag in ("all", "stable"):
            kit.made(repository, self.index, tag)
        self.children = [rewrapped(one) for one in self.images]
        self.after = kit.index(*self.children, annotations={"a": "b"})

    def is_there(self, index, images, gone):
        for tag, document in (("all", index), ("stable", index), ("own", images[0])):
            assert self.repository.ask("GET", f"manifests/{tag}").json == document
        assert self.repository.ask("GET", f"manifests/{kit.digest_of(images[1])}").json == images[1]
        for document in gone:
            refused(self.repository.ask("GET", f"manifests/{kit.digest_of(document)}"), 404, "MANIFEST_UNKNOWN")

    def is_new(self):
        self.is_there(self.after, self.children, (self.index, *self.images))

    def is_old(self):
        self.is_there(self.index, self.images, (self.after, *self.children))


@pytest.fixture
def platforms(repository):
    return Platforms(repository)


def test_an_index_with_its_images(gateway, pusher, repository, platforms):
    used = gateway.quota("acme-algo")["images"]["used"]
    shown = pusher.image(repository, tag="all")
    answer = rewrap(pusher, shown, platforms.after, children=platforms.children)
    assert answer.status == 201, answer.body
    platforms.is_new()
    assert (answer.json["digest"], answer.json["tags"]) == (kit.digest_of(platforms.after), ["all", "stable"])
    assert (answer.json["encrypted"], answer.json["size_bytes"]) == (True, shown["size_bytes"] + sum(
        len(json.dumps(after)) - len(json.dumps(before)) for before, after in zip(platforms.images, platforms.children)))
    assert gateway.quota("acme-algo")["images"]["used"] == used
    assert pusher.image(repository, tag="own")["recipients"][0]["kid"] == "bob"


def test_an_index_of_indexes(pusher, repository, platforms):
    both = [kit.manifest(repository, kit.layer(repository)), platforms.index]
    kit.made(repository, both[0], "single")
    top = kit.index(*both)
    kit.made(repository, top, "top")
    after = kit.index(both[0], platforms.after)
    answer = rewrap(pusher, pusher.image(repository, tag="top"), after, children=[platforms.after, *platforms.children])
    assert answer.status == 201, answer.body
    platforms.is_new()
    assert repository.ask("GET", "manifests/top").json == after and repository.ask("GET", "manifests/single").json == both[0]


def test_what_another_index_names_stays(pusher, repository, platforms):
    other = kit.index(platforms.images[0])
    kit.made(repository, other, "other")
    assert rewrap(pusher, pusher.image(repository, tag="all"), platforms.after, children=platforms.children).status == 201
    platforms.is_there(platforms.after, [platforms.images[0], platforms.children[1]], (platforms.index, platforms.images[1]))
    assert repository.ask("GET", f"manifests/{kit.digest_of(platforms.children[0])}").json == platforms.children[0]


def swapped(platforms):
    after = kit.index(*reversed(platforms.children), annotations={"a": "b"})
    return after, platforms.children


def fewer(platforms):
    return kit.index(platforms.children[0], annotations={"a": "b"}), platforms.children[:1]


def one_for_two(platforms):
    return kit.index(platforms.children[0], platforms.children[0], annotations={"a": "b"}), platforms.children[:1]


def other_layer(platforms):
    child = copy.deepcopy(platforms.children[1])
    child["layers"][0]["annotations"]["more"] = "text"
    return kit.index(platforms.children[0], child, annotations={"a": "b"}), [platforms.children[0], child]


INDEX_CHANGES = {
    "not sent": lambda platforms: (platforms.after, platforms.children[:1]),
    "too much": lambda platforms: (platforms.after, [*platforms.children, kit.index(annotations={"x": "y"})]),
    "annotation": lambda platforms: (kit.index(*platforms.children), platforms.children),
    "swapped": swapped, "fewer": fewer, "one for two": one_for_two, "other layer": other_layer,
    "no base64": lambda platforms: (platforms.after, [b"", *platforms.children]),
}


@pytest.mark.parametrize("change", INDEX_CHANGES)
def test_an_index_keeps_what_it_says(pusher, repository, platforms, change):
    after, children = INDEX_CHANGES[change](platforms)
    problem(rewrap(pusher, pusher.image(repository, tag="all"), after, children=children), 422, "image.rewrap")
    platforms.is_old()


def test_the_rule_holds_for_each_image_of_an_index(pusher, owner, repository, platforms, tmp_path):
    assert owner.put_rule(recipients=[{"name": "machine", "certificate": kit.Machine(tmp_path).pem}]).status == 200
    try:
        shown = pusher.image(repository, tag="all")
        problem(rewrap(pusher, shown, platforms.after, children=platforms.children), 403, "manifest.recipient_missing")
    finally:
        assert owner.put_rule().status == 200
    platforms.is_old()


def test_killed_in_the_middle_an_index_is_the_old_one(gateway, pusher, repository, platforms):
    """The transaction waits for a tag that somebody holds, behind all that it wrote; the gateway dies there."""
    shown, used = pusher.image(repository, tag="all"), gateway.quota("acme-algo")["images"]["used"]
    holder = psycopg2.connect(gateway.postgres.conninfo())
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE tag SET%'"
    try:
        holder.cursor().execute("SELECT 1 FROM registry_gw.tag WHERE repository = %s AND name = 'stable' FOR UPDATE",
                                (repository.name,))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(rewrap, pusher, shown, platforms.after, children=platforms.children)
            wait_for(lambda: gateway.postgres.sql(waits)[0][0] == 1, "the tags are about to move")
            gateway.kill()
            assert isinstance(answer.exception(), OSError)
    finally:
        holder.close()
        gateway.start()
    wait_for(lambda: repository.ask("GET", "tags/list").status != 503, "revocations are known")
    platforms.is_old()
    assert gateway.quota("acme-algo")["images"]["used"] == used
    assert rewrap(pusher, pusher.image(repository, tag="all"), platforms.after, children=platforms.children).status == 201
    platforms.is_new()


def test_who_may(gateway, pusher, repository, image):
    shown, after = pusher.image(repository), rewrapped(image)
    problem(rewrap(gateway.member("acme-data"), shown, after), 403, "auth.role_missing")
    problem(rewrap(gateway.member("globex-owner"), shown, after), 404, "image.not_found")
    untouched(repository, image)


def test_twins(pusher, repository, image):
    """At most one takes the image's place; whatever the others made is gone again."""
    shown, others = pusher.image(repository), [rewrapped(image) for _ in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda one: rewrap(pusher, shown, one), others))
    won = [one for one, answer in zip(others, answers) if answer.status == 201]
    assert len(won) == 1, [answer.status for answer in answers]
    assert {answer.json["code"] for answer in answers if answer.status != 201} <= {"image.not_found", "resource.changed",
                                                                                 "manifest.not_found", "image.tags_moved"}
    untouched(repository, won[0])
    assert [one["digest"] for one in pusher.images(repository=repository.name)] == [kit.digest_of(won[0])]


def test_a_full_quota_does_not_hinder(gateway, pusher, repository, image):
    before = gateway.quota("acme-algo")["images"]["used"]
    assert rewrap(pusher, pusher.image(repository), rewrapped(image)).status == 201
    assert gateway.quota("acme-algo")["images"]["used"] == before
    limit = "UPDATE registry_gw.quota SET images_limit = %s WHERE tenant_id = %s RETURNING 1"
    assert gateway.postgres.sql(limit, before, pusher.tenant)
    try:
        shown = pusher.image(repository)
        assert rewrap(pusher, shown, rewrapped(image)).status == 201
    finally:
        assert gateway.postgres.sql(limit, None, pusher.tenant)
