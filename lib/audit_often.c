/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting what comes often. A slot is one kind of act in its window; its first ones are told by
 * the request's own worker, the number of the others by the loop `audit` when the window is over.
 * What a kill -9 finds uncounted is lost, a clean stop tells it all. Who has no token never has a
 * slot of his own, and a tenant has no more than its share of them: what is beyond is counted
 * without its subject. So nobody fills the table, nor hides behind noise what others did.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/id.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"

#define SLOTS 4096u
#define REST_SLOTS 512u /* behind them: of tenants that have used up their share */
#define SHARES 256u	/* tenants by their hash */
#define SHARE_MAX 512u
#define PROBES 16u
#define REFUSALS_TOLD 10u
#define REFUSALS_WINDOW_S 60
#define MAX_DETAIL 64

struct slot {
	char *kind; /* NULL: free */
	char *tenant, *action, *on, *code, *subject, *credential, *roles;
	long long ends_ms;
	unsigned long told, untold;
};

struct audit {
	pthread_mutex_t mutex;
	struct slot slots[SLOTS + REST_SLOTS];
	unsigned used[SHARES];
	unsigned long dropped; /* found no slot */
};

struct audit *audit_new(void)
{
	struct audit *audit = mem_alloc(sizeof(*audit));

	pthread_mutex_init(&audit->mutex, NULL);
	return audit;
}

static void slot_clear(struct slot *slot)
{
	char **texts[] = { &slot->kind, &slot->tenant, &slot->action, &slot->on, &slot->code,
		&slot->subject, &slot->credential, &slot->roles };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(*texts[i]);
	*slot = (struct slot) { .kind = NULL };
}

void audit_free(struct audit *audit)
{
	if (!audit)
		return;
	for (size_t i = 0; i < SLOTS + REST_SLOTS; i++)
		slot_clear(&audit->slots[i]);
	pthread_mutex_destroy(&audit->mutex);
	free(audit);
}

/* --- counting --- */

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static char *copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

static char *kind_of(const char *tenant, const struct audit_act *act)
{
	return mem_printf("%s %s %s %s %s %s", tenant, or_empty(act->subject),
		or_empty(act->credential), act->action, or_empty(act->code),
		act->code ? "" : or_empty(act->on));
}

/* FNV-1a: the kinds are ours, and a full neighbourhood only coarsens the count. */
static size_t hash_of(const char *text)
{
	unsigned long long hash = 14695981039346656037ull;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211ull;
	return (size_t)hash;
}

static unsigned *share_of(struct audit *audit, const char *tenant)
{
	return &audit->used[hash_of(tenant) % SHARES];
}

/* Among slots[first..first+count). NULL: full, or the tenant's share is. */
static struct slot *find_in(
	struct audit *audit, const char *kind, const char *tenant, size_t first, size_t count)
{
	bool may_open = first > 0 || *share_of(audit, tenant) < SHARE_MAX;
	struct slot *free_slot = NULL;

	for (size_t i = 0; i < PROBES; i++) {
		struct slot *slot = &audit->slots[first + (hash_of(kind) + i) % count];

		if (slot->kind && strcmp(slot->kind, kind) == 0)
			return slot;
		if (!slot->kind && !free_slot)
			free_slot = slot;
	}
	return may_open ? free_slot : NULL;
}

static bool has_share(const struct audit *audit, const struct slot *slot)
{
	return slot < &audit->slots[SLOTS];
}

/* Makes the slot a free one; what it held is the caller's. */
static struct slot slot_take(struct audit *audit, struct slot *slot)
{
	struct slot taken = *slot;

	if (taken.kind && has_share(audit, slot))
		--*share_of(audit, taken.tenant);
	*slot = (struct slot) { .kind = NULL };
	return taken;
}

static void open_slot(struct audit *audit, struct slot *slot, char *kind, const char *tenant,
	const struct audit_act *act, long window_s)
{
	*slot = (struct slot) {
		.kind = kind,
		.tenant = mem_strdup(tenant),
		.action = mem_strdup(act->action),
		.on = act->code ? NULL : copy(act->on),
		.code = copy(act->code),
		.subject = copy(act->subject),
		.credential = copy(act->credential),
		.roles = copy(act->roles),
		.ends_ms = clock_monotonic_ms() + window_s * 1000LL,
	};
	*share_of(audit, tenant) += has_share(audit, slot);
}

/* Whether this one is to be told now. A window that is over and not yet told goes on. */
static bool count_in(struct audit *audit, const char *tenant, const struct audit_act *act,
	unsigned each, long window_s, bool is_rest, bool *ret_counted)
{
	auto_free char *kind = kind_of(tenant, act);
	struct slot *slot =
		find_in(audit, kind, tenant, is_rest ? SLOTS : 0, is_rest ? REST_SLOTS : SLOTS);
	bool now;

	*ret_counted = slot != NULL;
	if (!slot)
		return false;
	if (!slot->kind)
		open_slot(audit, slot, take_ptr(kind), tenant, act, window_s);
	now = slot->told < each;
	slot->told += now;
	slot->untold += !now;
	return now;
}

static bool count(struct audit *audit, const char *tenant, const struct audit_act *act,
	unsigned each, long window_s)
{
	const struct audit_act rest = { .action = act->action, .code = act->code };
	bool now, counted;

	pthread_mutex_lock(&audit->mutex);
	now = count_in(audit, tenant, act, each, window_s, false, &counted);
	if (!counted)
		(void)count_in(audit, tenant, &rest, 0, window_s, true, &counted);
	audit->dropped += !counted;
	pthread_mutex_unlock(&audit->mutex);
	return now;
}

void audit_often(struct worker *worker, const char *tenant, const struct audit_act *act,
	unsigned each, long window_s)
{
	struct err err = { .kind = ERR_NONE };

	if (!worker->audit || !worker->db || !count(worker->audit, tenant, act, each, window_s))
		return;
	if (audit_write(worker->db, tenant, act, 1, &err) < 0)
		log_failure("no audit record", &err);
}

/* --- refusals --- */

/* Refusals of what people and machines signed have kinds of their own. */
static bool is_refusal(const struct err *err)
{
	static const char *const areas[] = { "approval.", "certificate.", "challenge.",
		"enrolment.", "evidence.", "grant.", "order.", "receipt.", "trust." };

	if (err->kind == ERR_UNAUTHENTICATED)
		return strcmp(err->code, "auth.missing") != 0; /* he is asked to come again */
	if (err->kind == ERR_FORBIDDEN || err->kind == ERR_LIMITED)
		return true;
	if (err->kind != ERR_UNPROCESSABLE && err->kind != ERR_CONFLICT && err->kind != ERR_GONE)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(areas); i++) {
		if (strncmp(err->code, areas[i], strlen(areas[i])) == 0)
			return true;
	}
	return false;
}

void audit_refused(const struct web_req *req, const struct err *err)
{
	const struct principal *who = req->principal;
	const char *tenant = who && who->tenant ? who->tenant : AUDIT_INSTANCE;
	struct audit_act act = { .action = "request.refuse", .code = err->code };
	auto_free char *on = NULL;

	if (!is_refusal(err))
		return;
	if (who) {
		on = mem_printf("%s %s", req->method, req->path);
		act.on = on;
		act.subject = who->subject;
		act.roles = who->roles;
		act.credential = audit_credential(who);
	}
	audit_often(req->worker, tenant, &act, who ? REFUSALS_TOLD : 0, REFUSALS_WINDOW_S);
}

/* --- telling the rest --- */

/* Takes out one slot that is over; false: there is none from `*at` on. */
static bool take_over(struct audit *audit, bool all, size_t *at, struct slot *ret_slot)
{
	long long now = clock_monotonic_ms();
	bool found = false;

	pthread_mutex_lock(&audit->mutex);
	for (; *at < SLOTS + REST_SLOTS && !found; (*at)++) {
		struct slot *slot = &audit->slots[*at];

		if (!slot->kind || (!all && slot->ends_ms > now))
			continue;
		*ret_slot = slot_take(audit, slot);
		found = ret_slot->untold > 0;
		if (!found)
			slot_clear(ret_slot);
	}
	pthread_mutex_unlock(&audit->mutex);
	return found;
}

/* Puts back what could not be told, among the rest: there nobody's share is needed. */
static void give_back(struct audit *audit, struct slot *slot)
{
	struct slot *place;

	pthread_mutex_lock(&audit->mutex);
	place = find_in(audit, slot->kind, slot->tenant, SLOTS, REST_SLOTS);
	if (place && place->kind) {
		place->untold += slot->untold;
	} else if (place) {
		*place = *slot;
		*slot = (struct slot) { .kind = NULL };
	} else {
		audit->dropped += slot->untold;
	}
	pthread_mutex_unlock(&audit->mutex);
	slot_clear(slot);
}

static int tell(struct worker *worker, struct slot *slot, struct err *err)
{
	char detail[MAX_DETAIL];
	const struct audit_act act = {
		.action = slot->action,
		.on = slot->on,
		.code = slot->code,
		.detail = detail,
		.subject = slot->subject,
		.credential = slot->credential,
		.roles = slot->roles,
	};

	snprintf(detail, sizeof(detail), "%lu more of the same, up to now", slot->untold);
	if (audit_write(worker->db, slot->tenant, &act, slot->untold, err) < 0) {
		give_back(worker->audit, slot);
		return -1;
	}
	slot_clear(slot);
	return 0;
}

static void tell_dropped(struct audit *audit)
{
	char number[24];

	pthread_mutex_lock(&audit->mutex);
	snprintf(number, sizeof(number), "%lu", audit->dropped);
	audit->dropped = 0;
	pthread_mutex_unlock(&audit->mutex);
	if (strcmp(number, "0") != 0)
		log_warn("too many kinds of acts to count", "dropped", number, NULL);
}

int audit_flush(struct worker *worker, bool all, struct err *err)
{
	struct slot slot;

	for (size_t at = 0; take_over(worker->audit, all, &at, &slot);) {
		if (tell(worker, &slot, err) < 0)
			return -1;
	}
	tell_dropped(worker->audit);
	return 0;
}
