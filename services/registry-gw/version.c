/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol's front door. There is no catalogue: nobody lists repositories of others. */
#include "services/registry-gw/version.h"

#include "services/registry-gw/access.h"

int version_show(struct web_req *req, struct web_res *res, struct err *err)
{
	web_header_add(res, "Docker-Distribution-Api-Version", "registry/2.0");
	if (access_login(req, res, err) < 0)
		return -1;
	res->json = json_object();
	return 0;
}

int version_none(struct web_req *req, struct web_res *res, struct err *err)
{
	if (access_login(req, res, err) < 0)
		return -1;
	return err_set(err, ERR_NOT_FOUND, "repository.no_route", "this registry has no such path");
}
