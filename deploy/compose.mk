# SPDX-License-Identifier: Apache-2.0
# The compose stack as targets: deploy/compose/stack does the work (docs/deploy.md).
COMPOSE_ACTIONS := build up status wait logs upgrade down purge

.PHONY: install-compose-deps compose-demo $(COMPOSE_ACTIONS:%=compose-%)
install-compose-deps:
	@deploy/local/install-deps deploy/compose/packages

$(COMPOSE_ACTIONS:%=compose-%): compose-%:
	@deploy/compose/stack $*

# The main job with two copies of each service, one of each killed in mid-run; backup and restore.
compose-demo: install-deps
	@$(MAKE) --no-print-directory programs
	@deploy/compose/demo
