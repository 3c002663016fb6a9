# SPDX-License-Identifier: Apache-2.0
# The sandbox VM: kernel, reproducible initramfs with the agent, their digests (guest.json), and the launcher that
# puts QEMU into its cage.

CACHE ?= $(STACK)/cache
GUEST := $(BUILD)/guest

# libarchive statically: the shared one drags ICU and libxml2 into the guest. Its table of formats names all of them, so
# what the agent calls is cut out of the archive first, and the rest never asks for bzip2, lzma, libxml2 and nettle.
GUEST_LIBS = $(shell pkg-config --libs openssl jansson libcurl jose libseccomp tss2-mu tss2-esys tss2-tcti-device) -lzstd -lz

.PHONY: guest
guest: $(GUEST)/guest.json

ifeq ($(SAN),)
# No build id and no debug data: neither depends on the tree's place.
$(GUEST)/libarchive.o: $(strongroom-agent_OBJ)
	@mkdir -p $(@D)
	ld -r --gc-sections $$(nm -u $^ | awk '$$2 ~ /^archive_/ { print "-u", $$2 }' | sort -u) \
		$$($(CC) -print-file-name=libarchive.a) -o $@
$(GUEST)/strongroom-agent: $(strongroom-agent_OBJ) $(GUEST)/libarchive.o $(LIB)
	$(CC) $(LDFLAGS) -Wl,--build-id=none -s $^ $(GUEST_LIBS) -o $@
else
# The guest is what is measured: sanitizers run the agent as an ordinary process instead.
.PHONY: plain-agent
plain-agent:
	+$(MAKE) --no-print-directory SAN= BUILD=$(BUILD)/plain $(BUILD)/plain/guest/strongroom-agent
$(GUEST)/strongroom-agent: plain-agent
	@mkdir -p $(@D)
	cmp -s $(BUILD)/plain/guest/strongroom-agent $@ || cp $(BUILD)/plain/guest/strongroom-agent $@
endif

$(CACHE)/kernel/version:
	deploy/guest/fetch-kernel $(CACHE)

$(GUEST)/vmlinuz: $(CACHE)/kernel/version
	@mkdir -p $(@D)
	cp $(CACHE)/kernel/vmlinuz $@

$(GUEST)/initramfs.img: $(GUEST)/strongroom-agent $(CACHE)/kernel/version \
		$(addprefix deploy/guest/,mkinitramfs mkcpio modules)
	deploy/guest/mkinitramfs $(GUEST)/strongroom-agent $(CACHE)/kernel/modules $@

$(GUEST)/guest.json: $(GUEST)/vmlinuz $(GUEST)/initramfs.img deploy/guest/cmdline deploy/guest/describe
	deploy/guest/describe $(CACHE)/kernel/version $(GUEST)/vmlinuz $(GUEST)/initramfs.img \
		$(GUEST)/strongroom-agent > $@.new && mv $@.new $@

# --- the launcher; its C helper belongs to the library archive, so that the provisioner finds it ---
LAUNCHER_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out launcher/main.c,$(wildcard launcher/*.c)))
$(LIB): $(LAUNCHER_OBJ)
$(BUILD)/bin/strongroom-launch: $(BUILD)/launcher/main.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $< $(LIB) -o $@
programs: $(if $(wildcard launcher/main.c),$(BUILD)/bin/strongroom-launch)
-include $(LAUNCHER_OBJ:.o=.d) $(BUILD)/launcher/main.d

# --- what the tests put into a sandbox: static, so that it can be an image's only file ---
$(BUILD)/tests/hostile: tests/support/hostile.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -D_GNU_SOURCE -O2 $(WARNINGS) -Wno-null-dereference -static -s $< -o $@
# examples/second-way: the shell's one tool that busybox does not have.
$(BUILD)/examples/aes-gcm: examples/second-way/shell/aes-gcm.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -D_GNU_SOURCE -O2 $(WARNINGS) -Wno-null-dereference -static -s $< -lcrypto -Wl,--no-warnings -o $@
.PHONY: examples-second-way
examples-second-way: $(BUILD)/examples/aes-gcm
.PHONY: guest-tests
guest-tests: guest $(BUILD)/tests/hostile $(BUILD)/bin/strongroom-launch
$(BUILD)/tests/test_launch: | $(BUILD)/bin/strongroom-launch
