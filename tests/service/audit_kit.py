# SPDX-License-Identifier: Apache-2.0
"""Reading the audit log in tests of certreg."""
import json
import subprocess

import merkle
from conftest import BUILD, wait_for

def export_of(client):
    answer = client.get("/v1/audit/export")
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.decode().splitlines()]


def checkpoint_of(certreg):
    answer = certreg.ask("GET", "/v1/audit/checkpoint")
    assert answer.status == 200, answer.body
    return merkle.Head(answer.body.decode())


def records(client, **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    answer = client.get(f"/v1/audit/records?page_size=200&{query}")
    assert answer.status == 200, answer.body
    return answer.json["items"]


def all_records(client, **filters):
    """Over all pages."""
    query, found, token = "&".join(f"{name}={value}" for name, value in filters.items()), [], ""
    while token is not None:
        page = client.get(f"/v1/audit/records?page_size=200&{query}&page_token={token}").json
        found, token = found + page["items"], page["next_page_token"]
    return found


def record_of(client, **filters):
    """The newest record of that kind, when it is in the log."""
    wait_for(lambda: records(client, **filters), f"a record with {filters}")
    return records(client, **filters)[0]["record"]


def settled(certreg):
    """The head when nothing is on its way any more."""
    def empty():
        return certreg.postgres.sql("SELECT count(*) FROM certreg.audit_outbox")[0][0] == 0
    wait_for(empty, "the outbox is taken over")
    return checkpoint_of(certreg)


def check_export(lines, folder):
    """Every leaf in order, every head signed and the root of what is before it; (leaves, own records, heads)."""
    first, *middle, last = lines
    leaves, own, heads = [], [], []
    for line in middle:
        if "head" in line:
            head = merkle.Head(line["head"])
            assert head.size == len(leaves) and head.root == merkle.root_of(leaves)
            assert head.origin == first["origin"] and head.signed_by(first["key"], folder)
            heads.append(head)
            continue
        assert line["leaf"] == len(leaves)
        if "record" in line:
            assert merkle.record_hash(line["record"], line["salt"]).hex() == line["hash"]
            assert line["record"]["tenant"] == first["tenant"]
            own.append(line["record"])
            assert line["record"]["seq"] == len(own)
        leaves.append(bytes.fromhex(line["hash"]))
    assert last["end"] == {"size": len(leaves), "records": len(own)}
    return leaves, own, heads


def new_api_key(client, name):
    answer = client.post("/v1/keys", {"name": name, "hash": "sha256:" + 64 * "7"})
    assert answer.status == 201, answer.body
    return answer.json


def verify(folder, lines, *arguments):
    file = folder / "log.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return subprocess.run([BUILD / "bin/strongroom", "--json", "audit", "verify", file, *arguments], capture_output=True,
                          text=True, timeout=60, env={"XDG_CONFIG_HOME": str(folder)})


def is_refused(done, code, text=""):
    assert done.returncode == 7, done.stdout + done.stderr
    assert code in done.stdout + done.stderr and text in done.stdout + done.stderr, done.stdout + done.stderr
    return True
