/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cage tried from inside the VM. The initramfs of a test carries
 * /etc/strongroom/selftest/{cases.json,rootfs/}: each case is {"name", "argv":[…], "limits":{…}}.
 * Every case runs in a fresh jail; its result and the names packed from its /output are printed on
 * the console as one JSON line "selftest {…}".
 */
#ifndef STRONGROOM_SELFTEST_H
#define STRONGROOM_SELFTEST_H

void selftest_run(const char *work_dir, const char *cgroup);

#endif
