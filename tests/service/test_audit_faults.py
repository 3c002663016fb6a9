# SPDX-License-Identifier: Apache-2.0
"""The audit log when processes, sessions and rows die: each record once, in a tree that every head ever shown fits."""
import contextlib
import hashlib
import json
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2

import merkle
from audit_kit import all_records, check_export, checkpoint_of, export_of, new_api_key, records, settled
from certreg_stack import certreg_process, is_problem
from conftest import short_folder, wait_for

ZERO = "tnt_" + 32 * "0"


def test_refusals_are_recorded_ten_times_then_counted(postgres, redis):
    with short_folder("sr-aud-") as folder, certreg_process(folder, postgres, redis) as own:
        algo = own.client("acme-algo", scope="read")
        for _ in range(14):
            assert is_problem(algo.post("/v1/keys", {"name": "no", "hash": "sha256:" + 64 * "7"}), 403, "auth.scope_missing")
        for _ in range(3):
            assert own.token_answer(own.key("acme-owner")[:-4] + "AAAA").status == 401
        own.stop()  # a clean stop tells what was only counted
        own.start()
        reader = own.client("acme-owner")
        settled(own)
        told = [item["record"] for item in records(reader, outcome="denied")]
        assert sorted(record["count"] for record in told) == [1] * 10 + [4]
        assert {record["who"]["sub"] for record in told} == {algo.claims["sub"]}
        assert {record["code"] for record in told} == {"auth.scope_missing"}
        assert {record["on"] for record in told if record["count"] == 1} == {"POST /v1/keys"}
        operator = [item["record"] for item in records(own.client("system-operator"), action="request.refuse")]
        assert [(record["code"], record["count"]) for record in operator] == [("auth.invalid_client", 3)]
        unknown = [json.loads(row[0]) for row in own.postgres.sql(
            f"SELECT record FROM certreg.audit_record WHERE tenant_id = '{ZERO}' AND code = 'auth.invalid_client'")]
        assert [(record["who"], record["count"]) for record in unknown] == [(None, 3)]


def test_noise_of_a_tenant_takes_no_record_of_others(postgres, redis):
    """520 kinds of acts of one tenant: what is beyond its share is counted without a subject, others' are told as ever."""
    with short_folder("sr-aud-") as folder, certreg_process(folder, postgres, redis) as own:
        loud = own.client("acme-owner")
        for number in range(104):
            digits, secret = f"{number:012x}7{number:03x}8{number:015x}", secrets.token_urlsafe(32)
            text = f"sr_{digits}_{secret}"
            hashed = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
            assert loud.post("/v1/keys", {"id": f"key_{digits}", "name": "loud", "hash": hashed}).status == 201
            for audience in ("certreg", "policy", "provisioner", "registry-gw", "orchestrator"):
                assert own.token_answer(text, audience=audience).status == 200
        other = own.client("globex-owner", audience="policy")
        settled(own)
        one = [item["record"] for item in all_records(loud, action="token.issue")]
        assert 500 < len(one) <= 512 and {record["count"] for record in one} == {1}
        assert [item["record"]["who"]["sub"] for item in records(
            own.client("globex-owner"), action="token.issue", on="policy")] == [other.claims["sub"]]
        own.stop()
        own.start()
        reader = own.client("acme-owner")
        settled(own)
        rest = [item["record"] for item in records(reader, action="token.issue") if not item["record"]["who"]]
        assert [record["on"] for record in rest] == [None] and rest[0]["count"] + len(one) >= 520


def test_each_record_once_whatever_dies(postgres, redis, tmp_path):
    with short_folder("sr-aud-") as folder, certreg_process(folder, postgres, redis) as own:
        made, heads, ending = [], [], threading.Event()
        lines = iter(range(10 ** 6))

        def work():
            while not ending.is_set():
                name = f"made-{next(lines)}"
                with contextlib.suppress(OSError, AssertionError, KeyError, ValueError):
                    made.append(new_api_key(own.client("acme-owner"), name)["id"])

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for kill in range(4):
                before = len(made)
                wait_for(lambda: len(made) >= before + 5, "keys are made")
                heads.append(checkpoint_of(own))
                own.kill()
                if kill == 1:
                    redis.ask("FLUSHALL")
                if kill == 2:
                    postgres.restart()
                own.start()
        finally:
            ending.set()
            worker.join()
        heads.append(settled(own))
        leaves, records_, _ = check_export(export_of(own.client("acme-owner")), tmp_path)
        created = [record["on"] for record in records_ if record["action"] == "key.create"]
        assert len(created) == len(set(created)) and set(made) <= set(created)
        rows = {row[0] for row in own.postgres.sql("SELECT id FROM certreg.api_key")}
        assert set(created) <= rows, "no record of a key that was never made"
        for head in heads:
            assert head.root == merkle.root_of(leaves[:head.size]), "every head that was shown is of this log"


def test_damaged_log_is_not_continued(postgres, redis):
    with short_folder("sr-aud-") as folder, certreg_process(folder, postgres, redis) as own:
        new_api_key(own.client("acme-owner"), "before")
        head = settled(own)
        postgres.sql("UPDATE certreg.audit_node SET hash = decode(repeat('00', 32), 'hex')")
        new_api_key(own.client("acme-owner"), "after")
        wait_for(lambda: "audit.damaged" in own.log.read_text(), "certreg sees it")
        assert checkpoint_of(own).note == head.note
        own.stop()
        own.log.write_text("")
        own.start()
        assert "audit.damaged" in own.log.read_text()


def test_a_tenant_has_one_export_at_a_time(postgres, redis):
    """What an export reads is locked, so that those of two tenants wait in the database, beside each other."""
    with short_folder("sr-aud-") as folder, certreg_process(folder, postgres, redis) as own, ThreadPoolExecutor() as pool:
        acme, globex = own.client("acme-owner"), own.client("globex-owner")
        settled(own)
        lock = psycopg2.connect(own.postgres.conninfo("postgres"))

        def waiting():
            return own.postgres.sql("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock' "
                                    "AND relation = 'certreg.audit_count'::regclass")[0][0]
        try:
            lock.cursor().execute("LOCK TABLE certreg.audit_count IN ACCESS EXCLUSIVE MODE")
            exports = [pool.submit(acme.get, "/v1/audit/export")]
            wait_for(lambda: waiting() == 1, "the first export is being made")
            refused = [acme.get("/v1/audit/export") for _ in range(20)]
            assert all(is_problem(answer, 429, "audit.export_running") for answer in refused)
            exports.append(pool.submit(globex.get, "/v1/audit/export"))
            wait_for(lambda: waiting() == 2, "another tenant's export is being made")
        finally:
            lock.close()
        assert [export.result().status for export in exports] == [200, 200]
        assert export_of(acme)
