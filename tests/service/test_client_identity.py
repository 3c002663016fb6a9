# SPDX-License-Identifier: Apache-2.0
"""Members, keys, tenants, spaces, peers and profiles through the client, against a real stack with two tenants."""
import json
import os
import pty
import re
import select
import subprocess

import pytest

from client_project import Project, program_with_hooks
from local_stack import ROOT, LocalStack, unique, wait_for
from trust import Key, World, digest, from_b64url, jcs

PARTS = ["postgres", "redis", "certreg", "policy", "orchestrator", "edge"]


@pytest.fixture(scope="module")
def program():
    return program_with_hooks()


@pytest.fixture(scope="module")
def stack():
    with LocalStack(PARTS) as running:
        yield running


class Person(Project):
    """A user with a folder and profiles of his own."""

    def __init__(self, program, stack, folder, member=None):
        folder.mkdir()
        super().__init__(program, stack, folder)
        if member:
            self.configure(member)

    def json(self, *arguments, **more):
        """The results of a command, as programs see them."""
        lines = [json.loads(line) for line in self.run("--json", *arguments, **more).stdout.splitlines()]
        return [line for line in lines if line["type"] == "result"]

    def refused(self, code, exit_code, *arguments, **more):
        done = self.run(*arguments, check=False, **more)
        assert done.returncode == exit_code and code in done.stderr, (done.returncode, done.stderr)
        return done

    def works_again(self):
        """A token is refused that was made in the very second of the revocation that it is behind."""
        wait_for(lambda: self.run("member", "show", check=False).returncode == 0, "a token made later is good")

    def file(self, name):
        return self.folder / name

    def certificate(self, name="own"):
        """A key pair of its own, registered; the SPKI digest."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                        "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", self.file(f"{name}.key"), "-out", self.file(f"{name}.crt"), "-subj", f"/CN={unique(name)}"],
                       check=True, stderr=subprocess.DEVNULL)
        self.run("cert", "register", "--certificate", f"{name}.crt", "--key", f"{name}.key")
        return self.json("peer", "show", "--certificate", f"{name}.crt")[0]["spki"]


@pytest.fixture
def people(program, stack, tmp_path):
    made = iter(range(100))
    return lambda member=None: Person(program, stack, tmp_path / f"person{next(made)}", member)


@pytest.fixture
def acme(people):
    return people("acme-owner")


@pytest.fixture
def globex(people):
    return people("globex-owner")


def is_private(path):
    return path.stat().st_mode & 0o777 == 0o600


# --- members ---

def test_invitation_is_a_file_that_makes_a_profile(acme, people):
    name = unique("bob")
    offered = acme.run("member", "invite", name, "--roles", "data-owner,auditor", "--out", "bob.invitation")
    text = acme.file("bob.invitation").read_text()
    secret = json.loads(text)["secret"]
    assert is_private(acme.file("bob.invitation")) and secret not in offered.stdout + offered.stderr
    bob = people()
    bob.file("invitation").write_text(text)
    who = bob.json("configure", "--invitation", "invitation", "--trust", "trust.json")[0]
    assert (who["tenant"], who["member"], sorted(who["roles"])) == ("acme", name, ["auditor", "data-owner"])
    assert who["trust"] == digest(bob.file("trust.json").read_bytes())
    assert {file.name for file in bob.profile().iterdir()} >= {"credentials", "ca.pem", "storage.jwk", "trust.json"}
    assert all(is_private(file) for file in bob.profile().iterdir())
    assert bob.json("member", "show")[0]["name"] == name
    second = people()
    second.refused("invitation.invalid", 4, "configure", "--invitation", str(bob.file("invitation")))
    assert not (second.profile() / "credentials").exists()
    bob.refused("profile.exists", 4, "configure", "--invitation", "invitation")
    assert bob.json("member", "show")[0]["name"] == name


@pytest.mark.parametrize("point", ["before:accept-invitation", "after:accept-invitation"])
def test_accepting_survives_a_kill(acme, people, point):
    name = unique("bob")
    acme.run("member", "invite", name, "--roles", "auditor", "--out", "invitation")
    bob, file = people(), str(acme.file("invitation"))
    assert bob.run("member", "accept", file, check=False, STRONGROOM_CRASH_AT=point).returncode == -9
    kept = (bob.profile() / "credentials").read_text()
    assert bob.json("member", "accept", file)[0]["member"] == name
    assert (bob.profile() / "credentials").read_text() == kept


def test_invitation_on_standard_input(acme, people):
    name = unique("carol")
    given = acme.run("member", "invite", name, "--roles", "auditor", "--stdout").stdout
    carol = people()
    assert carol.json("member", "accept", "-", stdin=given)[0]["member"] == name


def test_members_change(acme, people):
    name = unique("dan")
    acme.run("member", "invite", name, "--roles", "auditor", "--out", "invitation")
    assert acme.json("member", "withdraw", acme.json("member", "invitations")[0]["id"])[0]["state"] == "withdrawn"
    acme.refused("secret.file_exists", 1, "member", "invite", name, "--roles", "auditor", "--out", "invitation")
    acme.run("member", "invite", name, "--roles", "auditor", "--out", "second")
    dan = people()
    dan.refused("invitation.invalid", 4, "member", "accept", str(acme.file("invitation")))
    dan.run("member", "accept", str(acme.file("second")))
    dan.refused("auth.role_missing", 6, "member", "invite", unique("x"), "--roles", "auditor", "--out", "x")
    assert not dan.file("x").exists()
    assert acme.json("member", "set", name, "--roles", "data-owner")[0]["roles"] == ["data-owner"]
    assert acme.json("member", "disable", name)[0]["state"] == "disabled"
    dan.refused("auth.invalid_client", 4, "member", "show")
    assert acme.json("member", "enable", name)[0]["roles"] == ["data-owner"]
    dan.works_again()
    assert acme.json("member", "remove", name)[0]["state"] == "removed"
    dan.refused("auth.invalid_client", 4, "member", "show")
    acme.refused("client.not_found", 1, "member", "show", unique("nobody"))
    assert name in acme.run("member", "list").stdout


def test_service_account_gets_a_key(acme, people):
    name = unique("ci")
    acme.run("member", "add-service", name, "--roles", "algorithm-owner")
    made = acme.json("key", "create", "robot", "--member", name, "--scopes", "read", "--out", "robot.key")[0]
    assert made["scopes"] == ["read"] and is_private(acme.file("robot.key")) and "secret" not in made
    robot = people()
    who = robot.json("configure", "--url", robot.stack.url, "--ca", robot.stack.ca, "--key-file", str(acme.file("robot.key")))[0]
    assert who["member"] == name and who["key"] == made["id"]
    robot.refused("auth.scope_missing", 6, "key", "create", "x", "--out", "x")
    assert acme.json("key", "revoke", made["id"])[0]["state"] == "revoked"
    robot.refused("auth.invalid_client", 4, "member", "show")


# --- keys ---

def joined(acme, people):
    """A fresh member, so that its key is nobody else's."""
    acme.run("member", "invite", unique("m"), "--roles", "auditor", "--out", "join.invitation")
    person = people()
    person.run("member", "accept", str(acme.file("join.invitation")))
    acme.file("join.invitation").unlink()
    return person


def test_secrets_go_where_they_are_asked_to(acme):
    acme.refused("usage.arguments", 2, "key", "create", "x")
    acme.refused("usage.arguments", 2, "key", "create", "x", "--stdout", "--out", "x")
    shown = acme.run("key", "create", "shown", "--stdout").stdout.strip()
    assert shown.startswith("sr_") and acme.json("key", "create", "x", "--stdout")[0]["secret"].startswith("sr_")
    acme.refused("key.bad_expiry", 1, "key", "create", "x", "--expires-at", "yesterday", "--out", "late.key")
    assert not acme.file("late.key").exists()
    rotated = acme.json("key", "rotate", "key_" + shown.split("_")[1], "--overlap", "0", "--out", "next.key")[0]
    assert rotated["id"] == "key_" + acme.file("next.key").read_text().split("_")[1]


def test_own_key_is_replaced(acme, people):
    person = joined(acme, people)
    old = (person.profile() / "credentials").read_text()
    new = person.json("key", "rotate", "--overlap", "0")[0]["id"]
    assert (person.profile() / "credentials").read_text().split("_")[1] == new.split("_")[1]
    assert is_private(person.profile() / "credentials") and not (person.profile() / "credentials.next").exists()
    person.run("member", "show")
    person.refused("auth.invalid_client", 4, "--profile", "old", "configure", "--url", person.stack.url, "--ca", person.stack.ca,
                   "--key-file", "-", stdin=old)


@pytest.mark.parametrize("point", ["before:POST", "after:POST", "before:replace-key", "after:replace-key"])
def test_rotation_survives_a_kill(acme, people, point):
    person = joined(acme, people)
    before = (person.profile() / "credentials").read_text()
    assert person.run("key", "rotate", check=False, STRONGROOM_CRASH_AT=point).returncode == -9
    person.run("member", "show")
    person.run("key", "rotate")
    assert not (person.profile() / "credentials.next").exists()
    assert (person.profile() / "credentials").read_text() != before
    person.run("member", "show")


# --- tenants ---

def test_operator_makes_and_ends_a_tenant(people):
    operator, name = people("system-operator"), unique("org")
    operator.run("tenant", "create", name, "--owner", "first", "--out", "owner.invitation")
    first = people()
    assert first.json("configure", "--invitation", str(operator.file("owner.invitation")))[0]["tenant"] == name
    assert [member["name"] for member in first.json("member", "list")] == ["first"]
    assert name in operator.run("tenant", "list").stdout
    assert operator.json("tenant", "suspend", name)[0]["state"] == "suspended"
    first.refused("auth.invalid_client", 4, "member", "show")
    assert operator.json("tenant", "resume", name)[0]["state"] == "active"
    first.works_again()
    operator.refused("tenant.bad_state", 1, "tenant", "delete", name)
    operator.run("tenant", "suspend", name)
    assert operator.json("tenant", "delete", name)[0]["state"] == "deleted"


def test_tenants_are_not_for_owners(acme):
    acme.refused("auth.role_missing", 6, "tenant", "list")
    acme.refused("auth.role_missing", 6, "tenant", "create", unique("org"), "--out", "x")
    assert not acme.file("x").exists()


# --- peers ---

def test_peers_are_pinned_by_hand(acme):
    spki, other = Key().spki, Key().spki
    shown = acme.json("peer", "add", "globex", "--spki", spki)[0]
    assert len(shown["words"].split()) == 32
    assert acme.run("peer", "show", "globex").stdout.split()[2:] == shown["words"].split()
    assert is_private(acme.profile() / "peers.json")
    acme.refused("peer.exists", 1, "peer", "add", "globex", "--spki", other)
    acme.refused("peer.exists", 1, "peer", "add", "second", "--spki", spki)
    acme.refused("peer.name", 1, "peer", "add", "Glo bex", "--spki", other)
    acme.refused("digest.invalid", 1, "peer", "add", "third", "--spki", "sha256:12")
    assert [(peer["name"], peer["spki"]) for peer in acme.json("peer", "list")] == [("globex", spki)]
    acme.run("peer", "remove", "globex")
    acme.refused("peer.not_found", 1, "peer", "show", "globex")
    (acme.profile() / "peers.json").chmod(0o644)
    acme.refused("profile.permissions", 4, "peer", "list")


def test_peers_at_once_lose_none(acme):
    adding = [subprocess.Popen([acme.program, "peer", "add", f"p{i}", "--spki", Key().spki], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env={**os.environ, "XDG_CONFIG_HOME": str(acme.config)}) for i in range(8)]
    assert [process.wait(60) for process in adding] == [0] * 8
    assert sorted(peer["name"] for peer in acme.json("peer", "list")) == [f"p{i}" for i in range(8)]


PLAN = """
- name: {name}
  tasks:
    - get-certs: {{name: client}}
    - get-client-keypair: {{name: receiver}}
    - upload-policy: {{policy_doc: policy.json}}
"""


def test_policy_with_an_unpinned_party_is_not_approved(acme):
    stranger, name = Key(), unique("named")
    acme.prepare(name)
    acme.file("parties.yml").write_text(PLAN.format(name=name))
    acme.run("run", "--plan", "parties.yml", "--until", "get-client-keypair")
    done = acme.state()["tasks"]
    own, receiver = done["get-certs"]["outputs"]["spki"], done["get-client-keypair"]["outputs"]["spki"]
    client = acme.stack.client("acme-owner")
    policy = World(client.space()).policy
    for slot in policy["slots"].values():
        slot["owner"] = own
    policy.update(name=name, parties={"authors": [own], "approvers": [], "runners": [own], "recipients": [receiver]})
    for place in ("authors", "approvers", "runners", "recipients", None):
        named = json.loads(json.dumps(policy))
        if place:
            named["parties"][place].append(stranger.spki)
        else:
            named["slots"]["output"]["owner"] = stranger.spki
        acme.file("policy.json").write_bytes(jcs(named))
        refused = acme.refused("peer.unpinned", 6, "run", "--plan", "parties.yml")
        assert stranger.spki in refused.stderr
    assert name not in [item["name"] for item in client.get("/v1/policies?page_size=200").json()["items"]]
    acme.run("peer", "add", "stranger", "--spki", stranger.spki)
    policy["parties"]["recipients"].append(stranger.spki)
    acme.file("policy.json").write_bytes(jcs(policy))
    acme.run("run", "--plan", "parties.yml")
    assert name in [item["name"] for item in client.get("/v1/policies?page_size=200").json()["items"]]


# --- spaces ---

@pytest.fixture
def pair(acme, globex):
    """Two owners with registered keys, who have compared them."""
    ours, theirs = acme.certificate(), globex.certificate()
    acme.run("peer", "add", "globex", "--spki", theirs)
    globex.run("peer", "add", "acme", "--spki", ours)
    return acme, globex


def test_two_tenants_share_a_space(pair):
    acme, globex = pair
    name = unique("study")
    space = acme.json("space", "create", name)[0]["id"]
    acme.run("space", "invite", name, "--to", "globex", "--key", "own.key", "--out", "invitation")
    joined = globex.json("space", "accept", str(acme.file("invitation")), "--key", "own.key")[0]
    assert (joined["id"], joined["by"]) == (space, "acme")
    for person, verdicts in ((acme, ["founder: ourselves", "globex, invited by ourselves"]),
                             (globex, ["founder", "ourselves, invited by acme"])):
        assert [line["papers"] for line in person.json("space", "show", name, "--key", "own.key")[1:]] == verdicts
    assert acme.json("space", "show", name)[2]["papers"] == "globex, invited by a key that is not pinned"
    assert name in globex.run("space", "list").stdout
    globex.run("space", "leave", name)
    globex.refused("client.not_found", 1, "space", "show", name)
    acme.run("space", "invite", name, "--to", "globex", "--key", "own.key", "--out", "second")
    globex.run("space", "accept", str(acme.file("second")), "--key", "own.key")
    acme.run("space", "remove", name, "--tenant", "globex")
    globex.refused("client.not_found", 1, "space", "show", name)


def test_space_is_for_pinned_keys_only(pair):
    acme, globex = pair
    name = unique("study")
    acme.run("space", "create", name)
    acme.refused("peer.unpinned", 6, "space", "invite", name, "--to", Key().spki, "--key", "own.key", "--out", "x")
    assert not acme.file("x").exists()
    acme.run("space", "invite", name, "--to", "globex", "--key", "own.key", "--out", "invitation")
    file = str(acme.file("invitation"))
    globex.certificate("other")
    globex.refused("client.wrong_key", 1, "space", "accept", file, "--key", "other.key")
    globex.run("peer", "remove", "acme")
    globex.refused("peer.unpinned", 6, "space", "accept", file, "--key", "own.key")
    altered = json.loads(acme.file("invitation").read_text())
    assert json.loads(from_b64url(altered["jws"]["payload"]))["name"] == name
    altered["jws"]["signature"] = altered["jws"]["signature"][:-8] + "AAAAAAAA"
    globex.file("altered").write_text(json.dumps(altered))
    globex.refused("trust.signature", 7, "space", "accept", "altered", "--key", "own.key")
    globex.refused("client.not_found", 1, "space", "show", name)


@pytest.mark.parametrize("paper", ["invitation", "acceptance"])
def test_papers_are_read_again(pair, paper):
    """The server may say that somebody is a member; it cannot show his papers."""
    acme, globex = pair
    name = unique("study")
    space = acme.json("space", "create", name)[0]["id"]
    acme.run("space", "invite", name, "--to", "globex", "--key", "own.key", "--out", "invitation")
    globex.run("space", "accept", str(acme.file("invitation")), "--key", "own.key")
    acme.stack.sql("UPDATE certreg.space_member SET acceptance = jsonb_set(acceptance::jsonb, %s, to_jsonb(repeat('A', 86)))"
                   " WHERE acceptance IS NOT NULL AND space_id = %s", f"{{{paper},jws,signature}}", space)
    assert acme.json("space", "show", name)[2]["papers"] == "PAPERS DO NOT HOLD: trust.signature"


# --- profiles, configure ---

def test_profiles(acme):
    acme.run("--profile", "second", "configure", "--url", acme.stack.url, "--ca", acme.stack.ca, "--key-file", "-",
             stdin=acme.stack.key("acme-data"))
    listed = acme.json("profile", "list")
    assert [(line["profile"], line["chosen"]) for line in listed] == [("default", True), ("second", False)]
    assert acme.json("profile", "show", "second")[0]["member"] == "data"
    acme.refused("profile.not_confirmed", 4, "profile", "remove", "second")
    acme.run("profile", "remove", "second", "--yes")
    assert [line["profile"] for line in acme.json("profile", "list")] == ["default"]
    acme.refused("profile.missing", 4, "profile", "remove", "second", "--yes")
    acme.refused("profile.name", 4, "profile", "remove", "../profiles", "--yes")


def test_bad_key_leaves_the_profile_alone(acme):
    before = {file.name: file.read_bytes() for file in acme.profile().iterdir()}
    acme.refused("profile.api_key", 4, "configure", "--url", "https://elsewhere.invalid", "--key-file", "-", stdin="sr_short")
    assert {file.name: file.read_bytes() for file in acme.profile().iterdir()} == before


def test_terminal_is_asked_and_does_not_show_the_key(people):
    person, key = people(), people().stack.key("acme-owner")
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(person.folder)
        os.execve(person.program, ["strongroom", "configure", "--url", person.stack.url, "--ca", person.stack.ca],
                  {**os.environ, "XDG_CONFIG_HOME": str(person.config)})
    seen = b""
    while b"API key" not in seen:
        assert select.select([fd], [], [], 60)[0], seen
        seen += os.read(fd, 4096)
    os.write(fd, key.encode() + b"\n")
    try:
        while chunk := os.read(fd, 4096):
            seen += chunk
    except OSError:  # the terminal's end
        pass
    assert os.waitpid(pid, 0)[1] == 0, seen
    assert b"tenant acme" in seen and key.encode() not in seen
    assert (person.profile() / "credentials").read_text() == key


# --- docs/identity.md ---

def test_page_works_as_printed(program, stack, tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/identity.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6
    done = subprocess.run(["bash", "-euo", "pipefail"], input="\n".join(blocks), text=True, cwd=tmp_path, capture_output=True,
                          timeout=120, check=False, env={
                              **os.environ, "PATH": f"{program.resolve().parent}:{os.environ['PATH']}",
                              "XDG_CONFIG_HOME": str(tmp_path / "config"), "URL": stack.url, "CA": stack.ca,
                              "OPERATOR_KEY": str(stack.folder / "credentials/system-operator.key")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ourselves, invited by anna" in done.stdout and "ben removed" in done.stdout
    profiles = tmp_path / "config/strongroom/profiles"
    assert sorted(folder.name for folder in profiles.iterdir()) == ["anna", "hugo", "operator"]
    secrets = [(folder / "credentials").read_text() for folder in profiles.iterdir()]
    assert not any(secret in done.stdout + done.stderr for secret in secrets)
