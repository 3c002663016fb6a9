# SPDX-License-Identifier: Apache-2.0
"""Datasets at the edge of a real stack: texts and labels, places, sealed credentials, shares."""
import base64
import json
import os
from urllib.parse import quote

import pytest

from local_stack import problem, unique
from spaces import acme, globex, space  # noqa: F401 (fixtures)
from trust import Key, b64url, digest, jcs, wrap

URL = "https://store.example:8443/bucket/rows.csv"
OBJECT = "obj_" + "0" * 32
SECRET = {"query_string": base64.b64encode(b"X-Signature=abc&X-Expires=60").decode(), "encryption": {"key": "0f" * 32}}


def dataset_of(**more):
    return {"name": unique("data"), "direction": "input", **more}


def placed(**more):
    return dataset_of(location={"url": URL}, **more)


def sealed(url=URL, key=None, secret=None, **header):
    key = key or Key("enc")
    return wrap(key, {"typ": "strongroom-credentials+jwe", "kid": key.thumbprint, "location": digest(url.encode()), **header},
                jcs(secret or SECRET))


def one(record):
    return f"/v1/datasets/{record['id']}"


def listed(client, query=""):
    ids, token = [], ""
    while token is not None:
        page = client.get(f"/v1/datasets?page_size=3{token}{query}").json()
        ids += [item["id"] for item in page["items"]]
        token = page["next_page_token"] and "&page_token=" + page["next_page_token"]
    assert ids == sorted(set(ids), reverse=True)
    return ids


# --- texts ---

MARKDOWN = "# Rows\n\n| a | b |\n|---|---|\n<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1))\n\u202e\U0001f9ea"


def test_descriptions_are_kept_as_they_are(owner):
    record = owner.made("/v1/datasets", dataset_of(description="Räume \u202e & <b>", long_description=MARKDOWN))
    shown = owner.get(one(record))
    assert shown.json()["long_description"] == MARKDOWN and shown.json()["description"] == "Räume \u202e & <b>"
    assert shown.headers["Content-Type"] == "application/json" and shown.headers["X-Content-Type-Options"] == "nosniff"
    line = next(item for item in owner.get("/v1/datasets").json()["items"] if item["id"] == record["id"])
    assert "long_description" not in line and line["description"] == record["description"]
    changed = owner.put(one(record), {"name": record["name"]}, record["etag"]).json()
    assert (changed["description"], changed["long_description"]) == (None, None)


@pytest.mark.parametrize("field, limit", [("description", 1024), ("long_description", 64 * 1024)])
def test_limits_of_texts(owner, field, limit):
    for length in (0, 1, limit):
        record = owner.made("/v1/datasets", dataset_of(**{field: "x" * length}))
        assert len(owner.get(one(record)).json()[field]) == length
    problem(owner.post("/v1/datasets", dataset_of(**{field: "x" * (limit + 1)})), 400, "json.invalid_fields")
    problem(owner.post("/v1/datasets", dataset_of(**{field: "ä" * (limit // 2 + 1)})), 400, "json.invalid_fields")
    problem(owner.post("/v1/datasets", dataset_of(**{field: "a\0b"})), 400, "json.syntax")
    problem(owner.post("/v1/datasets", dataset_of(**{field: 1})), 400, "json.invalid_fields")


def test_body_that_is_too_long(owner):
    problem(owner.post("/v1/datasets", dataset_of(long_description="x" * (256 * 1024))), 413, "request.body_too_large")


# --- labels ---

@pytest.mark.parametrize("name, value", [
    ("kind", "rows"), ("", None), ("Größe", "5 µm"), ("病名", "ぜんそく"), ("\U0001f9ea", "\U0001f469\u200d\U0001f52c"), ("e\u0301", "\u00e9"),
    ("\u202eabc", "a=b"), ("n" * 256, "v" * 256), ("'; --", "%_\\"), ("empty", "")])
def test_labels_of_any_script_find_their_datasets(owner, name, value):
    if value is None:
        problem(owner.post("/v1/datasets", dataset_of(labels={name: "x"})), 400, "label.invalid")
        return
    mark = unique("mark")
    made = [owner.made("/v1/datasets", dataset_of(labels={name: value, "mark": mark}))["id"] for _ in range(2)]
    other = owner.made("/v1/datasets", dataset_of(labels={name: value + "x" if len(value) < 256 else "x", "mark": mark}))["id"]
    query = "".join(f"&label={quote(pair, safe='')}" for pair in (f"{name}={value}", f"mark={mark}"))
    assert listed(owner, query) == made[::-1]
    assert set(listed(owner, f"&label=mark={mark}")) == {*made, other}
    record = owner.get(f"/v1/datasets/{made[0]}").json()
    assert record["labels"] == {name: value, "mark": mark}
    changed = owner.put(one(record), {"name": record["name"], "labels": {"mark": mark}}, record["etag"])
    assert changed.status_code == 200 and listed(owner, query) == made[1:]
    assert owner.delete(f"/v1/datasets/{made[1]}", '"r1"').status_code == 204
    assert listed(owner, query) == []


@pytest.mark.parametrize("labels", [
    {"a": 1}, {"a": None}, {"a": "x" * 257}, {"n" * 257: "x"}, {"a=b": "x"}, {"a\n": "x"}, {"a": "\x7f"}, {"a": "\t"}])
def test_labels_that_are_none(owner, labels):
    problem(owner.post("/v1/datasets", dataset_of(labels=labels)), 400, "label.invalid")


def test_number_of_labels(owner):
    labels = {f"l{i}": str(i) for i in range(64)}
    assert owner.made("/v1/datasets", dataset_of(labels=labels))["labels"] == labels
    problem(owner.post("/v1/datasets", dataset_of(labels={**labels, "more": "x"})), 400, "json.invalid_fields")
    problem(owner.get("/v1/datasets?label=x"), 400, "label.invalid")
    problem(owner.get("/v1/datasets?label==x"), 400, "label.invalid")


# --- places ---

def test_location_is_a_version(owner):
    record = owner.made("/v1/datasets", placed(digest=digest(b"1")))
    assert (record["version"], record["location"], record["digest"], record["object"]) == (1, {"url": URL}, digest(b"1"), None)
    same = owner.put(one(record), {"name": record["name"], "location": {"url": URL}, "digest": digest(b"1")}, record["etag"]).json()
    assert same["version"] == 1
    other = owner.put(one(record), {"name": record["name"], "location": {"url": URL + "2"}}, same["etag"]).json()
    assert (other["version"], other["location"], other["digest"]) == (2, {"url": URL + "2"}, None)
    kept = owner.put(one(record), {"name": record["name"]}, other["etag"]).json()
    assert (kept["version"], kept["location"]) == (2, {"url": URL + "2"})
    path = one(record) + "/versions"
    assert owner.made(path, {"object": OBJECT, "digest": digest(b"3"), "size": 3})["version"] == 3
    assert owner.made(path, {"location": {"url": "s3://bucket/key"}, "size": 4})["version"] == 4
    places = [(item["version"], item["object"], item["location"]) for item in owner.get(path).json()["items"]]
    assert places == [(4, None, {"url": "s3://bucket/key"}), (3, OBJECT, None), (2, None, {"url": URL + "2"}), (1, None, {"url": URL})]


@pytest.mark.parametrize("url", [
    "https://a.example/x", "http://a.example:1/x", "https://10.0.0.1/x", "https://[2001:db8::1]:8443/x", "s3://bucket/a/b",
    "https://a.example", "https://a.example/%C3%A4", "https://a.example/" + "x" * 2030])
def test_urls_that_are_places(owner, url):
    assert owner.made("/v1/datasets", dataset_of(location={"url": url}))["location"] == {"url": url}


@pytest.mark.parametrize("url, code", [
    ("ftp://a.example/x", "url.malformed"), ("https://u:p@a.example/x", "url.malformed"), ("https:/a.example", "url.malformed"),
    ("https://a.example/ä", "url.malformed"), ("https://a.example/x y", "url.malformed"), ("https://a.example/%zz", "url.malformed"),
    ("https://a.example\\@b.example/", "url.malformed"), ("https://a.example:0/", "url.malformed"), ("https://a.example:99999/", "url.malformed"),
    ("https:///x", "url.malformed"), ("HTTPS://a.example/x#y", "url.malformed"), ("https://a.example/x#y", "url.malformed"),
    ("javascript:alert(1)", "url.malformed"), ("https://a..example/", "url.malformed"), ("https://[::1/", "url.malformed"),
    ("https://a.example/" + "x" * 2031, "url.malformed"), ("", "url.malformed"),
    ("https://a.example/x?sig=1", "dataset.bad_location"), ("s3://bucket", "dataset.bad_location"), ("s3://bucket/", "dataset.bad_location"),
    (None, "dataset.bad_location"), (1, "dataset.bad_location")])
def test_urls_that_are_no_places(owner, url, code):
    problem(owner.post("/v1/datasets", dataset_of(location={"url": url})), 400, code)


def test_what_belongs_to_a_place(owner):
    problem(owner.post("/v1/datasets", dataset_of(digest=digest(b"1"))), 400, "dataset.no_location")
    problem(owner.post("/v1/datasets", dataset_of(credentials=sealed())), 400, "dataset.no_location")
    problem(owner.post("/v1/datasets", dataset_of(location={"url": URL, "query_string": "x"})), 400, "json.invalid_fields")
    record = owner.made("/v1/datasets", dataset_of())
    for body in ({}, {"object": OBJECT}, {"object": OBJECT, "digest": digest(b"1")}, {"object": OBJECT, "location": {"url": URL}, "size": 1}):
        problem(owner.post(one(record) + "/versions", body), 400, "dataset.bad_object")
    problem(owner.put(one(record) + "/credentials", {"credentials": sealed()}, record["etag"]), 422, "dataset.no_location")


# --- credentials ---

def test_credentials_are_their_owners(stack, owner, stranger):
    first = sealed()
    record = owner.made("/v1/datasets", placed(credentials=first))
    path = one(record) + "/credentials"
    assert record["credentials_version"] == 1 and "credentials" not in record
    kept = owner.get(path).json()
    assert (kept["version"], kept["credentials"]) == (1, first)
    second = sealed(secret={"query_string": None, "encryption": {"key": "00" * 32}})
    problem(owner.put(path, {"credentials": second}), 428, "resource.if_match_missing")
    problem(owner.put(path, {"credentials": second}, '"r9"'), 412, "resource.changed")
    changed = owner.put(path, {"credentials": second}, record["etag"]).json()
    assert changed["credentials_version"] == 2 and changed["etag"] != record["etag"]
    assert owner.get(path).json()["credentials"] == second
    assert owner.get(path + "?version=1").json()["credentials"] == first
    for query in ("?version=3", "?version=0"):
        problem(owner.get(path + query), 404, "credentials.not_found")
    problem(owner.get(path + "?version=x"), 400, "credentials.bad_version")
    problem(stranger.get(path), 404, "credentials.not_found")
    problem(stranger.put(path, {"credentials": second}, "*"), 404, "dataset.not_found")
    problem(stack.client("acme-audit").get(path), 403, "auth.role_missing")
    assert owner.delete(one(record), changed["etag"]).status_code == 204
    problem(owner.get(path), 404, "credentials.not_found")
    assert stack.sql(f"SELECT count(*) FROM policy.dataset_credentials WHERE dataset_id = '{record['id']}'") == [(0,)]


def test_what_is_sealed_is_nowhere_in_clear(stack, owner):
    mark = b64url(os.urandom(24))
    secret = {"query_string": base64.b64encode(f"sig={mark}".encode()).decode(), "encryption": None}
    record = owner.made("/v1/datasets", placed(credentials=sealed(secret=secret)))
    dump = json.dumps([str(stack.sql(f"SELECT * FROM policy.{table}")) for table in ("dataset", "dataset_version", "dataset_credentials")])
    assert record["id"] in dump and mark not in dump and secret["query_string"] not in dump


@pytest.mark.parametrize("change, status, code", [
    ({"typ": "strongroom-grant+jwe"}, 400, "credentials.invalid"), ({"location": digest(b"other")}, 422, "credentials.wrong_location"),
    ({"location": "x"}, 400, "credentials.invalid"), ({"kid": "x"}, 400, "credentials.invalid"), ({"zip": "DEF"}, 400, "credentials.invalid"),
    ({"jku": "https://a.example"}, 400, "credentials.invalid")])
def test_form_of_the_header(owner, change, status, code):
    problem(owner.post("/v1/datasets", placed(credentials=sealed(**change))), status, code)


@pytest.mark.parametrize("change", [
    {"tag": 1}, {"more": "x"}, {"header": {}}, {"protected": "!"}, {"protected": ""}, {"ciphertext": "x" * 40000}, {"tag": None}])
def test_form_of_the_jwe(owner, change):
    problem(owner.post("/v1/datasets", placed(credentials={**sealed(), **change})), 400, "credentials.invalid")


def test_plain_credentials_are_refused(owner):
    problem(owner.post("/v1/datasets", placed(credentials=SECRET)), 400, "credentials.invalid")


# --- shares ---

def test_a_share_shows_all_but_the_credentials(acme, globex, space, stranger):
    record = acme.client.made("/v1/datasets", placed(credentials=sealed(), labels={"kind": unique("k")}, long_description="# x"))
    hidden = acme.client.made("/v1/datasets", placed(credentials=sealed()))
    path = one(record)
    problem(globex.client.get(path), 404, "dataset.not_found")
    made = acme.client.post(path + "/shares", {"space": space})
    assert made.status_code == 201, made.text
    share = made.json()
    assert (share["object"], share["space"]) == (record["id"], space)
    assert made.headers["Location"] == f"{path}/shares/{share['id']}"

    shown = globex.client.get(path)
    assert shown.status_code == 200 and shown.json() == acme.client.get(path).json()
    assert globex.client.get(path + "/versions").json()["items"] == acme.client.get(path + "/versions").json()["items"] != []
    label = f"&label=kind={record['labels']['kind']}"
    for query in ("", f"&space={space}", label, label + f"&space={space}"):
        ids = listed(globex.client, query)
        assert record["id"] in ids and hidden["id"] not in ids, query
        assert record["id"] in listed(acme.client, query), query
    problem(globex.client.get(path + "/credentials"), 404, "credentials.not_found")

    for answer in (globex.client.put(path, {"name": "mine"}, "*"), globex.client.delete(path, "*"), globex.client.get(path + "/shares"),
                   globex.client.post(path + "/shares", {"space": space}), globex.client.delete(f"{path}/shares/{share['id']}"),
                   globex.client.put(path + "/credentials", {"credentials": sealed()}, "*"),
                   globex.client.post(path + "/versions", {"location": {"url": URL}})):
        assert answer.status_code == 404, answer.text

    problem(acme.client.post(path + "/shares", {"space": space}), 409, "share.exists")
    assert [item["id"] for item in acme.client.get(path + "/shares").json()["items"]] == [share["id"]]
    assert acme.client.delete(f"{path}/shares/{share['id']}").status_code == 204
    problem(acme.client.delete(f"{path}/shares/{share['id']}"), 404, "share.not_found")
    problem(globex.client.get(path), 404, "dataset.not_found")
    problem(globex.client.get(path + "/versions"), 404, "dataset.not_found")
    assert record["id"] not in listed(globex.client) + listed(globex.client, f"&space={space}") + listed(globex.client, label)
    assert acme.client.post(path + "/shares", {"space": space}).status_code == 201


def test_shares_of_what_is_gone_and_of_spaces_of_others(acme, globex, space):
    record = acme.client.made("/v1/datasets", dataset_of())
    path = one(record)
    for other in (globex.tenant["space"], "spc_" + "0" * 32, "x"):
        problem(acme.client.post(path + "/shares", {"space": other}), 422, "share.wrong_space")
        problem(acme.client.get(f"/v1/datasets?space={other}"), 422, "dataset.wrong_space")
    share = acme.client.made(path + "/shares", {"space": space})
    assert globex.client.get(path).status_code == 200
    assert acme.client.delete(path, record["etag"]).status_code == 204
    problem(globex.client.get(path), 404, "dataset.not_found")
    assert record["id"] not in listed(globex.client, f"&space={space}")
    problem(acme.client.delete(f"{path}/shares/{share['id']}"), 404, "share.not_found")
    problem(acme.client.post("/v1/datasets/dst_" + "0" * 32 + "/shares", {"space": space}), 404, "dataset.not_found")


def test_share_under_a_key_is_made_once(acme, space):
    record, key = acme.client.made("/v1/datasets", dataset_of()), unique("key")
    first, again = (acme.client.post(one(record) + "/shares", {"space": space}, key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200) and first.json() == again.json()
    other = acme.client.made("/v1/datasets", dataset_of())
    problem(acme.client.post(one(other) + "/shares", {"space": space}, key), 422, "idempotency.mismatch")


# --- two editors ---

def test_second_editor_is_told(owner):
    record = owner.made("/v1/datasets", placed(description="first"))
    a, b = ({"name": record["name"], "description": text} for text in ("a", "b"))
    assert owner.put(one(record), a, record["etag"]).status_code == 200
    problem(owner.put(one(record), b, record["etag"]), 412, "resource.changed")
    assert owner.get(one(record)).json()["description"] == "a"
