# SPDX-License-Identifier: Apache-2.0
# The local stack as targets: deploy/local/stack does the work. Other .mk files add to UP_NEEDS what must be built
# before a start beside the programs (the guest's image, say).

PART ?=
UP_NEEDS += $(if $(wildcard deploy/guest.mk),guest)

.PHONY: install-deps install-check-deps up down purge status logs backup restore rotate-signing-key
install-deps:
	@deploy/local/install-deps deploy/local/packages

install-check-deps:
	@deploy/local/install-deps deploy/local/packages deploy/local/packages.check

# A make of its own, because the libraries' flags are read when make starts.
up: install-deps
	@$(MAKE) --no-print-directory programs $(UP_NEEDS)
	@deploy/local/stack up $(PART)

down:
	@deploy/local/stack down

purge:
	@deploy/local/stack purge

status:
	@deploy/local/stack status

logs:
	@deploy/local/stack logs $(PART)

# FOLDER: where to, where from (default of backup: a new one in $(STACK)/backups); DIGEST: what backup printed.
backup:
	@deploy/local/stack backup $(FOLDER)

restore:
	@deploy/local/stack restore $(FOLDER) $(DIGEST)

rotate-signing-key:
	@deploy/local/stack rotate-signing-key

# The main job from nothing to its result. INPUT=file.csv takes another table than the generated one.
.PHONY: demo
demo: install-deps
	@$(MAKE) --no-print-directory programs $(UP_NEEDS)
	@deploy/local/demo $(INPUT)
