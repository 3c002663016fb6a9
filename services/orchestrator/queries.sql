-- Every statement of the orchestrator.

-- name: run_insert
INSERT INTO run (tenant_id, space_id, id, pipeline_id, policy_hash, repository, manifest, inputs, deadline, sandbox_id,
	order_id, run_nonce, created_by)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9::bigint, $10, $11, $12, $13
WHERE (SELECT count(*) FROM run WHERE space_id = $2 AND policy_hash = $5) < $14::bigint

-- Of a space ($1): so are all runs of its policy, whichever of its tenants made them.
-- name: policy_lock
WITH l AS (SELECT pg_advisory_xact_lock(hashtextextended($1 || $2, 0))) SELECT 1 FROM l

-- name: run_by_id
SELECT tenant_id, space_id, id, pipeline_id, policy_hash, repository, manifest, inputs, deadline, sandbox_id, order_id,
	run_nonce, state, step, boot, fence, failure_code, failure_detail, awaiting, output_object, output_digest, output_size,
	receipt, revision, event_seq, created_by, at_text(created_at) AS created_at, at_text(updated_at) AS updated_at,
	at_text(ended_at) AS ended_at,
	coalesce((SELECT json_agg(json_build_object('target', e.target, 'bytes_in', e.bytes_in, 'bytes_out', e.bytes_out,
		'connections', e.connections) ORDER BY e.target)::text
		FROM run_egress e WHERE e.tenant_id = run.tenant_id AND e.run_id = run.id), '[]') AS egress
FROM run WHERE id = $2 AND (tenant_id = $1 OR space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))

-- name: run_list
(SELECT * FROM run_line WHERE tenant_id = $1 AND id < $2 AND ($4::text IS NULL OR state = $4)
	AND ($5::text IS NULL OR order_id = $5) ORDER BY id DESC LIMIT $3::bigint)
UNION
SELECT l.* FROM unnest(string_to_array($6, ',')) AS s (id), LATERAL (SELECT * FROM run_line
	WHERE space_id = s.id AND id < $2 AND ($4::text IS NULL OR state = $4) AND ($5::text IS NULL OR order_id = $5)
	ORDER BY id DESC LIMIT $3::bigint) AS l
ORDER BY id DESC LIMIT $3::bigint

-- name: run_steps
SELECT name, state, attempts, detail, at_text(started_at) AS started_at, at_text(ended_at) AS ended_at
FROM run_step WHERE tenant_id = $1 AND run_id = $2 ORDER BY started_at, name

-- name: run_events
SELECT seq, at_text(at) AS at, type, step, state, detail, fence FROM run_event
WHERE tenant_id = $1 AND run_id = $2 AND seq > $3::bigint ORDER BY seq LIMIT 200

-- name: run_change
UPDATE run SET state = $4, fence = fence + $6::bigint, boot = coalesce($7::bigint, boot),
	failure_code = $8, failure_detail = $9, awaiting = $10, run_at = clock_timestamp(), revision = revision + 1, event_seq = event_seq + 1,
	updated_at = now(),
	ended_at = CASE WHEN $4 IN ('succeeded', 'failed', 'refused', 'cancelled') THEN now() END
WHERE tenant_id = $1 AND id = $2 AND state = $3 AND fence = $5::bigint
RETURNING event_seq, fence, space_id

-- name: run_reorder
UPDATE run SET order_id = $3, run_nonce = $4, sandbox_id = $5 WHERE tenant_id = $1 AND id = $2

-- name: run_output
UPDATE run SET output_object = $3, output_digest = $4, output_size = $5::bigint, receipt = $6
WHERE tenant_id = $1 AND id = $2

-- name: run_event_insert
INSERT INTO run_event (tenant_id, space_id, run_id, seq, type, step, state, detail, fence, agent_seq)
VALUES ($1, $2, $3, $4::bigint, $5, $6, $7, $8, $9::bigint, $10::bigint)

-- name: run_report
UPDATE run SET step = $4, state = 'running', revision = revision + 1, event_seq = event_seq + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND fence = $3::bigint AND state IN ('dispatched', 'running')
	AND event_seq < 10000
RETURNING event_seq, space_id

-- name: run_step_report
INSERT INTO run_step (tenant_id, space_id, run_id, name, state, detail, ended_at)
VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $5 <> 'started' THEN now() END)
ON CONFLICT (tenant_id, run_id, name) DO UPDATE SET state = excluded.state, detail = excluded.detail,
	attempts = run_step.attempts + CASE WHEN excluded.state = 'started' THEN 1 ELSE 0 END,
	started_at = CASE WHEN excluded.state = 'started' THEN now() ELSE run_step.started_at END,
	ended_at = excluded.ended_at

-- name: run_event_seen
SELECT 1 FROM run_event WHERE tenant_id = $1 AND run_id = $2 AND fence = $3::bigint AND agent_seq = $4::bigint

-- name: run_of_sandbox
SELECT id, fence, order_id, pipeline_id, inputs FROM run
WHERE tenant_id = $1 AND sandbox_id = $2 AND state IN ('dispatched', 'running')

-- One at a time; of the tenant with the fewest runs in hand. The lease has to outlast the slowest step, which asks two peers.
-- name: run_in_sandbox
SELECT id FROM run WHERE tenant_id = $1 AND sandbox_id = $2
	AND state IN ('queued', 'awaiting_grants', 'dispatched', 'running')

-- name: sweep_due
WITH next AS (
	SELECT tenant_id, id FROM run
	LEFT JOIN (SELECT tenant_id, count(*) AS n FROM run
		WHERE state IN ('queued', 'awaiting_grants', 'dispatched', 'running') AND run_at <= now() AND lease_until > now()
		GROUP BY tenant_id) AS in_hand USING (tenant_id)
	WHERE state IN ('queued', 'awaiting_grants', 'dispatched', 'running') AND run_at <= now() AND lease_until <= now()
	ORDER BY coalesce(n, 0), run_at LIMIT 1 FOR UPDATE OF run SKIP LOCKED)
UPDATE run SET lease_until = now() + interval '30 seconds' FROM next
WHERE run.tenant_id = next.tenant_id AND run.id = next.id
RETURNING run.tenant_id, run.id, run.lease_until::text AS lease

-- Somebody gave or took back what an order needs.
-- name: sweep_waiting
UPDATE run SET run_at = clock_timestamp() WHERE state = 'awaiting_grants'

-- name: sweep_sandbox
SELECT tenant_id, id FROM run WHERE sandbox_id = $1 AND state IN ('dispatched', 'running')

-- What changed it since the claim has said when it is due.
-- name: run_release
UPDATE run SET lease_until = '-infinity', run_at = CASE WHEN run_at > lease_until - interval '30 seconds' THEN run_at
	ELSE now() + $4::bigint * interval '1 millisecond' END
WHERE tenant_id = $1 AND id = $2 AND lease_until = $3::timestamptz

-- name: run_holds
SELECT 1 FROM run WHERE tenant_id = $1 AND id = $2 AND fence = $3::bigint AND state = 'running'

-- name: egress_insert
INSERT INTO run_egress (tenant_id, space_id, run_id, target) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: egress_add
UPDATE run_egress SET bytes_in = bytes_in + $4::bigint, bytes_out = bytes_out + $5::bigint, connections = connections + $6::bigint
WHERE tenant_id = $1 AND run_id = $2 AND target = $3

-- name: object_insert
INSERT INTO object (tenant_id, space_id, id, role, run_id, fence, created_by) VALUES ($1, $2, $3, $4, $5, $6::bigint, $7)

-- name: object_by_id
SELECT tenant_id, space_id, id, role, run_id, fence, state, size_bytes, digest, revision, created_by,
	at_text(created_at) AS created_at
FROM object WHERE id = $2 AND state <> 'deleted'
	AND (tenant_id = $1 OR space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))

-- name: object_lock
SELECT size_bytes, state FROM object WHERE tenant_id = $1 AND id = $2 FOR UPDATE

-- name: object_resize
UPDATE object SET size_bytes = $3::bigint, due_at = now() + interval '7 days' WHERE tenant_id = $1 AND id = $2 AND state = 'open'

-- name: object_close
UPDATE object SET state = 'closed', digest = $3, size_bytes = $4::bigint, closed_at = now(), revision = revision + 1,
	due_at = now() + interval '7 days'
WHERE tenant_id = $1 AND id = $2 AND state = 'open'

-- name: object_delete
UPDATE object SET state = 'deleted', size_bytes = 0, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND state <> 'deleted'

-- name: inputs_keep
UPDATE object SET due_at = greatest(due_at, now() + interval '1 day')
WHERE tenant_id = $1 AND id IN (SELECT e ->> 'object' FROM jsonb_array_elements($2::jsonb) e)

-- name: objects_due
UPDATE object SET due_at = now() + interval '1 day'
WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM object WHERE state <> 'deleted' AND due_at <= now()
	ORDER BY due_at LIMIT 100 FOR UPDATE SKIP LOCKED)
RETURNING tenant_id, space_id, id, due_at::text AS due_at

-- name: object_expire
WITH old AS (SELECT o.tenant_id, o.id, o.size_bytes FROM object o
	WHERE o.tenant_id = $1 AND o.id = $2 AND o.state <> 'deleted' AND o.due_at = $3::timestamptz
	AND NOT EXISTS (SELECT 1 FROM run r WHERE r.tenant_id = $1 AND r.id = o.run_id AND (r.ended_at IS NULL
		OR (r.output_object = o.id AND ($4::bigint = 0 OR r.ended_at > now() - $4::bigint * interval '1 day'))))
	AND (o.role = 'output' OR o.state = 'open'
		OR ($4::bigint > 0 AND o.closed_at < now() - $4::bigint * interval '1 day'
			AND NOT EXISTS (SELECT 1 FROM run r WHERE (r.tenant_id = $1 OR r.space_id = o.space_id) AND position(o.id IN r.inputs) > 0
				AND (r.ended_at IS NULL OR r.ended_at > now() - $4::bigint * interval '1 day'))))
	FOR UPDATE),
gone AS (UPDATE object o SET state = 'deleted', size_bytes = 0, revision = revision + 1
	FROM old WHERE o.tenant_id = old.tenant_id AND o.id = old.id)
UPDATE usage u SET used_bytes = greatest(u.used_bytes - old.size_bytes, 0) FROM old WHERE u.tenant_id = old.tenant_id

-- name: objects_deleted
SELECT tenant_id, space_id, id FROM object WHERE state = 'deleted' ORDER BY tenant_id, id LIMIT 100

-- name: object_forget
DELETE FROM object WHERE tenant_id = $1 AND id = $2 AND state = 'deleted'

-- name: usage_add
INSERT INTO usage (tenant_id, space_id, used_bytes) VALUES ($1, $2, greatest($3::bigint, 0))
ON CONFLICT (tenant_id) DO UPDATE SET used_bytes = greatest(usage.used_bytes + $3::bigint, 0)
RETURNING used_bytes

-- name: outbox_insert
INSERT INTO outbox (topic, key) VALUES ($1, $2)
