# SPDX-License-Identifier: Apache-2.0
# The programs that test_db.py, test_wake.py and test_schemas.py drive.
PROBE_DIR := tests/service/probe
PROBES    := $(foreach p,db_probe wake_probe migrate_probe,$(BUILD)/probe/$(p))

.PHONY: probes test-built
probes: $(PROBES)
test-built: probes

$(BUILD)/$(PROBE_DIR)/db_probe.o: | $(BUILD)/gen/$(PROBE_DIR)/queries.h $(BUILD)/gen/$(PROBE_DIR)/migrations.h
$(PROBES): $(BUILD)/probe/%: $(BUILD)/$(PROBE_DIR)/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $< $(LIB) $(PKG_L) -o $@
-include $(PROBES:$(BUILD)/probe/%=$(BUILD)/$(PROBE_DIR)/%.d)
