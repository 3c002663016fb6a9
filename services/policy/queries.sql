-- Every statement of the policy service.

-- name: policy_by_hash
SELECT * FROM policy_record WHERE tenant_id = $1 AND hash = $2

-- name: policy_by_id
SELECT * FROM policy_record WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL

-- name: policy_full
SELECT r.*, (SELECT string_agg(a.envelope, ',' ORDER BY a.spki) FROM approval a
	WHERE a.tenant_id = r.tenant_id AND a.policy_id = r.id) AS approvals
FROM policy_record r WHERE r.id = $2 AND r.deleted_at IS NULL
	AND (r.tenant_id = $1 OR r.space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')))

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

-- name: approval_insert
INSERT INTO approval (tenant_id, space_id, policy_id, spki, envelope) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, policy_id, spki) DO UPDATE SET envelope = excluded.envelope, created_at = now()

-- name: approval_list
SELECT envelope FROM approval WHERE tenant_id = $1 AND policy_id = $2 ORDER BY spki

-- name: pipeline_by_id
SELECT * FROM pipeline_record WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL

-- name: pipeline_list
SELECT * FROM pipeline_record WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3::bigint

-- name: pipeline_insert
INSERT INTO pipeline (tenant_id, space_id, id, name, template, policy_id, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: pipeline_update
UPDATE pipeline SET template = $3, policy_id = $4, version = version + 1, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $5::bigint

-- name: pipeline_version_insert
INSERT INTO pipeline_version (tenant_id, space_id, pipeline_id, version, template, policy_id, created_by)
SELECT tenant_id, space_id, id, version, template, policy_id, $3 FROM pipeline WHERE tenant_id = $1 AND id = $2

-- name: pipeline_delete
UPDATE pipeline SET deleted_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: projection_by_id
SELECT * FROM projection_record WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL

-- name: projection_list
SELECT * FROM projection_record WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3::bigint

-- name: projection_insert
INSERT INTO projection (tenant_id, space_id, id, name, columns, filter, minimum_rows, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7::bigint, $8)

-- name: projection_update
UPDATE projection SET name = $3, columns = $4, filter = $5, minimum_rows = $6::bigint, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $7::bigint

-- name: projection_delete
UPDATE projection SET deleted_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint
AND NOT EXISTS (SELECT 1 FROM dataset WHERE dataset.tenant_id = $1 AND dataset.projection_id = $2 AND dataset.deleted_at IS NULL)

-- name: dataset_by_id
SELECT * FROM dataset_record WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL

-- name: dataset_list
SELECT * FROM dataset_record WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3::bigint

-- name: dataset_insert
INSERT INTO dataset (tenant_id, space_id, id, name, direction, projection_id, labels, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: dataset_update
UPDATE dataset SET name = $3, projection_id = $4, labels = $5, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $6::bigint

-- name: dataset_delete
UPDATE dataset SET deleted_at = now(), revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND revision = $3::bigint

-- name: dataset_next_version
UPDATE dataset SET version = version + 1, revision = revision + 1
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING version

-- name: dataset_version_insert
INSERT INTO dataset_version (tenant_id, space_id, dataset_id, version, object_id, digest, size_bytes, created_by)
VALUES ($1, $2, $3, $4::bigint, $5, $6, $7::bigint, $8)

-- name: dataset_versions
SELECT version, object_id, digest, size_bytes, at_text(created_at) AS created_at FROM dataset_version
WHERE tenant_id = $1 AND dataset_id = $2 ORDER BY version DESC LIMIT 200

-- name: order_insert
INSERT INTO run_order (tenant_id, space_id, id, policy_id, run_nonce, runner_spki, enc, sig, envelope, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: order_by_id
SELECT o.*, p.hash AS policy_hash, p.document FROM run_order o
JOIN policy p ON p.tenant_id = o.tenant_id AND p.id = o.policy_id
WHERE o.tenant_id = $1 AND o.id = $2

-- name: grant_insert
INSERT INTO run_grant (tenant_id, space_id, order_id, slot, jwe) VALUES ($1, $2, $3, $4, $5)

-- name: grant_list
SELECT slot, jwe FROM run_grant WHERE tenant_id = $1 AND order_id = $2 ORDER BY slot
