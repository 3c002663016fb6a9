# SPDX-License-Identifier: Apache-2.0
# `make soak`: the faults of tests/faults/test_soak.py for SOAK_SECONDS, SANDBOX_ROUNDS of test_sandbox_soak.py, all points of
# test_tofu_crashes.py.

SOAK_SECONDS ?= 600
SANDBOX_ROUNDS ?= 200

.PHONY: soak
soak: install-deps
	@$(MAKE) --no-print-directory programs $(UP_NEEDS)
	@SOAK_SECONDS=$(SOAK_SECONDS) SANDBOX_ROUNDS=$(SANDBOX_ROUNDS) /usr/bin/python3 -m pytest -q -s \
		tests/faults/test_soak.py tests/faults/test_sandbox_soak.py tests/faults/test_tofu_crashes.py
