# SPDX-License-Identifier: Apache-2.0
"""The audit log: what is recorded, heads and proofs as RFC 6962 and C2SP have them, and who may read what.
tests/support/merkle.py computes them by itself."""
import base64
import json
import time

import pytest

import merkle
from audit_kit import check_export, export_of, new_api_key, record_of, records, settled
from certreg_stack import FEED, Witness, certreg, globex, is_problem, new_key, owner  # noqa: F401
from conftest import wait_for


# --- what is recorded ---

def test_change_is_recorded_with_who_and_request(certreg, owner):
    made = owner.post("/v1/keys", {"name": "recorded", "hash": "sha256:" + 64 * "7"})
    record = record_of(owner, on=made.json["id"], action="key.create")
    assert record["who"] == {"sub": owner.claims["sub"], "credential": owner.claims["key"], "roles": "owner"}
    assert (record["tenant"], record["space"]) == (owner.claims["tenant"], owner.claims["space"])
    assert (record["service"], record["outcome"], record["code"]) == ("certreg", "granted", None)
    assert record["request_id"] == made.headers["X-Request-Id"] and record["count"] == 1
    gone = owner.ask("DELETE", f"/v1/keys/{made.json['id']}", If_Match="*")
    assert gone.status == 200
    assert record_of(owner, on=made.json["id"], action="key.revoke")["request_id"] == gone.headers["X-Request-Id"]


def test_failed_change_leaves_no_record(certreg, owner):
    made = new_api_key(owner, "twice")
    again = owner.post("/v1/keys", {"id": made["id"], "name": "twice", "hash": "sha256:" + 64 * "8"})
    assert is_problem(again, 409, "key.exists")
    settled(certreg)
    assert len(records(owner, on=made["id"])) == 1


def test_certificate_is_recorded_once(certreg, owner, new_key):
    key = new_key()
    first, second = owner.register(key), owner.register(key)
    assert (first.status, second.status) == (201, 200)
    settled(certreg)
    found = records(owner, on=first.json["id"])
    assert [item["record"]["action"] for item in found] == ["certificate.create"]
    assert found[0]["record"]["detail"] == key.spki()


def test_tokens_are_recorded_once_an_hour(certreg, owner):
    for _ in range(3):
        certreg.client("acme-data", audience="policy")
    wait_for(lambda: records(owner, action="token.issue", on="policy"), "the token is recorded")
    settled(certreg)
    member = certreg.client("acme-data").claims["sub"]
    assert len(records(owner, action="token.issue", on="policy", who=member)) == 1


def test_feeds_of_the_others_are_taken_once(certreg, owner):
    record = {"v": "strongroom-audit-1", "id": "aud_" + "7" * 32, "time": "2026-01-02T03:04:05Z", "tenant": owner.claims["tenant"],
              "space": None, "who": None, "action": "sandbox.ready", "on": "sbx_" + "1" * 32, "outcome": "granted", "code": None,
              "request_id": None, "detail": None, "count": 1}
    certreg.provisioner.table[FEED] = {"items": [{"id": 5, "record": json.dumps(record)}, {"id": 6, "record": json.dumps(
        {**record, "id": "aud_" + "8" * 32})}, {"id": 9, "record": json.dumps({**record, "id": "aud_" + "9" * 32})}]}
    ack = base64.urlsafe_b64encode(b"{[5,7),[9,10)}").rstrip(b"=").decode()
    wait_for(lambda: f"{FEED}?taken={ack}" in certreg.provisioner.fed, "what was taken is named")
    found = records(owner, on=record["on"])  # it is shown again and again, and stays three
    assert [item["record"]["service"] for item in found] == ["provisioner"] * 3
    certreg.provisioner.table[FEED] = {"items": []}


# --- the tree ---

def test_log_is_a_tree_with_signed_heads(certreg, owner, tmp_path):
    for i in range(5):
        new_api_key(owner, f"tree-{i}")
    head = settled(certreg)
    leaves, own, heads = check_export(export_of(owner), tmp_path)
    assert len(own) >= 5 and len(heads) >= 1 and len(leaves) >= head.size
    for index in (0, head.size // 2, head.size - 1):
        proof = certreg.ask("GET", f"/v1/audit/inclusion?index={index}&size={head.size}").json["proof"]
        assert [base64.b64decode(text) for text in proof] == merkle.inclusion(index, leaves[:head.size])
    for start in range(1, head.size + 1):
        proof = certreg.ask("GET", f"/v1/audit/consistency?from={start}&to={head.size}").json["proof"]
        assert [base64.b64decode(text) for text in proof] == merkle.consistency(start, leaves[:head.size])


@pytest.mark.parametrize("query", ["inclusion?index=0", "inclusion?index=1&size=1", "inclusion?index=0&size=999999",
                                   "consistency?from=2&to=1", "consistency?from=-1&to=1", "consistency?from=1&to=99999999999999999"])
def test_proofs_of_what_is_not_there_are_refused(certreg, query):
    assert is_problem(certreg.ask("GET", f"/v1/audit/{query}"), 400, "audit.bad_range")


def test_tenants_see_their_own_records_only(certreg, owner, globex, tmp_path):
    made = new_api_key(owner, "mine")
    settled(certreg)
    assert not records(globex, on=made["id"])
    text = globex.get("/v1/audit/export").body.decode()
    assert made["id"] not in text and owner.claims["tenant"] not in text
    ours, theirs = check_export(export_of(owner), tmp_path), check_export(export_of(globex), tmp_path)
    size = min(len(ours[0]), len(theirs[0]))
    assert ours[0][:size] == theirs[0][:size], "everybody has the same leaves"


def test_log_is_for_owners_admins_and_auditors(certreg, owner):
    assert certreg.client("acme-audit").get("/v1/audit/records").status == 200
    for path in ("/v1/audit/records", "/v1/audit/export"):
        assert is_problem(certreg.client("acme-data").get(path), 403, "auth.role_missing")
        assert is_problem(certreg.ask("GET", path), 401, "auth.missing")


@pytest.mark.parametrize("query", ["outcome=maybe", "since=yesterday", "action=" + "x" * 201])
def test_bad_filters_are_refused(owner, query):
    assert is_problem(owner.get(f"/v1/audit/records?{query}"), 400, "audit.bad_filter")


def test_pages_have_every_record_once(certreg, owner):
    settled(certreg)
    whole, token, seen = [item["id"] for item in records(owner)], "", []
    while token is not None:
        answer = owner.get(f"/v1/audit/records?page_size=3&page_token={token}").json
        seen += [item["id"] for item in answer["items"]]
        token = answer["next_page_token"]
    assert seen[-len(whole):] == whole and len(set(seen)) == len(seen)


# --- witnesses ---

def test_witness_cosigns_a_head(certreg, owner):
    head = settled(certreg)
    line = certreg.witness.line(head.note, int(time.time()))
    answer = certreg.ask("POST", "/v1/audit/cosignatures", json.dumps({"size": head.size, "signature": line}),
                         Content_Type="application/json")
    assert answer.status == 204, answer.body
    lines = [entry["head"] for entry in export_of(owner) if "head" in entry]
    assert any(text.endswith(line) for text in lines)


def cosign(certreg, size, line):
    return certreg.ask("POST", "/v1/audit/cosignatures", json.dumps({"size": size, "signature": line}),
                       Content_Type="application/json")


def test_wrong_cosignatures_are_refused(certreg, tmp_path):
    head = settled(certreg)
    stranger = Witness(tmp_path / "stranger.pem", "witness.test/2")
    assert is_problem(cosign(certreg, head.size, stranger.line(head.note, 1)), 403, "audit.unknown_witness")
    other = certreg.witness.line(head.note.replace(f"\n{head.size}\n", f"\n{head.size + 1}\n"), 1)
    assert is_problem(cosign(certreg, head.size, other), 422, "log.wrong_signature")
    assert is_problem(cosign(certreg, head.size + 1000, certreg.witness.line(head.note, 1)), 404, "audit.no_head")
    assert is_problem(cosign(certreg, head.size, "no newline"), 400, "audit.bad_signature")
