# SPDX-License-Identifier: Apache-2.0
"""Certificates of machines: EST as curl and openssl speak it, the CRL and OCSP answers as openssl checks them."""
import base64
import contextlib
import re
import subprocess
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from conftest import wait_for
from certreg_stack import is_problem, key_id, openssl, unix_now
from certreg_stack import algo, certreg, globex, new_key, owner  # noqa: F401 (fixtures)

ENROLL, REENROLL = "/.well-known/est/simpleenroll", "/.well-known/est/simplereenroll"
PKCS10 = {"Content_Type": "application/pkcs10"}


def basic(key, user=None):
    return "Basic " + base64.b64encode(f"{user or key_id(key)}:{key}".encode()).decode()


def certificates_of(answer):
    """PEM of what a certs-only answer holds, by openssl."""
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert answer.headers["Content-Transfer-Encoding"] == "base64"
    return openssl("pkcs7", "-inform", "DER", "-print_certs", data=base64.b64decode(answer.body)).decode()


def escaped(pem):
    return urllib.parse.quote(pem[pem.index("-----BEGIN"):])


@pytest.fixture
def enroll(certreg):
    def call(key, who="acme-algo", subject="/CN=machine", **headers):
        return certreg.ask("POST", ENROLL, key.request(subject), Authorization=basic(certreg.key(who)), **PKCS10, **headers)
    return call


@pytest.fixture
def reenroll(certreg):
    def call(key, pem, subject="/O=acme/CN=machine"):
        return certreg.ask("POST", REENROLL, key.request(subject), X_Client_Cert=escaped(pem) if pem else "", **PKCS10)
    return call


@pytest.fixture
def record_of(certreg, algo):
    def find(key, member=None):
        return next(item for item in (member or algo).get("/v1/certificates?page_size=200").json["items"] if item["spki"] == key.spki())
    return find


def verify(certreg, tmp_path, pem, *more):
    leaf = tmp_path / "leaf.pem"
    leaf.write_text(pem)
    return subprocess.run(["openssl", "verify", "-CAfile", certreg.folder / "ca.pem", *more, leaf], capture_output=True, text=True,
                          timeout=60, check=False)


def crl_file(certreg, tmp_path):
    answer = certreg.ask("GET", "/v1/crl")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/pkix-crl"
    file = tmp_path / "crl.pem"
    file.write_bytes(openssl("crl", "-inform", "DER", data=answer.body))
    return file


def ocsp(certreg, tmp_path, pem, by_get=False):
    """What openssl says of the answer: "good", "revoked" or "unknown", or what it complains about."""
    (tmp_path / "leaf.pem").write_text(pem)
    request, answer = tmp_path / "ocsp.req", tmp_path / "ocsp.res"
    common = ["openssl", "ocsp", "-issuer", certreg.folder / "ca.pem", "-cert", tmp_path / "leaf.pem"]
    subprocess.run([*common, "-reqout", request], check=True, capture_output=True, timeout=60)
    if by_get:
        text = urllib.parse.quote(base64.b64encode(request.read_bytes()))
        got = certreg.ask("GET", f"/v1/ocsp?request={text}")
    else:
        got = certreg.ask("POST", "/v1/ocsp", request.read_bytes(), Content_Type="application/ocsp-request")
    assert got.status == 200 and got.headers["Content-Type"] == "application/ocsp-response"
    answer.write_bytes(got.body)
    for which in (["-reqin", request], ["-no_nonce", *common[4:]]):  # the answer to that very request; what it says
        done = subprocess.run([*common[:4], *which, "-CAfile", certreg.folder / "ca.pem", "-respin", answer], capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == 0 and "Response verify OK" in done.stderr, done.stdout + done.stderr
    return done.stdout.partition(": ")[2].split("\n")[0], done.stdout


# --- enrolling ---

def test_idempotency_key_without_json_is_nothing(enroll, new_key):
    key = new_key("keyed")
    first = enroll(key, Idempotency_Key="again")
    assert certificates_of(enroll(key, Idempotency_Key="again")) == certificates_of(first)


@pytest.fixture
def together(certreg, enroll):
    """What enrolments of (key, who) are answered when most of them came while the first could not go on."""
    def call(asked):
        connection = psycopg2.connect(certreg.postgres.conninfo("postgres", None))
        with contextlib.closing(connection), connection.cursor() as cursor, ThreadPoolExecutor(len(asked)) as pool:
            cursor.execute("LOCK TABLE certreg.certificate IN SHARE ROW EXCLUSIVE MODE")
            answers = [pool.submit(enroll, key, who) for key, who in asked]
            try:
                wait_for(lambda: waiting_in_lane(certreg) >= 4, "some wait behind those that the workers have")
            finally:
                connection.rollback()
            return [answer.result() for answer in answers]
    return call


def waiting_in_lane(certreg):
    text = certreg.ask("GET", "/metrics").body.decode()
    return float(re.search(r'lane_waiting_requests\{lane="db"\} (\S+)', text).group(1))


def transactions(certreg, keys):
    """How many made the records of these keys."""
    spkis = ",".join(f"'{key.spki()}'" for key in keys)
    return certreg.postgres.sql(f"SELECT count(DISTINCT xmin::text), count(*) FROM certreg.certificate WHERE spki IN ({spkis})")[0]


def test_enrolments_that_wait_share_a_transaction(certreg, together, new_key):
    keys = [new_key(f"crowd{i}") for i in range(14)]
    answers = together([(key, ("acme-algo", "globex-owner")[i // 7]) for i, key in enumerate(keys)])
    serials = {openssl("x509", "-noout", "-serial", data=certificates_of(answer).encode()) for answer in answers}
    made, rows = transactions(certreg, keys)
    assert len(serials) == rows == 14 and made < 14, made
    owners = certreg.postgres.sql("SELECT count(DISTINCT tenant_id) FROM certreg.certificate WHERE name LIKE 'machine%'")
    assert owners[0][0] >= 2


def test_one_of_them_fails_alone(certreg, enroll, together, new_key):
    """A key that is known, and one that was revoked, are told so; the others get theirs."""
    known, keys = new_key("known"), [new_key(f"other{i}") for i in range(12)]
    first = certificates_of(enroll(known))
    answers = together([(key, "acme-algo") for key in [*keys[:6], known, *keys[6:], known]])
    assert [certificates_of(answers[6]), certificates_of(answers[13])] == [first, first]
    assert len({certificates_of(answer) for answer in answers}) == 13
    assert transactions(certreg, keys)[1] == 12


def test_cacerts(certreg):
    pem = certificates_of(certreg.ask("GET", "/.well-known/est/cacerts"))
    assert "machine CA" in pem and openssl("x509", "-outform", "DER", data=pem.encode()) == openssl(
        "x509", "-in", certreg.folder / "ca.pem", "-outform", "DER")


@pytest.mark.parametrize("kind", [("EC", "-pkeyopt", "ec_paramgen_curve:P-256"), ("EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
                                  ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"), ("ED25519",)])
def test_enroll(certreg, enroll, record_of, new_key, tmp_path, kind):
    key = new_key(kind=kind)
    pem = certificates_of(enroll(key, subject="/O=globex/CN=machine 7"))
    assert verify(certreg, tmp_path, pem, "-x509_strict", "-purpose", "sslclient").returncode == 0
    assert verify(certreg, tmp_path, pem, "-purpose", "sslserver").returncode != 0
    text = openssl("x509", "-noout", "-text", "-nameopt", "RFC2253", data=pem.encode()).decode()
    assert "Subject: CN=machine 7,O=acme\n" in text and "CA:FALSE" in text
    assert "/v1/crl" in text and "OCSP - URI:" in text
    assert openssl("x509", "-noout", "-pubkey", data=pem.encode()) == openssl("pkey", "-in", key.file, "-pubout")
    record = record_of(key)
    assert (record["source"], record["state"], record["subject"]) == ("issued", "active", "CN=machine 7,O=acme")
    der = openssl("x509", "-outform", "DER", data=pem.encode())
    assert record["fingerprint"] == openssl("dgst", "-sha256", "-r", data=der)[:64].decode()
    assert record["serial"] == openssl("x509", "-noout", "-serial", data=pem.encode()).decode().strip()[7:].lower()


def test_enroll_by_token_and_again(certreg, algo, owner, enroll, new_key):
    key = new_key()
    by_token = certreg.ask("POST", ENROLL, key.request(), Authorization=f"Bearer {algo.token}", **PKCS10)
    assert certificates_of(by_token) == certificates_of(enroll(key))  # the answer may have been lost
    assert is_problem(enroll(key, who="acme-owner"), 409, "certificate.key_known")


def test_enroll_needs_an_api_key(certreg, new_key):
    key, body = certreg.key("acme-algo"), new_key().request()
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    for headers, code in (({}, "auth.missing"), ({"Authorization": basic(wrong)}, "auth.invalid_client"),
                          ({"Authorization": "Bearer x"}, "auth.invalid_token")):
        refused = certreg.ask("POST", ENROLL, body, **PKCS10, **headers)
        assert is_problem(refused, 401, code) and refused.headers["WWW-Authenticate"].startswith("Basic ")
    reader = certreg.token_answer(key, scope="read").json["access_token"]
    assert is_problem(certreg.ask("POST", ENROLL, body, Authorization=f"Bearer {reader}", **PKCS10), 403, "auth.scope_missing")


def test_bad_requests(certreg, enroll, new_key):
    key, other = new_key(), new_key("other")
    authorization = {"Authorization": basic(certreg.key("acme-algo"))}

    def send(body, kind="application/pkcs10"):
        return certreg.ask("POST", ENROLL, body, Content_Type=kind, **authorization)

    der = base64.b64decode(key.request())
    swapped = der.replace(openssl("pkey", "-in", key.file, "-pubout", "-outform", "DER")[-65:],
                          openssl("pkey", "-in", other.file, "-pubout", "-outform", "DER")[-65:])
    nul = key.request("/CN=a~~~~b")
    for body, status, code in [
            (base64.b64encode(swapped), 422, "cert.request_signature"), (base64.b64encode(der[:-1]), 400, "cert.request_syntax"),
            (base64.b64encode(der + b"0"), 400, "cert.request_syntax"), ("not base64!", 400, "est.not_base64"),
            (key.request("/O=nobody"), 422, "est.no_name"), (key.request("/CN=a/CN=b"), 422, "est.no_name"),
            (key.request("/CN=" + "a" * 64 + "/CN=b"), 422, "est.no_name"), ("A" * 40000, 413, "request.body_too_large"),
            (base64.b64encode(base64.b64decode(nul).replace(b"~~~~", bytes(4))), 400, "cert.name_nul"),
            (new_key("weak", kind=("RSA", "-pkeyopt", "rsa_keygen_bits:1024")).request(), 400, "cert.key_weak")]:
        assert is_problem(send(body), status, code)
    assert is_problem(send(key.request(), "application/json"), 415, "est.not_pkcs10")


def test_registered_key_is_not_issued_for(algo, enroll, new_key):
    key = new_key()
    record = algo.register(key).json
    assert is_problem(enroll(key), 409, "certificate.key_known")
    algo.revoke(record["id"])
    assert is_problem(enroll(key), 409, "certificate.revoked")


# --- renewing ---

def test_reenroll(certreg, algo, enroll, reenroll, record_of, new_key, tmp_path):
    old, new = new_key("old"), new_key("new")
    pem = certificates_of(enroll(old))
    renewed = certificates_of(reenroll(new, pem))
    assert verify(certreg, tmp_path, renewed).returncode == 0
    before, after = record_of(old), record_of(new)
    assert (before["state"], after["state"], after["replaces"]) == ("retiring", "active", before["id"])
    assert before["name"] == after["name"]
    assert is_problem(reenroll(new_key("third"), pem), 401, "auth.invalid_client")  # once
    assert ocsp(certreg, tmp_path, pem)[0] == "good"  # the overlap
    certreg.postgres.sql("UPDATE certreg.issued_serial SET revoked_at = now() WHERE serial = %s", before["serial"])
    assert ocsp(certreg, tmp_path, pem)[0] == "revoked"


def test_reenroll_needs_the_machines_certificate(certreg, algo, enroll, reenroll, record_of, new_key):
    key, new = new_key("key"), new_key("new")
    assert is_problem(reenroll(new, None), 401, "auth.certificate_missing")
    assert is_problem(reenroll(new, key.certificate("self-made")), 401, "auth.invalid_client")
    pem = certificates_of(enroll(key))
    assert is_problem(reenroll(new, pem, "/O=acme/CN=other"), 422, "est.other_subject")
    assert is_problem(reenroll(key, pem), 409, "certificate.key_known")
    algo.revoke(record_of(key)["id"])
    assert is_problem(reenroll(new, pem), 401, "auth.invalid_client")


def test_reenroll_by_a_disabled_member(certreg, enroll, reenroll, new_key):
    key = new_key()
    pem = certificates_of(enroll(key, who="acme-data"))
    certreg.postgres.sql("UPDATE certreg.member SET state = 'disabled' WHERE name = 'data'")
    try:
        assert is_problem(reenroll(new_key("new"), pem), 401, "auth.invalid_client")
    finally:
        certreg.postgres.sql("UPDATE certreg.member SET state = 'active' WHERE name = 'data'")


# --- standing ---

def test_revocation_shows(certreg, algo, enroll, record_of, new_key, tmp_path):
    key, other = new_key("key"), new_key("other")
    pem, stays = certificates_of(enroll(key)), certificates_of(enroll(other))
    check = ("-crl_check", "-CRLfile")
    assert verify(certreg, tmp_path, pem, *check, crl_file(certreg, tmp_path)).returncode == 0
    assert ocsp(certreg, tmp_path, pem)[0] == "good" and ocsp(certreg, tmp_path, pem, by_get=True)[0] == "good"
    algo.revoke(record_of(key)["id"], reason="keyCompromise")
    revoked = verify(certreg, tmp_path, pem, *check, crl_file(certreg, tmp_path))
    assert revoked.returncode != 0 and "certificate revoked" in revoked.stderr
    assert verify(certreg, tmp_path, stays, *check, crl_file(certreg, tmp_path)).returncode == 0
    status, text = ocsp(certreg, tmp_path, pem)
    assert status == "revoked" and "Reason: keyCompromise" in text
    assert ocsp(certreg, tmp_path, stays)[0] == "good"
    listed = openssl("crl", "-noout", "-text", "-in", crl_file(certreg, tmp_path)).decode().upper()
    assert record_of(key)["serial"].upper() in listed and record_of(other)["serial"].upper() not in listed
    assert "KEY COMPROMISE" in listed and "ACME" not in listed


def test_ocsp_of_strangers(certreg, new_key, tmp_path):
    request = openssl("req", "-new", "-key", new_key("other").file, "-subj", "/CN=x")
    unknown = openssl("x509", "-req", "-CA", certreg.folder / "ca.pem", "-CAkey", certreg.folder / "ca.key", "-set_serial", "4711",
                      "-days", "3", data=request).decode()
    assert ocsp(certreg, tmp_path, unknown)[0] == "unknown"
    for body in (b"", b"\x30\x00", b"x" * 100):
        answer = certreg.ask("POST", "/v1/ocsp", body or None, Content_Type="application/ocsp-request")
        assert answer.status == 200 and answer.body == bytes.fromhex("30030a0101")  # malformedRequest
    assert certreg.ask("GET", "/v1/ocsp?request=%2F%2F").body == bytes.fromhex("30030a0101")


def test_signed_answers_are_given_again(certreg, algo, enroll, record_of, new_key, tmp_path):
    """Until what they say changes; one with a nonce is for its request alone."""
    key = new_key()
    (tmp_path / "leaf.pem").write_text(certificates_of(enroll(key)))

    def request(*more):
        file = tmp_path / "request"
        subprocess.run(["openssl", "ocsp", "-issuer", certreg.folder / "ca.pem", "-cert", tmp_path / "leaf.pem", *more, "-reqout", file],
                       check=True, capture_output=True, timeout=60)
        return file.read_bytes()

    def ask(body):
        return certreg.ask("POST", "/v1/ocsp", body, Content_Type="application/ocsp-request").body

    plain, nonce = request("-no_nonce"), request("-nonce")
    lists, answers = [{certreg.ask("GET", "/v1/crl").body for _ in range(3)}], [{ask(plain) for _ in range(3)}]
    assert len(lists[0]) == len(answers[0]) == 1
    assert len({ask(nonce) for _ in range(3)}) == 3  # ECDSA signs otherwise each time
    algo.revoke(record_of(key)["id"], reason="superseded")
    lists.append({certreg.ask("GET", "/v1/crl").body for _ in range(3)})
    answers.append({ask(plain) for _ in range(3)})
    assert len(lists[1]) == len(answers[1]) == 1 and not lists[0] & lists[1] and not answers[0] & answers[1]


# --- the end ---

def test_warnings(certreg, algo, new_key):
    key = new_key()
    id_ = algo.register(key).json["id"]
    assert algo.certificate(id_)["warning"] is None
    for days, warning in ((29, "expires_in_30_days"), (13, "expires_in_14_days"), (6, "expires_in_7_days"), (0.5, "expires_in_1_day")):
        certreg.postgres.sql("UPDATE certreg.certificate SET not_after = now() + make_interval(secs => %s) WHERE id = %s",
                             days * 86400, id_)
        assert algo.certificate(id_)["warning"] == warning
    certreg.stop()
    certreg.start()  # the loop runs at the start

    def warned():  # the beat may have come between, when more days were left
        return [line for line in certreg.log.read_text().splitlines()
                if "certificate ends soon" in line and id_ in line and " days=1 " in line]

    def gauge(name):
        return wait_for(lambda: re.findall(rf"^strongroom_certreg_{name} ([1-9][0-9]*)$", certreg.ask("GET", "/metrics").body.decode(),
                                           re.MULTILINE), name)[0]

    wait_for(warned, "the warning")
    assert gauge('certificates_expiring{days="1"}') == "1"
    assert abs(int(gauge("certificate_not_after_timestamp_seconds")) - unix_now() - 43200) < 600
    certreg.stop()
    certreg.start()
    gauge('certificates_expiring{days="1"}')  # the loop was here again
    assert len(warned()) == 1
    answer = algo.revoke(id_)
    assert answer.status == 200, answer.body
    assert answer.json["warning"] is None


def test_many_warnings_at_once(certreg, algo, new_key):
    ids = {algo.register(new_key(f"many-{i}")).json["id"] for i in range(6)}
    certreg.postgres.sql("UPDATE certreg.certificate SET not_after = now() + interval '3 days' WHERE id = ANY (%s)", list(ids))
    certreg.stop()
    certreg.start()  # the loop runs at the start
    wait_for(lambda: all(f"certificate={id_} days=7" in certreg.log.read_text() for id_ in ids), "all are warned of")
