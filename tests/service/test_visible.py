# SPDX-License-Identifier: Apache-2.0
"""docs/visible.md tells of every column of every service's tables, and of nothing else."""
import re

import pytest

from conftest import ROOT
from test_schemas import migrate, rows

FOLDERS = sorted(path.parent for path in (ROOT / "services").glob("*/schema"))
COLUMNS = """SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p', 'm', 'f')"""
ROW = re.compile(r"^\| `(\w+)\.(\w+)` \| ((?:`\w+`(?:, )?)+) \| (.+) \|$")


def listed():
    """[(schema, table, column)] of the page's tables, in its order."""
    found = []
    for line in (ROOT / "docs/visible.md").read_text().splitlines():
        match = ROW.match(line)
        assert match or not line.startswith("| `"), f"a row of another shape: {line}"
        if match:
            schema, table, columns, _ = match.groups()
            found += [(schema, table, column) for column in re.findall(r"\w+", columns)]
    return found


def test_page_tells_each_column_once():
    page = listed()
    assert len(page) == len(set(page))
    assert {schema for schema, _, _ in page} == {folder.name.replace("-", "_") for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_page_is_the_schema(postgres, folder):
    schema = migrate(postgres, folder)
    there = {(schema, *row) for row in rows(postgres, COLUMNS, schema)}
    told = {row for row in listed() if row[0] == schema}
    assert sorted(there - told) == [], "the database has columns that docs/visible.md does not tell of"
    assert sorted(told - there) == [], "docs/visible.md tells of columns that are not there"


def test_check_notices_a_new_column(postgres):
    schema = migrate(postgres, FOLDERS[0])
    postgres.sql(f"SET search_path = {schema}; CREATE TABLE more (secret text)")
    there = {(schema, *row) for row in rows(postgres, COLUMNS, schema)}
    assert there - set(listed()) == {(schema, "more", "secret")}
