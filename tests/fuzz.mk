# SPDX-License-Identifier: Apache-2.0
# `make fuzz`: every fuzzer on its corpus, then FUZZ_SECONDS on from there (libFuzzer of clang, address and undefined).
# `make test-asan` does the same (tests/run.mk); `make fuzz FUZZ_SECONDS=3600` searches.

FUZZ_SECONDS ?= 10
FUZZ_BUILD   := $(BUILD)-fuzz
export FUZZ_SECONDS

.PHONY: fuzz fuzz-programs
fuzz: fuzz-programs
	@tools/run-fuzz $(FUZZERS:$(BUILD)/%=$(FUZZ_BUILD)/%)

# A build of its own: other compiler, other sanitizers.
fuzz-programs:
	@CFLAGS=-Wno-unknown-warning-option $(MAKE) --no-print-directory CC=clang \
		SAN=fuzzer-no-link,address,undefined BUILD=$(FUZZ_BUILD) $(FUZZERS:$(BUILD)/%=$(FUZZ_BUILD)/%)

.SECONDARY: $(FUZZERS:$(BUILD)/fuzz/%=$(BUILD)/tests/fuzz/%.o)
$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.o $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(PKG_L) -o $@
$(BUILD)/fuzz/fuzz_archive $(BUILD)/fuzz/fuzz_rule: $(BUILD)/services/registry-gw.a
$(BUILD)/fuzz/fuzz_controller $(BUILD)/fuzz/fuzz_template $(BUILD)/fuzz/fuzz_tofu_stream: $(BUILD)/services/provisioner.a
-include $(FUZZERS:$(BUILD)/fuzz/%=$(BUILD)/tests/fuzz/%.d)
