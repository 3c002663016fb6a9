# SPDX-License-Identifier: Apache-2.0
# One non-recursive Makefile. A new service is a new folder below services/.
#   make            build everything          make demo   the main job on real input
#   make test       everything, tested        make up / down / status / logs   the local stack
#   make V=1        prints the compiler's command lines
# Variables: BUILD (build folder), SAN (address,undefined or thread), CC, STACK (stack folder).

SAN      ?=
BUILD    ?= build$(if $(SAN),-$(firstword $(subst $(comma), ,$(SAN))))
STACK    ?= $(CURDIR)/var
comma    := ,
SERVICES := certreg provisioner registry-gw policy orchestrator

export BUILD STACK

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Wundef -Wformat=2 -Wnull-dereference -Wimplicit-fallthrough -Wswitch-enum
ifneq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-gnu-statement-expression
else
WARNINGS += -Wduplicated-cond -Wlogical-op -Wjump-misses-init
endif
PACKAGES := libevent libevent_openssl libevent_pthreads libpq openssl jansson libcurl hiredis jose \
	libcyaml yaml-0.1 libarchive libgit2 libseccomp tss2-mu tss2-esys tss2-tcti-device liblzma libvirt
HARDEN   := -fstack-protector-strong -fPIE
OPTIMISE := -O2 -g
ifeq ($(SAN),)
HARDEN   += -D_FORTIFY_SOURCE=3
else
OPTIMISE := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN)
WARNINGS += -Wno-null-dereference # gcc sees what the sanitizer put in
ifeq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-format-truncation
endif
endif
CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD)/gen -I/usr/share/include/llhttp -include lib/banned.h
ifneq ($(TEST_HOOKS)$(SAN),)
CPPFLAGS += -DTEST_HOOKS # kill points: tests only
endif
CFLAGS   += -std=gnu17 $(OPTIMISE) $(HARDEN) $(WARNINGS)
LDFLAGS  += -pie -Wl,-z,relro,-z,now -Wl,--as-needed -pthread $(if $(SAN),-fsanitize=$(SAN))
PKG_C    := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_L    := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)

LIB_SRC  := $(sort $(wildcard lib/*.c) $(wildcard proto/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o) $(patsubst %,$(BUILD)/llhttp/%.o,llhttp api http)
LIB      := $(BUILD)/libstrongroom.a
PROGRAMS := $(foreach s,$(SERVICES),$(if $(wildcard services/$(s)/main.c),$(BUILD)/bin/strongroom-$(s))) \
	$(if $(wildcard agent/main.c),$(BUILD)/bin/strongroom-agent) \
	$(if $(wildcard client/main.c),$(BUILD)/bin/strongroom)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all programs unit
all: programs
programs: $(PROGRAMS)

# --- objects, the library ---
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC    $<";) $(if $(V),set -x;) $(CC) $(CPPFLAGS) $(PKG_C) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	@$(CC) -O2 -g -fPIE $(if $(SAN),-fsanitize=$(SAN)) -w -I/usr/share/include/llhttp -c $< -o $@

$(LIB): $(LIB_OBJ)
	@rm -f $@
	@ar rcs $@ $^

# --- programs: services/<name>/*.c, agent/*.c, client/*.c; everything but main.c also as an archive for unit tests ---
# $(1) folder, $(2) program
define program
$(2)_SRC := $(sort $(wildcard $(1)/*.c))
$(2)_OBJ := $$($(2)_SRC:%.c=$(BUILD)/%.o)
$(2)_GEN := $(if $(wildcard $(1)/queries.sql),$(BUILD)/gen/$(1)/queries.h) $(if $(wildcard $(1)/schema/*.sql),$(BUILD)/gen/$(1)/migrations.h)
$$($(2)_OBJ): | $$($(2)_GEN)
$(BUILD)/bin/$(2): $$($(2)_OBJ) $(LIB)
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$(CC) $(LDFLAGS) $$($(2)_OBJ) $(LIB) $(PKG_L) -o $$@
$(BUILD)/$(1).a: $$(filter-out $(BUILD)/$(1)/main.o,$$($(2)_OBJ))
	@rm -f $$@
	@ar rcs $$@ $$^
ARCHIVES += $(if $(wildcard $(1)/*.c),$(BUILD)/$(1).a)
-include $$($(2)_OBJ:.o=.d)
endef
$(foreach s,$(SERVICES),$(eval $(call program,services/$(s),strongroom-$(s))))
$(eval $(call program,agent,strongroom-agent))
$(eval $(call program,client,strongroom))

ERRORS := $(sort $(wildcard proto/errors/*.json))
$(BUILD)/gen/lib/error_help.h: $(ERRORS) tools/errors2c.awk
	@mkdir -p $(@D)
	@awk -f tools/errors2c.awk $(ERRORS) > $@.new && mv $@.new $@
$(BUILD)/lib/error_text.o: $(BUILD)/gen/lib/error_help.h

$(BUILD)/gen/%/queries.h: %/queries.sql tools/sql2c.awk
	@mkdir -p $(@D)
	awk -f tools/sql2c.awk $< > $@.new && mv $@.new $@

.SECONDEXPANSION:
$(BUILD)/gen/%/migrations.h: $$(sort $$(wildcard %/schema/*.sql)) tools/schema2c.awk
	@mkdir -p $(@D)
	awk -f tools/schema2c.awk $(filter %.sql,$^) > $@.new && mv $@.new $@

# --- unit tests and fuzzers ---
$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(LIB) $$(ARCHIVES)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) $< -Wl,--start-group $(ARCHIVES) $(LIB) -Wl,--end-group $(PKG_L) -o $@

.SECONDARY: $(UNIT:$(BUILD)/tests/%=$(BUILD)/tests/unit/%.o)
unit: $(UNIT)
	@tools/run-unit $(UNIT)

-include $(LIB_OBJ:.o=.d) $(UNIT:$(BUILD)/tests/%=$(BUILD)/tests/unit/%.d)
-include $(wildcard deploy/*.mk tests/*.mk bench/*.mk)

.PHONY: clean
clean:
	rm -rf build build-*
