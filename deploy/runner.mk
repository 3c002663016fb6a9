# SPDX-License-Identifier: Apache-2.0
# What runs tofu and outlives the provisioner.
$(BUILD)/bin/strongroom-run: $(BUILD)/runner/main.o $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) $< $(LIB) $(PKG_L) -o $@
programs: $(BUILD)/bin/strongroom-run
-include $(BUILD)/runner/main.d
