/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For clang-tidy and gcc -fanalyzer only (tests/check.mk): tells them, who see one file at a time,
 * that the functions of lib/err.h always return -1, so that they follow no paths on which a
 * failure passes for success.
 */
#ifndef TOOLS_TIDY_H
#define TOOLS_TIDY_H

#include "lib/err.h"

#define err_set(...) (err_set(__VA_ARGS__), -1)
#define err_errno(...) (err_errno(__VA_ARGS__), -1)
#define err_wrap(...) (err_wrap(__VA_ARGS__), -1)
#define err_field(...) (err_field(__VA_ARGS__), -1)

#endif
