# SPDX-License-Identifier: Apache-2.0
# `make check`: format and static analysis, without running anything. The tools' versions are Debian 12's.

C_FILES  = $(shell git ls-files '*.c' '*.h')
C_UNITS  = $(filter %.c,$(C_FILES))
SCRIPTS  = $(shell git grep -lE '^#!/(usr/bin/env |bin/)(ba)?sh$$') $(shell git ls-files 'deploy/**.sh')
ANALYSED = $(filter lib/% proto/% services/% agent/% client/%,$(C_UNITS))

.PHONY: check format format-check tidy cppcheck shellcheck analyzer check-tree
check: install-check-deps
	@$(MAKE) --no-print-directory format-check check-tree shellcheck cppcheck tidy

format:
	clang-format-14 -i $(C_FILES)

format-check:
	@clang-format-14 --dry-run -Werror $(C_FILES)

check-tree:
	@tools/check-includes
	@tools/check-length
	@tools/check-errors
	@tools/check-mutations

tidy: $(foreach s,$(SERVICES),$(strongroom-$(s)_GEN))
	@printf '%s\n' $(filter-out lib/err.c,$(ANALYSED)) | xargs -P $(shell nproc) -n 1 sh -c \
		'clang-tidy-14 --quiet "$$1" -- $(CPPFLAGS) -include tools/tidy.h $(PKG_C) -std=gnu17 2>/dev/null' tidy
	@clang-tidy-14 --quiet lib/err.c -- $(CPPFLAGS) -std=gnu17 2>/dev/null

# It knows neither cleanup attributes (resourceLeak) nor what a function fills through a pointer (ctu*), and no system header:
# lists are walked by the macros of this one.
QUEUE_H = /usr/include/$(shell gcc -dumpmachine)/sys/queue.h
cppcheck:
	@cppcheck --quiet --error-exitcode=1 --enable=warning,portability --inline-suppr --std=c11 \
		--suppress=missingIncludeSystem --suppress=unknownMacro --suppress=varFuncNullUB --suppress=resourceLeak --suppress=ctunullpointer \
		--suppress=ctuuninitvar -I. -I$(BUILD)/gen --include=$(QUEUE_H) -D__GNUC__ $(ANALYSED)

# It analyses what it compiles: with -fsyntax-only it would say nothing.
analyzer: programs
	@for file in $(filter-out lib/err.c,$(filter lib/% services/%,$(ANALYSED))); do \
		gcc $(CPPFLAGS) -include tools/tidy.h $(PKG_C) -std=gnu17 -O1 -fanalyzer -Werror -c -o /dev/null $$file || \
			exit 1; done

shellcheck:
	@shellcheck -x $(SCRIPTS)
