# SPDX-License-Identifier: Apache-2.0
"""Which SQL statements a request makes a whole stack run, by Postgres' own log: names, texts without values."""
import collections
import re

from local_stack import wait_for

LINE = re.compile(rb"^\S+ \S+ \S+ \[(\d+)\] (\w+) LOG:  execute (\w+): ", re.M)
OPENS, CLOSES = ("db_begin", "db_scope_tenant", "db_scope_sweep"), ("db_commit", "db_rollback")


class Statements:
    """Within the block the log tells each statement before it runs."""

    def __init__(self, stack):
        self.stack, self.log, self.beats = stack, stack.folder / "log/postgres.log", frozenset()

    def _log_statements(self, value):
        for statement in f"ALTER SYSTEM SET log_statement = '{value}'", "SELECT pg_reload_conf()":
            self.stack.sql(statement)

    def __enter__(self):
        """Also learns what runs while nobody asks: services pull auth-state, audit records and work that is due."""
        self._log_statements("all")
        at = self.log.stat().st_size
        wait_for(lambda: self._groups(at)["certreg", "revocation_state"] >= 2, "the beats of the services", 30)
        self.beats = frozenset(self._groups(at))
        return self

    def __exit__(self, *_):
        self._log_statements("none")

    def _groups(self, at):
        """{(role, name): number} of statements since then. Those that open or end a transaction count with its first and
        last one, so that whole transactions of the beats can be left out."""
        with open(self.log, "rb") as file:
            file.seek(at)
            found = [tuple(field.decode() for field in match.groups()) for match in LINE.finditer(file.read())]
        counts, last, before = collections.Counter(), {}, collections.defaultdict(list)
        for pid, role, name in found:
            if name in OPENS:
                before[pid].append(name)
            elif name in CLOSES:
                counts[role, name] += last.get(pid) not in self.beats
            else:
                last[pid] = (role, name)
                counts[role, name] += 1
                for opening in before.pop(pid, []):
                    counts[role, opening] += last[pid] not in self.beats
        return counts

    def of(self, request):
        """The request's answer, and what it ran."""
        at = self.log.stat().st_size
        answer = request()
        counts = self._groups(at)
        return answer, {key: number for key, number in counts.items()
                        if number and key not in self.beats and "outbox" not in key[1] and "audit" not in key[1]}
