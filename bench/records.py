# SPDX-License-Identifier: Apache-2.0
"""A page of a list of the policy service: of many rows beside few."""
import time

import requests

from figures import RUNS, Table, median
from read import PORT, second_service, wait_for

FEW, MANY, PAGES = 1000, 1_000_000, 200


def fill(stack, tenant, space, count, prefix):
    """Rows as the service makes them, at once."""
    stack.sql(f"""INSERT INTO policy.projection (tenant_id, space_id, id, name, columns, filter, minimum_rows, created_by)
        SELECT '{tenant}', '{space}', 'prj_' || lpad(to_hex(n), 32, '0'), '{prefix}' || n, '["A"]', '[]', 0, 'mbr_bench'
        FROM generate_series(1, {count}) n""")
    stack.sql(f"""INSERT INTO policy.dataset (tenant_id, space_id, id, name, direction, labels, created_by)
        SELECT '{tenant}', '{space}', 'dst_' || lpad(to_hex(n), 32, '0'), '{prefix}' || n, 'input', '{{}}', 'mbr_bench'
        FROM generate_series(1, {count}) n""")
    stack.sql("ANALYZE policy.projection; ANALYZE policy.dataset")


def milliseconds(session, path, token):
    """Of one page, the median of many on one connection."""
    taken = []
    for _ in range(PAGES):
        begin = time.perf_counter()
        answer = session.get(f"http://127.0.0.1:{PORT}{path}", headers={"Authorization": f"Bearer {token}"})
        taken.append((time.perf_counter() - begin) * 1e3)
        assert answer.status_code == 200 and len(answer.json()["items"]) == 50
    return median(taken)


def pages(bench, table):
    few, many = bench.stack.client("acme-owner"), bench.stack.client("globex-owner")
    for client, count, prefix in ((few, FEW, "few"), (many, MANY, "many")):
        tenant = client.get("/v1/tenants/self").json()
        fill(bench.stack, tenant["id"], tenant["space"], count, prefix)
    session = requests.Session()
    session.trust_env = False
    for kind in "datasets", "projections":
        path, rounds = f"/v1/{kind}?page_size=50", []
        for _ in range(RUNS):
            rounds.append([milliseconds(session, path, client.token("policy")) for client in (few, many)])
        table.add(f"50 of {FEW:,} {kind}", f"{median([one for one, _ in rounds]):.2f} ms")
        table.add(f"50 of {MANY:,} {kind}", f"{median([other for _, other in rounds]):.2f} ms")
        ratio = median([other / one for one, other in rounds])
        table.add(f"{kind}: many : few", f"{ratio:.2f} x", "", "at most 1.5 x", ratio <= 1.5)


def run(bench):
    table = Table("Records", [
        f"`GET /v1/datasets?page_size=50` and the same of projections with a member's token, at the service's own listener, by one client "
        f"one after the other: the median of {PAGES}, for a tenant with {FEW:,} and another with {MANY:,} rows, in turns."])
    path = "/v1/datasets"
    with second_service(bench, "policy", PORT):
        wait_for(bench, path)
        pages(bench, table)
    return table
