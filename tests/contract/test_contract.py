# SPDX-License-Identifier: Apache-2.0
"""proto/openapi against the route tables, and the traffic of the folders before this one against proto/openapi."""
import copy
import json
import os
import pathlib
import re
import subprocess

import jsonschema
import pytest

from contract import contracts, faults_of, operation_of
from local_stack import BUILD, ROOT

ROW = re.compile(r'{\s*(?:\.method = )?"([A-Z]+)",\s*"(/[^"]*)",\s*(WEB_[A-Z]+),[^{}]*?'
                 r'\.(?:(?:handle = |change = &)\(?(\w+)\)?|stream = \(?&(\w+)\)?|read = &\(?(?:store_)?(\w+)_(?:read|kind\)?\.read)\)?)'
                 r'(?:,\s*\.(?:admit = \w+|read = &\(?\w+\)?))?(?:,\s*\.of = &\(?(\w+)_kind\)?)?\s*}', re.DOTALL)
OURS = {"member", "public"}  # the others are sandboxes and services: a run end to end is their test
SHOWN = 30


def described(path):
    # the OCI distribution specification describes the first, OpenTofu's documentation of its http backend the second
    return not path.startswith(("/v2", "/tofu/"))


def handler_of(handler, kind):
    """record_create of datasets is dataset_create, share_create dataset_share_create."""
    return f"{kind}_{handler}" if handler.startswith("share_") else handler.replace("record", kind or "record")


def route_table(service):
    """{(method, path): (access, handler)} of a service's main.c as the compiler sees it."""
    text = subprocess.run(
        [*os.environ.get("CC", "cc").split(), "-E", "-P", "-D_GNU_SOURCE", "-I.", f"-I{BUILD}/gen",
         "-I/usr/share/include/llhttp", f"services/{service}/main.c"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout
    table = text[text.index("web_route routes[]"):]
    table = table[:table.index("};")]
    rows = ROW.findall(table)
    assert len(rows) == table.count("WEB_"), "a row that this test cannot read"
    return {(method, path.replace("...}", "}")): (access[4:].lower(), handler_of(handler, kind) or stream or f"{thing}_show")
            for method, path, access, handler, stream, thing, kind in rows if described(path)}


SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/main.c"))


@pytest.mark.parametrize("service", SERVICES)
def test_route_table_is_what_is_described(service):
    table = route_table(service)
    operations = {(operation.method, operation.path): operation for contract in contracts()
                  if contract.service == service for operation in contract.operations}
    assert set(operations) == set(table)
    for row, (access, handler) in table.items():
        shape = operations[row].shape
        thing, verb = handler.rpartition("_")[0], row[1].rpartition(":")[2]  # two verbs may have one handler
        assert shape["operationId"] in (handler, f"agent_{handler}", f"{thing}_{verb}"), row
        # a public row may still ask for something of its own: an API key, an enrolment secret
        assert operations[row].access == access or access == "public", row


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.service)
def test_schemas_are_schemas(contract):
    schemas, text = contract.document["components"]["schemas"], json.dumps(contract.document)
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) == set(schemas)
    ids = [operation.shape["operationId"] for operation in contract.operations]
    assert len(ids) == len(set(ids))


@pytest.fixture(scope="session")
def traffic():
    path = os.environ.get("CONTRACT_TRAFFIC")
    if not path:
        pytest.skip("tools/run-tests keeps the traffic that this is about")
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def test_traffic_is_as_described(traffic):
    wrong = {}
    for exchange in traffic:
        for fault in faults_of(exchange):
            operation, _ = operation_of(exchange["method"], exchange["path"])
            wrong.setdefault(f"{operation or exchange['method'] + ' ' + exchange['path']}"
                             f" {exchange['status']}: {fault}", exchange)
    assert not wrong, "\n".join(sorted(wrong)[:SHOWN])


@pytest.mark.skipif(bool(os.environ.get("SAN")), reason="what boots machines is left out")
def test_every_route_was_exercised(traffic):
    """With success: a route that only ever refused says nothing about its answer."""
    seen = {(operation.contract.service, str(operation)) for exchange in traffic if exchange["status"] < 300
            for operation in [operation_of(exchange["method"], exchange["path"])[0]] if operation}
    wanted = {(contract.service, str(operation)) for contract in contracts() for operation in contract.operations
              if (operation.access in OURS or operation.access == "key") and "/internal/" not in operation.path}
    assert wanted - seen == set()


GOOD = {"method": "GET", "path": "/v1/objects/obj_" + "0" * 32, "asked": None, "status": 404,
        "type": "application/problem+json", "headers": {},
        "body": {"type": "urn:strongroom:error:object.not_found", "title": "Not Found", "status": 404,
                 "code": "object.not_found", "detail": "there is no object", "request_id": "req_1"}}
MADE = {"method": "POST", "path": "/v1/objects", "asked": {"role": "input"}, "status": 201, "type": "application/json",
        "headers": {"location": "/v1/objects/obj_" + "0" * 32}, "body": {"id": "obj_" + "0" * 32, "offset": 0}}


@pytest.mark.parametrize("exchange", [GOOD, MADE], ids=["problem", "answer"])
def test_check_accepts_what_is_described(exchange):
    assert faults_of(exchange) == []


@pytest.mark.parametrize("base, change", [
    (GOOD, {"status": 418}), (GOOD, {"type": "application/json"}), (GOOD, {"path": "/v1/nothing", "status": 200}),
    (GOOD, {"method": "POST"}), (GOOD, {"body": {**GOOD["body"], "code": "object.unheard_of"}}),
    (GOOD, {"body": {**GOOD["body"], "code": "object.open"}}), (GOOD, {"body": {**GOOD["body"], "more": 1}}),
    (GOOD, {"body": None}), (GOOD, {"status": 500, "body": {**GOOD["body"], "status": 500, "code": "internal.system"}}),
    (MADE, {"body": {"id": "obj_1", "offset": 0}}), (MADE, {"body": {"id": "obj_" + "0" * 32}}),
    (MADE, {"asked": {"role": "output"}}), (MADE, {"asked": {"role": "input", "more": 1}}), (MADE, {"headers": {}}),
    (MADE, {"status": 400, "type": "application/problem+json",
            "body": {**GOOD["body"], "status": 400, "code": "json.invalid_fields"}}),
])
def test_check_notices(base, change):
    assert faults_of({**copy.deepcopy(base), **change}) != []
