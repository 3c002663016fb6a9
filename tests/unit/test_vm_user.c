/* SPDX-License-Identifier: Apache-2.0 */
/* No two sandboxes of a host have one uid. */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/id.h"
#include "lib/mem.h"
#include "services/provisioner/vm_user.h"
#include "tests/unit/check.h"

#define FIRST 70000u

static char dir[] = "/tmp/test_vm_user.XXXXXX";

static void test_each_its_own(const char *folder)
{
	bool is_taken[VM_USERS] = { false };
	char id[ID_SIZE], first_id[ID_SIZE];
	struct err err = { 0 };
	uid_t uid = 0, again = 1;

	for (unsigned i = 0; i < VM_USERS; i++) {
		id_new("sbx", id);
		CHECK(vm_user_take(folder, FIRST, id, &uid, &err) == 0);
		CHECK(uid >= FIRST && uid < FIRST + VM_USERS && !is_taken[uid - FIRST]);
		is_taken[uid - FIRST] = true;
		if (i == 0)
			memcpy(first_id, id, sizeof(id));
	}
	CHECK(vm_user_take(folder, FIRST, id, &again, &err) == 0 && again == uid);
	id_new("sbx", id);
	CHECK_FAILS(vm_user_take(folder, FIRST, id, &uid, &err), &err, "sandbox.no_user");
	CHECK(vm_user_release(folder, FIRST, id, &err) == 0);
	CHECK(vm_user_release(folder, FIRST, first_id, &err) == 0);
	CHECK(vm_user_take(folder, FIRST, id, &uid, &err) == 0 && uid == FIRST);
	CHECK_FAILS(vm_user_take(folder, FIRST, first_id, &uid, &err), &err, "sandbox.no_user");
}

static void test_uids_of_others(void)
{
	static const long bad[] = { 0, 1, 999, 1000 - 3 * (long)VM_USERS, 65534, 65535,
		65535 - 3 * (long)VM_USERS, INT32_MAX, LONG_MAX / 2 };
	struct err err = { 0 };

	CHECK(vm_user_check(FIRST, &err) == 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(vm_user_check(bad[i], &err), &err, "sandbox.bad_uids");
}

int main(void)
{
	auto_free char *folder = NULL, *clean = NULL;

	test_uids_of_others();
	CHECK(mkdtemp(dir) != NULL);
	folder = mem_printf("%s/users", dir);
	test_each_its_own(folder);
	clean = mem_printf("rm -rf %s", dir);
	CHECK(system(clean) == 0); /* NOLINT: a name of our own */
	CHECK_DONE();
}
