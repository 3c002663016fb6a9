# SPDX-License-Identifier: Apache-2.0
"""`strongroom audit verify`: an export of a log that nobody touched is in order; of one that was touched the first record
that was altered, dropped or moved is named."""
import json

import pytest

import merkle
from audit_kit import export_of, is_refused, new_api_key, settled, verify
from certreg_stack import certreg, owner  # noqa: F401


@pytest.fixture(scope="module")
def log(certreg, owner):  # noqa: F811
    """An export with at least eight own records, and one in the middle of them."""
    made = [new_api_key(owner, f"log-{i}") for i in range(8)]
    settled(certreg)
    lines = export_of(owner)
    return lines, next(i for i, line in enumerate(lines) if line.get("record", {}).get("on") == made[3]["id"])


def leaves_of(lines):
    return [i for i, line in enumerate(lines) if "leaf" in line]


def test_untouched_log_is_in_order(log, tmp_path):
    lines, _ = log
    done = verify(tmp_path, lines)
    assert done.returncode == 0, done.stderr
    result = next(json.loads(line) for line in done.stdout.splitlines() if "leaves" in line)
    head = merkle.Head([line["head"] for line in lines if "head" in line][-1])
    assert (result["leaves"], result["root"]) == (head.size, "sha256:" + head.root.hex())
    assert result["records"] == sum("record" in line for line in lines) and result["key"] == lines[0]["key"]


def copy(lines):
    return json.loads(json.dumps(lines))


@pytest.mark.parametrize("change", [{"action": "key.none"}, {"who": None}, {"outcome": "denied"}, {"seq": 999}, {"more": 1}])
def test_altered_record_is_named(log, tmp_path, change):
    lines, at = copy(log[0]), log[1]
    lines[at]["record"].update(change)
    assert is_refused(verify(tmp_path, lines), "log.record_altered", f"leaf {lines[at]['leaf']} is the first")


def test_altered_salt_is_named(log, tmp_path):
    lines, at = copy(log[0]), log[1]
    lines[at]["salt"] = "A" + lines[at]["salt"][1:] if lines[at]["salt"][0] != "A" else "B" + lines[at]["salt"][1:]
    assert is_refused(verify(tmp_path, lines), "log.record_altered", lines[at]["record"]["id"])


def test_record_altered_with_its_hash_is_found(log, tmp_path):
    lines, at = copy(log[0]), log[1]
    lines[at]["record"]["action"] = "key.none"
    lines[at]["hash"] = merkle.record_hash(lines[at]["record"], lines[at]["salt"]).hex()
    assert is_refused(verify(tmp_path, lines), "log.wrong_root")


def test_dropped_record_is_named(log, tmp_path):
    lines, at = copy(log[0]), log[1]
    leaf = lines[at]["leaf"]
    del lines[at]
    assert is_refused(verify(tmp_path, lines), "log.leaf_missing", f"leaf {leaf} is the first")


def test_record_made_another_tenants_is_named(log, tmp_path):
    lines, at = copy(log[0]), log[1]
    seq = lines[at]["record"]["seq"]
    del lines[at]["record"], lines[at]["salt"]
    assert is_refused(verify(tmp_path, lines), "log.record_missing", f"record {seq} of the tenant is the first")


def test_last_record_made_another_tenants_is_named(log, tmp_path):
    lines = copy(log[0])
    at = max(i for i, line in enumerate(lines) if "record" in line)
    del lines[at]["record"], lines[at]["salt"]
    assert is_refused(verify(tmp_path, lines), "log.record_missing")


def test_moved_records_are_named(log, tmp_path):
    lines, at = copy(log[0]), log[1]
    other = next(i for i in leaves_of(lines) if i > at and "record" in lines[i])
    for member in ("record", "salt"):
        lines[at][member], lines[other][member] = lines[other][member], lines[at][member]
    assert is_refused(verify(tmp_path, lines), "log.record_altered", f"leaf {lines[at]['leaf']} is the first")


def test_moved_leaves_are_named(log, tmp_path):
    lines, at = copy(log[0]), log[1]
    leaf = lines[at]["leaf"]
    other = next(i for i in leaves_of(lines) if i > at)
    lines[at], lines[other] = lines[other], lines[at]
    assert is_refused(verify(tmp_path, lines), "log.leaf_missing", f"leaf {leaf} is the first")


def test_cut_export_is_refused(log, tmp_path):
    assert is_refused(verify(tmp_path, log[0][:-1]), "log.truncated")


def test_altered_head_is_refused(log, tmp_path):
    lines = copy(log[0])
    at = next(i for i, line in enumerate(lines) if "head" in line)
    size = merkle.Head(lines[at]["head"]).size
    lines[at]["head"] = lines[at]["head"].replace(f"\n{size}\n", f"\n{size + 1}\n", 1)
    assert is_refused(verify(tmp_path, lines), "log.wrong_signature")
