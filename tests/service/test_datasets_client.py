# SPDX-License-Identifier: Apache-2.0
"""Datasets through the client: places, sealed credentials, shares; what is secret stays in files and standard input."""
import base64
import json
import os

import pytest

from local_stack import BUILD, LocalStack, unique
from test_client_identity import Person

URL = "https://store.example:8443/bucket/rows.csv"
QUERY = "X-Amz-Signature=" + "ab" * 40 + "&X-Amz-Security-Token=" + "T" * 1500
KEY = "0f" * 32


@pytest.fixture(scope="module")
def stack():
    with LocalStack(["postgres", "redis", "certreg", "policy", "edge"]) as running:
        yield running


@pytest.fixture
def person(stack, tmp_path):
    return Person(BUILD / "bin/strongroom", stack, tmp_path / "person", "acme-owner")


@pytest.fixture
def placed(person):
    name = unique("data")
    person.run("dataset", "create", name, "--location", URL)
    return name


def shown(person, name):
    return person.json("dataset", "show", name)[0]


def test_record_from_the_command_line(person):
    name = unique("data")
    person.file("long.md").write_text("# Räume\n<script>")
    made, = person.json("dataset", "create", name, "--direction", "output", "--description", "one line", "--long-description", "long.md",
                        "--labels", "größe=5 µm,a=b=c", "--location", URL, "--digest", "sha256:" + "a" * 64)
    record = shown(person, name)
    assert record == {**made, "time": record["time"]} and record["long_description"] == "# Räume\n<script>"
    assert record["labels"] == {"größe": "5 µm", "a": "b=c"} and record["location"] == {"url": URL} and record["direction"] == "output"
    person.run("dataset", "update", name, "--description", "another", "--location", URL + "2")
    changed = shown(person, name)
    assert (changed["description"], changed["version"], changed["digest"]) == ("another", 2, None)
    assert changed["long_description"] == record["long_description"] and changed["labels"] == record["labels"]
    assert [line.split()[0] for line in person.run("dataset", "versions", name).stdout.splitlines()] == ["2", "1"]
    person.run("dataset", "update", name, "--name", name + "-2", "--labels", "a=z")
    again = shown(person, name + "-2")
    assert (again["labels"], again["version"], again["location"]) == ({"a": "z"}, 2, {"url": URL + "2"})
    person.run("dataset", "delete", name + "-2")
    person.refused("client.not_found", 1, "dataset", "show", name + "-2")


def test_lists_by_label(person):
    mark = unique("mark")
    names = [unique("data") for _ in range(3)]
    for name, kind in zip(names, ("a & b", "a & b", "c")):
        person.run("dataset", "create", name, "--labels", f"kind={kind},mark={mark}")
    lines = person.run("dataset", "list", "--labels", f"kind=a & b,mark={mark}").stdout.splitlines()
    assert [line.split()[1] for line in lines] == names[1::-1]
    assert [one["name"] for one in person.json("dataset", "list", "--labels", f"mark={mark}")] == names[::-1]


def test_a_text_that_looks_like_more_lines(person):
    """Others' datasets are in one's lists, with the words that they chose."""
    name = unique("data")
    person.run("dataset", "create", name, "--description", "mine\nFORGED\u202e\u2028\x1b[2K\rFORGED")
    line, = (line for line in person.run("dataset", "list").stdout.splitlines() if "FORGED" in line)
    assert name in line and line.rstrip().endswith("mine?FORGED???????[2K?FORGED"), line


def test_with_a_projection(person):
    name = unique("view")
    person.run("projection", "create", "--name", name, "--columns", "A,B")
    made, = person.json("dataset", "create", unique("data"), "--projection", name)
    assert made["projection"].startswith("prj_")


def test_credentials_are_sealed_here(person, placed):
    person.file("query").write_text("?" + QUERY + "\n")
    done = person.run("dataset", "credentials", placed, "--query-file", "query", "--key-file", "-", stdin=KEY + "\n")
    assert done.stdout.split()[1:] == ["credentials", "1"]
    record = shown(person, placed)
    rows = str(person.stack.sql("SELECT jwe FROM policy.dataset_credentials WHERE dataset_id = %s", record["id"]))
    encoded = base64.b64encode(QUERY.encode()).decode()
    for text in (QUERY, encoded, KEY):
        assert text not in rows + done.stdout + done.stderr
    person.run("dataset", "credentials", placed, "--out", "opened")
    assert os.stat(person.file("opened")).st_mode & 0o777 == 0o600
    assert json.loads(person.file("opened").read_text()) == {"query_string": encoded, "encryption": {"key": KEY}}
    person.refused("secret.file_exists", 1, "dataset", "credentials", placed, "--out", "opened")


def test_rotation_and_a_new_key(person, placed):
    keys = set()
    for number in ("1", "2"):
        assert person.run("dataset", "credentials", placed, "--new-key").stdout.split()[-1] == number
        secret = json.loads(person.run("dataset", "credentials", placed, "--stdout").stdout)
        assert secret["query_string"] is None
        keys.add(secret["encryption"]["key"])
    assert len(keys) == 2


def test_another_location_needs_other_credentials(person, placed):
    person.run("dataset", "credentials", placed, "--new-key")
    said = person.run("dataset", "update", placed, "--location", URL + "2")
    assert "strongroom dataset credentials" in said.stderr + said.stdout
    person.refused("credentials.wrong_location", 1, "dataset", "credentials", placed, "--stdout")


def test_a_server_that_hands_out_anothers_credentials(person, placed):
    other = unique("data")
    person.run("dataset", "create", other, "--location", "https://evil.example/x")
    for name in (placed, other):
        person.run("dataset", "credentials", name, "--new-key")
    ids = [shown(person, name)["id"] for name in (placed, other)]
    person.stack.sql("UPDATE policy.dataset_credentials SET jwe = (SELECT jwe FROM policy.dataset_credentials WHERE dataset_id = %s)"
                     " WHERE dataset_id = %s", *ids)
    person.refused("credentials.wrong_location", 1, "dataset", "credentials", other, "--stdout")


def test_another_profile_cannot_open_them(stack, tmp_path, person, placed):
    person.run("dataset", "credentials", placed, "--new-key")
    colleague = Person(BUILD / "bin/strongroom", stack, tmp_path / "colleague", "acme-data")
    colleague.refused("credentials.open", 1, "dataset", "credentials", placed, "--stdout")


@pytest.mark.parametrize("options, stdin, code, status", [
    ([], "", "usage.arguments", 2), (["--key-file", "-", "--new-key"], "", "usage.option", 2),
    (["--query-file", "-", "--key-file", "-"], "x", "usage.option", 2), (["--key-file", "-"], "0F" * 32, "credentials.bad_secret", 1),
    (["--key-file", "-"], "0f" * 31, "credentials.bad_secret", 1), (["--key-file", "-"], "", "secret.interrupted", 1),
    (["--query-file", "-"], "a|b", "credentials.bad_secret", 1), (["--query-file", "-"], "?", "credentials.bad_secret", 1)])
def test_secrets_that_are_none(person, placed, options, stdin, code, status):
    person.refused(code, status, "dataset", "credentials", placed, *options, stdin=stdin)
    assert shown(person, placed)["credentials_version"] == 0


def test_a_query_string_does_not_leave_in_clear(person):
    said = person.refused("dataset.bad_location", 1, "dataset", "create", unique("data"), "--location", URL + "?sig=secret")
    assert "which seals it" in said.stderr and "req_" not in said.stderr  # the client's words: no request was made
    assert "sig=secret" not in said.stdout + said.stderr


def test_no_credentials_for_our_own_store(person):
    name = unique("data")
    person.run("dataset", "create", name)
    person.refused("dataset.no_location", 1, "dataset", "credentials", name, "--new-key")


def test_description_from_where_nobody_is_asked(person):
    name = unique("data")
    person.refused("url.refused", 1, "dataset", "create", name, "--description-url", "https://localhost/readme.md")
    person.refused("url.malformed", 1, "dataset", "update", name, "--description-url", "file:///etc/passwd")
    assert shown(person, name)["long_description"] is None


def test_shared_and_taken_back(person, placed):
    space = unique("space")
    person.run("space", "create", space)
    share = person.run("dataset", "share", placed, "--space", space).stdout.strip()
    assert share in person.run("dataset", "shares", placed).stdout
    assert [one["name"] for one in person.json("dataset", "list", "--space", space)] == [placed]
    person.refused("share.exists", 1, "dataset", "share", placed, "--space", space)
    assert person.run("dataset", "unshare", placed, "--space", space).stdout == f"{share} deleted\n"
    person.refused("client.not_found", 1, "dataset", "unshare", placed, "--space", space)
    person.refused("usage.arguments", 2, "dataset", "share", placed)


def test_projection_is_changed_and_shared(person):
    name, space = unique("view"), unique("space")
    made, = person.json("projection", "create", "--name", name, "--columns", "A,B", "--filter", "A=x&B>=3", "--minimum-rows", "5",
                        "--members", "data")
    assert len(made["members"]) == 1 and len(made["filter"]) == 2
    person.run("projection", "update", name, "--columns", "B")
    changed, = person.json("projection", "show", name)
    assert {part: changed[part] for part in ("filter", "minimum_rows", "members")} == {part: made[part] for part in ("filter", "minimum_rows", "members")}
    assert changed["columns"] == ["B"]
    person.run("projection", "update", made["id"], "--members", "all", "--filter", "")
    opened, = person.json("projection", "show", name)
    assert (opened["members"], opened["filter"], opened["minimum_rows"]) == (None, [], 5)
    person.refused("client.not_found", 1, "projection", "update", name, "--members", "nobody")
    person.run("space", "create", space)
    share = person.run("projection", "share", name, "--space", space).stdout.strip()
    assert person.run("projection", "unshare", name, "--space", space).stdout == f"{share} deleted\n"
    person.run("projection", "delete", name)
    person.refused("client.not_found", 1, "projection", "show", name)


# --- what becomes a part of a slot's and a file's name ---

def offer(person, name, *more):
    person.run("dataset", "credentials", name, "--new-key")
    person.certificate()
    return ("offer", "--dataset", shown(person, name)["id"], "--key", "own.key", *more)


def written(person):
    return [path for path in person.folder.parent.rglob("*openings*")]


def test_an_offer_of_what_a_lying_server_calls_so(person, placed):
    """Its operator writes what he likes into the record: no file is written by it, and nothing falls over."""
    command = offer(person, placed)
    dataset = command[2]
    person.stack.sql("UPDATE policy.dataset SET name = %s WHERE id = %s", "x/../../../openings", dataset)
    person.refused("usage.option", 2, *command)
    person.refused("usage.option", 2, *command, "--name", "../x")
    assert not written(person)
    person.run(*command, "--name", "drugs")
    assert json.loads(person.file("offer.json").read_text())["inputs"][0]["slot"] == "credentials/input/drugs"
    person.stack.sql("ALTER TABLE policy.dataset DROP CONSTRAINT dataset_direction_check")
    person.stack.sql("UPDATE policy.dataset SET direction = 'in/../../put' WHERE id = %s", dataset)
    person.refused("upstream.answer", 9, *command, "--name", "other")
    assert len(written(person)) == 1


def test_a_record_whose_id_is_none(person):
    name = unique("data")
    made, = person.json("dataset", "create", name)
    person.stack.sql("UPDATE policy.dataset SET id = '../../' || id WHERE id = %s", made["id"])
    person.refused("upstream.answer", 9, "dataset", "credentials", name, "--new-key")
