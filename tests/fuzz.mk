# SPDX-License-Identifier: Apache-2.0
# `make fuzz`: every fuzzer on its corpus, then FUZZ_SECONDS on from there (libFuzzer of clang, address and undefined).
# What is found stays in $(BUILD)/fuzz; only seeds that somebody chose go into tests/fuzz/corpus.

FUZZ_SECONDS ?= 10

.PHONY: fuzz fuzz-run
fuzz:
	@CFLAGS=-Wno-unknown-warning-option $(MAKE) --no-print-directory CC=clang SAN=fuzzer-no-link,address,undefined BUILD=$(BUILD)-fuzz fuzz-run

fuzz-run: $(FUZZERS)
	@for fuzzer in $(FUZZERS); do \
		name=$${fuzzer##*/fuzz_}; \
		mkdir -p $(BUILD)/fuzz/found-$$name; \
		echo "fuzz: $$name"; \
		(cd $(BUILD)/fuzz && ./fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -close_fd_mask=3 \
			found-$$name $(CURDIR)/tests/fuzz/corpus/$$name) || exit 1; \
	done

$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer $< $(LIB) $(PKG_L) -o $@
