# SPDX-License-Identifier: Apache-2.0
"""certreg against a real Postgres and Redis: bootstrap, tenants, members, API keys, bad input, faults."""
import base64
import hashlib
import json
import re
import secrets
import stat

import pytest

from certreg_stack import claims_of, is_problem, key_id
from certreg_stack import algo, certreg, globex, owner  # noqa: F401 (fixtures)
from conftest import wait_for


def make_api_key(client, **more):
    """The client's side: the secret stays here, its hash goes out."""
    digits = secrets.token_hex(6) + "7" + secrets.token_hex(2)[:3] + "8" + secrets.token_hex(8)[:15]
    shown, text = f"key_{digits}", f"sr_{digits}_{base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b'=').decode()}"
    answer = client.post("/v1/keys", {"name": "test", "id": shown, "hash": "sha256:" + hashlib.sha256(text.encode()).hexdigest(),
                                      **more})
    return answer, text


# --- bootstrap ---

def test_bootstrap_makes_private_files_once(certreg):
    before = {path.name: path.read_bytes() for path in certreg.keys.iterdir()}
    assert set(before) == {f"{who}.key" for who in ("acme-owner", "acme-algo", "acme-data", "acme-audit", "globex-owner",
                                                    "system-operator")}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in certreg.keys.iterdir())
    assert all(re.fullmatch(rb"sr_[0-9a-f]{32}_[A-Za-z0-9_-]{43}\n", text) for text in before.values())
    rows = certreg.postgres.sql("SELECT count(*) FROM certreg.api_key")
    certreg.bootstrap()
    assert before == {path.name: path.read_bytes() for path in certreg.keys.iterdir()}
    assert certreg.postgres.sql("SELECT count(*) FROM certreg.api_key") == rows


def test_bootstrap_gives_a_lone_key_file_its_row(certreg):
    """As after a kill between file and row."""
    certreg.postgres.sql("DELETE FROM certreg.api_key WHERE id = %s", key_id(certreg.key("acme-audit")))
    certreg.postgres.sql("DELETE FROM certreg.key_id WHERE id = %s", key_id(certreg.key("acme-audit")))
    certreg.bootstrap()
    assert certreg.token_answer(certreg.key("acme-audit")).status == 200


def test_no_secret_is_stored(certreg):
    stored = str(certreg.postgres.sql("SELECT array_agg(k::text) FROM certreg.api_key k"))
    for path in certreg.keys.iterdir():
        secret = path.read_text().strip()
        assert secret[36:] not in stored
        assert hashlib.sha256(secret.encode()).hexdigest() not in stored


# --- tenants, members, keys ---

def test_tenant_and_members(owner, globex):
    tenant = owner.get("/v1/tenants/self").json
    assert tenant["name"] == "acme" and tenant["id"] == owner.claims["tenant"] and tenant["space"] == owner.claims["space"]
    assert globex.get("/v1/tenants/self").json["space"] != tenant["space"]
    names = {member["name"]: member["roles"] for member in owner.get("/v1/members").json["items"]}
    assert names == {"owner": ["owner"], "algo": ["algorithm-owner"], "data": ["data-owner"], "audit": ["auditor"]}
    assert owner.get("/v1/members/self").json["id"] == owner.claims["sub"]


def test_pages(owner):
    first = owner.get("/v1/members?page_size=3").json
    second = owner.get(f"/v1/members?page_size=3&page_token={first['next_page_token']}").json
    assert len(first["items"]) == 3 and len(second["items"]) == 1 and second["next_page_token"] is None


def test_key_life(certreg, owner):
    answer, text = make_api_key(owner, scopes=["read"])
    assert answer.status == 201 and answer.json["scopes"] == ["read"] and answer.json["state"] == "active"
    assert answer.headers["Location"] == f"/v1/keys/{answer.json['id']}"
    token = certreg.token_answer(text)
    assert token.status == 200 and claims_of(token.json["access_token"])["scope"] == "read"
    target = f"/v1/keys/{answer.json['id']}"
    assert is_problem(owner.ask("DELETE", target), 428, "resource.if_match_missing")
    assert is_problem(owner.ask("DELETE", target, If_Match='"r99"'), 412, "resource.changed")
    revoked = owner.ask("DELETE", target, If_Match=answer.json["etag"])
    assert revoked.status == 200 and revoked.json["state"] == "revoked"
    assert is_problem(certreg.token_answer(text), 401, "auth.invalid_client")


def test_revoked_key_reaches_auth_state_and_kills_tokens(certreg, owner):
    answer, text = make_api_key(owner)
    client = type(owner)(certreg, certreg.token_answer(text).json["access_token"])
    before = certreg.ask("GET", "/internal/v1/auth-state").json
    assert client.get("/v1/tenants/self").status == 200
    owner.ask("DELETE", f"/v1/keys/{answer.json['id']}", If_Match="*")
    state = certreg.ask("GET", "/internal/v1/auth-state").json
    assert state["epoch"] > before["epoch"] and state["jwks"] == certreg.ask("GET", "/.well-known/jwks.json").json
    row = [row for row in state["revoked"] if row["subject"] == answer.json["id"]]
    assert row and row[0]["before"] > client.claims["iat"]
    wait_for(lambda: client.get("/v1/tenants/self").status == 401, "the token is refused")
    assert is_problem(client.get("/v1/tenants/self"), 401, "auth.revoked")


def test_expired_key(certreg, owner):
    answer, text = make_api_key(owner, expires_at="2099-01-01T00:00:00Z")
    assert answer.json["expires_at"] == "2099-01-01T00:00:00Z"
    certreg.postgres.sql("UPDATE certreg.api_key SET expires_at = now() + interval '100 seconds' WHERE id = %s", key_id(text))
    assert 90 <= certreg.token_answer(text).json["expires_in"] <= 100
    certreg.postgres.sql("UPDATE certreg.api_key SET expires_at = now() WHERE id = %s", key_id(text))
    assert is_problem(certreg.token_answer(text), 401, "auth.invalid_client")
    assert is_problem(make_api_key(owner, expires_at="2001-01-01T00:00:00Z")[0], 400, "key.bad_expiry")
    assert is_problem(make_api_key(owner, expires_at="tomorrow")[0], 400, "key.bad_expiry")


def test_keys_of_others(owner, algo, globex):
    mine = make_api_key(owner)[0].json
    for other in (algo, globex):
        assert is_problem(other.get(f"/v1/keys/{mine['id']}"), 404, "key.not_found")
        assert is_problem(other.ask("DELETE", f"/v1/keys/{mine['id']}", If_Match="*"), 404, "key.not_found")
        assert mine["id"] not in [key["id"] for key in other.get("/v1/keys").json["items"]]
    assert is_problem(make_api_key(algo, member=owner.claims["sub"])[0], 403, "auth.role_missing")
    assert is_problem(make_api_key(globex, member=algo.claims["sub"])[0], 404, "member.not_found")
    made, _ = make_api_key(owner, member=algo.claims["sub"])
    assert made.status == 201 and made.json["member"] == algo.claims["sub"]
    assert algo.get(f"/v1/keys/{made.json['id']}").status == 200


def test_a_key_id_is_taken_once(owner, globex):
    first, _ = make_api_key(owner)
    stolen = globex.post("/v1/keys", {"name": "x", "id": first.json["id"], "hash": "sha256:" + "0" * 64})
    assert is_problem(stolen, 409, "key.exists")


def test_a_key_has_no_more_scopes_than_its_maker(certreg, owner):
    answer, _ = make_api_key(certreg.client("acme-owner", scope="write"), scopes=["read", "write"])
    assert answer.json["scopes"] == ["write"]


def test_idempotency_key_makes_one_key(owner):
    body = {"name": "once", "hash": "sha256:" + "1" * 64}
    first = owner.post("/v1/keys", body, Idempotency_Key="once-1")
    again = owner.post("/v1/keys", body, Idempotency_Key="once-1")
    assert first.status == again.status == 201 and first.json == again.json
    assert again.headers["Idempotent-Replayed"] == "true"


# --- bad input ---

@pytest.mark.parametrize("body, status, code", [
    (b"{", 400, "json.syntax"),
    (b"[]", 400, "json.invalid_fields"),
    (b'{"spki":1}', 400, "json.invalid_fields"),
    (b'{"spki":"sha256:00"}', 400, "json.invalid_fields"),
    (b'{"spki":"sha256:%s","more":1}' % (b"0" * 64), 400, "json.invalid_fields"),
    (b'{"spki":"a","spki":"b"}', 400, "json.duplicate"),
    (b'{"spki":"\xff"}', 400, "json.not_utf8"),
    (b'{"spki":' + b"[" * 40 + b"]" * 40 + b"}", 400, "json.too_deep"),
    (b'{"spki":"' + b"a" * 9000 + b'"}', 413, "request.body_too_large"),
])
def test_malformed_json(owner, body, status, code):
    assert is_problem(owner.ask("POST", "/v1/challenges", body), status, code)


def test_bad_fields_are_all_named(owner):
    answer = owner.post("/v1/keys", {"name": 1, "hash": "no", "extra": True})
    assert {field["pointer"] for field in answer.json["errors"]} == {"/name", "/hash", "/extra"}


@pytest.mark.parametrize("headers, code", [
    ({}, "auth.missing"), ({"Authorization": "Bearer x"}, "auth.invalid_token"),
    ({"Authorization": "Bearer a.b.c"}, "auth.invalid_token"), ({"Authorization": "Basic eDp5"}, "auth.missing"),
])
def test_bad_tokens(certreg, headers, code):
    assert is_problem(certreg.ask("GET", "/v1/members", **headers), 401, code)


def test_tampered_token(certreg, owner):
    head, body, tail = owner.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims["roles"] = "owner admin"
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert is_problem(certreg.ask("GET", "/v1/members", Authorization=f"Bearer {head}.{other}.{tail}"), 401,
                      "auth.invalid_token")


# --- faults ---

def test_postgres_goes_away_and_comes_back(certreg, owner):
    certreg.postgres.restart()
    wait_for(lambda: owner.get("/v1/tenants/self").status == 200, "certreg found Postgres again")
    assert certreg.token_answer(certreg.key("acme-owner")).status == 200


def test_stop_is_clean_and_logs_no_secret(certreg):
    certreg.stop()
    log = certreg.log.read_text()
    for path in certreg.keys.iterdir():
        assert path.read_text().strip()[36:] not in log
    assert "eyJ" not in log
    certreg.start()
