# SPDX-License-Identifier: Apache-2.0
"""What changes a row while a step has it in hand is looked at when the step ends, also when its transaction began before the
step's: else the row rests for as long as nobody else touches it."""
import re

import psycopg2
import pytest

from conftest import ROOT
from test_schemas import migrate

ROWS = {
    "provisioner": """INSERT INTO provisioner.sandbox (tenant_id, space_id, id, name, template_id, template_version, driver, parameters,
        claim, initdata, vcpus, memory_mib, weight, created_by)
        VALUES ('t', 's', 'x', '', '', 1, '', '', '', '', 1, 1, 1, '')""",
    "orchestrator": """INSERT INTO orchestrator.run (tenant_id, space_id, id, pipeline_id, policy_hash, repository, manifest, inputs,
        deadline, sandbox_id, order_id, run_nonce, state, created_by)
        VALUES ('t', 's', 'x', '', '', '', '', '', 0, '', '', '', 'awaiting_grants', '')""",
}


class Session:
    """A transaction that prepared the statements of a service."""

    def __init__(self, postgres, service):
        self.connection = psycopg2.connect(postgres.conninfo())
        self.cursor = self.connection.cursor()
        self.cursor.execute(f"SET search_path TO {service}; SELECT now()")
        self.texts = dict(re.findall(r"^-- name: (\w+)\n((?:(?!^-- ).*\n?)*)", (ROOT / f"services/{service}/queries.sql").read_text(), re.M))

    def run(self, name, *arguments):
        self.cursor.execute(f"PREPARE {name} AS {self.texts[name]}")
        places = f"({', '.join(['%s'] * len(arguments))})" if arguments else ""
        self.cursor.execute(f"EXECUTE {name} {places}", arguments)
        return self.cursor.fetchall() if self.cursor.description else None


@pytest.mark.parametrize("service, change, release", [
    ("provisioner", ("sandbox_change", "t", "x", "queued", "creating", 1, None, None, None), "sandbox_release"),
    ("orchestrator", ("sweep_waiting",), "run_release")])
def test_a_change_behind_a_claim_is_not_overlooked(postgres, service, change, release):
    migrate(postgres, ROOT / "services" / service)
    postgres.sql(ROWS[service])
    changing, stepping = Session(postgres, service), Session(postgres, service)  # this one began later
    ((tenant, id, lease),) = stepping.run("sweep_due")
    stepping.connection.commit()
    changing.run(*change)
    changing.connection.commit()
    stepping.run(release, tenant, id, lease, 60000)
    stepping.connection.commit()
    ((due, free),) = postgres.sql(f"SELECT run_at <= now(), lease_until <= now() FROM {service}.{release.partition('_')[0]}")
    assert due and free
