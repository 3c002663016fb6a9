# SPDX-License-Identifier: Apache-2.0
# `make fresh`: a bare Debian with git and make is enough for TARGET (a few minutes, and a few hundred megabytes from
# Debian's mirror).

TARGET ?= demo

.PHONY: fresh
fresh:
	@tests/fresh/run $(TARGET)
