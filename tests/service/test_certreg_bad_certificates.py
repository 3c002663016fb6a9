# SPDX-License-Identifier: Apache-2.0
"""Certificates that must not be registered: each is refused with a code of its own."""
import base64
import datetime

import pytest

from certreg_stack import is_problem, openssl
from certreg_stack import algo, certreg, globex, new_key, owner  # noqa: F401 (fixtures)


def stamp(**ahead):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**ahead)).strftime("%Y%m%d%H%M%SZ")


def refused(member, key, pem, status, code):
    answer = member.post("/v1/certificates", {"certificate_pem": pem, "proof": member.proof(key)})
    return is_problem(answer, status, code)


@pytest.mark.parametrize("ahead, code", [
    ({"days": 2}, "certificate.not_yet_valid"), ({"minutes": 20}, "certificate.clock_skew"), ({"minutes": 2}, None)])
def test_begins_ahead(algo, new_key, ahead, code):
    key = new_key()
    pem = key.certificate_between(stamp(**ahead), "20900101000000Z")
    assert refused(algo, key, pem, 422, code) if code else algo.post(
        "/v1/certificates", {"certificate_pem": pem, "proof": algo.proof(key)}).status == 201


def test_expired(algo, new_key):
    key = new_key()
    assert refused(algo, key, key.certificate_between("20200101000000Z", "20200201000000Z"), 422, "certificate.expired")


def test_authority(algo, new_key):
    key = new_key()
    assert refused(algo, key, key.certificate("x", ca="TRUE"), 422, "certificate.ca")


@pytest.mark.parametrize("kind, code", [
    (("RSA", "-pkeyopt", "rsa_keygen_bits:1024"), "cert.key_weak"), (("RSA", "-pkeyopt", "rsa_keygen_bits:2047"), "cert.key_weak"),
    (("EC", "-pkeyopt", "ec_paramgen_curve:secp192k1"), "cert.key_weak"),
    (("EC", "-pkeyopt", "ec_paramgen_curve:P-521"), "cert.key_type"), (("ED448",), "cert.key_type"),
    (("EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"), "cert.key_type")])
def test_key(algo, new_key, kind, code):
    key = new_key(kind=kind)
    assert refused(algo, key, key.certificate("x"), 400, code)


def test_self_signature(algo, new_key):
    """Of another key's certificate with the same names: the key inside is ours, the signature is not."""
    key, other = new_key("key"), new_key("other")
    request = key.file.with_suffix(".csr")
    request.write_bytes(openssl("req", "-new", "-key", key.file, "-subj", "/CN=x"))
    other.file.with_suffix(".crt").write_text(other.certificate("x"))
    pem = openssl("x509", "-req", "-in", request, "-CA", other.file.with_suffix(".crt"), "-CAkey", other.file, "-days", "9").decode()
    assert refused(algo, key, pem, 422, "cert.self_signature")


def test_wrong_signature_and_replay(algo, new_key):
    key = new_key()
    body = {"certificate_pem": key.certificate("x"), "proof": algo.proof(key)}
    body["proof"]["signature"] = base64.b64encode(key.sign(b"something else")).decode()
    assert is_problem(algo.post("/v1/certificates", body), 422, "certificate.proof_invalid")
    assert is_problem(algo.post("/v1/certificates", body), 409, "challenge.used")
    body["proof"]["challenge"] = "chl_0190f1c2aaaa7bbb8cccdddddddddddd"
    assert is_problem(algo.post("/v1/certificates", body), 404, "challenge.not_found")


def test_challenge_of_another_tenant(algo, globex, new_key):
    key = new_key()
    challenge = globex.post("/v1/challenges", {"spki": key.spki()}).json
    assert is_problem(algo.register(key, challenge=challenge), 404, "challenge.not_found")


@pytest.mark.parametrize("size, status, code", [(1 << 20, 413, "request.body_too_large"), (20000, 400, "json.invalid_fields")])
def test_large(algo, size, status, code):
    pem = "-----BEGIN CERTIFICATE-----\n" + "A" * size + "\n-----END CERTIFICATE-----\n"
    answer = algo.post("/v1/certificates", {"certificate_pem": pem})
    assert is_problem(answer, status, code)


def test_bundle(algo, new_key):
    key = new_key()
    pem = key.certificate("x")
    for second in (pem, key.file.read_text(), new_key("other").certificate("ca", ca="TRUE")):
        assert refused(algo, key, pem + second, 400, "cert.bundle")
    assert refused(algo, key, pem + "more", 400, "cert.syntax")


@pytest.mark.parametrize("more", [{"subject": "/CN=good\0.evil"}, {"alternative": "good.test\0.evil.test"}])
def test_nul_in_a_name(algo, new_key, more):
    """OpenSSL writes no NUL, so that it is put into the bytes and signed again."""
    key = new_key()
    assert refused(algo, key, with_nul(key, **more), 400, "cert.name_nul")


def with_nul(key, subject="/CN=x", alternative="good.test"):
    der = base64.b64decode("".join(key.certificate(subject[4:].replace("\0", "~~~~"), "-addext", "subjectAltName=DNS:" +
                                                   alternative.replace("\0", "~~~~")).splitlines()[1:-1]))
    body = der[4:4 + 4 + int.from_bytes(der[6:8], "big")].replace(b"~~~~", bytes(4))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    signature = key.sign(body)
    inner = body + algorithm + b"\x03" + bytes([len(signature) + 1, 0]) + signature
    whole = b"\x30\x82" + len(inner).to_bytes(2, "big") + inner
    text = base64.encodebytes(whole).decode().replace("\n", "")
    return "-----BEGIN CERTIFICATE-----\n" + "\n".join(text[at:at + 64] for at in range(0, len(text), 64)) + \
        "\n-----END CERTIFICATE-----\n"


def test_der(algo, new_key):
    key = new_key()
    der = base64.b64encode(openssl("x509", "-outform", "DER", data=key.certificate("x").encode())).decode()
    proof = algo.proof(key)
    both = {"certificate_der": der, "certificate_pem": key.certificate("x"), "proof": proof}
    assert is_problem(algo.post("/v1/certificates", both), 400, "certificate.one_of_two")
    assert is_problem(algo.post("/v1/certificates", {"proof": proof}), 400, "certificate.one_of_two")
    assert is_problem(algo.post("/v1/certificates", {"certificate_der": der[:-4], "proof": proof}), 400, "cert.syntax")
    made = algo.post("/v1/certificates", {"certificate_der": der, "proof": proof})
    assert made.status == 201 and made.json["spki"] == key.spki(), made.body


def test_certificate_of_another_authority(algo, new_key, tmp_path):
    ca, key = new_key("ca"), new_key("key")
    ca.file.with_suffix(".crt").write_text(ca.certificate("some CA", ca="TRUE"))
    request, leaf = tmp_path / "csr", tmp_path / "leaf.cnf"
    request.write_bytes(openssl("req", "-new", "-key", key.file, "-subj", "/CN=leaf"))
    leaf.write_text("basicConstraints = critical, CA:FALSE\n")
    pem = openssl("x509", "-req", "-in", request, "-CA", ca.file.with_suffix(".crt"), "-CAkey", ca.file, "-days", "90", "-extfile",
                  leaf).decode()
    made = algo.post("/v1/certificates", {"certificate_pem": pem, "proof": algo.proof(key)})
    assert made.status == 201 and made.json["source"] == "external", made.body
