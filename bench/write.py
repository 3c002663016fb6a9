# SPDX-License-Identifier: Apache-2.0
"""A JSON write with its audit record, at the service's own listener, beside a pgbench script of the same statements in the same
Postgres."""
import re
import subprocess

from figures import RUNS, Table, cpu_seconds, median
from read import CONNECTIONS, PORT, SECONDS, Postgres, second_service, wait_for

# Each name once: the round's word, the thread's number, a counter.
WRK = """
local threads = 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
function init(args) word, count = args[1], 0 end
function request()
  count = count + 1
  return wrk.format("POST", nil, nil, string.format('{"name":"%s-%d-%d","columns":["A"]}', word, number, count))
end
"""
# As store_rows.c and lib/audit.c send them: the row with its record, then the row as the answer shows it.
PGBENCH = """
\\set n random(1, 1000000000000000)
BEGIN;
SELECT set_config('app.tenant_id', '{tenant}', true), set_config('app.space_ids', '', true);
INSERT INTO projection (tenant_id, space_id, id, created_by, name, columns, filter, minimum_rows, members)
VALUES ('{tenant}', '{space}', 'prj_' || lpad(to_hex(:n::bigint), 32, '0'), 'mbr_bench', 'pgbench-' || :n::text, '["A"]', '[]', 0, NULL);
INSERT INTO audit_outbox (tenant_id, record) VALUES ('{tenant}', '{record}');
COMMIT;
BEGIN;
SELECT set_config('app.tenant_id', '{tenant}', true), set_config('app.space_ids', '', true);
SELECT * FROM projection_record WHERE id = 'prj_' || lpad(to_hex(:n::bigint), 32, '0') AND deleted_at IS NULL AND tenant_id = '{tenant}';
COMMIT;
"""


RECORD_BYTES = 400


def script(bench):
    """The file of pgbench's statements; it runs them as the service's role, under its row-level security."""
    tenant = bench.owner.get("/v1/tenants/self").json()
    path = bench.stack.folder / "bench-write.sql"
    path.write_text(PGBENCH.format(tenant=tenant["id"], space=tenant["space"], record="x" * RECORD_BYTES))
    path.chmod(0o644)
    return path


def of_pgbench(postgres, path):
    out = postgres.call("pgbench", "-M", "prepared", "-n", "-c", "8", "-j", "2", "-T", str(SECONDS), "-f", path, "strongroom")
    return float(re.search(r"tps = ([0-9.]+)", out).group(1))


def of_service(bench, pid, word):
    """Per second, and microseconds of the service for each; any answer but 2xx ends the bench."""
    before, lua = cpu_seconds([pid]), bench.folder / "write.lua"
    lua.write_text(WRK)
    out = subprocess.run(["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-H", f"Authorization: Bearer {bench.owner.token('policy')}",
                          "-H", "Content-Type: application/json", "-s", lua, f"http://127.0.0.1:{PORT}/v1/projections", "--", word],
                         check=True, text=True, stdout=subprocess.PIPE).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    count = int(re.search(r"([0-9]+) requests in", out).group(1))
    return count / SECONDS, (cpu_seconds([pid]) - before) / count * 1e6


def run(bench):
    table = Table("JSON write", [
        f"`POST /v1/projections` with a member's token, {CONNECTIONS} keep-alive connections by wrk for {SECONDS} s at the service's own "
        "listener: the row and its audit record in one commit, and the row read back for the answer, under row-level security. pgbench: a "
        "script of these statements by the service's role, prepared, 8 clients, one statement after the other, same cluster, in turns."])
    postgres, path = Postgres(bench), script(bench)
    postgres.env["PGOPTIONS"] = "-c role=policy -c search_path=policy"
    with second_service(bench, "policy", PORT) as pid:
        wait_for(bench, "/v1/projections")
        rounds = [(of_pgbench(postgres, path), *of_service(bench, pid, f"round-{number}")) for number in range(RUNS)]
    path.unlink()
    share = median([rate / peer for peer, rate, _ in rounds])
    table.add("pgbench, 8 clients", f"{median([peer for peer, _, _ in rounds]):.0f}/s")
    table.add("projections, service's listener", f"{median([rate for _, rate, _ in rounds]):.0f}/s",
              f"{median([cpu for _, _, cpu in rounds]):.0f} µs of the service each")
    table.add("projections : pgbench", f"{share:.2f} x", "", "0.5 x", share >= 0.5)
    return table
