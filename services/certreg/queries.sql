-- Every statement of certreg.

-- name: tenant_ids
SELECT tenant_id FROM tenant ORDER BY tenant_id

-- name: tenant_page
SELECT tenant_id FROM tenant WHERE tenant_id < $1 ORDER BY tenant_id DESC LIMIT $2::bigint

-- name: tenant_by_id
SELECT tenant_id AS id, space_id, name, state, revision, at_text(created_at) AS created_at FROM tenant WHERE tenant_id = $1

-- name: tenant_set_state
UPDATE tenant SET state = $2, revision = revision + 1 WHERE tenant_id = $1 AND revision = $3::bigint AND state <> 'deleted'

-- name: tenant_lock
SELECT tenant_id FROM tenant WHERE tenant_id = $1 FOR UPDATE

-- name: tenant_name_insert
INSERT INTO tenant_name (name) VALUES ($1)

-- name: tenant_insert
INSERT INTO tenant (tenant_id, space_id, name) VALUES ($1, $2, $3)

-- name: member_insert
INSERT INTO member (tenant_id, space_id, id, name, kind, roles) VALUES ($1, $2, $3, $4, $5, $6)

-- name: member_by_id
SELECT id, name, kind, roles, state, revision, at_text(created_at) AS created_at FROM member WHERE tenant_id = $1 AND id = $2

-- name: member_by_name
SELECT id, name, kind, roles, state, revision, at_text(created_at) AS created_at FROM member WHERE tenant_id = $1 AND name = $2

-- name: member_list
SELECT id, name, kind, roles, state, revision, at_text(created_at) AS created_at FROM member
WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3::bigint

-- name: member_update
UPDATE member SET roles = $3, state = $4, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND revision = $5::bigint AND state <> 'removed'

-- name: member_in_charge
SELECT id FROM member WHERE tenant_id = $1 AND state = 'active' AND kind = 'person' AND roles ~ '(^| )(owner|operator)( |$)' LIMIT 1

-- name: member_keys_revoke
UPDATE api_key SET state = 'revoked', revision = revision + 1 WHERE tenant_id = $1 AND member_id = $2 AND state = 'active'

-- Keys that outlive who made them: those of other members, whose they are.
-- name: member_made_keys
SELECT count(*) AS count, string_agg(id, ' ' ORDER BY id) AS ids FROM api_key
WHERE tenant_id = $1 AND created_by = $2 AND member_id <> $2 AND state = 'active' AND (expires_at IS NULL OR expires_at > now())

-- name: invitation_insert
INSERT INTO invitation (tenant_id, space_id, id, inviter, name, roles, mac, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::timestamptz)

-- name: invitation_tenant
SELECT tenant_id FROM invitation WHERE id = $1

-- name: invitation_offer
SELECT i.mac FROM invitation_valid i JOIN tenant t ON t.tenant_id = i.tenant_id
WHERE i.tenant_id = $1 AND i.id = $2 AND i.expires_at > now() AND t.state = 'active'

-- name: invitation_accept
UPDATE invitation SET state = 'accepted', revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND state = 'open' AND expires_at > now()
	AND EXISTS (SELECT 1 FROM invitation_valid v WHERE v.tenant_id = $1 AND v.id = $2) RETURNING space_id, name, roles

-- name: invitation_by_id
SELECT * FROM invitation_record WHERE tenant_id = $1 AND id = $2

-- name: invitation_list
SELECT * FROM invitation_record WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3::bigint

-- name: invitation_withdraw
UPDATE invitation SET state = 'withdrawn', revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND revision = $3::bigint AND state = 'open'

-- name: certificate_is_own
SELECT id FROM certificate WHERE tenant_id = $1 AND member_id = $2 AND spki = $3 AND state = 'active' AND not_after > now()

-- name: space_insert
INSERT INTO space (tenant_id, space_id, id, name) VALUES ($1, $2, $2, $3)

-- name: space_member_insert
INSERT INTO space_member (tenant_id, space_id, id, tenant_name, space_name, invitation, acceptance) VALUES ($1, $2, $1, $3, $4, $5, $6)

-- name: space_join
WITH used AS (INSERT INTO space_joined (tenant_id, space_id, invitation) VALUES ($1, $2, $5))
INSERT INTO space_member (tenant_id, space_id, id, tenant_name, space_name, invitation, acceptance) VALUES ($1, $2, $1, $3, $4, $5, $6)

-- name: space_founder
SELECT tenant_id FROM space WHERE id = $1

-- name: space_by_id
SELECT m.space_id AS id, m.space_name AS name, m.invitation IS NULL AS is_founder, m.revision, at_text(m.created_at) AS created_at
FROM space_member m WHERE m.tenant_id = $1 AND m.space_id = $2

-- name: space_list
SELECT m.space_id AS id, m.space_name AS name, m.invitation IS NULL AS is_founder, m.revision, at_text(m.created_at) AS created_at
FROM space_member m WHERE m.tenant_id = $1 AND m.space_id < $2 ORDER BY m.space_id DESC LIMIT $3::bigint

-- name: space_members
SELECT tenant_id, tenant_name, invitation IS NULL AS is_founder, invitation, acceptance, at_text(created_at) AS joined_at
FROM space_member WHERE space_id = $1 ORDER BY created_at, tenant_id LIMIT 256

-- For other services: who is in it, or whose own it is, and who joined it once and is in it no more.
-- name: space_tenants
SELECT tenant_id, false AS is_departed FROM space_member WHERE space_id = $1
UNION SELECT tenant_id, false FROM tenant WHERE space_id = $1
UNION SELECT tenant_id, true FROM space_joined j WHERE space_id = $1
	AND NOT EXISTS (SELECT 1 FROM space_member m WHERE m.tenant_id = j.tenant_id AND m.space_id = j.space_id)

-- name: space_member_delete
DELETE FROM space_member WHERE tenant_id = $1 AND space_id = $2

-- name: space_invitation_insert
INSERT INTO space_invitation (tenant_id, space_id, id, digest, invited, envelope, expires_at) VALUES ($1, $2, $3, $4, $5, $6, to_timestamp($7::bigint))

-- name: space_invitation_open
SELECT i.id, i.space_id, s.name FROM space_invitation i JOIN space s ON s.tenant_id = i.tenant_id AND s.id = i.space_id
	JOIN tenant t ON t.tenant_id = i.tenant_id
WHERE i.tenant_id = $1 AND i.space_id = $2 AND i.digest = $3 AND i.state = 'open' AND i.expires_at > now() AND t.state = 'active'

-- name: space_invitation_by_id
SELECT * FROM space_invitation_record WHERE tenant_id = $1 AND space_id = $2 AND id = $3

-- name: space_invitation_list
SELECT * FROM space_invitation_record WHERE tenant_id = $1 AND space_id = $2 AND id < $3 ORDER BY id DESC LIMIT $4::bigint

-- name: space_invitation_withdraw
UPDATE space_invitation SET state = 'withdrawn', revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND revision = $3::bigint AND state = 'open'

-- name: key_owner
SELECT set_config('app.tenant_id', coalesce((SELECT tenant_id FROM api_key WHERE id = $1), $2), true)

-- name: key_credential
SELECT k.id, k.mac, k.scopes, coalesce(floor(extract(epoch FROM k.expires_at))::bigint, 0) AS expires_at, m.id AS member_id,
	m.roles, t.tenant_id, t.space_id, t.name AS tenant_name,
	k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute' AS use_is_news,
	(SELECT string_agg(space_id, ' ') FROM (SELECT space_id FROM space_member WHERE tenant_id = current_setting('app.tenant_id')
		ORDER BY space_id LIMIT 63) s) AS spaces
FROM api_key k JOIN member m ON m.tenant_id = k.tenant_id AND m.id = k.member_id
	JOIN tenant t ON t.tenant_id = k.tenant_id
WHERE k.tenant_id = current_setting('app.tenant_id') AND k.id = $1 AND k.state = 'active' AND m.state = 'active' AND t.state = 'active'
	AND (k.expires_at IS NULL OR k.expires_at > now())

-- name: key_used
UPDATE api_key SET last_used_at = now() WHERE tenant_id = $1 AND id = $2

-- name: key_retire
UPDATE api_key SET expires_at = least(expires_at, now() + make_interval(secs => $4::int)), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND revision = $3::bigint AND state = 'active'

-- name: key_id_insert
INSERT INTO key_id (id) VALUES ($1)

-- name: key_insert
INSERT INTO api_key (tenant_id, space_id, id, member_id, name, mac, scopes, expires_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::timestamptz, coalesce($9, $4))

-- name: key_by_id
SELECT * FROM api_key_record WHERE tenant_id = $1 AND id = $2

-- name: key_list
SELECT * FROM api_key_record WHERE tenant_id = $1 AND ($2::text IS NULL OR member_id = $2) AND id < $3
	AND ($5::text IS NULL OR created_by = $5)
ORDER BY id DESC LIMIT $4::bigint

-- name: key_revoke
UPDATE api_key SET state = 'revoked', revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND revision = $3::bigint AND state = 'active'

-- name: challenge_insert
INSERT INTO challenge (tenant_id, space_id, id, member_id, spki, nonce, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7::int))

-- name: challenge_by_id
SELECT id, spki, nonce, at_text(expires_at) AS expires_at, used_at IS NOT NULL AS used, expires_at <= now() AS expired
FROM challenge WHERE tenant_id = $1 AND member_id = $2 AND id = $3

-- name: challenge_use
WITH burnt AS (UPDATE challenge SET used_at = now()
	WHERE tenant_id = $1 AND member_id = $2 AND id = $3 AND used_at IS NULL AND expires_at > now() RETURNING id)
SELECT id, spki, nonce, at_text(expires_at) AS expires_at, used_at IS NOT NULL AS used, expires_at <= now() AS expired,
	EXISTS (SELECT 1 FROM burnt) AS burnt
FROM challenge WHERE tenant_id = $1 AND member_id = $2 AND id = $3

-- How much a tenant may have (store_quota.c). The lock is a statement of its own: what the count sees is settled when it begins.

-- name: quota_lock
SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))

-- name: quota_keys
SELECT quota_check('quota_keys', $2::bigint, (SELECT count(*) FROM api_key
	WHERE tenant_id = $1 AND state = 'active' AND (expires_at IS NULL OR expires_at > now())))

-- name: quota_certificates
SELECT quota_check('quota_certificates', $2::bigint, (SELECT count(*) FROM (SELECT FROM certificate
	WHERE tenant_id = $1 AND state = 'active' AND replaced_by IS NULL AND not_after > now() LIMIT $2::bigint + 1) c))

-- name: quota_challenges
SELECT quota_check('quota_challenges', $2::bigint, (SELECT count(*) FROM challenge
	WHERE tenant_id = $1 AND used_at IS NULL AND expires_at > now()))

-- name: quota_invitations
SELECT quota_check('quota_invitations', $2::bigint,
	(SELECT count(*) FROM invitation WHERE tenant_id = $1 AND state = 'open' AND expires_at > now()) +
	(SELECT count(*) FROM space_invitation WHERE tenant_id = $1 AND state = 'open' AND expires_at > now()))

-- name: quota_spaces
SELECT quota_check('quota_spaces', $2::bigint, (SELECT count(*) FROM space_member WHERE tenant_id = $1))

-- name: quota_members
SELECT quota_check('quota_members', $2::bigint, (SELECT count(*) FROM member WHERE tenant_id = $1 AND state <> 'removed'))

-- name: certificate_insert
WITH new AS (INSERT INTO certificate (tenant_id, space_id, id, member_id, name, labels, fingerprint, spki, subject, serial, not_before,
		not_after, algorithm, source, pem, replaces)
	VALUES ($1, $2, $3, $4, $5, coalesce($6::jsonb, '{}'), $7, $8, $9, $10, to_timestamp($11::bigint), to_timestamp($12::bigint),
		$13, $14, $15, $16)
	ON CONFLICT (tenant_id, spki) DO NOTHING RETURNING id, serial, not_after, source),
issued AS (INSERT INTO issued_serial (serial, not_after) SELECT serial, not_after FROM new WHERE source = 'issued')
SELECT id FROM new

-- name: certificate_issue
WITH new AS (INSERT INTO certificate (tenant_id, space_id, id, member_id, name, fingerprint, spki, subject, serial, not_before,
		not_after, algorithm, source, pem)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, to_timestamp($10::bigint), to_timestamp($11::bigint), $12, $13, $14)
	RETURNING serial, not_after)
INSERT INTO issued_serial (serial, not_after) SELECT serial, not_after FROM new

-- name: certificate_by_id
SELECT * FROM certificate_record WHERE tenant_id = $1 AND id = $2

-- name: certificate_by_spki
SELECT * FROM certificate_record WHERE tenant_id = $1 AND spki = $2

-- name: certificate_by_fingerprint
SELECT * FROM certificate_record WHERE tenant_id = $1 AND fingerprint = $2

-- name: certificate_list
SELECT * FROM certificate_record WHERE tenant_id = $1 AND id < $2 AND ($3::text IS NULL OR state = $3)
	AND ($4::timestamptz IS NULL OR ends_at < $4::timestamptz) AND ($5::jsonb IS NULL OR labels @> $5::jsonb)
ORDER BY id DESC LIMIT $6::bigint

-- name: certificate_describe
UPDATE certificate SET name = $4, labels = coalesce($5::jsonb, '{}'), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND revision = $3::bigint RETURNING id

-- name: certificate_revoke
UPDATE certificate SET state = 'revoked', revoked_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND revision = $3::bigint AND state = 'active'

-- name: certificate_reason
UPDATE certificate SET revocation_reason = $3, revocation_comment = $4 WHERE tenant_id = $1 AND id = $2

-- name: certificate_replace
UPDATE certificate SET replaced_by = $3, retires_at = now() + make_interval(secs => $4::int), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND state = 'active' AND replaced_by IS NULL AND not_after > now() RETURNING id

-- name: certificate_holders
SELECT tenant_id, id FROM certificate WHERE fingerprint = $1 ORDER BY tenant_id LIMIT 16

-- name: certificate_warn
UPDATE certificate SET warned_days = warning_days(state, replaced_by, not_after)
WHERE tenant_id = $1 AND warning_days(state, replaced_by, not_after) < coalesce(warned_days, 31)
	AND id IN (SELECT id FROM certificate WHERE tenant_id = $1
	AND warning_days(state, replaced_by, not_after) < coalesce(warned_days, 31)
	AND not_after < now() + interval '30 days' ORDER BY not_after LIMIT 256)
RETURNING space_id, id, member_id, name, warned_days, at_text(not_after) AS not_after

-- name: certificate_ends
SELECT coalesce(floor(extract(epoch FROM min(not_after)))::bigint, 0) AS earliest,
	count(*) FILTER (WHERE not_after <= now() + interval '1 day') AS day,
	count(*) FILTER (WHERE not_after <= now() + interval '7 days') AS week,
	count(*) FILTER (WHERE not_after <= now() + interval '14 days') AS fortnight,
	count(*) FILTER (WHERE not_after <= now() + interval '30 days') AS month
FROM certificate WHERE tenant_id = $1 AND state = 'active' AND replaced_by IS NULL AND not_after > now()

-- name: issued_end
UPDATE issued_serial SET revoked_at = now() + make_interval(secs => $2::int), reason = $3 WHERE serial = $1

-- name: issued_state
SELECT coalesce(revoked_at <= now(), false) AS revoked, floor(extract(epoch FROM revoked_at))::bigint AS revoked_at, reason
FROM issued_serial WHERE serial = $1

-- name: issued_mark
SELECT count(*) || ' ' || coalesce(max(revoked_at)::text, '') AS mark FROM issued_serial
WHERE revoked_at <= now() AND not_after > now() - interval '1 day'

-- name: issued_revoked
SELECT serial, floor(extract(epoch FROM revoked_at))::bigint AS revoked_at, reason FROM issued_serial
WHERE revoked_at <= now() AND not_after > now() - interval '1 day' ORDER BY revoked_at

-- name: revocation_insert
WITH told AS (INSERT INTO outbox (topic, key) VALUES ('epoch', 'changed'))
INSERT INTO revocation (tenant_id, space_id, id, state) VALUES ($1, $2, $3, $4)

-- name: revocation_state
SELECT m.epoch, r.id, r.before
FROM (SELECT coalesce(max(seq), 0) AS epoch FROM revocation) m LEFT JOIN (
	WITH recent AS (SELECT DISTINCT ON (id) tenant_id, id, seq, state, floor(extract(epoch FROM created_at))::bigint AS at FROM revocation
		WHERE created_at > now() - make_interval(secs => $1::int) ORDER BY id, seq DESC),
	many AS (SELECT tenant_id FROM recent GROUP BY tenant_id HAVING count(*) > 256)
	SELECT id, seq, at + CASE WHEN state = 'lifted' THEN 2 ELSE $1::int END AS before FROM recent
	WHERE tenant_id NOT IN (SELECT tenant_id FROM many)
	UNION ALL
	SELECT tenant_id, max(seq), max(at + CASE WHEN id = tenant_id AND state = 'revoked' THEN $1::int ELSE 2 END) FROM recent
	WHERE tenant_id IN (SELECT tenant_id FROM many) GROUP BY tenant_id) r ON true
ORDER BY r.seq

-- name: assertion_insert
INSERT INTO assertion (tenant_id, space_id, subject_id, jti, expires_at) VALUES ($1, $2, $3, $4, to_timestamp($5::bigint))

-- name: challenge_forget
DELETE FROM challenge WHERE expires_at < now() - interval '1 hour'

-- name: assertion_forget
DELETE FROM assertion WHERE expires_at < now() - interval '10 minutes'

-- Tokens by certificates, and tokens bound to them.

-- name: certificate_owner
SELECT set_config('app.tenant_id', coalesce((SELECT tenant_id FROM certificate WHERE id = $1), $2), true)

-- name: certificate_credential
SELECT *, floor(extract(epoch FROM not_after))::bigint AS expires_at,
	(SELECT string_agg(space_id, ' ') FROM (SELECT space_id FROM space_member WHERE tenant_id = current_setting('app.tenant_id')
		ORDER BY space_id LIMIT 63) s) AS spaces
FROM certificate_usable WHERE tenant_id = current_setting('app.tenant_id') AND id = $1

-- name: certificate_shown
SELECT id FROM certificate_usable WHERE tenant_id = $1 AND member_id = $2 AND fingerprint = $3

-- --- the audit log ---

-- name: audit_taken
SELECT service, ids FROM audit_taken

-- name: audit_taken_lock
SELECT service, ids FROM audit_taken ORDER BY service FOR UPDATE

-- name: audit_taken_set
UPDATE audit_taken t SET ids = x.ids FROM jsonb_to_recordset($1::jsonb) AS x (service text, ids int8multirange)
WHERE t.service = x.service

-- name: audit_last_head
SELECT size, note FROM audit_head ORDER BY size DESC LIMIT 1

-- name: audit_checkpoint
SELECT h.size, h.note || coalesce((SELECT string_agg(c.line, '' ORDER BY c.witness) FROM audit_cosignature c
	WHERE c.size = h.size), '') AS note
FROM audit_head h ORDER BY h.size DESC LIMIT 1

-- name: audit_head_by_size
SELECT size, note FROM audit_head WHERE size = $1::bigint

-- name: audit_heads
SELECT h.size, h.note || coalesce((SELECT string_agg(c.line, '' ORDER BY c.witness) FROM audit_cosignature c
	WHERE c.size = h.size), '') AS note
FROM audit_head h WHERE h.size > $1::bigint AND h.size <= $2::bigint ORDER BY h.size

-- name: audit_head_insert
INSERT INTO audit_head (size, note) VALUES ($1::bigint, $2)

-- name: audit_nodes
SELECT n.level, n.place, encode(n.hash, 'hex') AS hash
FROM unnest($1::int[], $2::bigint[]) WITH ORDINALITY AS w (level, place, nr)
	JOIN audit_node n ON n.level = w.level AND n.place = w.place
ORDER BY w.nr

-- name: audit_node_insert
INSERT INTO audit_node (level, place, hash)
SELECT x.level, x.place, decode(x.hash, 'hex') FROM jsonb_to_recordset($1::jsonb) AS x (level int, place bigint, hash text)

-- name: audit_known
SELECT r.id FROM jsonb_to_recordset($1::jsonb) AS x (tenant text, id text)
	JOIN audit_record r ON r.tenant_id = x.tenant AND r.id = x.id

-- name: audit_count_raise
INSERT INTO audit_count AS c (tenant_id, seq)
SELECT x.tenant, count(*) FROM jsonb_to_recordset($1::jsonb) AS x (tenant text) GROUP BY x.tenant ORDER BY x.tenant
ON CONFLICT (tenant_id) DO UPDATE SET seq = c.seq + excluded.seq
RETURNING tenant_id, seq

-- name: audit_end
SELECT (SELECT max(size) FROM audit_head) AS size,
	coalesce((SELECT seq FROM audit_count WHERE tenant_id = $1), 0) AS records

-- name: audit_record_insert
INSERT INTO audit_record (tenant_id, seq, leaf, id, at, service, action, subject, resource, outcome, code, salt, record)
SELECT x.tenant, x.seq, x.leaf, x.id, x.at, x.service, x.action, x.subject, x.resource, x.outcome, x.code, x.salt, x.record
FROM jsonb_to_recordset($1::jsonb) AS x (tenant text, seq bigint, leaf bigint, id text, at timestamptz, service text,
	action text, subject text, resource text, outcome text, code text, salt text, record text)

-- name: audit_record_list
SELECT id, leaf, salt, record, 1 AS revision FROM audit_record
WHERE tenant_id = $1 AND id < $2 AND ($4::text IS NULL OR action = $4) AND ($5::text IS NULL OR subject = $5)
	AND ($6::text IS NULL OR resource = $6) AND ($7::text IS NULL OR outcome = $7)
	AND ($8::text IS NULL OR at >= $8::timestamptz)
ORDER BY id DESC LIMIT $3::bigint

-- name: audit_leaves
SELECT n.place, encode(n.hash, 'hex') AS hash, r.salt, r.record
FROM audit_node n LEFT JOIN audit_record r ON r.tenant_id = $1 AND r.leaf = n.place
WHERE n.level = 0 AND n.place >= $2::bigint AND n.place < $3::bigint ORDER BY n.place

-- name: audit_cosignature_insert
INSERT INTO audit_cosignature (size, witness, line) VALUES ($1::bigint, $2, $3)
ON CONFLICT (size, witness) DO NOTHING
