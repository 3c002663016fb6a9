# SPDX-License-Identifier: Apache-2.0
"""The streaming format against an implementation of Tink's wire format that shares no line with ours."""
import os
import subprocess

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto_stack import crypto_probe  # noqa: F401

SEGMENT = 1048576
HEADER = 40
FIRST = SEGMENT - HEADER - 16
LATER = SEGMENT - 16
AAD = b'{"v":"strongroom-data-1"}'
KEY = bytes(range(32))
SIZES = [0, 1, 1000, FIRST - 1, FIRST, FIRST + 1, SEGMENT, FIRST + LATER, FIRST + LATER + 1, 3 * SEGMENT + 7]


def derived(key, salt, aad):
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=aad).derive(key))


def nonce(prefix, number, last):
    return prefix + number.to_bytes(4, "big") + (b"\1" if last else b"\0")


def python_seal(key, aad, plain):
    salt, prefix = os.urandom(32), os.urandom(7)
    aead = derived(key, salt, aad)
    parts = [plain[:FIRST]] + [plain[i:i + LATER] for i in range(FIRST, len(plain), LATER)]
    out = bytes([HEADER]) + salt + prefix
    for i, part in enumerate(parts):
        out += aead.encrypt(nonce(prefix, i, i == len(parts) - 1), part, b"")
    return out


def python_open(key, aad, data):
    assert data[0] == HEADER
    salt, prefix = data[1:33], data[33:40]
    aead = derived(key, salt, aad)
    bounds = [HEADER] + list(range(SEGMENT, len(data), SEGMENT)) + [len(data)]
    return b"".join(aead.decrypt(nonce(prefix, i, i == len(bounds) - 2), data[a:b], b"")
                    for i, (a, b) in enumerate(zip(bounds, bounds[1:])))


@pytest.fixture
def run(crypto_probe, tmp_path):
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "aad").write_bytes(AAD)

    def call(command, data):
        (tmp_path / "in").write_bytes(data)
        done = subprocess.run([crypto_probe, command, "key", "aad", "in", "out"], cwd=tmp_path,
                              capture_output=True, text=True, timeout=60)
        return done.stdout.strip() if done.returncode else (tmp_path / "out").read_bytes()
    return call


@pytest.mark.parametrize("size", SIZES)
def test_both_directions(run, size):
    plain = os.urandom(size)
    sealed = run("stream-seal", plain)
    assert python_open(KEY, AAD, sealed) == plain
    assert run("stream-open", python_seal(KEY, AAD, plain)) == plain


def test_the_independent_implementation_notices_what_ours_must(run):
    sealed = run("stream-seal", os.urandom(FIRST + LATER + 5))
    for bad in (sealed[:-1], sealed[:SEGMENT], sealed + b"x"):
        with pytest.raises(InvalidTag):
            python_open(KEY, AAD, bad)


def test_refusals(run):
    sealed = python_seal(KEY, AAD, os.urandom(FIRST + 2 * LATER))
    assert len(sealed) == 3 * SEGMENT
    one, two, three = (sealed[i * SEGMENT:(i + 1) * SEGMENT] for i in range(3))
    assert run("stream-open", one + two) == "aead.truncated"
    assert run("stream-open", one) == "aead.truncated"
    assert run("stream-open", sealed[:20]) == "aead.truncated"
    assert run("stream-open", b"") == "aead.truncated"
    assert run("stream-open", one + three + two) == "aead.tampered"
    assert run("stream-open", sealed + b"x") == "aead.tampered"
    assert run("stream-open", sealed + three) == "aead.tampered"
    assert run("stream-open", sealed[:-1]) == "aead.tampered"
    assert run("stream-open", python_seal(KEY, AAD + b" ", b"x")) == "aead.tampered"
    assert run("stream-open", python_seal(bytes(32), AAD, b"x")) == "aead.tampered"
