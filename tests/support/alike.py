# SPDX-License-Identifier: Apache-2.0
"""Two requests of which the second is about nothing: whether a stranger could tell which was which."""
import re
import secrets

ATTEMPTS = 50  # what services do by themselves meanwhile is not the request's; a difference of its own is always there
SCRUBBED = re.compile(r"\b[a-z]{3}_[0-9a-f]{32}\b|\bsha256:[0-9a-f]{64}\b")
PASSING = {"date", "traceparent", "connection"}  # the last: whether a refusal came before the end of the body


def absent(known):
    """An id, digest or name of that shape and age that nobody has."""
    return known[:-12] + secrets.token_hex(6)


def shown(answer, known=""):
    """All that an answer says, without what differs from one request to the next."""
    def scrub(text):
        return SCRUBBED.sub("<id>", text.replace(known, "<known>") if known else text)

    status = answer.status_code if hasattr(answer, "status_code") else answer.status
    body = answer.content if hasattr(answer, "content") else answer.body
    return status, scrub(body.decode()), {name.lower(): scrub(value) for name, value in answer.headers.items()
                                          if name.lower() not in PASSING}


def same(of, ask, real, other):
    """The requests that ask(id) makes are answered alike, and by as many statements; `of(request)` gives the answer and the
    statements. Returns the answer to the real one."""
    for _ in range(ATTEMPTS):
        (known, known_ran), (unknown, unknown_ran) = (of(ask(one)) for one in (real, other))
        pair = [shown(answer, one if isinstance(one, str) else "") for answer, one in ((known, real), (unknown, other))]
        assert pair[0] == pair[1], f"{pair[0]} for what somebody has, {pair[1]} for nothing"
        if known_ran == unknown_ran:
            return known
    raise AssertionError(f"statements: {known_ran} for what somebody has, {unknown_ran} for nothing")
