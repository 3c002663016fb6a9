# SPDX-License-Identifier: Apache-2.0
"""Spaces across tenants: signed invitation, signed acceptance, and what a stranger can do with neither."""
import secrets
import time

import pytest
from cryptography.hazmat.primitives import serialization

from audit_kit import record_of
from certreg_stack import claims_of, is_problem
from certreg_stack import algo, certreg, globex, new_key, owner  # noqa: F401 (fixtures)
from trust import Key, digest, envelope, jcs, nonce


def now():
    return int(time.time())


class Party:
    """An owner with a certificate, which is registered unless said."""

    def __init__(self, client, file, registered=True):
        self.client, self.key = client, Key()
        self.key.private = serialization.load_pem_private_key(file.file.read_bytes(), None)
        self.spki = self.key.spki
        assert not registered or client.register(file).status == 201

    def sign(self, typ, payload):
        return envelope(self.key, typ, {**payload, "spki": self.spki})


@pytest.fixture
def acme(owner, new_key):
    return Party(owner, new_key("acme"))


@pytest.fixture
def other(globex, new_key):
    return Party(globex, new_key("globex"))


@pytest.fixture
def space(acme):
    made = acme.client.post("/v1/spaces", {"name": "s-" + secrets.token_hex(4)})
    assert made.status == 201, made.body
    return made.json


def invitation(acme, where, to, **changes):
    payload = {"space": where["id"], "name": where["name"], "tenant": "acme", "to": to, "nonce": nonce(), "iat": now(),
               "exp": now() + 3600, **changes}
    signed = acme.sign("strongroom-space-invitation+jws", payload)
    return signed, digest(jcs({**payload, "spki": acme.spki}))


def acceptance(other, invitation_digest, tenant="globex"):
    return other.sign("strongroom-space-acceptance+jws", {"invitation": invitation_digest, "tenant": tenant, "iat": now()})


def invite(acme, where, to, **changes):
    signed, hashed = invitation(acme, where, to, **changes)
    return acme.client.post(f"/v1/spaces/{where['id']}/invitations", {"invitation": signed}), signed, hashed


def join(other, space, signed, accepted):
    return other.client.post(f"/v1/spaces/{space['id']}:join", {"invitation": signed, "acceptance": accepted})


def test_two_tenants_come_together(certreg, acme, other, space):
    answer, signed, hashed = invite(acme, space, other.spki)
    assert answer.status == 201 and answer.json["to"] == other.spki and answer.json["digest"] == hashed
    assert is_problem(other.client.get(f"/v1/spaces/{space['id']}"), 404, "space.not_found")
    joined = join(other, space, signed, acceptance(other, hashed))
    assert joined.status == 200 and not joined.json["founder"]
    for party in (acme, other):
        members = party.client.get(f"/v1/spaces/{space['id']}").json["members"]
        assert [(member["name"], member["founder"]) for member in members] == [("acme", True), ("globex", False)]
        assert members[1]["papers"]["invitation"] == signed
    listed = acme.client.get(f"/v1/spaces/{space['id']}/invitations").json["items"]
    assert [item["state"] for item in listed] == ["accepted"]
    token = claims_of(certreg.token_answer(certreg.key("globex-owner")).json["access_token"])
    assert token["spaces"][0] == token["space"] and space["id"] in token["spaces"]
    assert is_problem(join(other, space, signed, acceptance(other, hashed)), 409, "space_invitation.used")


def test_leaving_and_being_taken_out(certreg, acme, other, space):
    _, signed, hashed = invite(acme, space, other.spki)
    joined = join(other, space, signed, acceptance(other, hashed)).json
    globex = joined["members"][1]["tenant"]
    target = f"/v1/spaces/{space['id']}/members/"
    assert is_problem(other.client.ask("DELETE", target + acme.client.claims["tenant"]), 403, "space.not_founder")
    assert is_problem(acme.client.ask("DELETE", target + acme.client.claims["tenant"]), 403, "space.not_founder")
    assert acme.client.ask("DELETE", target + globex).status == 204
    assert record_of(acme.client, action="space.remove")["on"] == globex
    assert record_of(certreg.client("globex-owner"), action="space.leave")["on"] == globex
    assert is_problem(acme.client.ask("DELETE", target + globex), 404, "space.not_a_member")
    assert is_problem(other.client.get(f"/v1/spaces/{space['id']}"), 404, "space.not_found")
    state = certreg.ask("GET", "/internal/v1/auth-state").json
    assert f"{space['id']}/{globex}" in [row["subject"] for row in state["revoked"]]
    token = claims_of(certreg.token_answer(certreg.key("globex-owner")).json["access_token"])
    assert space["id"] not in token["spaces"]


def test_who_was_taken_out_does_not_come_back_by_the_old_papers(acme, other, space):
    _, signed, hashed = invite(acme, space, other.spki)
    globex = join(other, space, signed, acceptance(other, hashed)).json["members"][1]["tenant"]
    assert acme.client.ask("DELETE", f"/v1/spaces/{space['id']}/members/{globex}").status == 204
    assert is_problem(join(other, space, signed, acceptance(other, hashed)), 409, "space_invitation.used")
    assert is_problem(other.client.get(f"/v1/spaces/{space['id']}"), 404, "space.not_found")
    listed = acme.client.get(f"/v1/spaces/{space['id']}/invitations").json["items"]
    assert [item["state"] for item in listed] == ["accepted"]
    _, again, hashed = invite(acme, space, other.spki)
    assert join(other, space, again, acceptance(other, hashed)).status == 200


@pytest.mark.parametrize("change, code", [
    (lambda p: {"tenant": "globex"}, "space_invitation.wrong_space"),
    (lambda p: {"name": "another"}, "space_invitation.wrong_space"),
    (lambda p: {"space": "spc_01a201f1a0407852a490f84aece3a061"}, "space_invitation.wrong_space"),
    (lambda p: {"exp": now() - 1}, "space_invitation.expired"),
    (lambda p: {"iat": now() + 3600}, "space_invitation.not_yet_valid"),
])
def test_invitation_that_says_something_else(acme, other, space, change, code):
    assert is_problem(invite(acme, space, other.spki, **change(space))[0], 422, code)


def test_invitation_by_a_strange_key(acme, other, space, new_key):
    stranger = Party(acme.client, new_key("stranger"), registered=False)
    assert is_problem(invite(stranger, space, other.spki)[0], 422, "certificate.not_own")
    _, signed, _ = invite(acme, space, other.spki)
    signed["jws"]["signature"] = signed["jws"]["signature"][:-8] + "AAAAAAAA"
    answer = acme.client.post(f"/v1/spaces/{space['id']}/invitations", {"invitation": signed})
    assert is_problem(answer, 422, "trust.signature")


def test_acceptance_must_fit(acme, other, space, new_key):
    _, signed, hashed = invite(acme, space, other.spki)
    second = Party(other.client, new_key("second"))
    assert is_problem(join(other, space, signed, acceptance(second, hashed)), 422, "space_invitation.wrong_acceptance")
    assert is_problem(join(other, space, signed, acceptance(other, digest(b"x"))), 422, "space_invitation.wrong_acceptance")
    assert is_problem(join(other, space, signed, acceptance(other, hashed, "acme")), 422, "space_invitation.wrong_acceptance")
    assert is_problem(join(acme, space, signed, acceptance(other, hashed, "acme")), 422, "certificate.not_own")


def test_unsent_withdrawn_and_foreign_invitations_look_the_same(acme, other, space):
    answer, withdrawn, hashed = invite(acme, space, other.spki)
    target = f"/v1/spaces/{space['id']}/invitations/{answer.json['id']}"
    assert acme.client.ask("DELETE", target, If_Match=answer.json["etag"]).json["state"] == "withdrawn"
    unsent, unsent_digest = invitation(acme, space, other.spki)
    nowhere = {**space, "id": "spc_01a201f1a0407852a490f84aece3a061"}
    foreign, foreign_digest = invitation(acme, nowhere, other.spki)
    answers = [join(other, space, withdrawn, acceptance(other, hashed)), join(other, space, unsent, acceptance(other, unsent_digest)),
               join(other, nowhere, foreign, acceptance(other, foreign_digest))]
    assert all(is_problem(answer, 422, "space_invitation.not_open") for answer in answers)
    said = [{k: v for k, v in answer.json.items() if k != "request_id"} for answer in answers]
    assert said.count(said[0]) == len(said)


def test_who_may(acme, other, space, algo):
    assert is_problem(algo.post("/v1/spaces", {"name": "mine"}), 403, "auth.role_missing")
    assert is_problem(acme.client.post("/v1/spaces", {"name": space["name"]}), 409, "space.exists")
    assert is_problem(acme.client.post("/v1/spaces", {"name": "Not A Label"}), 400, "name.not_a_label")
    _, signed, hashed = invite(acme, space, other.spki)
    assert is_problem(other.client.get(f"/v1/spaces/{space['id']}/invitations"), 404, "space.not_found")
    assert is_problem(other.client.post(f"/v1/spaces/{space['id']}/invitations", {"invitation": signed}), 404, "space.not_found")
    join(other, space, signed, acceptance(other, hashed))
    assert is_problem(other.client.get(f"/v1/spaces/{space['id']}/invitations"), 403, "space.not_founder")
    assert space["id"] in [item["id"] for item in other.client.get("/v1/spaces").json["items"]]
