# SPDX-License-Identifier: Apache-2.0
# The program that test_image.py drives.
IMAGE_PROBE     := $(BUILD)/probe/image_probe
IMAGE_PROBE_OBJ := $(patsubst %.c,$(BUILD)/%.o,tests/service/probe/image_probe.c client/files.c $(filter-out client/image_keys.c,$(wildcard client/image*.c)))

.PHONY: image-probe test-built
test-built: $(IMAGE_PROBE)
image-probe: $(IMAGE_PROBE)

$(IMAGE_PROBE): $(IMAGE_PROBE_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(IMAGE_PROBE_OBJ) $(LIB) $(PKG_L) -o $@
-include $(IMAGE_PROBE_OBJ:.o=.d)
