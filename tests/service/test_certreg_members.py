# SPDX-License-Identifier: Apache-2.0
"""Tenants, members, invitations, service accounts, the life of keys: who may what, and what ends whose tokens."""
import base64
import hashlib
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from audit_kit import records
from certreg_stack import Client, claims_of, is_problem
from certreg_stack import algo, certreg, globex, owner  # noqa: F401 (fixtures)
from conftest import wait_for

NEVER = "2099-01-01T00:00:00Z"


def uuid7():
    return secrets.token_hex(6) + "7" + secrets.token_hex(2)[:3] + "8" + secrets.token_hex(8)[:15]


class Secret:
    """A key or an invitation as its client makes it: the text stays here, its hash goes out."""

    def __init__(self, prefix, kind):
        digits = uuid7()
        self.id = f"{kind}_{digits}"
        self.text = f"{prefix}_{digits}_{base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b'=').decode()}"
        self.hash = "sha256:" + hashlib.sha256(self.text.encode()).hexdigest()

    def words(self, **more):
        return {"id": self.id, "hash": self.hash, **more}


def new_key():
    return Secret("sr", "key")


def name(prefix="m"):
    return f"{prefix}-{secrets.token_hex(5)}"


@pytest.fixture
def operator(certreg):
    return certreg.client("system-operator")


@pytest.fixture
def audit(certreg):
    return certreg.client("acme-audit")


def invite(client, roles, who=None, expires_at=NEVER):
    secret = Secret("sri", "inv")
    answer = client.post("/v1/invitations", secret.words(name=who or name(), roles=roles, expires_at=expires_at))
    return answer, secret


def accept(certreg, secret, key, text=None, target=None):
    return certreg.ask("POST", target or f"/v1/invitations/{secret.id}:accept", Content_Type="application/json", body=json.dumps(
        {"secret": text or secret.text, "key": key.words(name="first")}))


def join(certreg, client, roles, who=None):
    """A new member with a token."""
    answer, secret = invite(client, roles, who)
    assert answer.status == 201, answer.body
    key = new_key()
    accepted = accept(certreg, secret, key)
    assert accepted.status == 201, accepted.body
    return Client(certreg, certreg.token_answer(key.text).json["access_token"]), accepted.json["member"], key


def change(client, member, **words):
    now = client.get(f"/v1/members/{member['id']}").json
    return client.ask("PUT", f"/v1/members/{member['id']}", {"roles": now["roles"], "state": now["state"], **words},
                      If_Match=now["etag"])


def is_dead(client):
    """Live tokens fail within the bound; waits for five times as long."""
    wait_for(lambda: client.get("/v1/tenants/self").status == 401, "the token is refused", 10)
    return is_problem(client.get("/v1/tenants/self"), 401, "auth.revoked")


# --- invitations ---

def test_invitation_makes_a_member_once(certreg, owner):
    who = name()
    answer, secret = invite(owner, ["data-owner", "auditor"], who)
    assert answer.json["state"] == "open" and answer.json["inviter"] == owner.claims["sub"]
    assert secret.text not in str(certreg.postgres.sql("SELECT i::text FROM certreg.invitation i"))
    key = new_key()
    accepted = accept(certreg, secret, key)
    assert accepted.status == 201 and accepted.json["member"]["name"] == who
    assert accepted.json["member"]["kind"] == "person" and accepted.json["tenant"]["name"] == "acme"
    claims = claims_of(certreg.token_answer(key.text).json["access_token"])
    assert claims["sub"] == accepted.json["member"]["id"] and claims["roles"] == "data-owner auditor"
    assert is_problem(accept(certreg, secret, new_key()), 401, "invitation.invalid")
    assert owner.get(f"/v1/invitations/{secret.id}").json["state"] == "accepted"
    assert is_problem(owner.ask("DELETE", f"/v1/invitations/{secret.id}", If_Match="*"), 409, "invitation.not_open")


def test_bad_invitations_look_the_same(certreg, owner):
    _, withdrawn = invite(owner, ["auditor"])
    _, expired = invite(owner, ["auditor"])
    _, good = invite(owner, ["auditor"])
    etag = owner.get(f"/v1/invitations/{withdrawn.id}").json["etag"]
    assert owner.ask("DELETE", f"/v1/invitations/{withdrawn.id}", If_Match=etag).json["state"] == "withdrawn"
    certreg.postgres.sql("UPDATE certreg.invitation SET expires_at = now() WHERE id = %s", expired.id)
    answers = [accept(certreg, withdrawn, new_key()), accept(certreg, expired, new_key()),
               accept(certreg, good, new_key(), text=good.text[:-1] + ("A" if good.text[-1] != "A" else "B")),
               accept(certreg, Secret("sri", "inv"), new_key()), accept(certreg, good, new_key(), text="x")]
    said = [{k: v for k, v in answer.json.items() if k != "request_id"} for answer in answers]
    assert all(is_problem(answer, 401, "invitation.invalid") for answer in answers) and said.count(said[0]) == len(said)
    assert accept(certreg, good, new_key()).status == 201


def test_name_and_key_of_an_invitation_may_be_taken(certreg, owner):
    _, secret = invite(owner, ["auditor"], "algo")
    assert is_problem(accept(certreg, secret, new_key()), 409, "member.exists")
    _, first, key = join(certreg, owner, ["auditor"])
    _, secret = invite(owner, ["auditor"])
    assert is_problem(accept(certreg, secret, key), 409, "key.exists")
    assert owner.get(f"/v1/invitations/{secret.id}").json["state"] == "open" and first["state"] == "active"


def test_who_may_invite(certreg, owner, algo, globex, audit):
    admin, _, _ = join(certreg, owner, ["admin"])
    for other in (algo, audit):
        assert is_problem(invite(other, ["auditor"])[0], 403, "auth.role_missing")
        assert is_problem(other.get("/v1/invitations"), 403, "auth.role_missing")
    assert is_problem(invite(admin, ["owner"])[0], 403, "auth.role_missing")
    assert invite(admin, ["admin"])[0].status == 201
    answer, secret = invite(owner, ["owner"])
    assert is_problem(admin.ask("DELETE", f"/v1/invitations/{secret.id}", If_Match=answer.json["etag"]), 403, "auth.role_missing")
    assert is_problem(globex.get(f"/v1/invitations/{secret.id}"), 404, "invitation.not_found")
    assert secret.id not in str(globex.get("/v1/invitations").json)


@pytest.mark.parametrize("words, code", [
    ({"roles": ["operator"]}, "role.unknown"), ({"roles": ["king"]}, "role.unknown"), ({"roles": []}, "role.none"),
    ({"roles": ["auditor", "auditor"]}, "role.unknown"), ({"roles": [1]}, "role.unknown"), ({"name": "Bob"}, "name.not_a_label"),
    ({"name": "a" * 64}, "json.invalid_fields"), ({"expires_at": "2001-01-01T00:00:00Z"}, "key.bad_expiry"),
    ({"id": "inv_1"}, "invitation.bad_id"), ({"hash": "sha256:0"}, "json.invalid_fields"), ({"more": 1}, "json.invalid_fields"),
])
def test_bad_words_of_an_invitation(owner, words, code):
    body = Secret("sri", "inv").words(name=name(), roles=["auditor"], expires_at=NEVER)
    assert is_problem(owner.post("/v1/invitations", {**body, **words}), 400, code)


# --- members ---

def test_roles_and_state_end_live_tokens(certreg, owner):
    client, member, key = join(certreg, owner, ["data-owner"])
    assert client.get("/v1/tenants/self").status == 200
    assert change(owner, member, roles=["auditor"]).json["roles"] == ["auditor"]
    assert is_dead(client)
    wait_for(lambda: Client(certreg, certreg.token_answer(key.text).json["access_token"]).get("/v1/tenants/self").status == 200,
             "a new token works")
    again = Client(certreg, certreg.token_answer(key.text).json["access_token"])
    assert again.claims["roles"] == "auditor"
    assert change(owner, member, state="disabled").status == 200
    assert is_problem(certreg.token_answer(key.text), 401, "auth.invalid_client") and is_dead(again)
    assert change(owner, member, state="active").status == 200
    wait_for(lambda: Client(certreg, certreg.token_answer(key.text).json["access_token"]).get("/v1/tenants/self").status == 200,
             "a token made after it works")


def test_token_made_while_a_change_of_roles_waits_dies_with_it(certreg, owner):
    """The change begins, waits for the tenant's row, and ends two seconds later; a token of in between has the old roles."""
    _, member, key = join(certreg, owner, ["admin"])
    connection = psycopg2.connect(certreg.postgres.conninfo("postgres", None))
    with connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("SELECT 1 FROM certreg.tenant WHERE tenant_id = %s FOR UPDATE", [owner.claims["tenant"]])
        begun, answer = time.time(), pool.submit(change, owner, member, roles=["auditor"])
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'certreg'"
        wait_for(lambda: certreg.postgres.sql(waiting), "the change waits")
        wait_for(lambda: time.time() > begun + 2.5, "two seconds went by")
        between = Client(certreg, certreg.token_answer(key.text).json["access_token"])
        connection.rollback()
        assert answer.result().status == 200
    connection.close()
    assert between.claims["roles"] == "admin" and is_dead(between)


def test_removed_member_does_not_come_back(certreg, owner):
    client, member, key = join(certreg, owner, ["data-owner"])
    target = f"/v1/members/{member['id']}"
    assert is_problem(owner.ask("DELETE", target), 428, "resource.if_match_missing")
    assert owner.ask("DELETE", target, If_Match=owner.get(target).json["etag"]).json["state"] == "removed"
    assert is_dead(client) and is_problem(certreg.token_answer(key.text), 401, "auth.invalid_client")
    assert owner.get(f"/v1/keys/{key.id}").json["state"] == "revoked"
    assert is_problem(owner.ask("PUT", target, {"roles": ["auditor"], "state": "active"}, If_Match="*"), 409, "member.removed")
    _, secret = invite(owner, ["auditor"], member["name"])
    assert is_problem(accept(certreg, secret, new_key()), 409, "member.exists")


@pytest.mark.parametrize("end", [{"state": "disabled"}, {"roles": ["data-owner"]}, None])
def test_invitation_is_worth_what_its_inviter_may_do(certreg, owner, end):
    admin, member, _ = join(certreg, owner, ["admin"])
    _, secret = invite(admin, ["admin"])
    if end:
        assert change(owner, member, **end).status == 200
    else:
        assert owner.ask("DELETE", f"/v1/members/{member['id']}", If_Match="*").status == 200
    assert is_problem(accept(certreg, secret, new_key()), 401, "invitation.invalid")
    assert owner.get(f"/v1/invitations/{secret.id}").json["state"] == "withdrawn"


def test_owner_who_became_admin_invites_no_owner_any_more(certreg, owner):
    second, member, _ = join(certreg, owner, ["owner"])
    (_, for_owner), (_, for_auditor) = invite(second, ["owner"]), invite(second, ["auditor"])
    assert change(owner, member, roles=["admin"]).status == 200
    assert is_problem(accept(certreg, for_owner, new_key()), 401, "invitation.invalid")
    assert accept(certreg, for_auditor, new_key()).status == 201


@pytest.mark.parametrize("when", ["2099-02-30T00:00:00Z", " 2099-01-01T00:00:00Z", "99-1-1T0:0:0Z", "2099-01-01T00:00:60Z", "9999"])
def test_time_that_is_none(owner, when):
    assert is_problem(invite(owner, ["auditor"], expires_at=when)[0], 400, "key.bad_expiry")
    query = when.replace(" ", "%20")
    assert is_problem(owner.get(f"/v1/certificates?expires_before={query}"), 400, "certificate.bad_filter")
    assert is_problem(owner.get(f"/v1/audit/records?since={query}"), 400, "audit.bad_filter")


def test_words_that_are_no_utf8(owner):
    for target in ("/v1/audit/records?who=%ff", "/v1/audit/records?action=%ff", "/v1/audit/records?on=%C3%28",
                   "/v1/certificates?label=a=%ff", "/v1/keys/%ff", "/v1/members/%ff", "/v1/certificates/%ff", "/v1/spaces/%ff"):
        assert owner.get(target).status in (400, 404), target


def test_last_owner_stays(certreg, owner):
    me = owner.get("/v1/members/self").json
    target = f"/v1/members/{me['id']}"
    for answer in (owner.ask("DELETE", target, If_Match="*"),
                   owner.ask("PUT", target, {"roles": ["admin"], "state": "active"}, If_Match="*"),
                   owner.ask("PUT", target, {"roles": ["owner"], "state": "disabled"}, If_Match="*")):
        assert is_problem(answer, 409, "member.last_owner")
    assert owner.get(target).json == {k: v for k, v in me.items() if k not in ("tenant", "space")}


def test_who_may_change_members(certreg, owner, algo, globex):
    admin, _, _ = join(certreg, owner, ["admin"])
    _, member, _ = join(certreg, owner, ["data-owner"])
    assert is_problem(change(algo, member, state="disabled"), 403, "auth.role_missing")
    assert is_problem(globex.get(f"/v1/members/{member['id']}"), 404, "member.not_found")
    assert is_problem(change(admin, member, roles=["owner"]), 403, "auth.role_missing")
    assert is_problem(change(admin, owner.get("/v1/members/self").json, state="disabled"), 403, "auth.role_missing")
    assert change(admin, member, state="disabled").status == 200


def test_service_account(certreg, owner, algo):
    made = owner.post("/v1/members", {"name": name("ci"), "roles": ["algorithm-owner"]})
    assert made.status == 201 and made.json["kind"] == "service" and made.headers["Location"] == f"/v1/members/{made.json['id']}"
    key = new_key()
    assert owner.post("/v1/keys", key.words(name="ci", member=made.json["id"], scopes=["read"])).status == 201
    client = Client(certreg, certreg.token_answer(key.text).json["access_token"])
    assert client.claims["sub"] == made.json["id"] and client.claims["scope"] == "read"
    assert is_problem(algo.post("/v1/members", {"name": name(), "roles": ["auditor"]}), 403, "auth.role_missing")
    assert is_problem(owner.post("/v1/members", {"name": "algo", "roles": ["auditor"]}), 409, "member.exists")


# --- keys ---

def test_keys_that_a_removed_admin_made(certreg, owner):
    """They are of the member they are for, and go on; who made them shows, and the record of the removal names them."""
    admin, who, own = join(certreg, owner, ["admin"])
    robot = owner.post("/v1/members", {"name": name("ci"), "roles": ["algorithm-owner"]}).json
    theirs, gone = new_key(), new_key()
    made = [admin.post("/v1/keys", key.words(name="ci", member=robot["id"])).json for key in (theirs, gone)]
    assert {key["created_by"] for key in made} == {who["id"]} and {key["member"] for key in made} == {robot["id"]}
    assert owner.ask("DELETE", f"/v1/keys/{gone.id}", If_Match="*").status == 200
    listed = owner.get(f"/v1/keys?created_by={who['id']}").json["items"]
    assert {key["id"] for key in listed} == {own.id, theirs.id, gone.id}
    assert is_problem(owner.get("/v1/keys?created_by=anna"), 400, "key.bad_filter")
    assert owner.ask("DELETE", f"/v1/members/{who['id']}", If_Match="*").status == 200
    assert is_problem(certreg.token_answer(own.text), 401, "auth.invalid_client")
    assert certreg.token_answer(theirs.text).status == 200
    states = {key["id"]: key["state"] for key in owner.get(f"/v1/keys?created_by={who['id']}").json["items"]}
    assert states == {own.id: "revoked", theirs.id: "active", gone.id: "revoked"}
    told = wait_for(lambda: records(owner, on=who["id"], action="member.change"), "the record")
    assert told[0]["record"]["detail"] == f"removed; made 1 keys of others: {theirs.id}"
    renewed = new_key()  # whoever rotates makes the next secret
    rotated = owner.post(f"/v1/keys/{theirs.id}:rotate", renewed.words(overlap_seconds=0), If_Match="*").json
    assert (rotated["member"], rotated["created_by"]) == (robot["id"], owner.claims["sub"])


def test_key_rotation_overlaps(certreg, owner):
    old, new = new_key(), new_key()
    made = owner.post("/v1/keys", old.words(name="robot", scopes=["read"])).json
    rotated = owner.post(f"/v1/keys/{old.id}:rotate", new.words(overlap_seconds=3600), If_Match=made["etag"])
    assert rotated.status == 201 and rotated.json["id"] == new.id
    assert (rotated.json["name"], rotated.json["scopes"], rotated.json["expires_at"]) == ("robot", ["read"], None)
    assert certreg.token_answer(old.text).status == certreg.token_answer(new.text).status == 200
    left = certreg.postgres.sql("SELECT extract(epoch FROM expires_at - now())::int FROM certreg.api_key WHERE id = %s", old.id)
    assert 3500 < left[0][0] <= 3600
    live = {key: Client(certreg, certreg.token_answer(key.text).json["access_token"]) for key in (old, new)}
    at_once, third = owner.get(f"/v1/keys/{new.id}").json, new_key()
    assert owner.post(f"/v1/keys/{new.id}:rotate", third.words(overlap_seconds=0), If_Match=at_once["etag"]).status == 201
    assert is_problem(certreg.token_answer(new.text), 401, "auth.invalid_client")
    assert certreg.token_answer(third.text).status == 200
    assert is_dead(live[new]) and live[old].get("/v1/tenants/self").status == 200


def test_bad_rotations(certreg, owner, algo):
    key = new_key()
    made = owner.post("/v1/keys", key.words(name="robot")).json
    target = f"/v1/keys/{key.id}:rotate"
    assert is_problem(owner.post(target, new_key().words()), 428, "resource.if_match_missing")
    assert is_problem(owner.post(target, new_key().words(overlap_seconds=604801), If_Match="*"), 400, "json.invalid_fields")
    assert is_problem(owner.post(target, key.words(), If_Match="*"), 409, "key.exists")
    assert is_problem(algo.post(target, new_key().words(), If_Match="*"), 404, "key.not_found")
    owner.ask("DELETE", f"/v1/keys/{key.id}", If_Match=made["etag"])
    assert is_problem(owner.post(target, new_key().words(), If_Match="*"), 409, "key.not_active")


def test_last_use_is_noted_to_the_minute(certreg, owner):
    key = new_key()
    assert owner.post("/v1/keys", key.words(name="used")).json["last_used_at"] is None
    certreg.token_answer(key.text)
    first = owner.get(f"/v1/keys/{key.id}").json["last_used_at"]
    assert first
    certreg.postgres.sql("UPDATE certreg.api_key SET last_used_at = now() - interval '59 seconds' WHERE id = %s", key.id)
    before = certreg.postgres.sql("SELECT last_used_at FROM certreg.api_key WHERE id = %s", key.id)
    certreg.token_answer(key.text)
    assert certreg.postgres.sql("SELECT last_used_at FROM certreg.api_key WHERE id = %s", key.id) == before
    certreg.postgres.sql("UPDATE certreg.api_key SET last_used_at = now() - interval '2 minutes' WHERE id = %s", key.id)
    certreg.token_answer(key.text)
    assert owner.get(f"/v1/keys/{key.id}").json["last_used_at"] >= first


# --- tenants ---

def found(operator, tenant=None):
    secret = Secret("sri", "inv")
    answer = operator.post("/v1/tenants", {"name": tenant or name("org"), "owner": secret.words(name="first", expires_at=NEVER)})
    return answer, secret


def new_owner(certreg):
    """By what name certreg.client() knows the owner of a new tenant, and the tenant's name."""
    answer, secret = found(certreg.client("system-operator"))
    key, who = new_key(), answer.json["name"] + "-owner"
    assert accept(certreg, secret, key).status == 201
    (certreg.keys / f"{who}.key").write_text(key.text)
    return who, answer.json["name"]


def test_operator_makes_a_tenant_and_sees_none_of_it(certreg, operator):
    answer, secret = found(operator)
    assert answer.status == 201 and answer.json["state"] == "active" and answer.json["invitation"] == secret.id
    key = new_key()
    assert accept(certreg, secret, key).json["tenant"]["name"] == answer.json["name"]
    first = Client(certreg, certreg.token_answer(key.text).json["access_token"])
    assert first.claims["roles"] == "owner" and first.claims["tenant"] == answer.json["id"]
    assert [member["name"] for member in first.get("/v1/members").json["items"]] == ["first"]
    assert operator.get(f"/v1/tenants/{answer.json['id']}").json["name"] == answer.json["name"]
    assert answer.json["id"] in [tenant["id"] for tenant in operator.get("/v1/tenants?page_size=2").json["items"]]
    assert is_problem(operator.get(f"/v1/members/{first.claims['sub']}"), 404, "member.not_found")
    assert is_problem(operator.get(f"/v1/keys/{key.id}"), 404, "key.not_found")
    assert is_problem(found(operator, answer.json["name"])[0], 409, "tenant.exists")


def test_pages_of_tenants(operator):
    for _ in range(3):
        found(operator)
    seen, token = [], ""
    while token is not None:
        page = operator.get(f"/v1/tenants?page_size=2&page_token={token}").json
        seen += [tenant["id"] for tenant in page["items"]]
        token = page["next_page_token"]
    assert len(seen) == len(set(seen)) >= 6 and seen == sorted(seen, reverse=True)


def test_suspended_tenant(certreg, operator):
    answer, secret = found(operator)
    key, target = new_key(), f"/v1/tenants/{answer.json['id']}"
    accept(certreg, secret, key)
    client = Client(certreg, certreg.token_answer(key.text).json["access_token"])
    _, waiting = invite(client, ["auditor"])
    assert is_problem(operator.ask("DELETE", target, If_Match="*"), 409, "tenant.bad_state")
    suspended = operator.ask("POST", f"{target}:suspend", If_Match=answer.json["etag"])
    assert suspended.json["state"] == "suspended" and is_dead(client)
    assert is_problem(certreg.token_answer(key.text), 401, "auth.invalid_client")
    assert is_problem(accept(certreg, waiting, new_key()), 401, "invitation.invalid")
    resumed = operator.ask("POST", f"{target}:resume", If_Match=suspended.json["etag"])
    assert resumed.json["state"] == "active"
    wait_for(lambda: Client(certreg, certreg.token_answer(key.text).json["access_token"]).get("/v1/tenants/self").status == 200,
             "a token made after it works")
    operator.ask("POST", f"{target}:suspend", If_Match="*")
    assert operator.ask("DELETE", target, If_Match="*").json["state"] == "deleted"
    assert is_problem(operator.ask("POST", f"{target}:resume", If_Match="*"), 409, "tenant.bad_state")
    assert is_problem(certreg.token_answer(key.text), 401, "auth.invalid_client")


def test_many_revocations_of_one_tenant_are_one_entry_of_the_list(certreg, operator, globex):
    """The list goes to every service: no tenant may make it longer than they read."""
    answer, secret = found(operator)
    tenant, key = answer.json["id"], new_key()
    accept(certreg, secret, key)
    loud = Client(certreg, certreg.token_answer(key.text).json["access_token"])
    other = globex.post("/v1/keys", new_key().words(name="other")).json
    assert globex.ask("DELETE", f"/v1/keys/{other['id']}", If_Match="*").status == 200

    def revoke_one():
        made = loud.post("/v1/keys", new_key().words(name="loud")).json
        assert loud.ask("DELETE", f"/v1/keys/{made['id']}", If_Match="*").status == 200
        return made["id"]

    def listed():
        return {row["subject"]: row["before"] for row in certreg.ask("GET", "/internal/v1/auth-state").json["revoked"]}

    revoked = [revoke_one() for _ in range(256)]
    assert set(revoked) <= listed().keys() and tenant not in listed()
    revoked.append(revoke_one())
    assert not listed().keys() & set(revoked) and other["id"] in listed()
    assert listed()[tenant] <= time.time() + 2 and is_dead(loud)
    wait_for(lambda: Client(certreg, certreg.token_answer(key.text).json["access_token"]).get("/v1/tenants/self").status == 200,
             "a token made after it works")
    assert operator.ask("POST", f"/v1/tenants/{tenant}:suspend", If_Match="*").status == 200
    assert listed()[tenant] > time.time() + 600


def test_tenants_are_for_operators(certreg, operator, owner):
    own = owner.claims["tenant"]
    for method, target in (("GET", "/v1/tenants"), ("GET", f"/v1/tenants/{own}"), ("POST", f"/v1/tenants/{own}:suspend"),
                           ("POST", f"/v1/tenants/{own}:resume"), ("DELETE", f"/v1/tenants/{own}")):
        assert is_problem(owner.ask(method, target, If_Match="*") if method != "GET" else owner.get(target), 403, "auth.role_missing")
    assert is_problem(found(owner)[0], 403, "auth.role_missing")
    system = operator.claims["tenant"]
    assert is_problem(operator.ask("POST", f"/v1/tenants/{system}:suspend", If_Match="*"), 409, "tenant.system")
    assert is_problem(operator.get("/v1/tenants/tnt_" + uuid7()), 404, "tenant.not_found")
    second, _, _ = join(certreg, operator, ["operator"])
    assert second.get("/v1/tenants").status == 200
