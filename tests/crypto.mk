# SPDX-License-Identifier: Apache-2.0
# The probe of tests/service/test_*_interop.py.
.PHONY: test-built
test-built: $(BUILD)/probe/crypto

$(BUILD)/probe/crypto: $(BUILD)/tests/support/probe_crypto.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $< $(LIB) $(PKG_L) -o $@
