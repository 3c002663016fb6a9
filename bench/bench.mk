# SPDX-License-Identifier: Apache-2.0
# `make bench`: every figure with its peers in the same run, written to docs/BENCHMARKS.md. SECTIONS="layer read" runs
# some of them and only prints. bench/README.md says how each is made.

SECTIONS ?=

.PHONY: bench bench-built
bench: install-deps
	@deploy/local/install-deps bench/packages
	@$(MAKE) --no-print-directory bench-built

bench-built: programs guest $(BUILD)/bench/encrypt_layer $(BUILD)/bench/decrypt_layer $(BUILD)/bench/verify_token \
	$(BUILD)/bench/verify_evidence $(BUILD)/bench/explain_policy
	@/usr/bin/python3 bench/run.py $(SECTIONS)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(LIB)
	@$(CC) $(LDFLAGS) $< $(LIB) $(PKG_L) -o $@
-include $(BUILD)/bench/encrypt_layer.d $(BUILD)/bench/decrypt_layer.d $(BUILD)/bench/verify_token.d \
	$(BUILD)/bench/verify_evidence.d $(BUILD)/bench/explain_policy.d
