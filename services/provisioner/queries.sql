-- Every statement of the provisioner.

-- No row when that many of the tenant's wait already.
-- name: sandbox_insert
INSERT INTO sandbox (tenant_id, space_id, id, name, template_id, template_version, driver, parameters, claim, initdata,
	created_by, vcpus, memory_mib, weight, expires_at, idle_s)
SELECT $1, $2, $3, $4, $5, $6::bigint, $7, $8, $9, $10, $11, $12::bigint, $13::bigint, $14::bigint,
	now() + $15::bigint * interval '1 second', $16::bigint
WHERE $17::bigint = 0 OR (SELECT count(*) FROM sandbox WHERE tenant_id = $1 AND state = 'queued') < $17::bigint

-- name: sandbox_by_id
SELECT tenant_id, space_id, id, name, template_id, template_version, driver, parameters, state, boot, is_begun, launched_boot,
	coalesce(launched_at < now() - interval '120 seconds', false) AS boot_timed_out,
	coalesce(expires_at <= now(), false) AS has_expired,
	coalesce(used_at <= now() - idle_s * interval '1 second', false) AS is_idle,
	claim, initdata, evidence,
	(SELECT verdict FROM vtpm WHERE vtpm.tenant_id = sandbox.tenant_id AND sandbox_id = $2 AND vtpm.boot = sandbox.boot) AS verdict,
	(SELECT progress FROM tofu WHERE tofu.tenant_id = sandbox.tenant_id AND sandbox_id = $2) AS progress,
	enc_jwk, sig_jwk, enc, sig, failure_code, failure_detail, vcpus, memory_mib, weight, idle_s,
	revision, created_by, at_text(expires_at) AS expires_at,
	at_text(created_at) AS created_at, at_text(updated_at) AS updated_at
FROM sandbox WHERE id = $2 AND (tenant_id = $1 OR space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))

-- No row when another attestation key introduced itself in this boot.
-- name: vtpm_put
INSERT INTO vtpm (tenant_id, space_id, sandbox_id, boot, ek_certificate, ak, activation_hash)
VALUES ($1, $2, $3, $4::bigint, $5, $6, $7)
ON CONFLICT (tenant_id, sandbox_id) DO UPDATE SET boot = excluded.boot, ek_certificate = excluded.ek_certificate,
	ak = excluded.ak, activation_hash = excluded.activation_hash, verdict = NULL
WHERE vtpm.boot < excluded.boot OR (vtpm.boot = excluded.boot AND vtpm.ak = excluded.ak AND vtpm.verdict IS NULL)
RETURNING boot

-- name: vtpm_get
SELECT ek_certificate, ak, activation_hash FROM vtpm WHERE tenant_id = $1 AND sandbox_id = $2 AND boot = $3::bigint

-- name: vtpm_verdict
UPDATE vtpm SET verdict = $4 WHERE tenant_id = $1 AND sandbox_id = $2 AND boot = $3::bigint

-- One question at a time of a member, 64 of all in ten minutes; the same one again is that one.
-- name: attestation_insert
INSERT INTO attestation (tenant_id, space_id, id, sandbox_id, boot, member, nonce, credential)
SELECT $1, $2, $3, $4, $5::bigint, $6, $7, $8
WHERE (SELECT count(*) < 64 AND count(*) FILTER (WHERE member = $6 AND state = 'pending' AND created_at > now() - interval '2 minutes') = 0
	FROM attestation WHERE tenant_id = $1 AND sandbox_id = $4)
ON CONFLICT (tenant_id, sandbox_id, boot, nonce) DO NOTHING
RETURNING id

-- name: attestation_same
SELECT id FROM attestation WHERE tenant_id = $1 AND sandbox_id = $2 AND boot = $3::bigint AND nonce = $4 AND member = $5

-- An answer that can no longer come is not waited for.
-- name: attestation_by_id
SELECT a.id, a.boot, a.nonce, a.activated, a.evidence, a.revision, at_text(a.created_at) AS created_at,
	at_text(a.updated_at) AS updated_at,
	CASE WHEN a.state = 'pending' AND code IS NOT NULL THEN 'failed' ELSE a.state END AS state,
	coalesce(failure_code_of, CASE WHEN a.state = 'pending' THEN code END) AS failure_code, a.failure_detail
FROM (SELECT attestation.*, attestation.failure_code AS failure_code_of,
	CASE WHEN s.boot <> attestation.boot OR s.state <> 'ready' THEN 'attestation.other_boot'
		WHEN attestation.created_at <= now() - interval '2 minutes' THEN 'attestation.expired' END AS code
	FROM attestation JOIN sandbox s ON s.tenant_id = attestation.tenant_id AND s.id = $2
	WHERE attestation.sandbox_id = $2 AND attestation.id = $3 AND (attestation.tenant_id = $1
		OR attestation.space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))) a

-- name: attestation_next
SELECT id, nonce, credential FROM attestation
WHERE tenant_id = $1 AND sandbox_id = $2 AND boot = $3::bigint AND state = 'pending' AND created_at > now() - interval '2 minutes'
ORDER BY created_at, id LIMIT 1

-- name: attestation_answer
UPDATE attestation SET state = $5, activated = $6, evidence = $7, failure_code = $8, failure_detail = $9,
	credential = NULL, revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND sandbox_id = $2 AND boot = $3::bigint AND id = $4 AND state = 'pending'
RETURNING id

-- name: attestation_exists
SELECT id FROM attestation WHERE tenant_id = $1 AND sandbox_id = $2 AND boot = $3::bigint AND id = $4

-- name: attestation_forget
DELETE FROM attestation WHERE created_at < now() - interval '10 minutes'

-- name: sandbox_list
(SELECT * FROM sandbox_line WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3::bigint)
UNION
SELECT l.* FROM unnest(string_to_array($4, ',')) AS s (id), LATERAL (SELECT * FROM sandbox_line
	WHERE space_id = s.id AND id < $2 ORDER BY id DESC LIMIT $3::bigint) AS l
ORDER BY id DESC LIMIT $3::bigint

-- By the loop with its lease, by a member without. What is at rest is due again at its end.
-- name: sandbox_change
UPDATE sandbox SET state = $4, failure_code = $6, failure_detail = $7, revision = revision + 1, updated_at = now(),
	run_at = CASE WHEN $4 IN ('stopped', 'failed') THEN coalesce(expires_at, 'infinity') ELSE clock_timestamp() END,
	enrol_hash = CASE WHEN $4 IN ('creating', 'starting', 'ready') THEN enrol_hash END
WHERE tenant_id = $1 AND id = $2 AND state = $3 AND boot = $5::bigint
	AND ($8::timestamptz IS NULL OR lease_until = $8::timestamptz)
RETURNING revision

-- Another boot: from `ready` it keeps its place among the quotas, else it waits for one.
-- name: sandbox_reboot
UPDATE sandbox SET state = $5, boot = boot + 1, claim = $6, evidence = NULL, enc_jwk = NULL, sig_jwk = NULL,
	enc = NULL, sig = NULL, failure_code = NULL, failure_detail = NULL, enrol_hash = NULL, queued_at = now(),
	used_at = now(), run_at = clock_timestamp(), revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND state = $3 AND boot = $4::bigint
RETURNING revision

-- name: sandbox_holds
SELECT 1 FROM sandbox WHERE tenant_id = $1 AND id = $2 AND state = $3 AND boot = $4::bigint AND lease_until = $5::timestamptz

-- name: sandbox_secret
UPDATE sandbox SET is_begun = true, enrol_hash = $4, enrol_until = now() + interval '5 minutes'
WHERE tenant_id = $1 AND id = $2 AND boot = $3::bigint AND lease_until = $5::timestamptz AND state IN ('creating', 'starting')

-- name: sandbox_launched
UPDATE sandbox SET launched_boot = $3::bigint, launched_at = now(), revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND boot = $3::bigint AND lease_until = $4::timestamptz AND state IN ('creating', 'starting')

-- name: sandbox_enrol
UPDATE sandbox SET state = 'ready', evidence = $4, enc_jwk = $5, sig_jwk = $6, enc = $7, sig = $8, run_at = clock_timestamp(),
	used_at = now(), revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND boot = $3::bigint AND state IN ('creating', 'starting')
RETURNING revision

-- A run looks at its sandbox each second; one sign in ten is enough.
-- name: sandbox_used
UPDATE sandbox SET used_at = now()
WHERE tenant_id = $1 AND id = $2 AND idle_s IS NOT NULL AND used_at < now() - interval '10 seconds'

-- What changed it since the claim has said when it is due.
-- name: sandbox_release
UPDATE sandbox SET lease_until = '-infinity', run_at = CASE WHEN run_at > lease_until - interval '60 seconds' THEN run_at
	ELSE now() + $4::bigint * interval '1 millisecond' END
WHERE tenant_id = $1 AND id = $2 AND lease_until = $3::timestamptz

-- One at a time; of the tenant with the fewest sandboxes in hand, so that one whose VMs hang does not take all workers. The
-- lease has to outlast the slowest step, or a step that hangs would take one worker after the other.
-- name: sweep_due
WITH next AS (
	SELECT tenant_id, id FROM sandbox
	LEFT JOIN (SELECT tenant_id, count(*) AS n FROM sandbox
		WHERE state <> 'deleted' AND run_at <= now() AND lease_until > now()
		GROUP BY tenant_id) AS in_hand USING (tenant_id)
	WHERE state <> 'deleted' AND run_at <= now() AND lease_until <= now()
	ORDER BY coalesce(n, 0), run_at LIMIT 1 FOR UPDATE OF sandbox SKIP LOCKED)
UPDATE sandbox SET lease_until = now() + interval '60 seconds' FROM next
WHERE sandbox.tenant_id = next.tenant_id AND sandbox.id = next.id
RETURNING sandbox.tenant_id, sandbox.id, sandbox.lease_until::text AS lease

-- A copy that starts takes no step to be in hand: it may be the one that died over it. A living copy's step loses its lease
-- with that, and is repeated.
-- name: sweep_begin
WITH w AS (UPDATE warm SET lease_until = '-infinity' WHERE lease_until > now())
UPDATE sandbox SET lease_until = '-infinity' WHERE lease_until > now()

-- name: sweep_enrolment
SELECT tenant_id FROM sandbox WHERE id = $1 AND enrol_hash = $2 AND enrol_until > now()

-- name: sweep_tenant
SELECT tenant_id FROM sandbox WHERE id = $1

-- name: sweep_existing
SELECT state FROM sandbox WHERE id = $1 AND state NOT IN ('deleted', 'deleting')
UNION ALL SELECT state FROM warm WHERE id = $1

-- name: sweep_forget
DELETE FROM sandbox WHERE state = 'deleted' AND updated_at < now() - interval '1 day'

-- name: sweep_forget_vtpm
DELETE FROM vtpm WHERE NOT EXISTS (SELECT 1 FROM sandbox s WHERE s.tenant_id = vtpm.tenant_id AND s.id = vtpm.sandbox_id)

-- name: sweep_lock
WITH l AS (SELECT pg_advisory_xact_lock(hashtextextended('provisioner.admission', 0))) SELECT 1 FROM l

-- The oldest that waits of each member whose quota and whose tenant's has room; of these the one of the tenant with the
-- least weight in hand. When that one does not fit into the host it is waited for: smaller ones behind it would let it wait for
-- ever. Behind sweep_lock, so that two copies do not both see the last place. `waiting` goes from member to member in the index:
-- how many of his wait behind his oldest costs nothing.
-- name: sweep_admit
WITH RECURSIVE held AS (SELECT tenant_id, created_by, vcpus, memory_mib, weight FROM sandbox
		WHERE state IN ('creating', 'starting', 'ready', 'stopping')),
	waits AS (SELECT vcpus, memory_mib FROM warm WHERE state <> 'failed'),
	host AS (SELECT count(*) AS n, coalesce(sum(vcpus), 0) AS vcpus, coalesce(sum(memory_mib), 0) AS memory_mib
		FROM (SELECT vcpus, memory_mib FROM held UNION ALL SELECT vcpus, memory_mib FROM waits) AS all_of_them),
	tenant AS (SELECT tenant_id, count(*) AS n, sum(vcpus) AS vcpus, sum(memory_mib) AS memory_mib, sum(weight) AS weight
		FROM held GROUP BY tenant_id),
	member AS (SELECT tenant_id, created_by, count(*) AS n, sum(weight) AS weight FROM held GROUP BY tenant_id, created_by),
	waiting AS ((SELECT tenant_id, created_by, id, vcpus, memory_mib, weight, queued_at FROM sandbox WHERE state = 'queued'
			ORDER BY tenant_id, created_by, queued_at, id LIMIT 1)
		UNION ALL SELECT n.* FROM waiting w, LATERAL (SELECT tenant_id, created_by, id, vcpus, memory_mib, weight, queued_at
			FROM sandbox WHERE state = 'queued' AND (tenant_id, created_by) > (w.tenant_id, w.created_by)
			ORDER BY tenant_id, created_by, queued_at, id LIMIT 1) AS n),
	next AS (SELECT w.tenant_id, w.id, w.vcpus, w.memory_mib FROM waiting w
		LEFT JOIN tenant t USING (tenant_id) LEFT JOIN member m USING (tenant_id, created_by)
		LEFT JOIN quota q USING (tenant_id)
		WHERE within(coalesce(t.n, 0) + 1, coalesce(q.sandboxes, $1::bigint))
			AND within(coalesce(t.vcpus, 0) + w.vcpus, coalesce(q.vcpus, $2::bigint))
			AND within(coalesce(t.memory_mib, 0) + w.memory_mib, coalesce(q.memory_mib, $3::bigint))
			AND within(coalesce(t.weight, 0) + w.weight, coalesce(q.weight, $4::bigint))
			AND within(coalesce(m.n, 0) + 1, coalesce(q.member_sandboxes, $5::bigint))
			AND within(coalesce(m.weight, 0) + w.weight, coalesce(q.member_weight, $6::bigint))
		ORDER BY coalesce(t.weight, 0), w.queued_at, w.id LIMIT 1)
UPDATE sandbox SET state = CASE WHEN boot > 1 THEN 'starting' ELSE 'creating' END, run_at = clock_timestamp(), used_at = now(),
	revision = revision + 1, updated_at = now()
FROM next, host
WHERE sandbox.tenant_id = next.tenant_id AND sandbox.id = next.id AND sandbox.state = 'queued'
	AND within(host.n + 1, $7::bigint) AND within(host.vcpus + next.vcpus, $8::bigint)
	AND within(host.memory_mib + next.memory_mib, $9::bigint)
RETURNING sandbox.id

-- The how manieth of its tenant it is (1 also when its turn comes between two looks), and what it waits for: the tenant's quota, the member's, or room on the host.
-- name: sandbox_queue
WITH mine AS (SELECT id, created_by, queued_at, vcpus, memory_mib, weight FROM sandbox WHERE tenant_id = $1 AND id = $2),
	held AS (SELECT created_by, vcpus, memory_mib, weight FROM sandbox
		WHERE tenant_id = $1 AND state IN ('creating', 'starting', 'ready', 'stopping')),
	own AS (SELECT count(*) AS n, coalesce(sum(held.vcpus), 0) AS vcpus, coalesce(sum(held.memory_mib), 0) AS memory_mib,
		coalesce(sum(held.weight), 0) AS weight, count(*) FILTER (WHERE held.created_by = mine.created_by) AS member_n,
		coalesce(sum(held.weight) FILTER (WHERE held.created_by = mine.created_by), 0) AS member_weight
		FROM mine LEFT JOIN held ON true)
SELECT greatest(1, (SELECT count(*) FROM sandbox s WHERE s.tenant_id = $1 AND s.state = 'queued'
		AND (s.queued_at, s.id) <= (mine.queued_at, mine.id))) AS position,
	CASE WHEN NOT (within(own.n + 1, coalesce(q.sandboxes, $3::bigint))
			AND within(own.vcpus + mine.vcpus, coalesce(q.vcpus, $4::bigint))
			AND within(own.memory_mib + mine.memory_mib, coalesce(q.memory_mib, $5::bigint))
			AND within(own.weight + mine.weight, coalesce(q.weight, $6::bigint))) THEN 'quota.tenant'
		WHEN NOT (within(own.member_n + 1, coalesce(q.member_sandboxes, $7::bigint))
			AND within(own.member_weight + mine.weight, coalesce(q.member_weight, $8::bigint))) THEN 'quota.member'
		ELSE 'quota.host' END AS reason
FROM mine CROSS JOIN own LEFT JOIN quota q ON q.tenant_id = $1

-- name: quota_by_tenant
SELECT sandboxes, vcpus, memory_mib, weight, member_sandboxes, member_weight, lifetime_s, revision,
	at_text(updated_at) AS updated_at
FROM quota WHERE tenant_id = $1

-- name: quota_usage
SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
	count(*) FILTER (WHERE state IN ('creating', 'starting', 'ready', 'stopping')) AS sandboxes,
	coalesce(sum(vcpus) FILTER (WHERE state IN ('creating', 'starting', 'ready', 'stopping')), 0) AS vcpus,
	coalesce(sum(memory_mib) FILTER (WHERE state IN ('creating', 'starting', 'ready', 'stopping')), 0) AS memory_mib,
	coalesce(sum(weight) FILTER (WHERE state IN ('creating', 'starting', 'ready', 'stopping')), 0) AS weight
FROM sandbox WHERE tenant_id = $1 AND state <> 'deleted'

-- name: quota_put
INSERT INTO quota (tenant_id, sandboxes, vcpus, memory_mib, weight, member_sandboxes, member_weight, lifetime_s, updated_by)
VALUES ($1, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::bigint, $7::bigint, $8::bigint, $9)
ON CONFLICT (tenant_id) DO UPDATE SET sandboxes = excluded.sandboxes, vcpus = excluded.vcpus,
	memory_mib = excluded.memory_mib, weight = excluded.weight, member_sandboxes = excluded.member_sandboxes,
	member_weight = excluded.member_weight, lifetime_s = excluded.lifetime_s, revision = quota.revision + 1,
	updated_by = excluded.updated_by, updated_at = now()

-- The id of a file is no operator's.
-- name: template_insert
INSERT INTO template (id, version, state, document, digest, created_by)
SELECT $1, $2::bigint, 'draft', $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM template WHERE id = $1 AND is_built_in)
ON CONFLICT (id, version) DO NOTHING
RETURNING version

-- name: template_built_in
INSERT INTO template (id, version, state, document, digest, is_built_in, created_by)
VALUES ($1, $2::bigint, 'published', $3, $4, true, 'release') ON CONFLICT (id, version) DO NOTHING

-- name: template_published
SELECT digest FROM template WHERE id = $1 AND version = $2::bigint

-- name: template_offered
SELECT id, version, state, document, is_built_in, revision, created_by, at_text(created_at) AS created_at,
	at_text(updated_at) AS updated_at
FROM template WHERE state = 'published' AND ($1::text IS NULL OR id = $1) ORDER BY id, version DESC

-- name: template_versions
SELECT id, version, state, document, is_built_in, revision, created_by, at_text(created_at) AS created_at,
	at_text(updated_at) AS updated_at
FROM template WHERE id = $1 ORDER BY version DESC

-- name: template_by_version
SELECT id, version, state, document, is_built_in, revision, created_by, at_text(created_at) AS created_at,
	at_text(updated_at) AS updated_at
FROM template WHERE id = $1 AND version = $2::bigint

-- What is published is never changed again.
-- name: template_replace
UPDATE template SET document = $4, digest = $5, revision = revision + 1, updated_at = now()
WHERE id = $1 AND version = $2::bigint AND revision = $3::bigint AND state = 'draft'
RETURNING id

-- name: template_delete
DELETE FROM template WHERE id = $1 AND version = $2::bigint AND revision = $3::bigint AND state = 'draft'
	AND $4::text IS NULL AND $5::text IS NULL
RETURNING id

-- name: template_state
UPDATE template SET state = $4, revision = revision + 1, updated_at = now()
WHERE id = $1 AND version = $2::bigint AND revision = $3::bigint AND $5::text IS NOT NULL
	AND state = CASE $4 WHEN 'published' THEN 'draft' ELSE 'published' END
RETURNING id

-- --- sandboxes that wait for somebody ---

-- name: warm_due
WITH next AS (SELECT id FROM warm WHERE run_at <= now() AND lease_until <= now() ORDER BY run_at LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE warm SET lease_until = now() + interval '60 seconds' FROM next WHERE warm.id = next.id
RETURNING 'nobody' AS tenant_id, warm.id, warm.lease_until::text AS lease

-- name: warm_release
UPDATE warm SET lease_until = '-infinity', run_at = CASE WHEN run_at > lease_until - interval '60 seconds' THEN run_at
	ELSE now() + $4::bigint * interval '1 millisecond' END
WHERE id = $2 AND lease_until = $3::timestamptz AND $1::text IS NOT NULL

-- name: warm_get
SELECT id, template_id, template_version, driver, parameters, initdata, state, ak, activation_hash,
	launched_at IS NOT NULL AS was_launched, coalesce(launched_at < now() - interval '120 seconds', false) AS boot_timed_out,
	updated_at < now() - interval '60 seconds' AS has_rested
FROM warm WHERE id = $1

-- name: warm_enrolment
SELECT id, template_id, template_version, driver, parameters, initdata, state, ak, activation_hash,
	launched_at IS NOT NULL AS was_launched, false AS boot_timed_out, false AS has_rested
FROM warm WHERE id = $1 AND enrol_hash = $2 AND state IN ('creating', 'warm')

-- name: warm_secret
UPDATE warm SET enrol_hash = $3 WHERE id = $1 AND lease_until = $2::timestamptz AND state = 'creating'

-- name: warm_launched
UPDATE warm SET launched_at = now() WHERE id = $1 AND lease_until = $2::timestamptz AND state IN ('creating', 'warm')

-- By the loop with its lease, by the agent's request without.
-- name: warm_change
UPDATE warm SET state = $3, run_at = clock_timestamp(), updated_at = now(), enrol_hash = CASE WHEN $3 = 'warm' THEN enrol_hash END
WHERE id = $1 AND state = $2 AND ($4::timestamptz IS NULL OR lease_until = $4::timestamptz)

-- The first attestation key is the only one; once it has proved itself nothing is asked of it again.
-- name: warm_introduce
UPDATE warm SET ek_certificate = $2, ak = $3, activation_hash = $4
WHERE id = $1 AND state = 'creating' AND (ak IS NULL OR ak = $3)

-- name: warm_delete
DELETE FROM warm WHERE id = $1 AND state = 'deleting' AND lease_until = $2::timestamptz

-- Not while somebody waits for a place; what waits here has its room on the host.
-- name: warm_add
WITH held AS (SELECT vcpus, memory_mib FROM sandbox WHERE state IN ('creating', 'starting', 'ready', 'stopping')
		UNION ALL SELECT vcpus, memory_mib FROM warm WHERE state <> 'failed'),
	host AS (SELECT count(*) AS n, coalesce(sum(vcpus), 0) AS vcpus, coalesce(sum(memory_mib), 0) AS memory_mib FROM held)
INSERT INTO warm (id, template_id, template_version, driver, parameters, initdata, vcpus, memory_mib)
SELECT $1, $2, $3::bigint, $4, $5, $6, $7::bigint, $8::bigint FROM host
WHERE (SELECT count(*) FROM warm WHERE template_id = $2 AND template_version = $3::bigint AND state <> 'deleting') < $9::bigint
	AND NOT EXISTS (SELECT 1 FROM sandbox WHERE state = 'queued')
	AND within(host.n + 1, $10::bigint) AND within(host.vcpus + $7::bigint, $11::bigint)
	AND within(host.memory_mib + $8::bigint, $12::bigint)

-- name: warm_retire
UPDATE warm SET state = 'deleting', enrol_hash = NULL, run_at = clock_timestamp(), updated_at = now()
WHERE state <> 'deleting' AND template_id || '/' || template_version <> ALL (string_to_array($1, ' '))

-- name: warm_shrink
UPDATE warm SET state = 'deleting', enrol_hash = NULL, run_at = clock_timestamp(), updated_at = now()
WHERE id IN (SELECT id FROM warm WHERE template_id = $1 AND state <> 'deleting' ORDER BY template_version DESC, created_at, id
	OFFSET $2::bigint)

-- name: warm_yield
WITH held AS (SELECT vcpus, memory_mib FROM sandbox WHERE state IN ('creating', 'starting', 'ready', 'stopping')
		UNION ALL SELECT vcpus, memory_mib FROM warm WHERE state <> 'failed'),
	host AS (SELECT count(*) AS n, coalesce(sum(vcpus), 0) AS vcpus, coalesce(sum(memory_mib), 0) AS memory_mib FROM held)
UPDATE warm SET state = 'deleting', enrol_hash = NULL, run_at = clock_timestamp(), updated_at = now()
WHERE id = (SELECT id FROM warm WHERE state IN ('creating', 'warm') ORDER BY created_at DESC, id LIMIT 1)
	AND NOT EXISTS (SELECT 1 FROM warm WHERE state = 'deleting')
	AND EXISTS (SELECT 1 FROM host, (SELECT max(vcpus) AS vcpus, max(memory_mib) AS memory_mib FROM sandbox
			WHERE state = 'queued' AND queued_at < now() - interval '2 seconds' HAVING count(*) > 0) AS s
		WHERE NOT (within(host.n + 1, $1::bigint) AND within(host.vcpus + s.vcpus, $2::bigint)
			AND within(host.memory_mib + s.memory_mib, $3::bigint)))

-- One for a member whose quota and whose tenant's has room, while nobody of the tenant waits: as admission would say.
-- name: warm_find
WITH held AS (SELECT created_by, vcpus, memory_mib, weight FROM sandbox
		WHERE tenant_id = $1 AND state IN ('creating', 'starting', 'ready', 'stopping')),
	own AS (SELECT count(*) AS n, coalesce(sum(vcpus), 0) AS vcpus, coalesce(sum(memory_mib), 0) AS memory_mib,
		coalesce(sum(weight), 0) AS weight, count(*) FILTER (WHERE created_by = $2) AS member_n,
		coalesce(sum(weight) FILTER (WHERE created_by = $2), 0) AS member_weight FROM held)
SELECT warm.id FROM warm CROSS JOIN own LEFT JOIN quota q ON q.tenant_id = $1
WHERE warm.state = 'warm' AND template_id = $3 AND template_version = $4::bigint AND parameters = $5
	AND NOT EXISTS (SELECT 1 FROM sandbox WHERE tenant_id = $1 AND state = 'queued')
	AND within(own.n + 1, coalesce(q.sandboxes, $7::bigint))
	AND within(own.vcpus + warm.vcpus, coalesce(q.vcpus, $8::bigint))
	AND within(own.memory_mib + warm.memory_mib, coalesce(q.memory_mib, $9::bigint))
	AND within(own.weight + $6::bigint, coalesce(q.weight, $10::bigint))
	AND within(own.member_n + 1, coalesce(q.member_sandboxes, $11::bigint))
	AND within(own.member_weight + $6::bigint, coalesce(q.member_weight, $12::bigint))
ORDER BY warm.created_at, warm.id LIMIT 1 FOR UPDATE OF warm SKIP LOCKED

-- It becomes a member's with the id and the boot that it has.
-- name: warm_take
WITH w AS (DELETE FROM warm WHERE id = $3 RETURNING *),
	v AS (INSERT INTO vtpm (tenant_id, space_id, sandbox_id, boot, ek_certificate, ak, activation_hash)
		SELECT $1, $2, id, 1, ek_certificate, ak, activation_hash FROM w WHERE ak IS NOT NULL)
INSERT INTO sandbox (tenant_id, space_id, id, name, template_id, template_version, driver, parameters, claim, initdata,
	state, is_begun, launched_boot, launched_at, enrol_hash, enrol_until, created_by, vcpus, memory_mib, weight, expires_at, idle_s)
SELECT $1, $2, id, $4, template_id, template_version, driver, parameters, $5, initdata, 'creating', true, 1, now(), enrol_hash,
	now() + interval '5 minutes', $6, vcpus, memory_mib, $7::bigint, now() + $8::bigint * interval '1 second', $9::bigint
FROM w

-- name: outbox_insert
INSERT INTO outbox (topic, key) VALUES ($1, $2)

-- The http backend. Each asks for the run that is current: what an older one still wants is nobody's.
-- name: tofu_state_get
SELECT serial, state FROM tofu WHERE tenant_id = $1 AND sandbox_id = $2 AND run = $3::bigint

-- name: tofu_state_put
UPDATE tofu SET serial = $5::bigint, state = $6, lock_until = now() + interval '2 minutes', updated_at = now()
WHERE tenant_id = $1 AND sandbox_id = $2 AND run = $3::bigint AND lock_run = $3::bigint AND lock_id = $4
	AND serial <= $5::bigint

-- name: tofu_state_delete
UPDATE tofu SET serial = 0, state = NULL, updated_at = now()
WHERE tenant_id = $1 AND sandbox_id = $2 AND run = $3::bigint AND lock_run IS DISTINCT FROM $3::bigint

-- A lock ends with its run, when it is given back, and when its holder was silent for two minutes.
-- name: tofu_lock
UPDATE tofu SET lock_id = $4, lock_run = $3::bigint, lock_info = $5, lock_until = now() + interval '2 minutes'
WHERE tenant_id = $1 AND sandbox_id = $2 AND run = $3::bigint
	AND (lock_run IS DISTINCT FROM $3::bigint OR lock_id = $4 OR lock_until <= now())

-- name: tofu_lock_holder
SELECT lock_info FROM tofu WHERE tenant_id = $1 AND sandbox_id = $2 AND run = $3::bigint AND lock_run = $3::bigint

-- name: tofu_unlock
UPDATE tofu SET lock_id = NULL, lock_run = NULL, lock_info = NULL, lock_until = NULL
WHERE tenant_id = $1 AND sandbox_id = $2 AND run = $3::bigint AND lock_run = $3::bigint AND lock_id = $4

-- --- the driver tofu ---

-- name: tofu_make
INSERT INTO tofu (tenant_id, sandbox_id) VALUES ($1, $2) ON CONFLICT (tenant_id, sandbox_id) DO NOTHING

-- name: tofu_get
SELECT goal, boot, step, run, running, attempts, code, detail, plan_digest, state IS NOT NULL AS has_state,
	next_at <= now() AS is_due, (extract(epoch FROM now() - updated_at) * 1000)::bigint AS age_ms
FROM tofu WHERE tenant_id = $1 AND sandbox_id = $2

-- What a run keeps ends with it: its number is its right to the backend. It is due when its runner should have ended it.
-- name: tofu_begin
UPDATE tofu SET run = run + 1, running = $4, progress = NULL, next_at = now() + $5::bigint * interval '1 millisecond', updated_at = now()
WHERE tenant_id = $1 AND sandbox_id = $2 AND run = $3::bigint

-- name: tofu_set
UPDATE tofu SET goal = $4, boot = $5::bigint, step = $6, running = NULL, attempts = $7::bigint, code = $8, detail = $9,
	plan_digest = $10, progress = NULL, next_at = now() + $11::bigint * interval '1 millisecond', updated_at = now()
WHERE tenant_id = $1 AND sandbox_id = $2 AND run = $3::bigint

-- A run that lives keeps its lock.
-- name: tofu_beat
UPDATE tofu SET progress = $4, lock_until = CASE WHEN lock_run = run THEN now() + interval '2 minutes' END
WHERE tenant_id = $1 AND sandbox_id = $2 AND run = $3::bigint

-- name: tofu_forget
DELETE FROM tofu WHERE tenant_id = $1 AND sandbox_id = $2

-- A machine that is still being made has not begun to boot.
-- name: sandbox_prolong
UPDATE sandbox SET launched_at = now(), enrol_until = now() + interval '5 minutes'
WHERE tenant_id = $1 AND id = $2 AND boot = $3::bigint AND state IN ('creating', 'starting')
