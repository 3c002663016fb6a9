# SPDX-License-Identifier: Apache-2.0
"""A tenant's rule: who reads and changes it, what it refuses at the push, and what it refuses at the pull."""
import json
import secrets

import pytest

import gateway_kit as kit
from certreg_stack import P256
from registry_stack import algo, gateway, owner, problem, refused, repository  # noqa: F401 (fixtures)


@pytest.fixture(autouse=True)
def first_rule(owner):
    yield
    assert owner.put_rule().status == 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def machine(folder):
    return kit.Machine(folder)


@pytest.fixture(scope="module")
def signer(folder):
    return kit.Signer(folder)


@pytest.fixture
def reader(gateway, repository):
    return gateway.client("acme-data").repository(repository.name)


def plain(repository):
    return kit.manifest(repository, kit.plain_layer(repository))


# --- the route ---

def test_rule_before_there_is_any(gateway):
    rule = gateway.member("globex-owner").rule()
    assert rule == {"mode": "encrypted-only", "required_recipients": [], "signers": [], "max_recipients": 32,
                    "updated_by": None, "updated_at": None, "etag": '"r0"'}


def test_what_is_shown_may_be_sent_again(owner, machine, signer):
    answer = owner.put_rule("encrypted-or-signed", [{"name": "machine", "certificate": machine.pem}], [signer.named], 4)
    assert answer.status == 200, answer.body
    rule = answer.json
    assert rule["required_recipients"] == [{"name": "machine", "issuer_serial": machine.issuer_serial}]
    assert rule["signers"] == [{**signer.named, "spki": signer.key.spki()}]
    again = owner.put_rule("encrypted-or-signed", rule["required_recipients"], rule["signers"], 4)
    assert again.status == 200 and again.json["signers"] == rule["signers"]
    assert again.json["required_recipients"] == rule["required_recipients"]
    assert owner.rule() == again.json and again.headers["ETag"] == again.json["etag"] != rule["etag"]
    der = owner.put_rule(recipients=[{"name": "machine", "certificate": kit.b64(machine.der)}])
    assert der.json["required_recipients"] == rule["required_recipients"]


def test_rule_is_changed_by_who_read_it(owner):
    rule = {"mode": "open", "required_recipients": [], "signers": [], "max_recipients": 1}
    problem(owner.ask("PUT", "/v1/registry/rule", rule), 428, "resource.if_match_missing")
    stale = owner.rule()["etag"]
    assert owner.put_rule("open").status == 200
    problem(owner.ask("PUT", "/v1/registry/rule", rule, stale), 412, "resource.changed")
    assert owner.rule()["max_recipients"] == 32


def test_rule_is_its_tenants(gateway, owner):
    for who in ("acme-algo", "acme-data"):
        member = gateway.member(who)
        problem(member.put_rule("open"), 403, "auth.role_missing")
        assert member.rule()["mode"] == "encrypted-only"
    assert owner.put_rule("open").status == 200
    assert gateway.member("globex-owner").rule()["mode"] == "encrypted-only"
    assert gateway.member("acme-data").rule()["mode"] == "open"


def test_bad_rules(owner, machine, signer, folder):
    ec = P256(folder / "ec.pem").certificate("ec")
    p384 = kit.Signer(folder, "p384", ("EC", "-pkeyopt", "ec_paramgen_curve:P-384"))
    rsa = kit.Signer(folder, "rsa", ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"))
    for change, code in [
            ({"mode": "none"}, "rule.bad_mode"), ({"most": 0}, "rule.bad_mode"), ({"mode": "encrypted-or-signed"}, "rule.no_signer"),
            ({"recipients": [{"name": "x"}]}, "rule.bad_recipient"),
            ({"recipients": [{"name": "x", "certificate": ec}]}, "rule.bad_recipient"),
            ({"recipients": [{"name": "x", "certificate": "!"}]}, "rule.bad_recipient"),
            ({"recipients": [{"name": "x", "certificate": machine.pem, "issuer_serial": machine.issuer_serial}]}, "rule.bad_recipient"),
            ({"recipients": [{"name": f"m{i}", "issuer_serial": machine.issuer_serial} for i in range(2)], "most": 1}, "rule.bad_recipient"),
            ({"signers": [p384.named]}, "rule.bad_signer"), ({"signers": [rsa.named]}, "rule.bad_signer"),
            ({"signers": [{"name": "x", "public_key": machine.pem[:900]}]}, "rule.bad_signer"),
            ({"signers": [{**signer.named, "spki": machine.issuer_serial}]}, "rule.bad_signer")]:
        problem(owner.put_rule(**change), 422, code)
    for change in ({"most": 33}, {"recipients": [{"name": "x", "issuer_serial": "sha256:0"}]}, {"signers": [{"name": "x"}]},
                   {"signers": [signer.named] * 17}, {"signers": [{**signer.named, "more": 1}]}):
        problem(owner.put_rule(**change), 400, "json.invalid_fields")


# --- pushes ---

def test_required_recipient(owner, repository, machine, folder):
    other = kit.Machine(folder, "other")
    assert owner.put_rule(recipients=[{"name": "the machine", "certificate": machine.pem}]).status == 200
    good = kit.layer(repository, ("jwe", kit.jwe()), ("pkcs7", kit.pkcs7(other.who, machine.who)))
    assert kit.made(repository, kit.manifest(repository, good))
    for bad in (kit.layer(repository), kit.layer(repository, ("pkcs7", kit.pkcs7(other.who)))):
        message = refused(kit.put(repository, kit.manifest(repository, good, bad)), 403, "DENIED")
        assert "layer 1" in message and "'the machine'" in message


def test_most_recipients(owner, repository):
    two = kit.layer(repository, ("jwe", kit.jwe()), ("jwe", kit.jwe()))
    assert owner.put_rule(most=2).status == 200
    assert kit.put(repository, kit.manifest(repository, two)).status == 201
    assert owner.put_rule(most=1).status == 200
    assert "layer 1: it is encrypted to 2 recipients, and the rule allows 1" in refused(
        kit.put(repository, kit.manifest(repository, kit.layer(repository), two)), 403, "DENIED")


def test_open_takes_what_is_plain(owner, repository, reader):
    document = plain(repository)
    assert "layer 0" in refused(kit.put(repository, document), 403, "DENIED")
    assert owner.put_rule("open").status == 200
    warning, = kit.put(repository, document).headers.get_all("Warning")
    assert warning.startswith(f'299 - "{kit.digest_of(document)} is not encrypted: the rule \'open\' ') and warning.endswith('"')
    assert "Warning" not in kit.put(repository, kit.manifest(repository, kit.layer(repository)), "v2").headers
    warning, = kit.put(repository, kit.index(document), "all").headers.get_all("Warning")
    assert kit.digest_of(kit.index(document)) in warning
    assert reader.ask("GET", "manifests/v1").status == 200


@pytest.mark.parametrize("mode", ["open", "encrypted-or-signed"])
def test_what_says_encrypted_is_so_in_each_mode(owner, repository, signer, mode):
    assert owner.put_rule(mode, signers=[signer.named]).status == 200
    bad = kit.layer(repository)
    bad["annotations"][kit.ENC + "pubopts"] = kit.b64({"cipher": "AES_256_CTR_HMAC_SHA256", "hmac": kit.b64(bytes(32)),
                                                      "cipheroptions": {"nonce": kit.b64(bytes(16))}})
    message = refused(kit.put(repository, kit.manifest(repository, kit.plain_layer(repository), bad)), 403, "DENIED")
    assert "layer 1" in message


def test_rules_hold_for_every_child_of_an_index(owner, repository, machine):
    encrypted, clear, two = (kit.manifest(repository, kit.layer(repository, ("pkcs7", kit.pkcs7(machine.who)))), plain(repository),
                             kit.manifest(repository, kit.layer(repository, ("jwe", kit.jwe()), ("jwe", kit.jwe()))))
    assert owner.put_rule("open").status == 200
    for one in (encrypted, clear, two):
        kit.made(repository, one, kit.digest_of(one))
    inner = kit.index(encrypted, clear)
    kit.made(repository, inner, kit.digest_of(inner))
    assert owner.put_rule().status == 200
    for outer in (inner, kit.index(inner)):
        assert kit.digest_of(clear) in refused(kit.put(repository, outer, "i"), 403, "DENIED")
    assert kit.put(repository, kit.index(encrypted, two), "i").status == 201
    assert owner.put_rule(most=1).status == 200
    assert kit.digest_of(two) in refused(kit.put(repository, kit.index(encrypted, two), "i"), 403, "DENIED")
    assert owner.put_rule(recipients=[{"name": "m", "certificate": machine.pem}]).status == 200
    assert kit.digest_of(two) in refused(kit.put(repository, kit.index(encrypted, two), "i"), 403, "DENIED")
    assert kit.put(repository, kit.index(encrypted), "i").status == 201


# --- signatures ---

@pytest.fixture
def signed(owner, signer):
    """The rule that lets plain images be used when they are signed."""
    assert owner.put_rule("encrypted-or-signed", signers=[signer.named]).status == 200


def unsigned(answer):
    message = refused(answer, 403, "DENIED")
    assert answer.json["errors"][0]["detail"]["code"] == "manifest.unsigned", message


def test_plain_images_wait_for_their_signature(signed, repository, reader, signer):
    image = kit.made(repository, plain(repository))
    for reference in ("v1", image):
        unsigned(reader.ask("GET", f"manifests/{reference}"))
        assert reader.ask("HEAD", f"manifests/{reference}").status == 403
    assert repository.ask("GET", "manifests/v1", actions="pull").status == 403
    assert repository.ask("HEAD", "manifests/v1", actions="pull,push").status == 200  # who pushes looks at what is there
    assert kit.sign(repository, signer, image).status == 201
    for reference in ("v1", image, image.replace(":", "-") + ".sig"):
        assert reader.ask("GET", f"manifests/{reference}").status == 200


def test_encrypted_images_need_no_signature(signed, repository, reader):
    kit.made(repository, kit.manifest(repository, kit.layer(repository)))
    assert reader.ask("GET", "manifests/v1").status == 200


def test_signature_as_a_referrer(signed, repository, reader, signer):
    image = kit.made(repository, plain(repository))
    document = kit.manifest(repository, kit.signature(repository, signer, image), subject={
        "mediaType": kit.MANIFEST_TYPE, "digest": image, "size": 1})
    document["config"]["mediaType"] = "application/vnd.dev.cosign.artifact.sig.v1+json"
    kit.made(repository, document, kit.digest_of(document))
    assert reader.ask("GET", f"manifests/{image}").status == 200
    listed = reader.ask("GET", f"referrers/{image}").json["manifests"]
    assert [one["artifactType"] for one in listed] == ["application/vnd.dev.cosign.artifact.sig.v1+json"]


def test_signature_of_an_index_covers_its_children(signed, repository, reader, signer):
    child, other = plain(repository), plain(repository)
    for one in (child, other):
        kit.made(repository, one, kit.digest_of(one))
    inner = kit.index(child)
    outer = kit.index(inner)
    for one in (inner, outer):
        kit.made(repository, one, kit.digest_of(one))
    assert kit.sign(repository, signer, kit.digest_of(outer)).status == 201
    for one in (outer, inner, child):
        assert reader.ask("GET", f"manifests/{kit.digest_of(one)}").status == 200
    unsigned(reader.ask("GET", f"manifests/{kit.digest_of(other)}"))


def test_signature_of_a_child_does_not_cover_its_index(signed, repository, reader, signer):
    child = plain(repository)
    image = kit.made(repository, child, kit.digest_of(child))
    kit.made(repository, kit.index(child), "i")
    assert kit.sign(repository, signer, image).status == 201
    unsigned(reader.ask("GET", "manifests/i"))
    assert reader.ask("GET", f"manifests/{image}").status == 200


def test_signatures_that_do_not_count(signed, repository, reader, signer, folder):
    image = kit.made(repository, plain(repository))
    stranger = kit.Signer(folder, "stranger")
    good = kit.signature(repository, signer, image)
    text = kit.payload(image)
    bad = [kit.signature(repository, stranger, image),
           kit.signature(repository, signer, image, text=text, signed=kit.payload("sha256:" + "0" * 64)),
           kit.signature(repository, signer, image, text=b"what one would hide here"),
           kit.signature(repository, signer, image, text=kit.payload(image, type="other")),
           kit.signature(repository, signer, image, text=kit.payload("sha512:" + "0" * 128)),
           kit.signature(repository, signer, image, text=kit.payload(image) + b" " * 65536),
           {**good, "annotations": {}}, {**good, "annotations": {"dev.cosignproject.cosign/signature": "AAAA"}},
           {**good, "size": 1 << 40}]
    for one in bad:
        for layers in ((one,), (good, one)):
            answer = kit.put(repository, kit.manifest(repository, *layers), "sig")
            assert f"layer {len(layers) - 1}: " in refused(answer, 403, "DENIED")
            assert answer.json["errors"][0]["detail"]["code"] == "signature.refused"
    missing = {**good, "digest": "sha256:" + "1" * 64}
    refused(kit.put(repository, kit.manifest(repository, missing), "sig"), 400, "MANIFEST_BLOB_UNKNOWN")
    unsigned(reader.ask("GET", "manifests/v1"))


def test_signature_counts_in_its_repository_only(signed, algo, gateway, repository, signer):
    document = plain(repository)
    image = kit.made(repository, document)
    other = algo.repository("acme/other-" + secrets.token_hex(4))
    for part in (document["config"], *document["layers"]):
        assert other.ask("POST", f"blobs/uploads/?mount={part['digest']}&from={repository.name}",
                         token=algo.token(f"repository:{other.name}:pull,push", f"repository:{repository.name}:pull")).status == 201
    kit.made(other, document)
    assert kit.sign(repository, signer, image).status == 201
    unsigned(gateway.client("acme-data").repository(other.name).ask("GET", f"manifests/{image}"))


def test_signature_ends_with_its_manifest_and_with_its_key(owner, signed, repository, reader, signer, folder):
    image = kit.made(repository, plain(repository))
    assert kit.sign(repository, signer, image).status == 201
    assert reader.ask("GET", "manifests/v1").status == 200
    stranger = kit.Signer(folder, "successor")
    assert owner.put_rule("encrypted-or-signed", signers=[stranger.named]).status == 200
    unsigned(reader.ask("GET", "manifests/v1"))
    assert owner.put_rule("encrypted-or-signed", signers=[stranger.named, signer.named]).status == 200
    assert reader.ask("GET", "manifests/v1").status == 200
    signature = reader.ask("HEAD", "manifests/" + image.replace(":", "-") + ".sig").headers["Docker-Content-Digest"]
    assert repository.ask("DELETE", f"manifests/{signature}").status == 202
    unsigned(reader.ask("GET", "manifests/v1"))


def test_stricter_rule_holds_for_what_is_there(owner, signed, repository, reader, signer):
    image = kit.made(repository, plain(repository))
    assert kit.sign(repository, signer, image).status == 201
    assert owner.put_rule(signers=[signer.named]).status == 200
    for who in (reader, repository):
        answer = who.ask("GET", f"manifests/{image}", actions="pull")
        assert "only encrypted images" in refused(answer, 403, "DENIED")
    assert kit.sign(repository, signer, image).status == 201  # signatures of encrypted images are welcome
    assert owner.put_rule("open").status == 200
    assert reader.ask("GET", f"manifests/{image}").status == 200


def test_open_registry_keeps_others_signatures_as_they_are(owner, repository, reader, signer, folder):
    assert owner.put_rule("open", signers=[signer.named]).status == 200
    image = kit.made(repository, plain(repository))
    assert kit.sign(repository, kit.Signer(folder, "somebody"), image).status == 201
    assert owner.put_rule("encrypted-or-signed", signers=[signer.named]).status == 200
    unsigned(reader.ask("GET", "manifests/v1"))
    unsigned(reader.ask("GET", "manifests/" + image.replace(":", "-") + ".sig"))


def told(gateway):
    """The records that certreg has not taken yet."""
    return [json.loads(text) for text, in gateway.postgres.sql("SELECT record FROM registry_gw.audit_outbox ORDER BY id")]


def test_refusals_and_changes_are_told(gateway):
    before, other = len(told(gateway)), gateway.member("globex-owner")
    where = gateway.client("globex-owner").repository("globex/c-" + secrets.token_hex(4))
    assert other.put_rule("open").status == 200
    assert other.put_rule("encrypted-only").status == 200
    refused(kit.put(where, plain(where)), 403, "DENIED")
    claims = gateway.certreg.client("globex-owner").claims
    news = [one for one in told(gateway)[before:] if one["tenant"] == claims["tenant"]]
    assert [(one["action"], one["code"], one["detail"], one["on"], one["who"]["sub"]) for one in news] == [
        ("rule.update", None, "open, 0 recipients, 0 signers", claims["tenant"], claims["sub"]),
        ("rule.update", None, "encrypted-only, 0 recipients, 0 signers", claims["tenant"], claims["sub"]),
        ("request.refuse", "manifest.not_encrypted", None, f"PUT /v2/{where.name}/manifests/v1", claims["sub"])]
