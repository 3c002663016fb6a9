# SPDX-License-Identifier: Apache-2.0
"""/v1/images: what is stored, for whom it is encrypted, who may see and delete it, and when it was last pulled."""
import json
import secrets

import pytest

import gateway_kit as kit
from conftest import wait_for
from registry_stack import MANIFEST_TYPE, algo, gateway, owner, problem, refused, repository  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keys")


def image_of(repository, *layers):
    return kit.manifest(repository, *(layers or [kit.layer(repository)]))


def test_an_image_as_it_is_shown(gateway, owner, repository, folder):
    machine, named = kit.Machine(folder), kit.jwe("alice")
    first = kit.layer(repository, ("jwe", named), ("jwe", kit.jwe()), ("pkcs7", kit.pkcs7(machine.who)))
    second = kit.layer(repository, ("jwe", kit.jwe()), ("jwe", kit.jwe()), ("pkcs7", kit.pkcs7(machine.who)))
    document = kit.manifest(repository, first, second)
    digest = kit.made(repository, document)
    kit.made(repository, document, "latest")
    image = owner.image(repository)
    size = len(json.dumps(document))
    member = gateway.certreg.client("acme-algo").claims["sub"]
    assert image["recipients"] == [
        {"scheme": "jwe", "kid": "alice", "issuer_serial": None, "issuer": None, "serial": None, "packets": 1, "layers": 1},
        {"scheme": "jwe", "kid": None, "issuer_serial": None, "issuer": None, "serial": None, "packets": 3, "layers": 2},
        {"scheme": "pkcs7", "kid": None, "issuer_serial": machine.issuer_serial, "issuer": "CN=machine",
         "serial": machine.serial, "packets": 2, "layers": 2}]
    shown = {name: image[name] for name in image if name not in ("id", "recipients", "created_at", "pushed_at")}
    assert shown == {
        "repository": repository.name, "digest": digest, "media_type": MANIFEST_TYPE, "kind": "image", "encrypted": True,
        "layers": 2, "size_bytes": 2 + 200 + size, "manifest_bytes": size, "recipients_of_a_layer": 3, "subject": None,
        "tags": ["latest", "v1"], "signers": [], "pushes": 2, "created_by": member, "used_at": None, "etag": '"r2"'}
    answer = owner.ask("GET", f"/v1/images/{image['id']}")
    assert answer.status == 200 and answer.json == image and answer.headers["ETag"] == '"r2"'


def test_an_index_as_it_is_shown(owner, repository):
    one, two = image_of(repository), image_of(repository)
    for document in (one, two):
        kit.made(repository, document, kit.digest_of(document))
    inner = kit.index(one, two)
    kit.made(repository, inner, kit.digest_of(inner))
    outer = kit.index(inner, one)
    kit.made(repository, outer, "all")
    image = owner.image(repository, tag="all")
    parts = sum(102 + len(json.dumps(document)) for document in (one, two))
    assert image["size_bytes"] == parts + len(json.dumps(inner)) + len(json.dumps(outer))
    assert (image["kind"], image["encrypted"], image["layers"], image["recipients"]) == ("index", True, 0, [])


def test_filters_and_pages(owner, repository, algo):
    documents = [image_of(repository) for _ in range(5)]
    digests = [kit.made(repository, document, f"v{i}") for i, document in enumerate(documents)]
    seen, token = [], ""
    while token is not None:
        page = owner.ask("GET", f"/v1/images?repository={repository.name}&page_size=2&page_token={token}").json
        seen, token = [*seen, *(image["digest"] for image in page["items"])], page["next_page_token"]
    assert seen == digests[::-1]
    assert [image["digest"] for image in owner.images(tag="v3", repository=repository.name)] == [digests[3]]
    assert [image["tags"] for image in owner.images(digest=digests[2])] == [["v2"]]
    assert owner.images(repository=repository.name, encrypted="false") == []
    assert len(owner.images(repository=repository.name, encrypted="true")) == 5
    assert owner.images(repository="acme/none") == []
    problem(owner.ask("GET", "/v1/images?encrypted=maybe"), 400, "image.bad_filter")


def test_images_are_their_tenants(gateway, owner, repository):
    digest = kit.made(repository, image_of(repository))
    image, stranger = owner.image(repository), gateway.member("globex-owner")
    assert stranger.images(repository=repository.name) == stranger.images(digest=digest) == []
    for path in (image["id"], "img_" + "0" * 32):
        problem(stranger.ask("GET", f"/v1/images/{path}"), 404, "image.not_found")
        problem(stranger.ask("DELETE", f"/v1/images/{path}", etag='"r1"'), 404, "image.not_found")
    assert repository.ask("GET", "manifests/v1").status == 200


def test_delete(gateway, owner, repository):
    digest = kit.made(repository, image_of(repository))
    kit.made(repository, image_of(repository), "other")
    image = owner.image(repository, tag="v1")
    path = f"/v1/images/{image['id']}"
    problem(gateway.member("acme-data").ask("DELETE", path, etag=image["etag"]), 403, "auth.role_missing")
    problem(owner.ask("DELETE", path), 428, "resource.if_match_missing")
    problem(owner.ask("DELETE", path, etag='"r9"'), 412, "resource.changed")
    assert owner.ask("DELETE", path, etag=image["etag"]).status == 204
    problem(owner.ask("GET", path), 404, "image.not_found")
    for reference in ("v1", digest):
        refused(repository.ask("GET", f"manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
    assert [one["tags"] for one in owner.images(repository=repository.name)] == [["other"]]


def test_what_an_index_names_stays(owner, repository):
    child = image_of(repository)
    digest = kit.made(repository, child, kit.digest_of(child))
    kit.made(repository, kit.index(child), "i")
    image = owner.image(repository, digest=digest)
    assert kit.digest_of(kit.index(child)) in problem(
        owner.ask("DELETE", f"/v1/images/{image['id']}", etag=image["etag"]), 409, "image.in_index")
    assert repository.ask("GET", f"manifests/{digest}").status == 200


def test_last_pull_is_written_down(gateway, owner, repository):
    kit.made(repository, image_of(repository))
    other = image_of(repository)
    kit.made(repository, other, "unused")
    assert repository.ask("GET", "manifests/v1").status == 200
    wait_for(lambda: owner.image(repository, tag="v1")["used_at"], "the loop writes the pull down")
    assert owner.image(repository, tag="unused")["used_at"] is None
    row = "SELECT xmin::text FROM registry_gw.manifest WHERE repository = %s AND used_at IS NOT NULL"
    written = gateway.postgres.sql(row, repository.name)
    assert repository.ask("GET", "manifests/v1").status == 200  # within the same minute: nothing is written
    assert repository.ask("GET", "manifests/unused").status == 200
    wait_for(lambda: owner.image(repository, tag="unused")["used_at"], "the loop writes the other pull down")
    assert set(written) < set(gateway.postgres.sql(row, repository.name))


def test_signers_of_an_image(owner, repository, folder):
    signer = kit.Signer(folder)
    assert owner.put_rule(signers=[signer.named]).status == 200
    digest = kit.made(repository, image_of(repository))
    assert kit.sign(repository, signer, digest).status == 201
    assert owner.image(repository, tag="v1")["signers"] == [signer.key.spki()]
    stored = owner.image(repository, tag=digest.replace(":", "-") + ".sig")
    assert (stored["kind"], stored["encrypted"], stored["layers"]) == ("signature", False, 1)
    assert owner.put_rule().status == 200


def test_names_of_recipients_are_texts_of_strangers(owner, repository, folder):
    """Told as they are when they are short, left out when they are not."""
    kids = ["<b>\t\u20ac", "x" * 256, "y" * 257]
    document = image_of(repository, kit.layer(repository, *(("jwe", kit.jwe(kid)) for kid in kids)))
    kit.made(repository, document)
    shown = [one["kid"] for one in owner.image(repository)["recipients"]]
    assert shown == [*kids[:2], None]
    odd = kit.der(0x30, kit.der(0x30, secrets.token_bytes(40)), kit.der(2, secrets.token_bytes(60)))
    kit.made(repository, image_of(repository, kit.layer(repository, ("pkcs7", kit.pkcs7(odd)))), "odd")
    recipient, = owner.image(repository, tag="odd")["recipients"]
    assert (recipient["issuer"], recipient["serial"]) == (None, None) and recipient["issuer_serial"]
