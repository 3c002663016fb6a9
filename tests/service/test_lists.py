# SPDX-License-Identifier: Apache-2.0
"""A page costs what stands on it, however many rows there are: the plans of the policy service's lists, as the service runs
them, over a tenant with many records."""
import json
import re
import uuid

import pytest

from local_stack import ROOT, LocalStack

MANY, RARE, SHARED, PAGE = 20000, 60, 300, 51
TENANT, OTHER, SPACE = "tnt_" + "1" * 32, "tnt_" + "2" * 32, "spc_" + "3" * 32
# {statement: what it has beside tenant, begin and limit}
LISTS = {"dataset_list": [], "dataset_list_by_label": ["kind", "rare", '{"kind":"rare"}'], "dataset_list_of_space": [SPACE, "{}"],
         "projection_list": [None], "pipeline_list": []}


@pytest.fixture(scope="module")
def database():
    with LocalStack(["postgres", "redis", "certreg", "policy", "edge"]) as stack:
        fill(stack.sql)
        connection = stack.connect()
        yield connection
        connection.close()


def fill(sql):
    """Rows of our tenant, and as many of another one, some of which it shares with our space."""
    for tenant in (TENANT, OTHER):
        own = f"'{tenant}', 'spc_{tenant[4:]}'"
        number = "lpad(to_hex(n), 16, '0') || substr(md5(n::text || '" + tenant + "'), 1, 16)"
        for kind, more, values in (("dataset", "direction, labels", f"'input', jsonb_build_object('kind', CASE WHEN n <= {RARE} THEN 'rare' ELSE 'rows' END)::text"),
                                   ("projection", "columns, filter, minimum_rows", "'[]', '[]', 0")):
            sql(f"INSERT INTO policy.{kind} (tenant_id, space_id, id, name, created_by, {more}) SELECT {own}, "
                f"'{'dst' if kind == 'dataset' else 'prj'}_' || {number}, '{kind}' || n, 'mbr_x', {values} FROM generate_series(1, {MANY}) n")
        sql("INSERT INTO policy.dataset_version (tenant_id, space_id, dataset_id, version, location, created_by) SELECT tenant_id, space_id,"
            f" id, n, 'https://a.example/x', 'mbr_x' FROM policy.dataset, generate_series(1, 3) n WHERE tenant_id = '{tenant}'")
        sql(f"UPDATE policy.dataset SET version = 3 WHERE tenant_id = '{tenant}'")
        sql(f"INSERT INTO policy.label SELECT tenant_id, space_id, id, 'kind', labels::jsonb ->> 'kind' FROM policy.dataset WHERE tenant_id = '{tenant}'")
    sql(f"INSERT INTO policy.share (tenant_id, space_id, id, object_id, created_by) SELECT tenant_id, '{SPACE}', 'shr_' || substr(id, 5), id,"
        f" 'mbr_x' FROM policy.dataset WHERE tenant_id = '{OTHER}' ORDER BY id LIMIT {SHARED}")
    policy = "pol_" + uuid.uuid4().hex
    sql("INSERT INTO policy.policy (tenant_id, space_id, id, name, version, hash, document, created_by)"
        f" VALUES ('{TENANT}', 'spc_x', '{policy}', 'p', 1, 'h', '{{}}', 'mbr_x')")
    sql(f"INSERT INTO policy.pipeline (tenant_id, space_id, id, name, template, policy_id, created_by) SELECT '{TENANT}', 'spc_x',"
        f" 'pip_' || lpad(to_hex(n), 32, '0'), 'pipe' || n, 'small', '{policy}', 'mbr_x' FROM generate_series(1, {MANY}) n")
    sql("ANALYZE")


def statement(name):
    text = (ROOT / "services/policy/queries.sql").read_text()
    return re.search(rf"^-- name: {name}\n(.*?)(?=^--|\Z)", text, re.MULTILINE | re.DOTALL)[1]


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


@pytest.mark.parametrize("before", ["~", "middle"])
@pytest.mark.parametrize("name", LISTS)
def test_page_costs_what_stands_on_it(database, name, before):
    kind = {"d": "dst", "p": "prj"}[name[0]] if name[:4] != "pipe" else "pip"
    begin = before if before == "~" else f"{kind}_{MANY // 2:016x}"
    params = [TENANT, begin, str(PAGE), *LISTS[name]]
    with database, database.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE policy; SET LOCAL search_path = policy; SET LOCAL plan_cache_mode = force_generic_plan;"
                       f"SET LOCAL app.tenant_id = '{TENANT}'; SET LOCAL app.space_ids = '{SPACE}'")
        cursor.execute(f"PREPARE asked AS {statement(name)}")
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked (" + ", ".join(["%s"] * len(params)) + ")", params)
        plan = cursor.fetchone()[0][0]["Plan"]
        cursor.execute("DEALLOCATE asked")
    assert plan["Actual Rows"] == PAGE or name == "dataset_list_of_space", json.dumps(plan, indent=1)
    touched = {f"{node['Node Type']} {node.get('Relation Name', '')}": (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
               for node in nodes(plan)}
    assert max(touched.values()) <= SHARED + PAGE * 4, json.dumps(plan, indent=1)
