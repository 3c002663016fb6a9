# SPDX-License-Identifier: Apache-2.0
"""A key may read without writing and write without reading: each route that members have, as proto/openapi says it."""
import re

import pytest

from contract import contracts
from local_stack import problem

OPERATIONS = [(contract.service, operation) for contract in contracts() for operation in contract.operations
              if operation.access == "member"]


@pytest.fixture(scope="module")
def tokens(stack):
    """A token for each service and scope, by the key of an owner: no role stands in the way."""
    owner, found = stack.client("acme-owner"), {}
    for service in {service for service, _ in OPERATIONS}:
        for scope in ("read", "write"):
            answer = owner.http.post(f"{stack.url}/v1/token", auth=("key_" + owner.key.split("_")[1], owner.key), data={
                "grant_type": "client_credentials", "audience": service, "scope": scope})
            assert answer.status_code == 200, answer.text
            found[service, scope] = answer.json()["access_token"]
    return found


@pytest.mark.parametrize("service, operation", OPERATIONS, ids=lambda value: str(value))
def test_route_needs_its_scope(owner, tokens, service, operation):
    needed = "read" if operation.method in ("GET", "HEAD") else "write"
    assert operation.shape["security"] == [{"member": [needed]}]
    other = "write" if needed == "read" else "read"
    answer = owner.http.request(
        operation.method, owner.stack.url + re.sub(r"{[a-z_]+}", "none", operation.path),
        headers={"Authorization": f"Bearer {tokens[service, other]}"},
        **({"json": {}} if operation.method in ("POST", "PUT") and operation.input_schema() else {}))
    if operation.method == "HEAD":
        assert answer.status_code == 403
    else:
        problem(answer, 403, "auth.scope_missing")
