# SPDX-License-Identifier: Apache-2.0
"""proto/openapi/*.json as something to hold an exchange (tests/support/traffic.py) against."""
import datetime
import functools
import json
import pathlib
import re

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROBLEM = "application/problem+json"
OPS = {"/healthz", "/readyz", "/metrics", "/internal/v1/feed"}  # of every service
# What is refused before there is a route, by any service: proto/errors/base.json, codes request.*
BEFORE_ROUTE = {400, 404, 405, 408, 414, 417, 426, 431, 505}
STATUS_OF_KIND = {
    "invalid": 400, "unauthenticated": 401, "forbidden": 403, "not-found": 404, "method": 405, "conflict": 409,
    "gone": 410, "precondition-failed": 412, "too-large": 413, "unsupported-type": 415, "range": 416,
    "unprocessable": 422, "precondition-required": 428, "limited": 429, "internal": 500, "upstream": 502,
    "unavailable": 503, "timeout": 504,
}
FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def is_date_time(text):
    if isinstance(text, str):
        if not text.endswith("Z"):
            raise ValueError("times are UTC")
        datetime.datetime.fromisoformat(text[:-1])
    return True


def max_bytes(_, limit, value, __):
    """What JSON Schema has no word for: a text's limit in bytes of UTF-8."""
    if isinstance(value, str) and len(value.encode()) > limit:
        yield jsonschema.ValidationError(f"{value[:50]!r} has more than {limit} bytes")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"x-maxBytes": max_bytes})


def document_of(file):
    """The description with those of its schemas in place that are files of their own."""
    document = json.loads(file.read_text())
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if not schema.get("$ref", "#").startswith("#"):
            schemas[name] = json.loads((file.parent / schema["$ref"]).read_text())
    return document


class Operation:
    def __init__(self, contract, method, path, shape):
        self.contract, self.method, self.path, self.shape = contract, method, path, shape
        # a slot is a path itself
        self.pattern = re.compile(re.sub(r"{([a-z_]+)}", lambda part: ".+" if part[1] == "slot" else "[^/]+", path))

    def __str__(self):
        return f"{self.method} {self.path}"

    @property
    def access(self):
        """member, agent, service, enrolment or public: what may call it first of all."""
        return next((name for scheme in self.shape["security"] for name in scheme), "public")

    def input_schema(self):
        content = self.shape.get("requestBody", {}).get("content", {})
        return content.get("application/json", {}).get("schema")

    def response(self, status):
        return self.shape["responses"].get(str(status))


class Contract:
    def __init__(self, file):
        self.service, self.document = file.stem, document_of(file)
        self.operations = [Operation(self, method.upper(), path, shape)
                           for path, methods in self.document["paths"].items() for method, shape in methods.items()]
        self.validator = functools.lru_cache(None)(self._validator)

    def _validator(self, schema):
        return Validator(
            {**json.loads(schema), "components": self.document["components"]}, format_checker=FORMATS)

    def faults(self, schema, value):
        """What is wrong with the value, shortest first."""
        found = self.validator(json.dumps(schema)).iter_errors(value)
        return sorted((f"{error.json_path}: {error.message[:200]}" for error in found), key=len)


@functools.lru_cache(None)
def contracts():
    return [Contract(file) for file in sorted((ROOT / "proto/openapi").glob("*.json"))]


def operation_of(method, path):
    """(the operation or None, whether the path is anyone's)."""
    fits = [operation for contract in contracts() for operation in contract.operations
            if operation.pattern.fullmatch(path)]
    fits.sort(key=lambda operation: (operation.path.count("{"), -len(operation.path)))
    fits = [operation for operation in fits if operation.path.count("{") == fits[0].path.count("{")]
    for wanted in (method, "GET" if method == "HEAD" else method):
        for operation in fits:
            if operation.method == wanted:
                return operation, True
    return None, bool(fits)


@functools.lru_cache(None)
def kinds():
    """code -> statuses that it may come with."""
    found = {}
    for file in sorted((ROOT / "proto/errors").glob("*.json")):
        for code, entry in json.loads(file.read_text()).items():
            found[code] = {STATUS_OF_KIND[kind] for kind in entry["kind"].split("|")}
    return found


def problem_faults(exchange):
    """A problem's status, code and kind agree with each other and with proto/errors."""
    body = exchange["body"]
    if body is None:
        return [] if exchange["method"] == "HEAD" else ["a problem without a document"]
    faults = []
    if body.get("status") != exchange["status"]:
        faults.append(f"status {body.get('status')} inside, {exchange['status']} outside")
    code = body.get("code")
    if code not in kinds():
        faults.append(f"code '{code}' is not in proto/errors")
    elif exchange["status"] not in kinds()[code] | (BEFORE_ROUTE if code.startswith("request.") else set()):
        faults.append(f"code '{code}' came with {exchange['status']}, its kind is {sorted(kinds()[code])}")
    if exchange["status"] >= 500 and "detail" in body:
        faults.append("tells details of our own failure")
    return faults


def header_faults(operation, response, exchange):
    faults = []
    for name, header in response.get("headers", {}).items():
        value = exchange["headers"].get(name.lower())
        if value is None and header.get("required"):
            faults.append(f"has no {name}")
        elif value is not None:
            faults += [f"{name}: {fault}" for fault in operation.contract.faults(header["schema"], value)]
    return faults


def body_faults(operation, response, exchange):
    content, kind = response.get("content", {}), (exchange["type"] or "").partition(";")[0]
    if not content:
        return [] if exchange["body"] is None else ["has a body"]
    if kind not in content:
        return [f"is {kind or 'nothing'}, not {' or '.join(content)}"]
    if not kind.endswith("json") or kind.endswith("ndjson") or exchange["method"] == "HEAD":
        return []
    return operation.contract.faults(content[kind]["schema"], exchange["body"])


def input_faults(operation, exchange):
    """Accepted means described, and refused by a decode table means not described."""
    schema = operation.input_schema()
    if schema is None or exchange["asked"] is None:
        return []
    faults = operation.contract.faults(schema, exchange["asked"])
    if exchange["status"] < 300 and faults:
        return [f"accepted what is not described: {faults[0]}"]
    if (exchange["body"] or {}).get("code") == "json.invalid_fields" and not faults:
        return ["refused the fields of what is described"]
    return []


def faults_of(exchange):
    """Everything in which an exchange differs from the contract."""
    if exchange["path"] in OPS or exchange["path"].startswith("/v2/"):  # the latter: OCI's specification
        return []
    operation, known = operation_of(exchange["method"], exchange["path"])
    is_problem = (exchange["type"] or "").startswith(PROBLEM)
    faults = problem_faults(exchange) if is_problem else []
    if operation is None:
        wanted = {405} if known else {400, 404}
        if exchange["status"] not in wanted or not is_problem:
            faults.append(f"no such route, and answered {exchange['status']} {exchange['type']}")
        return faults
    response = operation.response(exchange["status"])
    if response is None:
        early = is_problem and exchange["status"] in BEFORE_ROUTE and \
            (exchange["body"] or {}).get("code", "").startswith("request.")
        return faults if early else [*faults, f"status {exchange['status']} is not described"]
    return faults + header_faults(operation, response, exchange) + body_faults(operation, response, exchange) + \
        input_faults(operation, exchange)
