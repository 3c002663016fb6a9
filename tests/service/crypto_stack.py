# SPDX-License-Identifier: Apache-2.0
"""The probe of lib/'s formats (tests/support/probe_crypto.c), built when it is asked for."""
import os

import pytest

from conftest import BUILD
from making import make


@pytest.fixture(scope="session")
def crypto_probe():
    probe = BUILD / "probe/crypto"
    if not os.environ.get("STRONGROOM_PROBES_BUILT"):
        make(BUILD, probe)
    return str(probe)
