/* SPDX-License-Identifier: Apache-2.0 */
/* The loop that looks at the ends of certificates. */
#include "services/certreg/expiry.h"

#include "lib/audit.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/metrics.h"
#include "lib/service.h"
#include "services/certreg/store_certificates.h"

#define N_WITHIN 4

static struct metric earliest = {
	.name = "strongroom_certreg_certificate_not_after_timestamp_seconds",
	.help = "When the first certificate in use ends (Unix time; 0: there is none).",
	.type = "gauge",
	.labels = "",
};

#define WITHIN(days)                                                                               \
	{                                                                                          \
		.name = "strongroom_certreg_certificates_expiring",                                \
		.help = "Certificates in use that end within so many days.", .type = "gauge",      \
		.labels = "days=\"" days "\"",                                                     \
	}
static struct metric within[N_WITHIN] = { WITHIN("1"), WITHIN("7"), WITHIN("14"), WITHIN("30") };

void expiry_register(void)
{
	metric_register(&earliest);
	for (size_t i = 0; i < N_WITHIN; i++)
		metric_register(&within[i]);
}

static int warn(
	struct db *db, const struct certificate_warning *warning, void *arg, struct err *err)
{
	auto_free char *days = mem_printf("%lld", warning->days);

	(void)arg;
	(void)err;
	audit(db, &(const struct audit_act) {
			  .action = "expiring", .on = warning->id, .detail = warning->not_after });
	log_warn("certificate ends soon", "certificate", warning->id, "days", days, "not_after",
		warning->not_after, NULL);
	return 0;
}

struct watching {
	struct db *db;
	struct certificate_ends total;
};

static int watch_tenant(const char *tenant_id, void *arg, struct err *err)
{
	struct watching *watching = arg;
	struct certificate_ends *total = &watching->total, ends;

	if (store_certificates_warn(watching->db, tenant_id, warn, NULL, err) < 0 ||
		store_certificate_ends(watching->db, tenant_id, &ends, err) < 0)
		return -1;
	if (ends.earliest && (!total->earliest || ends.earliest < total->earliest))
		total->earliest = ends.earliest;
	for (size_t i = 0; i < N_WITHIN; i++)
		total->within[i] += ends.within[i];
	return 0;
}

int expiry_watch(struct worker *worker, struct err *err)
{
	struct watching watching = { .db = worker->db };

	if (store_tenants_each(worker->db, watch_tenant, &watching, err) < 0)
		return -1;
	metric_set(&earliest, watching.total.earliest);
	for (size_t i = 0; i < N_WITHIN; i++)
		metric_set(&within[i], watching.total.within[i]);
	return 0;
}
