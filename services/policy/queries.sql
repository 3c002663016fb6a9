-- Every statement of the policy service.

-- name: policy_by_hash
SELECT * FROM policy_record WHERE tenant_id = $1 AND hash = $2

-- name: policy_by_id
SELECT * FROM policy_record WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL

-- name: policy_full
SELECT * FROM policy_full WHERE id = $2
	AND (tenant_id = $1 OR space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))

-- name: policy_full_several
SELECT * FROM policy_full WHERE id = ANY ($2::text[])
	AND (tenant_id = $1 OR space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))

-- name: policy_list
(SELECT * FROM policy_line WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3::bigint)
UNION
SELECT l.* FROM unnest(string_to_array($4, ',')) AS s (id), LATERAL (SELECT * FROM policy_line
	WHERE space_id = s.id AND id < $2 ORDER BY id DESC LIMIT $3::bigint) AS l
ORDER BY id DESC LIMIT $3::bigint

-- name: policy_list_of_space
SELECT * FROM policy_line WHERE space_id = $4 AND id < $2
	AND (tenant_id = $1 OR space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))
ORDER BY id DESC LIMIT $3::bigint

-- name: policy_list_of_image
SELECT * FROM policy_line WHERE image = $4 AND id < $2 AND ($5::text IS NULL OR space_id = $5)
	AND (tenant_id = $1 OR space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))
ORDER BY id DESC LIMIT $3::bigint

-- name: policy_insert
INSERT INTO policy (tenant_id, space_id, id, name, version, hash, document, created_by)
VALUES ($1, $2, $3, $4, (SELECT coalesce(max(version), 0) + 1 FROM policy WHERE tenant_id = $1 AND name = $4), $5, $6, $7)

-- name: policy_revive
UPDATE policy SET deleted_at = NULL, revision = revision + 1 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NOT NULL

-- name: policy_delete
UPDATE policy SET deleted_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint
AND NOT EXISTS (SELECT 1 FROM pipeline WHERE pipeline.tenant_id = $1 AND pipeline.policy_id = $2 AND pipeline.deleted_at IS NULL)

-- name: policy_touch
UPDATE policy SET revision = revision + 1 WHERE tenant_id = $1 AND id = $2

-- A key's newest word in a scope stays; of two at one time the one that does not approve.
-- name: approval_insert
INSERT INTO approval (tenant_id, space_id, policy_id, scope, spki, decision, issued_at, envelope)
VALUES ($1, $2, $3, $4, $5, $6, $7::bigint, $8)
ON CONFLICT (tenant_id, policy_id, scope, spki) DO UPDATE
SET decision = excluded.decision, issued_at = excluded.issued_at, envelope = excluded.envelope, created_at = now()
WHERE excluded.issued_at > approval.issued_at OR (excluded.issued_at = approval.issued_at AND excluded.decision <> 'approve')

-- They are for the policy's text, of which any tenant of its space may have a copy: each key's newest word on any of them.
-- name: approval_list
SELECT DISTINCT ON (a.spki, a.scope) a.envelope FROM policy mine
JOIN policy p ON p.hash = mine.hash AND p.space_id = mine.space_id
JOIN approval a ON a.tenant_id = p.tenant_id AND a.policy_id = p.id
WHERE mine.tenant_id = $1 AND mine.id = $2
ORDER BY a.spki, a.scope, a.issued_at DESC, a.decision = 'approve'

-- name: pipeline_by_id
SELECT * FROM pipeline_record WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL

-- name: pipeline_several
SELECT * FROM pipeline_record WHERE tenant_id = $1 AND id = ANY ($2::text[]) AND deleted_at IS NULL

-- name: pipeline_list
SELECT * FROM pipeline_record WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3::bigint

-- name: pipeline_insert
INSERT INTO pipeline (tenant_id, space_id, id, created_by, template, policy_id, name) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: pipeline_update
UPDATE pipeline SET template = $4, policy_id = $5, version = version + 1, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: pipeline_version_insert
INSERT INTO pipeline_version (tenant_id, space_id, pipeline_id, version, template, policy_id, created_by)
SELECT tenant_id, space_id, id, version, template, policy_id, $3 FROM pipeline WHERE tenant_id = $1 AND id = $2

-- name: pipeline_delete
UPDATE pipeline SET deleted_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: projection_by_id
SELECT * FROM projection_record WHERE id = $2 AND deleted_at IS NULL AND (tenant_id = $1 OR is_shared(tenant_id, id))

-- name: projection_list
(SELECT * FROM projection_record WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2
	AND ($4::text IS NULL OR members IS NULL OR created_by = $4 OR $4 = ANY (members)) ORDER BY id DESC LIMIT $3::bigint)
UNION ALL
(SELECT r.* FROM (SELECT DISTINCT s.tenant_id, s.object_id FROM share s
	WHERE s.space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')) AND s.revoked_at IS NULL AND s.tenant_id <> $1
	AND s.object_id > 'prj_' AND s.object_id < least($2, 'prj~')) AS shared
	JOIN projection_record r ON r.tenant_id = shared.tenant_id AND r.id = shared.object_id
	WHERE r.deleted_at IS NULL ORDER BY r.id DESC LIMIT $3::bigint)
ORDER BY id DESC LIMIT $3::bigint

-- name: projection_insert
INSERT INTO projection (tenant_id, space_id, id, created_by, name, columns, filter, minimum_rows, members)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::bigint, $9::text[])

-- name: projection_update
UPDATE projection SET name = $4, columns = $5, filter = $6, minimum_rows = $7::bigint, members = $8::text[], revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: projection_delete
WITH gone AS (UPDATE projection SET deleted_at = now(), revision = revision + 1
		WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint
		AND NOT EXISTS (SELECT 1 FROM dataset WHERE dataset.tenant_id = $1 AND dataset.projection_id = $2 AND dataset.deleted_at IS NULL)
		RETURNING tenant_id, id),
	shares AS (UPDATE share s SET revoked_at = now(), revision = s.revision + 1 FROM gone
		WHERE s.tenant_id = gone.tenant_id AND s.object_id = gone.id AND s.revoked_at IS NULL)
SELECT id FROM gone

-- name: dataset_by_id
SELECT * FROM dataset_record WHERE id = $2 AND deleted_at IS NULL AND (tenant_id = $1 OR is_shared(tenant_id, id))

-- name: dataset_list
(SELECT * FROM dataset_record WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3::bigint)
UNION ALL
(SELECT r.* FROM (SELECT DISTINCT s.tenant_id, s.object_id FROM unnest(string_to_array(current_setting('app.space_ids'), ',')) AS mine (id),
	LATERAL (SELECT * FROM share WHERE space_id = mine.id AND revoked_at IS NULL AND tenant_id <> $1
		AND object_id > 'dst_' AND object_id < least($2, 'dst~') ORDER BY object_id DESC LIMIT $3::bigint) AS s) AS shared
	JOIN dataset_record r ON r.tenant_id = shared.tenant_id AND r.id = shared.object_id AND r.deleted_at IS NULL)
ORDER BY id DESC LIMIT $3::bigint

-- name: dataset_list_by_label
(SELECT r.* FROM label l JOIN dataset_record r ON r.tenant_id = l.tenant_id AND r.id = l.object_id
	WHERE l.tenant_id = $1 AND l.name = $4 AND l.value = $5 AND l.object_id > 'dst_' AND l.object_id < least($2, 'dst~')
	AND r.deleted_at IS NULL AND r.labels::jsonb @> $6::jsonb
	ORDER BY l.object_id DESC LIMIT $3::bigint)
UNION ALL
(SELECT r.* FROM (SELECT DISTINCT s.tenant_id, s.object_id FROM share s
	WHERE s.space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')) AND s.revoked_at IS NULL AND s.tenant_id <> $1
	AND s.object_id > 'dst_' AND s.object_id < least($2, 'dst~')) AS shared
	JOIN dataset_record r ON r.tenant_id = shared.tenant_id AND r.id = shared.object_id
	WHERE r.deleted_at IS NULL AND r.labels::jsonb @> $6::jsonb ORDER BY r.id DESC LIMIT $3::bigint)
ORDER BY id DESC LIMIT $3::bigint

-- name: dataset_list_of_space
SELECT r.* FROM share s JOIN dataset_record r ON r.tenant_id = s.tenant_id AND r.id = s.object_id
WHERE s.space_id = $4 AND s.revoked_at IS NULL AND s.object_id > 'dst_' AND s.object_id < least($2, 'dst~') AND r.deleted_at IS NULL
	AND (s.tenant_id = $1 OR s.space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))
	AND r.labels::jsonb @> $5::jsonb
ORDER BY s.object_id DESC LIMIT $3::bigint

-- name: dataset_insert
INSERT INTO dataset (tenant_id, space_id, id, created_by, name, description, long_description, projection_id, labels, direction)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: dataset_update
UPDATE dataset SET name = $4, description = $5, long_description = $6, projection_id = $7, labels = $8, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: dataset_describe
UPDATE dataset SET long_description = $4, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: dataset_delete
WITH gone AS (UPDATE dataset SET deleted_at = now(), revision = revision + 1
		WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint RETURNING tenant_id, id),
	sealed AS (DELETE FROM dataset_credentials c USING gone WHERE c.tenant_id = gone.tenant_id AND c.dataset_id = gone.id),
	labels AS (DELETE FROM label l USING gone WHERE l.tenant_id = gone.tenant_id AND l.object_id = gone.id),
	l AS (SELECT pg_advisory_xact_lock(hashtextextended('policy.start', 0)) FROM gone),
	told AS (INSERT INTO outbox (topic, key) SELECT 'order', id FROM gone, l),
	shares AS (UPDATE share s SET revoked_at = now(), revision = s.revision + 1 FROM gone
		WHERE s.tenant_id = gone.tenant_id AND s.object_id = gone.id AND s.revoked_at IS NULL)
SELECT id FROM gone

-- name: dataset_usable
SELECT 1 FROM dataset WHERE id = $2 AND deleted_at IS NULL AND (tenant_id = $1 OR is_shared(tenant_id, id))

-- name: dataset_next_version
UPDATE dataset SET version = version + 1, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING version

-- name: dataset_version_insert
INSERT INTO dataset_version (tenant_id, space_id, dataset_id, version, object_id, location, digest, size_bytes, created_by)
VALUES ($1, $2, $3, $4::bigint, $5, $6, $7, $8::bigint, $9)

-- A version of its own, unless the newest lies there already.
-- name: dataset_place
WITH next AS (UPDATE dataset d SET version = version + 1 WHERE d.tenant_id = $1 AND d.id = $2 AND NOT EXISTS (
		SELECT 1 FROM dataset_version v WHERE v.tenant_id = $1 AND v.dataset_id = $2 AND v.version = d.version
		AND v.location = $3 AND v.digest IS NOT DISTINCT FROM $4) RETURNING tenant_id, space_id, id, version)
INSERT INTO dataset_version (tenant_id, space_id, dataset_id, version, location, digest, created_by)
SELECT tenant_id, space_id, id, version, $3, $4, $5 FROM next

-- name: dataset_versions
SELECT version, object_id, location, digest, size_bytes, at_text(created_at) AS created_at FROM dataset_version
WHERE dataset_id = $2 AND (tenant_id = $1 OR is_shared(tenant_id, dataset_id)) ORDER BY version DESC LIMIT 200

-- name: dataset_next_credentials
UPDATE dataset SET credentials_version = credentials_version + 1, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: credentials_insert
INSERT INTO dataset_credentials (tenant_id, space_id, dataset_id, version, jwe, created_by)
SELECT tenant_id, space_id, id, credentials_version, $3, $4 FROM dataset WHERE tenant_id = $1 AND id = $2

-- name: credentials_first
UPDATE dataset SET credentials_version = 1 WHERE tenant_id = $1 AND id = $2

-- name: credentials_of
SELECT c.version, c.jwe, c.created_by, at_text(c.created_at) AS created_at FROM dataset d
JOIN dataset_credentials c ON c.tenant_id = d.tenant_id AND c.dataset_id = d.id AND c.version = coalesce($3::bigint, d.credentials_version)
WHERE d.tenant_id = $1 AND d.id = $2 AND d.deleted_at IS NULL

-- name: label_set
WITH wanted AS (SELECT key AS name, value FROM jsonb_each_text($4::jsonb)),
	gone AS (DELETE FROM label l WHERE l.tenant_id = $1 AND l.object_id = $3 AND NOT EXISTS (SELECT 1 FROM wanted w WHERE w.name = l.name))
INSERT INTO label (tenant_id, space_id, object_id, name, value) SELECT $1, $2, $3, name, value FROM wanted
ON CONFLICT (tenant_id, object_id, name) DO UPDATE SET value = excluded.value

-- name: share_insert
INSERT INTO share (tenant_id, space_id, id, object_id, created_by) VALUES ($1, $2, $3, $4, $5)

-- name: share_by_id
SELECT * FROM share_record WHERE tenant_id = $1 AND id = $2

-- name: share_list
SELECT * FROM share_record WHERE tenant_id = $1 AND id < $2 AND object_id = $4 ORDER BY id DESC LIMIT $3::bigint

-- name: share_revoke
WITH l AS (SELECT pg_advisory_xact_lock(hashtextextended('policy.start', 0))),
	going AS (SELECT id FROM share, l WHERE tenant_id = $1 AND id = $2 AND object_id = $3 AND revoked_at IS NULL),
	told AS (INSERT INTO outbox (topic, key) SELECT 'order', id FROM going)
UPDATE share SET revoked_at = now(), revision = revision + 1 WHERE tenant_id = $1 AND id = $2 AND object_id = $3 AND revoked_at IS NULL

-- name: share_spaces
SELECT DISTINCT space_id FROM share WHERE revoked_at IS NULL

-- Ends those of tenants that left the space ($2).
-- name: share_departed
WITH gone AS (UPDATE share SET revoked_at = now(), revision = revision + 1 WHERE space_id = $1 AND revoked_at IS NULL
	AND tenant_id IN (SELECT jsonb_array_elements_text($2::jsonb)) RETURNING id)
INSERT INTO outbox (topic, key) SELECT 'order', id FROM gone

-- name: app_by_id
SELECT * FROM app_record WHERE id = $2 AND deleted_at IS NULL AND (tenant_id = $1 OR is_shared(tenant_id, id))

-- name: app_list
(SELECT * FROM app_record WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3::bigint)
UNION ALL
(SELECT r.* FROM (SELECT DISTINCT s.tenant_id, s.object_id FROM unnest(string_to_array(current_setting('app.space_ids'), ',')) AS mine (id),
	LATERAL (SELECT * FROM share WHERE space_id = mine.id AND revoked_at IS NULL AND tenant_id <> $1
		AND object_id > 'app_' AND object_id < least($2, 'app~') ORDER BY object_id DESC LIMIT $3::bigint) AS s) AS shared
	JOIN app_record r ON r.tenant_id = shared.tenant_id AND r.id = shared.object_id AND r.deleted_at IS NULL)
ORDER BY id DESC LIMIT $3::bigint

-- name: app_insert
INSERT INTO app (tenant_id, space_id, id, created_by, name, description, repository, manifest, allowed_domains, labels)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- What is another than before loses its task; task_open_* find or make its new one. Another image takes the old one back.
-- name: app_update
WITH l AS (SELECT pg_advisory_xact_lock(hashtextextended('policy.start', 0)) FROM app WHERE tenant_id = $1 AND id = $2
	AND deleted_at IS NULL AND revision = $3::bigint AND (repository, manifest) IS DISTINCT FROM ($6, $7)),
told AS (INSERT INTO outbox (topic, key) SELECT 'order', $2 FROM l)
UPDATE app SET name = $4, description = $5, repository = $6, manifest = $7, allowed_domains = $8, labels = $9,
	build_task = CASE WHEN repository = $6 AND manifest = $7 THEN build_task END,
	domains_task = CASE WHEN allowed_domains = $8 THEN domains_task END,
	domains_status = CASE WHEN $8 = '[]' THEN 'NONE' ELSE domains_status END,
	whitelisted_domains = CASE WHEN $8 = '[]' THEN '[]' ELSE whitelisted_domains END, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: app_delete
WITH going AS (SELECT tenant_id, id FROM app WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint
	AND NOT EXISTS (SELECT 1 FROM app_config c WHERE c.tenant_id = $1 AND c.app_id = $2 AND c.deleted_at IS NULL)),
l AS (SELECT pg_advisory_xact_lock(hashtextextended('policy.start', 0)) FROM going),
told AS (INSERT INTO outbox (topic, key) SELECT 'order', id FROM going, l),
shares AS (UPDATE share s SET revoked_at = now(), revision = s.revision + 1 FROM going g
	WHERE s.tenant_id = g.tenant_id AND s.object_id = g.id AND s.revoked_at IS NULL),
tasks AS (UPDATE task SET status = 'FAILED', reason = 'the application was deleted', decided_at = now(), revision = revision + 1
	FROM going g WHERE task.tenant_id = g.tenant_id AND task.app_id = g.id AND task.status = 'INPROGRESS')
UPDATE app SET deleted_at = now(), revision = revision + 1 FROM going g WHERE app.tenant_id = g.tenant_id AND app.id = g.id

-- name: app_decided
UPDATE app SET revision = revision + 1,
	build_status = CASE WHEN build_task = $2 THEN $3 ELSE build_status END,
	domains_status = CASE WHEN domains_task = $2 THEN $3 ELSE domains_status END,
	whitelisted_domains = CASE WHEN domains_task = $2 AND $3 = 'WHITELISTED' THEN allowed_domains ELSE whitelisted_domains END
WHERE tenant_id = $1 AND $2 IN (build_task, domains_task)

-- name: task_by_id
SELECT * FROM task_record WHERE tenant_id = $1 AND id = $2

-- name: task_list
SELECT * FROM task_record WHERE tenant_id = $1 AND id < $2 AND ($4::text IS NULL OR status = $4) ORDER BY id DESC LIMIT $3::bigint

-- name: task_open_build
WITH wanted AS (SELECT tenant_id, space_id, id, repository || '@' || manifest AS subject FROM app
	WHERE tenant_id = $1 AND id = $2 AND build_task IS NULL),
known AS (SELECT t.id FROM task t JOIN wanted w ON t.tenant_id = w.tenant_id AND t.app_id = w.id AND t.subject = w.subject
	WHERE t.type = 'BUILD_WHITELIST' AND t.status = 'SUCCESS' ORDER BY t.id DESC LIMIT 1),
made AS (INSERT INTO task (tenant_id, space_id, id, type, app_id, subject, created_by)
	SELECT tenant_id, space_id, $3, 'BUILD_WHITELIST', id, subject, $4 FROM wanted WHERE NOT EXISTS (SELECT 1 FROM known))
UPDATE app SET build_task = coalesce((SELECT id FROM known), $3),
	build_status = CASE WHEN EXISTS (SELECT 1 FROM known) THEN 'WHITELISTED' ELSE 'PENDING' END
FROM wanted w WHERE app.tenant_id = w.tenant_id AND app.id = w.id

-- name: task_open_domains
WITH wanted AS (SELECT tenant_id, space_id, id, allowed_domains AS subject FROM app
	WHERE tenant_id = $1 AND id = $2 AND domains_task IS NULL AND allowed_domains <> '[]'),
known AS (SELECT t.id FROM task t JOIN wanted w ON t.tenant_id = w.tenant_id AND t.app_id = w.id AND t.subject = w.subject
	WHERE t.type = 'DOMAIN_WHITELIST' AND t.status = 'SUCCESS' ORDER BY t.id DESC LIMIT 1),
made AS (INSERT INTO task (tenant_id, space_id, id, type, app_id, subject, created_by)
	SELECT tenant_id, space_id, $3, 'DOMAIN_WHITELIST', id, subject, $4 FROM wanted WHERE NOT EXISTS (SELECT 1 FROM known))
UPDATE app SET domains_task = coalesce((SELECT id FROM known), $3),
	domains_status = CASE WHEN EXISTS (SELECT 1 FROM known) THEN 'WHITELISTED' ELSE 'PENDING' END,
	whitelisted_domains = CASE WHEN EXISTS (SELECT 1 FROM known) THEN w.subject ELSE app.whitelisted_domains END
FROM wanted w WHERE app.tenant_id = w.tenant_id AND app.id = w.id

-- name: task_supersede
UPDATE task SET status = 'FAILED', reason = 'the application asks for something else now', decided_at = now(), revision = task.revision + 1
FROM app a WHERE task.tenant_id = $1 AND task.app_id = $2 AND task.status = 'INPROGRESS' AND a.tenant_id = $1 AND a.id = $2
	AND task.id NOT IN (coalesce(a.build_task, ''), coalesce(a.domains_task, ''))

-- name: task_decide
UPDATE task SET status = $3, decided_by = $4, reason = $5, decided_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND status = 'INPROGRESS'

-- name: app_config_by_id
SELECT * FROM app_config_record WHERE id = $2 AND deleted_at IS NULL AND (tenant_id = $1 OR is_shared(tenant_id, app_id))

-- A list shows no files: NULL is for the runtime.
-- name: app_config_list
SELECT id, name, description, app_id, ports, NULL AS runtime, app_config_id, revision, created_by, created_at
FROM app_config_record WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3::bigint

-- name: app_config_list_of_app
SELECT id, name, description, app_id, ports, NULL AS runtime, app_config_id, revision, created_by, created_at
FROM app_config_record WHERE app_id = $4 AND deleted_at IS NULL AND id < $2 AND (tenant_id = $1 OR is_shared(tenant_id, app_id))
ORDER BY id DESC LIMIT $3::bigint

-- name: app_config_insert
INSERT INTO app_config (tenant_id, space_id, id, created_by, name, description, app_id, ports, runtime, app_config_id)
VALUES ($1, $2, $3, $4, $5, $6, coalesce((SELECT id FROM app WHERE app.tenant_id = $1 AND app.id = $7 AND app.deleted_at IS NULL), ''), $8, $9, $10)

-- name: app_config_update
UPDATE app_config SET name = $4, description = $5, app_id = coalesce((SELECT id FROM app WHERE app.tenant_id = $1 AND app.id = $6 AND app.deleted_at IS NULL), ''),
	ports = $7, runtime = $8, app_config_id = $9, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: app_config_delete
UPDATE app_config SET deleted_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: order_insert
INSERT INTO run_order (tenant_id, space_id, id, policy_id, run_nonce, runner_spki, enc, sig, envelope, created_by, own_image)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::boolean)

-- name: order_read
SELECT * FROM order_record
WHERE id = $2 AND (tenant_id = $1 OR space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))

-- name: order_space
SELECT space_id FROM run_order WHERE tenant_id = $1 AND id = $2

-- Who takes something back waits for the starts under way, and the next start sees it.
-- name: withdrawal_lock
WITH l AS (SELECT pg_advisory_xact_lock(hashtextextended('policy.start', 0))) SELECT 1 FROM l

-- name: start_lock
WITH l AS (SELECT pg_advisory_xact_lock_shared(hashtextextended('policy.start', 0))) SELECT 1 FROM l

-- name: order_start
UPDATE run_order SET started_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND started_at IS NULL

-- name: order_depart
UPDATE run_order SET departed_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND started_at IS NULL AND departed_at IS NULL

-- name: grant_insert
INSERT INTO run_grant (tenant_id, space_id, order_id, slot, jwe, created_by) VALUES ($1, $2, $3, $4, $5, $6)

-- name: grant_update
UPDATE run_grant SET jwe = $5, created_by = $6, created_at = now()
WHERE tenant_id = $1 AND space_id = $2 AND order_id = $3 AND slot = $4 AND withdrawn_at IS NULL

-- name: grant_withdraw
UPDATE run_grant SET withdrawn_at = coalesce(withdrawn_at, now()), jwe = ''
WHERE tenant_id = $1 AND space_id = $2 AND order_id = $3 AND slot = $4

-- name: grant_list
SELECT slot, jwe FROM run_grant WHERE space_id = $1 AND order_id = $2 AND withdrawn_at IS NULL ORDER BY slot

-- name: outbox_insert
INSERT INTO outbox (topic, key) VALUES ($1, $2)

-- name: workflow_by_id
SELECT * FROM workflow_record WHERE id = $2
	AND (tenant_id = $1 OR space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))

-- name: workflow_list
(SELECT * FROM workflow_line WHERE tenant_id = $1 AND id < $2 AND ($5::text IS NULL OR space_id = $5) ORDER BY id DESC LIMIT $3::bigint)
UNION
SELECT l.* FROM unnest(string_to_array($4, ',')) AS s (id), LATERAL (SELECT * FROM workflow_line
	WHERE space_id = s.id AND id < $2 ORDER BY id DESC LIMIT $3::bigint) AS l
ORDER BY id DESC LIMIT $3::bigint

-- name: workflow_insert
INSERT INTO workflow (tenant_id, space_id, id, created_by, name, description, graph, graph_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: workflow_update
UPDATE workflow SET name = $4, description = $5, graph = $6, graph_hash = $7, revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: workflow_delete
UPDATE workflow SET deleted_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint
AND NOT EXISTS (SELECT 1 FROM workflow_version v WHERE v.tenant_id = $1 AND v.workflow_id = $2
	AND v.state = 'pending' AND v.expires_at > now())

-- What lies in the space ($1), and what was shared with it; a configuration goes with its application.
-- name: workflow_facts
WITH wanted AS (SELECT unnest(string_to_array($2, ',')) AS id),
	given AS (SELECT tenant_id, object_id FROM share WHERE space_id = $1 AND revoked_at IS NULL)
SELECT d.id, json_build_object('tenant', d.tenant_id, 'direction', d.direction)::text AS fact FROM dataset d
WHERE d.id IN (SELECT id FROM wanted) AND d.deleted_at IS NULL AND (d.space_id = $1 OR (d.tenant_id, d.id) IN (SELECT * FROM given))
UNION ALL
SELECT a.id, json_build_object('tenant', a.tenant_id, 'repository', a.repository, 'manifest', a.manifest, 'build', a.build_status,
	'domains', a.whitelisted_domains::json)::text FROM app a
WHERE a.id IN (SELECT id FROM wanted) AND a.deleted_at IS NULL AND (a.space_id = $1 OR (a.tenant_id, a.id) IN (SELECT * FROM given))
UNION ALL
SELECT c.id, json_build_object('app', c.app_id, 'ports', nullif(c.ports, '[]')::json)::text FROM app_config c
WHERE c.id IN (SELECT id FROM wanted) AND c.deleted_at IS NULL
	AND (c.space_id = $1 OR (c.tenant_id, c.app_id) IN (SELECT * FROM given))

-- name: workflow_versions
SELECT v.*, (SELECT coalesce(json_agg(json_build_object('object', p.object, 'policy', p.policy_id, 'hash', d.hash)
		ORDER BY p.object), '[]') FROM workflow_policy p JOIN policy d ON d.tenant_id = p.tenant_id AND d.id = p.policy_id
	WHERE p.tenant_id = v.tenant_id AND p.workflow_id = v.workflow_id AND p.version = v.version)::text AS policies
FROM workflow_version_record v WHERE v.workflow_id = $2 AND ($3::bigint IS NULL OR v.version = $3::bigint)
	AND (v.tenant_id = $1 OR v.space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))
ORDER BY v.version DESC LIMIT 200

-- name: workflow_freeze
UPDATE workflow SET version = version + 1, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: workflow_version_insert
INSERT INTO workflow_version (tenant_id, space_id, workflow_id, version, graph, graph_hash, requested_by, expires_at)
VALUES ($1, $2, $3, $4::bigint, $5, $6, $7, to_timestamp($8::bigint))

-- name: workflow_policy_insert
INSERT INTO workflow_policy (tenant_id, space_id, workflow_id, version, object, policy_id)
VALUES ($1, $2, $3, $4::bigint, $5, $6)

-- name: policy_lock
SELECT document FROM policy WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE

-- name: workflow_pending_of
SELECT v.workflow_id, v.version FROM workflow_version v WHERE v.tenant_id = $1 AND v.state = 'pending' AND v.expires_at > now()
	AND EXISTS (SELECT 1 FROM workflow_policy p WHERE p.tenant_id = $1 AND p.policy_id = $2
		AND p.workflow_id = v.workflow_id AND p.version = v.version)
ORDER BY v.workflow_id FOR UPDATE

-- name: workflow_open_of
SELECT NOT EXISTS (SELECT 1 FROM workflow_policy p WHERE p.tenant_id = $1 AND p.policy_id = $2)
	OR EXISTS (SELECT 1 FROM workflow_policy p JOIN workflow_version v USING (tenant_id, workflow_id, version)
		WHERE p.tenant_id = $1 AND p.policy_id = $2
			AND (v.state = 'approved' OR v.state = 'pending' AND v.expires_at > now())) AS is_open

-- name: workflow_votes
SELECT d.document, (SELECT coalesce(string_agg(a.envelope, ',' ORDER BY a.spki, a.scope), '') FROM approval a
	WHERE a.tenant_id = d.tenant_id AND a.policy_id = d.id) AS approvals
FROM workflow_policy p JOIN policy d ON d.tenant_id = p.tenant_id AND d.id = p.policy_id
WHERE p.tenant_id = $1 AND p.workflow_id = $2 AND p.version = $3::bigint

-- name: workflow_settle
UPDATE workflow_version SET state = $4, settled_at = now(), settled_by = $5, reason = $6
WHERE tenant_id = $1 AND workflow_id = $2 AND version = $3::bigint AND state = 'pending'

-- name: workflow_withdraw
UPDATE workflow_version SET state = 'withdrawn', settled_at = now(), settled_by = $4, reason = $5
WHERE tenant_id = $1 AND workflow_id = $2 AND version = $3::bigint AND state = 'pending' AND expires_at > now()

-- name: workflow_expire_one
UPDATE workflow_version SET state = 'expired'
WHERE tenant_id = $1 AND workflow_id = $2 AND state = 'pending' AND expires_at <= now()

-- name: workflow_expire
UPDATE workflow_version SET state = 'expired' WHERE state = 'pending' AND expires_at <= now()

-- name: constraint_by_id
SELECT * FROM constraint_record WHERE id = $2 AND (tenant_id = $1 OR constraint_is_seen(tenant_id, space_id, scope, subject_id))

-- name: constraint_list
SELECT * FROM constraint_record WHERE id < $2 AND ($4::text IS NULL OR subject_id = $4)
	AND (tenant_id = $1 OR constraint_is_seen(tenant_id, space_id, scope, subject_id)) ORDER BY id DESC LIMIT $3::bigint

-- name: constraint_insert
INSERT INTO constraint_document (tenant_id, space_id, id, created_by, name, scope, subject_id, hash, document)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: constraint_update
UPDATE constraint_document SET name = $4, scope = $5, subject_id = $6, hash = $7, document = $8, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: constraint_delete
UPDATE constraint_document SET deleted_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: constraints_applicable
SELECT * FROM constraint_record WHERE subject_id = ANY (string_to_array($2, ','))
	AND (tenant_id = $1 OR constraint_is_seen(tenant_id, space_id, scope, subject_id)) ORDER BY id

-- name: policy_constraint_insert
INSERT INTO policy_constraint (tenant_id, space_id, policy_id, hash, document) VALUES ($1, $2, $3, $4, $5)

-- name: policy_join_constraints
UPDATE policy p SET constraints = (SELECT string_agg(c.document, ',' ORDER BY c.hash) FROM policy_constraint c
	WHERE c.tenant_id = p.tenant_id AND c.policy_id = p.id) WHERE p.tenant_id = $1 AND p.id = $2

-- name: policy_constraint_list
SELECT document FROM policy_constraint WHERE tenant_id = $1 AND policy_id = $2 ORDER BY hash
