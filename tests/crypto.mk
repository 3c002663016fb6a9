# SPDX-License-Identifier: Apache-2.0
# The probe of tests/service/test_*_interop.py.
$(BUILD)/probe/crypto: $(BUILD)/tests/support/probe_crypto.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $< $(LIB) $(PKG_L) -o $@
