/* SPDX-License-Identifier: Apache-2.0 */
/* What to do next, by error code: the line below a failure. */
#ifndef STRONGROOM_CLIENT_HELP_H
#define STRONGROOM_CLIENT_HELP_H

const char *help_for(const char *code); /* NULL when there is nothing useful to say */

#endif
