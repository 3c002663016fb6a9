/* SPDX-License-Identifier: Apache-2.0 */
/* certreg: who is who. Tenants, members, API keys, certificates, and the tokens that all services
 * verify offline. */
#include "lib/service.h"
#include "lib/web_rows.h"
#include "services/certreg/audit.h"
#include "services/certreg/audit_append.h"
#include "services/certreg/auth_state.h"
#include "services/certreg/bootstrap.h"
#include "services/certreg/certificates.h"
#include "services/certreg/certreg.h"
#include "services/certreg/challenges.h"
#include "services/certreg/crl.h"
#include "services/certreg/est.h"
#include "services/certreg/expiry.h"
#include "services/certreg/invitations.h"
#include "services/certreg/keys.h"
#include "services/certreg/members.h"
#include "services/certreg/migrations.h"
#include "services/certreg/mirror.h"
#include "services/certreg/ocsp.h"
#include "services/certreg/registry_tokens.h"
#include "services/certreg/signing_keys.h"
#include "services/certreg/spaces.h"
#include "services/certreg/store.h"
#include "services/certreg/store_certificates.h"
#include "services/certreg/tenants.h"
#include "services/certreg/tokens.h"

/* clang-format off */
#define FILE_ROW(name, help) { #name, CONF_TEXT, offsetof(struct certreg, name), NULL, help }
#define QUOTA_ROW(name, fallback, help) { #name, CONF_COUNT, offsetof(struct certreg, name), fallback, "at most so many for a tenant, or 0: " help }
#define PUBLIC(method, path, lane, max, handler) { method, path, WEB_PUBLIC, NULL, lane, max, false, .handle = (handler) }
#define REVOKE(path, handler) { "DELETE", path, WEB_MEMBER, "write", "db", 0, false, .handle = (handler) }
#define ACT(path, handler) { "POST", path, WEB_MEMBER, "write", "db", 0, false, .handle = (handler) }
static const struct conf_item config[] = {
	FILE_ROW(signing_keys_dir, "folder of the P-256 keys that sign tokens, <activation in Unix seconds>.pem"),
	FILE_ROW(pepper, "file with the secret under which API keys are stored"),
	FILE_ROW(ca_key, "PEM file of the key of the CA that issues certificates to machines"),
	FILE_ROW(ca_certificate, "PEM file of that CA's certificate"),
	FILE_ROW(mirror_dir, "folder of the readable tree of certificates"),
	FILE_ROW(audit_key, "PEM file of the Ed25519 key that signs the heads of the audit log"),
	{ "witness_keys", CONF_TEXT, offsetof(struct certreg, witness_keys), "", "file of the verifier keys, one a line, whose cosignatures are kept" },
	QUOTA_ROW(quota_keys, "1000", "API keys that are active"),
	QUOTA_ROW(quota_certificates, "10000", "certificates that are neither revoked, replaced nor expired"),
	QUOTA_ROW(quota_challenges, "10000", "challenges that are neither used nor expired"),
	QUOTA_ROW(quota_invitations, "500", "invitations, to the tenant and to its spaces, that are open"),
	QUOTA_ROW(quota_spaces, "63", "spaces, founded and joined; a token carries 63"),
	QUOTA_ROW(quota_members, "1000", "members that are not removed"),
	{ NULL, CONF_TEXT, 0, NULL, NULL } };
/* Token routes may have to ask the provisioner or the orchestrator: they never hold up the rest. */
static const struct lane_conf lanes[] = { { "db", 0, 256, 0 }, { "peers", 8, 256, 0 }, { "export", AUDIT_EXPORT_WORKERS, 16, 0 }, { NULL, 0, 0, 0 } };

static const struct web_route routes[] = {
	PUBLIC("POST", "/v1/token", "peers", 16384, token_create),
	PUBLIC("GET", "/v1/registry-token", "peers", 0, registry_token_create),
	PUBLIC("POST", "/v1/registry-token", "peers", 8192, registry_token_exchange),
	PUBLIC("GET", "/.well-known/jwks.json", "db", 0, auth_state_jwks),
	PUBLIC("GET", "/internal/v1/auth-state", "db", 0, auth_state_show),
	{ "GET", "/internal/v1/spaces/{space_id}/tenants", WEB_SERVICE, "policy", "db", 0, false, .handle = space_tenants },
	READ("/v1/tenants/self", tenant_self),
	WRITE("POST", "/v1/tenants", 8192, tenant_create),
	READ("/v1/tenants", tenant_list),
	READ("/v1/tenants/{tenant_id}", tenant_show),
	ACT("/v1/tenants/{tenant_id}:suspend", tenant_suspend),
	ACT("/v1/tenants/{tenant_id}:resume", tenant_resume),
	REVOKE("/v1/tenants/{tenant_id}", tenant_delete),
	WRITE("POST", "/v1/members", 8192, member_create),
	READ("/v1/members", member_list),
	READ("/v1/members/self", member_self),
	READ("/v1/members/{member_id}", member_show),
	WRITE("PUT", "/v1/members/{member_id}", 8192, member_update),
	REVOKE("/v1/members/{member_id}", member_remove),
	WRITE("POST", "/v1/invitations", 8192, invitation_create),
	READ("/v1/invitations", invitation_list),
	READ("/v1/invitations/{invitation_id}", invitation_show),
	REVOKE("/v1/invitations/{invitation_id}", invitation_withdraw),
	{ "POST", "/v1/invitations/{invitation_id}:accept", WEB_PUBLIC, NULL, "db", 8192, true, .handle = invitation_accept },
	WRITE("POST", "/v1/spaces", 8192, space_create),
	READ("/v1/spaces", space_list),
	READ("/v1/spaces/{space_id}", space_show),
	WRITE("POST", "/v1/spaces/{space_id}:join", 32768, space_join),
	REVOKE("/v1/spaces/{space_id}/members/{tenant_id}", space_remove),
	WRITE("POST", "/v1/spaces/{space_id}/invitations", 16384, space_invite),
	READ("/v1/spaces/{space_id}/invitations", space_invitation_list),
	REVOKE("/v1/spaces/{space_id}/invitations/{invitation_id}", space_invitation_withdraw),
	WRITE("POST", "/v1/keys", 8192, key_create),
	READ("/v1/keys", key_list),
	READ("/v1/keys/{key_id}", key_show),
	WRITE("POST", "/v1/keys/{key_id}:rotate", 8192, key_rotate),
	REVOKE("/v1/keys/{key_id}", key_revoke),
	WRITE("POST", "/v1/challenges", 8192, challenge_create),
	{ "POST", "/v1/certificates", WEB_MEMBER, "write", "db", 32768, true, .handle = certificate_create, .read = &store_certificate_known },
	READ("/v1/certificates", certificate_list),
	READ("/v1/certificates/{certificate_id}", certificate_show),
	WRITE("PUT", "/v1/certificates/{certificate_id}", 32768, certificate_describe),
	WRITE("POST", "/v1/certificates/{certificate_id}:rotate", 65536, certificate_rotate),
	WRITE("POST", "/v1/certificates/{certificate_id}:revoke", 8192, certificate_revoke),
	PUBLIC("GET", "/.well-known/est/cacerts", "db", 0, est_cacerts),
	{ "POST", "/.well-known/est/simpleenroll", WEB_PUBLIC, NULL, "db", 32768, false, .change = &est_enroll },
	PUBLIC("POST", "/.well-known/est/simplereenroll", "db", 32768, est_reenroll),
	PUBLIC("GET", "/v1/crl", "db", 0, crl_show),
	PUBLIC("POST", "/v1/ocsp", "db", 8192, ocsp_post),
	PUBLIC("GET", "/v1/ocsp", "db", 0, ocsp_get),
	/* --- the audit log --- */
	READ("/v1/audit/records", audit_list),
	PUBLIC("GET", "/v1/audit/checkpoint", "db", 0, audit_checkpoint),
	PUBLIC("GET", "/v1/audit/inclusion", "db", 0, audit_inclusion),
	PUBLIC("GET", "/v1/audit/consistency", "db", 0, audit_consistency),
	{ "GET", "/v1/audit/export", WEB_MEMBER, "read", "export", 0, false, .handle = audit_export },
	{ "POST", "/v1/audit/cosignatures", WEB_PUBLIC, NULL, "db", 4096, true, .handle = audit_cosign },
	{ .method = NULL } };
static const struct service_loop loops[] = {
	{ "mirror", NULL, MIRROR_BEAT_MS, mirror_follow, false },
	{ "expiry", NULL, 60000, expiry_watch, false },
	{ "signing-keys", NULL, 5000, signing_keys_beat, false },
	{ "audit-append", NULL, AUDIT_APPEND_BEAT_MS, audit_append, false },
	{ NULL, NULL, 0, NULL, false } };
static const struct service certreg = {
	.name = "certreg", .config = config, .config_size = sizeof(struct certreg), .lanes = lanes,
	.routes = routes, .loops = loops, .migrations = migrations, .forgets = store_forgets, .init = certreg_init };
/* clang-format on */

int main(int argc, char **argv)
{
	argc = signing_keys_take(bootstrap_take(argc, argv), argv);
	return certreg_end(service_main(&certreg, argc, argv));
}
