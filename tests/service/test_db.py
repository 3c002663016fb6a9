# SPDX-License-Identifier: Apache-2.0
"""lib/db.h against a real Postgres, through tests/service/probe/db_probe.c."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

import psycopg2
import pytest

from conftest import BUILD, ROOT, short_folder, wait_for

A, B = "tnt_a", "tnt_b"


class Probe:
    """One process with one `struct db`."""

    def __init__(self, database, owner):
        self.process = subprocess.Popen(
            [BUILD / "probe" / "db_probe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "DATABASE": database, "OWNER_DATABASE": owner})

    def send(self, *fields):
        self.process.stdin.write("\t".join(map(str, fields)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the probe died"
        return line.rstrip("\n").split("\t")

    def __call__(self, *fields):
        self.send(*fields)
        return self.answer()

    def run(self, scope, statement, *params):
        return self("run", scope, statement, *params)

    def rows(self, scope, statement, *params):
        answer = self.run(scope, statement, *params)
        assert answer[0] == "ok", answer
        return answer[2].split(";") if answer[2] else []

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0  # also: no leak under AddressSanitizer


@pytest.fixture(scope="module")
def roles(postgres):
    return postgres.make_roles("probe")


@pytest.fixture
def start(roles):
    probes = []

    def start_one(database=roles[0], owner=roles[1]):
        probes.append(Probe(database, owner))
        return probes[-1]

    yield start_one
    for probe in probes:
        probe.close()


@pytest.fixture
def probe(postgres, start):
    postgres.drop_schema("probe")
    probe = start()
    assert probe("migrate", 2) == ["ok", ""]
    return probe


# --- statements and readers ---

def test_run_writes_and_reads(probe):
    assert probe.run(A, "note_insert", A, "spc_a", "n1", "it's \"quoted\" ü") == ["ok", "1", ""]
    assert probe.rows(A, "note_list") == ["n1,it's \"quoted\" ü"]
    assert probe.rows(A, "note_list") == ["n1,it's \"quoted\" ü"]  # prepared by now
    assert probe.run(A, "note_set_body", "other")[1] == "1"


def test_column_readers(probe):
    assert probe("types") == ["ok", 'a\\"% 1 0 null 1 42 0']


def test_session_is_bounded(probe):
    assert probe.rows("none", "settings") == ["probe, pg_temp|10s|5s|15s"]
    assert probe.run("none", "nap", "11")[0] == "db.timeout"
    assert probe("ping") == ["ok", ""]


@pytest.mark.parametrize("statement, params, code, detail", [
    ("note_insert", (A, "s", "n1", "twice"), "db.unique", "note_pkey"),
    ("note_insert", (A, "s", "n2", "bad \"body\"\\"), "db.check", "note_body_check"),
    ("remark_insert", (A, "r1", "no such note"), "db.foreign_key", "remark_tenant_id_note_id_fkey"),
])
def test_constraints_are_named(probe, statement, params, code, detail):
    assert probe.run(A, "note_insert", A, "s", "n1", "x")[0] == "ok"
    assert probe.run(A, statement, *params) == [code, detail]
    assert probe.rows(A, "note_list") == ["n1,x"]


def test_value_of_a_bad_parameter_is_not_repeated(probe):
    assert probe.run(A, "note_set_fence", A, "n1", "s3cret") == ["db.failed", "note_set_fence: bad value (22P02)"]


# --- reads together ---

@pytest.fixture
def notes(probe):
    for tenant in A, B:
        assert probe.run(tenant, "note_insert", tenant, f"spc_{tenant}", "n1", f"of {tenant}")[0] == "ok"
    return {A: f"n1=of {A}", B: f"n1=of {B}"}


def test_reads_together_keep_to_their_scopes(probe, notes):
    both = f"{notes[A]};{notes[B]}"
    scopes = [A, A, B, "tnt_c", f"{A}/spc_{B}", f"{A}/spc_{B}", A, f"tnt_c/spc_{A}", B, B]
    assert probe("together", *scopes) == [
        "ok", notes[A], notes[A], notes[B], "none", both, both, notes[A], notes[A], notes[B], notes[B]]
    assert probe("together", *[A, B] * 7) == ["ok", *[notes[A], notes[B]] * 7]
    assert probe.run("none", "note_list")[0] == "db.denied"  # nobody's scope is left behind


def test_an_error_among_reads_is_its_own_only(probe, notes):
    assert probe("together", A, "error", B, "error", A) == ["ok", notes[A], "db.failed", notes[B], "db.failed", notes[A]]
    assert probe("together", A, "", B) == ["ok", notes[A], "db.scope", notes[B]]
    assert probe("together", "error") == ["ok", "db.failed"]


def test_reads_together_are_one_round_trip(probe, notes, start):
    for one in start(), probe:  # where nothing is prepared yet, too
        _, first, second, third, seen = one("together", "began", "began", "began", A)
        assert first == second == third and seen == notes[A]


def test_reads_together_without_postgres(start):
    assert start(database="host=/nowhere")("together", A, B) == ["ok", "db.unavailable", "db.unavailable"]


# --- row-level security ---

def test_other_tenants_rows_do_not_exist(probe):
    for tenant in A, B:
        assert probe.run(tenant, "note_insert", tenant, f"spc_{tenant}", "n1", f"of {tenant}")[0] == "ok"
    assert probe.rows(A, "note_list") == [f"n1,of {A}"]
    assert probe.rows(A, "note_body", B, "n1") == []
    assert probe.run(A, "note_set_fence", B, "n1", "7")[1] == "0"
    assert probe.run(A, "note_insert", B, "spc_x", "n2", "forged")[0] == "db.denied"
    assert probe.rows(B, "note_list") == [f"n1,of {B}"]


def test_space_is_shared_by_its_members_only(probe):
    assert probe.run(A, "note_insert", A, "spc_1", "n1", "shared")[0] == "ok"
    assert probe.run(A, "note_insert", A, "spc_2", "n2", "not shared")[0] == "ok"
    assert probe.rows(f"{B}/spc_1", "note_list") == ["n1,shared"]
    assert probe.rows(B, "note_list") == []
    assert probe.rows(f"{B}/spc_0,spc_1", "note_list") == ["n1,shared"]
    assert probe.rows(f"{B}/spc_1,spc_2", "note_list") == ["n1,shared", "n2,not shared"]
    assert probe.run(f"{B}/spc_1", "note_set_fence", A, "n1", "7")[1] == "0"  # to read only


def test_unset_scope_is_an_error(postgres, start, probe):
    assert start().run("none", "note_list")[0] == "db.denied"  # never set in this session
    assert probe.run(B, "note_insert", B, "s", "n1", "x")[0] == "ok"
    assert probe.run("none", "note_list")[0] == "db.denied"  # set by an earlier transaction
    assert probe.run("none", "note_insert", A, "s", "n1", "x")[0] == "db.denied"
    assert probe.run("", "note_list")[0] == "db.scope"
    assert postgres.sql("SELECT count(*) FROM probe.note") == [(1,)]


def test_sweep_sees_all_tenants_but_only_granted_columns(probe):
    assert probe.run(B, "note_insert", B, "s", "n1", "secret")[0] == "ok"
    assert probe.rows("sweep", "note_claim") == [f"{B},n1,1"]
    assert probe.run("sweep", "note_all")[0] == "db.denied"
    assert probe.run("sweep", "note_list")[0] == "db.denied"
    assert probe.run("sweep", "note_set_body", "defaced")[0] == "db.denied"
    assert probe.run("sweep", "remark_list")[0] == "db.denied"
    assert probe.rows(A, "note_list") == []  # the role ends with its transaction
    assert probe.rows(B, "note_body", B, "n1") == ["secret"]


def test_scope_of_the_tenant_that_an_id_belongs_to(probe):
    for tenant, id_ in (A, "n1"), (B, "n2"):
        assert probe.run(tenant, "note_insert", tenant, "s", id_, f"of {tenant}")[0] == "ok"
    assert [probe.rows(f"owner/{id_}", "note_list") for id_ in ("n1", "n2", "n3")] == [[f"n1,of {A}"], [f"n2,of {B}"], []]
    assert probe.run("owner/n1", "note_set_fence", A, "n1", "7")[1] == "1"
    assert probe.run("owner/n1", "note_set_fence", B, "n2", "7")[1] == "0"
    assert probe.run("owner/n1", "outbox_drain")[0] == "db.denied"  # no sweep any more
    assert probe.run("owner", "note_list")[0] == "db.scope"
    assert probe.run("none", "note_list")[0] == "db.denied"


def test_outbox_is_written_by_the_tenant_and_drained_by_the_sweep(probe):
    assert probe.run(A, "outbox_insert", "run", "run_1")[0] == "ok"
    assert probe.run(A, "outbox_drain")[0] == "db.denied"
    assert probe.rows("sweep", "outbox_drain") == ["run,run_1"]
    assert probe.rows("sweep", "outbox_drain") == []


def test_owner_is_bound_too(postgres, probe, roles):
    assert probe.run(A, "note_insert", A, "s", "n1", "x")[0] == "ok"
    assert postgres.sql("SELECT set_config('app.tenant_id', %s, false); SELECT count(*) FROM probe.note", A,
                        user="probe_owner") == [(0,)]  # FORCE: no policy names the owner


def test_runtime_role_has_no_power(postgres, probe):
    for attempt in ("CREATE TABLE probe.own (id int)", "CREATE TEMP TABLE own (id int)",
                    "ALTER TABLE probe.note DISABLE ROW LEVEL SECURITY", "DROP TABLE probe.note",
                    "UPDATE probe.schema_version SET sha256 = ''", "SET ROLE probe_owner"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            postgres.sql(attempt, user="probe")


def test_policy_condition_can_use_the_key(postgres, probe):
    postgres.sql("INSERT INTO probe.note SELECT 'tnt_' || i %% 1000, 's', i, 'x' FROM generate_series(1, %s) i", 20000)
    postgres.sql("ANALYZE probe.note")
    plan = postgres.sql("SET app.tenant_id = 'tnt_7'; SET app.space_ids = '';"
                        "EXPLAIN SELECT body FROM probe.note WHERE tenant_id = 'tnt_7' AND id = '7'", user="probe")
    assert any("Index Scan using note_pkey" in line for line, in plan), plan


# --- transactions ---

def test_work_that_fails_changes_nothing(probe):
    assert probe("refuse", A) == ["probe.refused", "own reason"]
    assert probe.rows(A, "note_list") == []


def test_work_cannot_hide_a_failed_statement(probe):
    assert probe("swallow", A)[0] == "db.aborted"
    assert probe.rows(A, "note_list") == []


def test_serialization_failure_is_repeated(postgres, roles, start, probe):
    strict = start(f"{roles[0]} options='-c default_transaction_isolation=serializable'")
    assert probe.run(A, "note_insert", A, "s", "n1", "x")[0] == "ok"
    strict.send("bump", A, "n1")
    assert strict.answer() == ["paused"]
    assert probe.run(A, "note_set_fence", A, "n1", "10")[0] == "ok"
    strict.send("go")
    assert strict.answer() == ["ok", "2"]  # two attempts, and err is untouched
    assert probe.rows(A, "note_fence", A, "n1") == ["11"]


# --- lost sessions ---

def test_session_ended_while_idle_is_reopened_unseen(postgres, probe):
    assert probe.run(A, "note_insert", A, "s", "n1", "x")[0] == "ok"
    for _ in range(5):
        pid, = probe.rows("none", "backend")
        postgres.sql("SELECT pg_terminate_backend(%s)", int(pid))
        wait_for(lambda: not postgres.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", int(pid)), "backend ends")
        assert probe.run(A, "note_set_fence", A, "n1", "1")[0] == "ok"  # prepared again, too


def test_session_ended_in_a_statement(postgres, probe):
    pid, = probe.rows("none", "backend")
    probe.send("run", "none", "nap", "5")
    wait_for(lambda: postgres.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'",
                                  int(pid)), "statement runs")
    postgres.sql("SELECT pg_terminate_backend(%s)", int(pid))
    assert probe.answer()[0] == "db.unavailable"
    assert probe("ping") == ["ok", ""]


def test_session_ended_in_a_transaction(postgres, probe):
    assert probe.run(A, "note_insert", A, "s", "n1", "x")[0] == "ok"
    pid, = probe.rows("none", "backend")
    probe.send("bump", A, "n1")
    assert probe.answer() == ["paused"]
    postgres.sql("SELECT pg_terminate_backend(%s)", int(pid))
    probe.send("go")
    assert probe.answer()[0] == "db.unavailable"
    assert probe.rows(A, "note_fence", A, "n1") == ["0"]


def test_immediate_restart(postgres, probe):
    assert probe.run(A, "note_insert", A, "s", "n1", "x")[0] == "ok"
    postgres.restart("immediate")
    assert probe.rows(A, "note_list") == ["n1,x"]


def test_postgres_away_and_back(postgres, start, probe):
    postgres.stop("fast")
    try:
        assert probe.run(A, "note_list")[0] == "db.unavailable"
        assert probe("ping")[0] == "db.unavailable"
        assert start()("ping")[0] == "db.unavailable"
    finally:
        postgres.start()
    assert probe.rows(A, "note_list") == []


class Cutter:
    """A proxy before Postgres: after cut() it passes on what the client sends and cuts at the answer."""

    def __init__(self, postgres, folder):
        self.target, self.is_cutting = str(postgres.folder / ".s.PGSQL.5432"), False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / ".s.PGSQL.5432"))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source, sink, is_answer):
        while data := source.recv(65536):
            if is_answer and self.is_cutting:
                break
            sink.sendall(data)
        for end in source, sink:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_lost_answer_to_a_commit_is_unknown(postgres, roles, start, probe):
    with short_folder("sr-cut-") as folder:
        cutter = Cutter(postgres, folder)
        far = start(f"host={folder} user=probe dbname={postgres.database}")
        assert far.run(A, "note_insert", A, "s", "n1", "x")[0] == "ok"
        cutter.is_cutting = True
        assert far.run(A, "note_insert", A, "s", "n2", "x")[0] == "db.commit_unknown"
        cutter.is_cutting = False
        assert far.rows(A, "note_list") == ["n1,x", "n2,x"]  # it was committed
        cutter.is_cutting = True
        assert far.run(A, "note_list")[0] == "db.unavailable"  # a read leaves nothing unknown
        cutter.is_cutting = False
        far.send("bump", A, "n1")
        assert far.answer() == ["paused"]
        cutter.is_cutting = True
        far.send("go")
        assert far.answer()[0] == "db.unavailable"  # lost before the commit was sent
        cutter.is_cutting = False
        assert far.rows(A, "note_fence", A, "n1") == ["0"]


def test_hanging_backend_is_given_up(postgres, probe):
    pid, = probe.rows("none", "backend")
    os.kill(int(pid), signal.SIGSTOP)
    try:
        assert probe("ping")[0] == "db.unavailable"  # after 20 s
    finally:
        os.kill(int(pid), signal.SIGCONT)
    assert probe("ping") == ["ok", ""]


# --- migrations ---

def test_migrations_are_applied_in_order_and_once(postgres, start):
    postgres.drop_schema("probe")
    probe = start()
    assert probe("migrated", 1)[0] == "db.schema_old"  # no schema at all
    assert probe("migrate", 1) == ["ok", ""]
    assert probe("migrated", 1) == ["ok", ""]
    assert probe("migrated", 2)[0] == "db.schema_old"
    assert probe.run(A, "outbox_insert", "t", "k")[0] == "db.schema_old"
    assert probe("migrate", 2) == ["ok", ""]
    before = postgres.sql("SELECT name, sha256, applied_at FROM probe.schema_version ORDER BY name")
    assert [row[0] for row in before] == ["0001_init", "0002_outbox"]
    assert probe("migrate", 2) == ["ok", ""]
    assert postgres.sql("SELECT name, sha256, applied_at FROM probe.schema_version ORDER BY name") == before
    assert probe("migrated", 2) == ["ok", ""]


def test_changed_and_newer_migrations_are_refused(probe):
    for command in "migrate", "migrated":
        assert probe(command, -1)[0] == "db.migration_changed"
        assert probe(command, 1)[0] == "db.schema_new"


def test_failed_migration_leaves_nothing(postgres, probe):
    postgres.sql("DELETE FROM probe.schema_version WHERE name = '0002_outbox'")
    assert probe("migrate", 2)[0] == "db.failed"  # outbox is there already
    assert probe("migrated", 2)[0] == "db.schema_old"


def test_migrations_at_the_same_time(postgres, start):
    postgres.drop_schema("probe")
    probes = [start() for _ in range(4)]
    for probe in probes:
        probe.send("migrate", 2)
    assert [probe.answer() for probe in probes] == [["ok", ""]] * 4


# --- tools/check-queries ---

def check_queries(postgres, *files):
    return subprocess.run([ROOT / "tools" / "check-queries", postgres.conninfo(), *files], cwd=ROOT,
                          capture_output=True, text=True, timeout=60)


def test_check_queries(postgres, probe, tmp_path):
    good = ROOT / "tests" / "service" / "probe" / "queries.sql"
    done = check_queries(postgres, good)
    assert done.returncode == 0 and "0 bad" in done.stdout, done.stdout + done.stderr
    (tmp_path / "probe").mkdir()
    bad = pathlib.Path(shutil.copy(good, tmp_path / "probe"))
    lines = bad.read_text().replace("VALUES ($1, $2, $3, $4)", "VALUES ($1, $2, $3, nobody)").splitlines()
    bad.write_text("\n".join(lines + ["", "-- name: last", "SELECT", "\tmisspelt FROM note", ""]))
    done = check_queries(postgres, bad)
    assert done.returncode == 1
    at = next(i for i, line in enumerate(lines, 1) if "nobody" in line)
    assert f"{bad}:{at}: " in done.stdout and f"{bad}:{len(lines) + 4}: " in done.stdout and "2 bad" in done.stdout
