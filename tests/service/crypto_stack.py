# SPDX-License-Identifier: Apache-2.0
"""The probe of lib/'s formats (tests/support/probe_crypto.c), built when it is asked for."""
import os
import subprocess

import pytest

from conftest import BUILD, ROOT


@pytest.fixture(scope="session")
def crypto_probe():
    probe = BUILD / "probe/crypto"
    if not os.environ.get("STRONGROOM_PROBES_BUILT"):
        subprocess.run(["make", "-s", f"BUILD={BUILD}", str(probe)], cwd=ROOT, check=True)
    return str(probe)
