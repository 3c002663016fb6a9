# SPDX-License-Identifier: Apache-2.0
"""Names that sandboxes ask for are looked up at their owners' speed: one tenant's do not keep others from theirs."""
import concurrent.futures
import contextlib
import os
import socket
import subprocess
import threading

import pytest

from certreg_stack import certreg_process
from conftest import short_folder, wait_for
from test_agent_routes import Orchestrator, Run
from test_certreg_members import new_owner
from test_egress import Out, Target

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a name server of its own needs root")
OF_TENANT = 2


class Names:
    """A name server that knows nothing, and keeps that to itself until it may say it."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
        self.socket.bind((self.address, 53))
        self.asked, self.waiting, self.mutex, self.may_say = set(), [], threading.Lock(), False
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, asker = self.socket.recvfrom(512)
                with self.mutex:
                    self.asked.add(query[13:13 + query[12]])
                    self.waiting.append((query, asker))
                    if self.may_say:
                        self.say()

    def say(self):
        for query, asker in self.waiting:
            self.socket.sendto(query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:query.index(0, 12) + 5], asker)
        self.waiting.clear()

    def speak(self):
        with self.mutex:
            self.may_say = True
            self.say()


class Resolving(Orchestrator):
    """One that asks that name server."""

    def start(self):
        conf = self.folder / "resolv.conf"
        conf.write_text(f"nameserver {self.names.address}\noptions timeout:30 attempts:1\n")
        script = 'mount --bind "$1" "$(readlink -f /etc/resolv.conf)" && exec "$2" --config "$3"'
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", conf, self.program,
                                             self.conf], stdin=subprocess.DEVNULL, stderr=log)
        wait_for(lambda: self.ask("GET", "/readyz").status == 200, "the orchestrator is ready")


@pytest.fixture
def out(postgres, redis):
    names, target = Names(), Target()
    with short_folder("sr-crt-") as crt, short_folder("sr-orc-") as folder, certreg_process(crt, postgres, redis) as certreg:
        orchestrator = Resolving(folder, certreg, fetch_prefixes="127.0.0.1/32,::1/128", fetch_ports="1024-65535")
        orchestrator.names = names
        orchestrator.start()
        yield Out(orchestrator, target)
        names.speak()
        orchestrator.stop()
    target.close()
    names.socket.close()


def run_of(out, who, *domains):
    policy = {"egress": {"mode": "direct", "domains": list(domains), "roots": None}}
    return Run(out.orchestrator, out.orchestrator.certreg.client(who), who=who, policy=policy).running()


def test_slow_names_are_their_tenants_own_loss(out):
    """Two tenants hold every thread that is kept for names; a third one, and each other run of his, goes on at once."""
    names, tenants = out.orchestrator.names, ("acme-algo", "globex-owner")
    slow = {who: [f"{who}-{i}.example:443" for i in range(6)] for who in tenants}
    runs = {who: run_of(out, who, *slow[who]) for who in tenants}
    other = run_of(out, new_owner(out.orchestrator.certreg)[0], out.target.name)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        asking = []
        try:
            for count, who in enumerate(tenants, 1):
                asking += [pool.submit(out.refused, 403, "egress.address_refused", runs[who], target=name) for name in slow[who]]
                wait_for(lambda: len(names.asked) >= count * OF_TENANT, "as many as may be are looked up")
            for _ in range(3):
                out.open(other).close()
            assert len(names.asked) == len(tenants) * OF_TENANT
        finally:
            names.speak()
        for one in asking:
            one.result()
    assert len(names.asked) == sum(map(len, slow.values()))
