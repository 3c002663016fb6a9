# SPDX-License-Identifier: Apache-2.0
"""A log whose rows were altered, dropped or moved behind certreg's back, as the database's superuser, is found out."""
import json

import pytest

import merkle
from audit_kit import checkpoint_of, export_of, is_refused, new_api_key, records, settled, verify
from certreg_stack import certreg_process
from conftest import short_folder


@pytest.fixture(params=["alter", "drop", "reorder", "alter with its hash"])
def touched(request, postgres, redis):
    """A log whose rows were touched: (export, code, what names the first one)."""
    with short_folder("sr-aud-") as folder, certreg_process(folder, postgres, redis) as own:
        client = own.client("acme-owner")
        made = [new_api_key(client, f"touched-{i}")["id"] for i in range(4)]
        settled(own)
        leaf = {item["record"]["on"]: item["index"] for item in records(client, action="key.create") if item["record"]["on"] in made}
        first, second = sorted(leaf[key] for key in made[1:3])
        if request.param == "alter":
            postgres.sql(f"UPDATE certreg.audit_record SET record = replace(record, 'key.create', 'key.rename') WHERE leaf = {first}")
            expected = "log.record_altered", f"leaf {first} is the first"
        elif request.param == "drop":
            seq = postgres.sql(f"DELETE FROM certreg.audit_record WHERE leaf = {first} RETURNING seq")[0][0]
            expected = "log.record_missing", f"record {seq} of the tenant is the first"
        elif request.param == "reorder":
            postgres.sql(f"UPDATE certreg.audit_record SET leaf = -1 WHERE leaf = {first};"
                         f"UPDATE certreg.audit_record SET leaf = {first} WHERE leaf = {second};"
                         f"UPDATE certreg.audit_record SET leaf = {second} WHERE leaf = -1")
            expected = "log.record_altered", f"leaf {first} is the first"
        else:
            row = postgres.sql(f"SELECT record, salt FROM certreg.audit_record WHERE leaf = {first}")[0]
            record = json.loads(row[0].replace("key.create", "key.rename"))
            postgres.sql("UPDATE certreg.audit_record SET record = replace(record, 'key.create', 'key.rename') WHERE leaf = %s", first)
            postgres.sql("UPDATE certreg.audit_node SET hash = decode(%s, 'hex') WHERE level = 0 AND place = %s",
                         merkle.record_hash(record, row[1]).hex(), first)
            expected = "log.wrong_root", "the leaves "
        yield export_of(client), *expected


def test_touched_database_is_found_out(touched, tmp_path):
    lines, code, first = touched
    assert is_refused(verify(tmp_path, lines), code, first)


def test_rewritten_log_is_found_by_a_kept_checkpoint(postgres, redis, tmp_path):
    with short_folder("sr-aud-") as folder, certreg_process(folder, postgres, redis) as own:
        client = own.client("acme-owner")
        new_api_key(client, "what happened")
        kept = settled(own)
        own.stop()
        postgres.sql("TRUNCATE certreg.audit_record, certreg.audit_node, certreg.audit_count, certreg.audit_head CASCADE")
        own.start()  # a new tree by the right key, and every signature in it is good
        client = own.client("acme-owner")
        while checkpoint_of(own).size <= kept.size:
            new_api_key(client, "what did not")
            settled(own)
        lines = export_of(client)
    assert verify(tmp_path, lines).returncode == 0, "by itself it looks well"
    (tmp_path / "checkpoint").write_text(kept.note)
    done = verify(tmp_path, lines, "--checkpoint", tmp_path / "checkpoint", "--log-key", lines[0]["key"])
    assert is_refused(done, "log.inconsistent")
