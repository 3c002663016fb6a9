# SPDX-License-Identifier: Apache-2.0
# `make soak`: the faults of tests/faults/test_soak.py for SOAK_SECONDS.

SOAK_SECONDS ?= 600

.PHONY: soak
soak: install-deps
	@$(MAKE) --no-print-directory programs $(UP_NEEDS)
	@SOAK_SECONDS=$(SOAK_SECONDS) /usr/bin/python3 -m pytest -q -s tests/faults/test_soak.py
