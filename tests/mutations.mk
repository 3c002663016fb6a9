# SPDX-License-Identifier: Apache-2.0
# `make mutants`: takes one security check after the other away and demands that its test goes red. MUTANTS="name..."
# tries some of them.

.PHONY: mutants
mutants: install-deps
	@tools/mutants $(MUTANTS)
