# SPDX-License-Identifier: Apache-2.0
# The relay between a sandbox and the edge.
$(BUILD)/bin/strongroom-relay: $(BUILD)/relay/main.o $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(LDFLAGS) $< $(LIB) $(PKG_L) -o $@
programs: $(BUILD)/bin/strongroom-relay
-include $(BUILD)/relay/main.d
