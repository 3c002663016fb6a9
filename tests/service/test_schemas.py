# SPDX-License-Identifier: Apache-2.0
"""Every service's schema keeps docs/ROW-LEVEL-SECURITY.md, as pg_catalog tells it, and knows every statement."""
import os
import subprocess

import psycopg2
import pytest

from conftest import BUILD, ROOT

PROBE = ROOT / "tests" / "service" / "probe"
FOLDERS = [*sorted(path.parent for path in (ROOT / "services").glob("*/schema")), PROBE]
# What a sweep may see: who and where a row is, never what it says. The hashes find the tenant of a credential.
SWEEP_COLUMNS = {"tenant_id", "space_id", "id", "state", "fence", "owner", "lease_until", "run_at", "due_at",
                 "expires_at", "created_at", "revoked_at", "deleted_at", "attempts", "boot_id", "key_hash", "status", "seq", "sandbox_id",
                 "enrol_hash", "enrol_until", "fingerprint", "reserved_bytes", "bytes_reserved", "uploads", "collected_at",
                 # whose turn it is: sizes and limits of all tenants' sandboxes side by side
                 "created_by", "used_at", "vcpus", "memory_mib", "weight", "queued_at", "boot", "revision", "updated_at", "sandboxes",
                 "member_sandboxes", "member_weight"}
# What it writes it need not be able to read. Audit records on their way to certreg are the one text that it hands over.
HANDED_OVER = {("audit_outbox", "record")}

# Each query lists exceptions; %(schema)s is the schema and the runtime role.
TENANT_TABLES = """SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p')
    AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)"""
RULES = {
    "row-level security is on and forced": f"""SELECT relname FROM ({TENANT_TABLES}) t
        WHERE NOT (relrowsecurity AND relforcerowsecurity)""",
    "no row without a tenant": f"""SELECT t.relname FROM ({TENANT_TABLES}) t JOIN pg_attribute a
        ON a.attrelid = t.oid AND a.attname = 'tenant_id' WHERE NOT a.attnotnull""",
    "one policy for the service, in its tenant": f"""SELECT t.relname FROM ({TENANT_TABLES}) t WHERE 1 <>
        (SELECT count(*) FROM pg_policies p WHERE p.schemaname = %(schema)s AND p.tablename = t.relname
        AND p.roles = ARRAY[%(schema)s]::name[] AND p.cmd = 'ALL' AND p.permissive = 'PERMISSIVE'
        AND p.qual = '(tenant_id = ((current_setting(''app.tenant_id''::text))::' || %(schema)s || '.scope_id)::text)'
        AND coalesce(p.with_check, p.qual) = p.qual)""",
    "one policy to read what is in its spaces": f"""SELECT t.relname FROM ({TENANT_TABLES}) t WHERE
        (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'space_id' AND NOT a.attisdropped) <>
        (SELECT count(*) FROM pg_policies p WHERE p.schemaname = %(schema)s AND p.tablename = t.relname
        AND p.roles = ARRAY[%(schema)s]::name[] AND p.cmd = 'SELECT' AND p.permissive = 'PERMISSIVE'
        AND p.qual = '(space_id = ANY (string_to_array(current_setting(''app.space_ids''::text), '',''::text)))')""",
    # and `viewer`, of what a tenant shares
    "two policies for the service at most": """SELECT tablename FROM pg_policies WHERE schemaname = %(schema)s
        AND roles = ARRAY[%(schema)s]::name[] AND (cmd, policyname) NOT IN (('ALL', 'tenant'), ('SELECT', 'space'))
        AND NOT (cmd = 'SELECT' AND policyname = 'viewer' AND qual ~ '^((policy[.])?)is_shared[(]tenant_id, [a-z_]*id[)]$')""",
    "no other policies but the sweep's": """SELECT tablename, policyname FROM pg_policies WHERE schemaname = %(schema)s
        AND roles NOT IN (ARRAY[%(schema)s]::name[], ARRAY[%(schema)s || '_sweep']::name[])""",
    "keys start with the tenant": f"""SELECT t.relname, i.indexrelid::regclass FROM ({TENANT_TABLES}) t
        JOIN pg_index i ON i.indrelid = t.oid AND i.indisunique
        LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
        WHERE a.attname IS NULL OR a.attname NOT IN ('tenant_id', 'space_id')""",
    "foreign keys start with the tenant": f"""SELECT t.relname, k.conname FROM ({TENANT_TABLES}) t
        JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.conkey[1]
        WHERE a.attname NOT IN ('tenant_id', 'space_id') AND k.confrelid IN (SELECT oid FROM ({TENANT_TABLES}) other)""",
    "views ask as the caller": """SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %(schema)s AND relkind IN ('v', 'm')
        AND NOT coalesce(reloptions @> ARRAY['security_invoker=true'], false)""",
    "no function runs as its owner": """SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = %(schema)s AND prosecdef""",
    "the owner owns everything": """SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %(schema)s AND relowner::regrole::text <> %(schema)s || '_owner'""",
    "roles have no power": """SELECT rolname FROM pg_roles WHERE rolname IN (%(schema)s, %(schema)s || '_sweep')
        AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
        UNION ALL SELECT rolname FROM pg_roles WHERE rolname = %(schema)s AND rolinherit""",
    "nothing is granted to all or to others": """SELECT table_name, grantee FROM information_schema.table_privileges
        WHERE table_schema = %(schema)s
        AND grantee NOT IN (%(schema)s, %(schema)s || '_sweep', %(schema)s || '_owner')""",
    "the service may not TRUNCATE, REFERENCE or hang triggers on tables": """SELECT table_name, privilege_type
        FROM information_schema.table_privileges WHERE table_schema = %(schema)s AND grantee = %(schema)s
        AND privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')""",
    "the sweep has columns, not tables": f"""SELECT t.relname FROM ({TENANT_TABLES}) t,
        aclexplode(t.relacl) g WHERE g.grantee = (%(schema)s || '_sweep')::regrole
        AND g.privilege_type NOT IN ('DELETE')""",
}
SWEEP_GRANTS = f"""SELECT t.relname, a.attname FROM ({TENANT_TABLES}) t JOIN pg_attribute a ON a.attrelid = t.oid,
    aclexplode(a.attacl) g WHERE g.grantee = (%(schema)s || '_sweep')::regrole AND g.privilege_type <> 'INSERT'"""


def migrate(postgres, folder):
    schema = folder.name.replace("-", "_")
    _, owner = postgres.make_roles(schema)
    postgres.drop_schema(schema)
    files = sorted((folder / "schema").glob("*.sql"))
    done = subprocess.run([BUILD / "probe" / "migrate_probe", schema, *files], capture_output=True, text=True,
                          env={**os.environ, "OWNER_DATABASE": owner}, timeout=60)
    assert done.returncode == 0, done.stderr
    return schema


def rows(postgres, query, schema):
    with psycopg2.connect(postgres.conninfo()) as connection, connection.cursor() as cursor:
        cursor.execute(query, {"schema": schema})
        return cursor.fetchall()


def exceptions(postgres, schema):
    found = {rule: rows(postgres, query, schema) for rule, query in RULES.items()}
    found["the sweep sees bookkeeping only"] = [
        row for row in rows(postgres, SWEEP_GRANTS, schema) if row[1] not in SWEEP_COLUMNS and row not in HANDED_OVER]
    return {rule: bad for rule, bad in found.items() if bad}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_schema_keeps_tenants_apart(postgres, folder):
    schema = migrate(postgres, folder)
    assert exceptions(postgres, schema) == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_statements_fit_the_schema(postgres, folder):
    migrate(postgres, folder)
    done = subprocess.run([ROOT / "tools" / "check-queries", postgres.conninfo(), folder / "queries.sql"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("change, rule", [
    ("ALTER TABLE note NO FORCE ROW LEVEL SECURITY", "row-level security is on and forced"),
    ("ALTER TABLE note DISABLE ROW LEVEL SECURITY", "row-level security is on and forced"),
    ("ALTER TABLE remark DROP CONSTRAINT remark_pkey, ALTER tenant_id DROP NOT NULL", "no row without a tenant"),
    ("DROP POLICY tenant ON note", "one policy for the service, in its tenant"),
    ("ALTER POLICY tenant ON note USING (true)", "one policy for the service, in its tenant"),
    ("ALTER POLICY tenant ON note WITH CHECK (true)", "one policy for the service, in its tenant"),
    ("DROP POLICY space ON note; CREATE POLICY space ON note TO probe"
     " USING (space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))", "one policy to read what is in its spaces"),
    ("ALTER POLICY space ON note USING (true)", "one policy to read what is in its spaces"),
    ("CREATE POLICY more ON note FOR UPDATE TO probe USING (true)", "two policies for the service at most"),
    ("CREATE POLICY more ON note USING (true)", "no other policies but the sweep's"),
    ("CREATE UNIQUE INDEX own ON note (id)", "keys start with the tenant"),
    ("ALTER TABLE note ADD UNIQUE (tenant_id, id, fence);"
     "ALTER TABLE remark ADD fence bigint, ADD FOREIGN KEY (fence, tenant_id, id) REFERENCES note (fence, tenant_id, id)",
     "foreign keys start with the tenant"),
    ("CREATE VIEW own AS SELECT * FROM note", "views ask as the caller"),
    ("CREATE FUNCTION own() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1", "no function runs as its owner"),
    ("ALTER TABLE note OWNER TO probe", "the owner owns everything"),
    ("ALTER ROLE probe INHERIT", "roles have no power"),
    ("ALTER ROLE probe BYPASSRLS", "roles have no power"),
    ("GRANT SELECT ON note TO PUBLIC", "nothing is granted to all or to others"),
    ("GRANT TRUNCATE ON note TO probe", "the service may not TRUNCATE, REFERENCE or hang triggers on tables"),
    ("GRANT SELECT ON note TO probe_sweep", "the sweep has columns, not tables"),
    ("GRANT SELECT (body) ON note TO probe_sweep", "the sweep sees bookkeeping only"),
])
def test_rules_notice(postgres, change, rule):
    schema = migrate(postgres, PROBE)
    try:
        postgres.sql(f"SET search_path = {schema}; {change}")
        assert rule in exceptions(postgres, schema)
    finally:
        postgres.sql("ALTER ROLE probe NOINHERIT NOBYPASSRLS")


IN_A_SHARED_SPACE = """SET LOCAL ROLE {schema};
    SELECT set_config('app.tenant_id', 'tnt_b', true), set_config('app.space_ids', 'spc_b,spc_shared', true);"""


def as_tenant(postgres, schema, statement):
    """Rows changed or found by another tenant of the space, as the service's role."""
    with psycopg2.connect(postgres.conninfo()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET search_path = {schema};" + IN_A_SHARED_SPACE.format(schema=schema))
        cursor.execute(statement)
        count = cursor.rowcount
        connection.rollback()
        return count


def test_rows_in_a_shared_space_are_for_others_to_read_only(postgres):
    schema = migrate(postgres, PROBE)
    postgres.sql(f"SET search_path = {schema}; INSERT INTO note (tenant_id, space_id, id, body) VALUES"
                 " ('tnt_a', 'spc_shared', 'n1', 'x'), ('tnt_a', 'spc_a', 'n2', 'x'), ('tnt_b', 'spc_shared', 'n3', 'x')")
    assert as_tenant(postgres, schema, "SELECT id FROM note WHERE tenant_id = 'tnt_a'") == 1
    assert as_tenant(postgres, schema, "SELECT id FROM note") == 2
    assert as_tenant(postgres, schema, "UPDATE note SET body = 'y'") == 1
    assert as_tenant(postgres, schema, "DELETE FROM note") == 1
    assert as_tenant(postgres, schema, "SELECT id FROM note FOR UPDATE") == 1
    for statement in ("INSERT INTO note (tenant_id, space_id, id, body) VALUES ('tnt_a', 'spc_shared', 'n4', 'x')",
                      "UPDATE note SET tenant_id = 'tnt_a'",
                      "INSERT INTO note (tenant_id, space_id, id, body) VALUES ('tnt_a', 'spc_shared', 'n1', 'x')"
                      " ON CONFLICT (tenant_id, id) DO UPDATE SET body = 'y'"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security"):
            as_tenant(postgres, schema, statement)
