# SPDX-License-Identifier: Apache-2.0
# `make test`: everything; `make test-asan`, `make test-tsan`: unit and service tests and one end-to-end run under the
# sanitizers, test-asan also the fuzzers. Each closes with 'N passed, N failed'. The inner make starts after the packages
# are there.

.PHONY: test test-asan test-tsan test-built
test: install-deps
	@$(MAKE) --no-print-directory test-built

test-asan: install-check-deps # clang has libFuzzer
	@$(MAKE) --no-print-directory test SAN=address,undefined BUILD=build-address

test-tsan:
	@$(MAKE) --no-print-directory test SAN=thread BUILD=build-thread

WITH_FUZZERS = $(findstring address,$(SAN))
test-built: programs $(UNIT) $(UP_NEEDS) $(if $(WITH_FUZZERS),fuzz-programs)
	@SAN=$(SAN) FUZZERS="$(if $(WITH_FUZZERS),$(FUZZERS:$(BUILD)/%=$(FUZZ_BUILD)/%))" tools/run-tests $(UNIT)
