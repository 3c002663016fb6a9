-- Every statement of the provisioner.

-- name: sandbox_insert
INSERT INTO sandbox (tenant_id, space_id, id, name, template_id, template_version, parameters, claim, initdata, created_by)
VALUES ($1, $2, $3, $4, $5, $6::bigint, $7, $8, $9, $10)

-- name: sandbox_by_id
SELECT tenant_id, space_id, id, name, template_id, template_version, parameters, state, boot, launched_boot,
	coalesce(launched_at < now() - interval '120 seconds', false) AS boot_timed_out,
	claim, initdata, evidence,
	(SELECT verdict FROM vtpm WHERE vtpm.tenant_id = $1 AND sandbox_id = $2 AND vtpm.boot = sandbox.boot) AS verdict, enc_jwk, sig_jwk, enc, sig, failure_code, failure_detail, revision, created_by,
	at_text(created_at) AS created_at, at_text(updated_at) AS updated_at
FROM sandbox WHERE tenant_id = $1 AND id = $2

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
	FROM attestation JOIN sandbox s ON s.tenant_id = $1 AND s.id = $2
	WHERE attestation.tenant_id = $1 AND attestation.sandbox_id = $2 AND attestation.id = $3) a

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
SELECT id, name, template_id, template_version, state, boot, failure_code, revision, created_by,
	at_text(created_at) AS created_at, at_text(updated_at) AS updated_at
FROM sandbox WHERE tenant_id = $1 AND id < $2 AND state <> 'deleted' ORDER BY id DESC LIMIT $3::bigint

-- name: sandbox_change
UPDATE sandbox SET state = $4, failure_code = $6, failure_detail = $7, run_at = now(), revision = revision + 1,
	updated_at = now(), enrol_hash = CASE WHEN $4 IN ('creating', 'starting', 'ready') THEN enrol_hash END
WHERE tenant_id = $1 AND id = $2 AND state = $3 AND boot = $5::bigint
RETURNING revision

-- name: sandbox_reboot
UPDATE sandbox SET state = 'starting', boot = boot + 1, claim = $5, evidence = NULL, enc_jwk = NULL, sig_jwk = NULL,
	enc = NULL, sig = NULL, failure_code = NULL, failure_detail = NULL, enrol_hash = NULL, run_at = now(),
	revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND state = $3 AND boot = $4::bigint
RETURNING revision

-- name: sandbox_secret
UPDATE sandbox SET enrol_hash = $4, enrol_until = now() + interval '5 minutes'
WHERE tenant_id = $1 AND id = $2 AND boot = $3::bigint AND state IN ('creating', 'starting')

-- name: sandbox_launched
UPDATE sandbox SET launched_boot = $3::bigint, launched_at = now(), revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND boot = $3::bigint AND state IN ('creating', 'starting')

-- name: sandbox_enrol
UPDATE sandbox SET state = 'ready', evidence = $4, enc_jwk = $5, sig_jwk = $6, enc = $7, sig = $8, run_at = now(),
	revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND boot = $3::bigint AND state IN ('creating', 'starting')
RETURNING revision

-- name: sandbox_release
UPDATE sandbox SET lease_until = '-infinity', run_at = greatest(run_at, now() + $4::bigint * interval '1 millisecond')
WHERE tenant_id = $1 AND id = $2 AND lease_until = $3::timestamptz

-- One at a time; of the tenant with the fewest sandboxes in hand, so that one whose VMs hang does not take all workers. The
-- lease has to outlast the slowest step, or a step that hangs would take one worker after the other.
-- name: sweep_due
WITH next AS (
	SELECT tenant_id, id FROM sandbox
	LEFT JOIN (SELECT tenant_id, count(*) AS n FROM sandbox
		WHERE state IN ('creating', 'ready', 'stopping', 'starting', 'deleting') AND run_at <= now()
			AND lease_until > now()
		GROUP BY tenant_id) AS in_hand USING (tenant_id)
	WHERE state IN ('creating', 'ready', 'stopping', 'starting', 'deleting') AND run_at <= now() AND lease_until <= now()
	ORDER BY coalesce(n, 0), run_at LIMIT 1 FOR UPDATE OF sandbox SKIP LOCKED)
UPDATE sandbox SET lease_until = now() + interval '60 seconds' FROM next
WHERE sandbox.tenant_id = next.tenant_id AND sandbox.id = next.id
RETURNING sandbox.tenant_id, sandbox.id, sandbox.lease_until::text AS lease

-- name: sweep_enrolment
SELECT tenant_id FROM sandbox WHERE id = $1 AND enrol_hash = $2 AND enrol_until > now()

-- name: sweep_tenant
SELECT tenant_id FROM sandbox WHERE id = $1

-- name: sweep_existing
SELECT state FROM sandbox WHERE id = $1 AND state NOT IN ('deleted', 'deleting')

-- name: outbox_insert
INSERT INTO outbox (topic, key) VALUES ($1, $2)
