# SPDX-License-Identifier: Apache-2.0
"""What the tests ask and what they are answered, one JSON line each in the file CONTRACT_TRAFFIC, for tests/contract.
Without the variable nothing is kept. The file is its owner's alone: some answers are tokens of a stack of this run."""
import json
import os
import urllib.parse

SHOWN = ("etag", "location", "upload-offset", "upload-state", "upload-digest", "content-range", "accept-ranges",
         "www-authenticate", "allow")


def parsed(body):
    """The JSON value of a body; None when it is something else."""
    try:
        return json.loads(body)
    except (TypeError, ValueError):
        return None


def record(method, target, asked, status, headers, body):
    """`asked`: the request's body; `headers`: the answer's; `body`: None when it was not read."""
    path = os.environ.get("CONTRACT_TRAFFIC")
    if not path:
        return
    headers = {name.lower(): value for name, value in headers.items()}
    kind = headers.get("content-type")
    exchange = {"method": method, "path": urllib.parse.urlsplit(target).path, "asked": parsed(asked), "status": status,
                "type": kind, "headers": {name: headers[name] for name in SHOWN if name in headers},
                "body": parsed(body) if "json" in (kind or "") else None}
    line = (json.dumps(exchange) + "\n").encode()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def observe(answer, **how):
    """A response hook of python3-requests."""
    body = None if how.get("stream") else answer.content
    record(answer.request.method, answer.request.url, answer.request.body, answer.status_code, answer.headers, body)
