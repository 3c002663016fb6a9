-- Every statement of registry-gw.

-- name: upload_insert
INSERT INTO upload (tenant_id, space_id, id, repository, backend_id, location, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: upload_get
SELECT id, repository, backend_id, location, offset_bytes, fence, lease_until > now() AS busy FROM upload
WHERE tenant_id = $1 AND id = $2 AND repository = $3 AND created_by = $4

-- name: upload_claim
WITH old AS (SELECT location FROM upload
	WHERE tenant_id = $1 AND id = $2 AND repository = $3 AND created_by = $4 FOR UPDATE)
UPDATE upload u SET owner = $5, lease_until = now() + interval '40 seconds', fence = u.fence + 1, location = NULL
FROM old WHERE u.tenant_id = $1 AND u.id = $2 AND u.lease_until < now()
RETURNING u.id, u.repository, u.backend_id, old.location, u.offset_bytes, u.fence, true AS busy

-- name: upload_settle
UPDATE upload SET location = $4, offset_bytes = $5::bigint, owner = NULL, lease_until = '-infinity'
WHERE tenant_id = $1 AND id = $2 AND fence = $3::bigint

-- name: upload_delete
DELETE FROM upload WHERE tenant_id = $1 AND id = $2

-- name: leases_keep
UPDATE upload SET lease_until = now() + interval '40 seconds'
WHERE owner = $1 AND id = ANY (string_to_array($2, ','))

-- name: leases_drop
UPDATE upload SET lease_until = '-infinity' WHERE owner = $1

-- name: upload_forget
DELETE FROM upload WHERE expires_at < now() AND lease_until < now()

-- name: manifest_insert
INSERT INTO manifest (tenant_id, space_id, repository, digest, media_type, size_bytes, created_by)
VALUES ($1, $2, $3, $4, $5, $6::bigint, $7) ON CONFLICT (tenant_id, repository, digest) DO NOTHING

-- name: manifest_links_insert
INSERT INTO manifest_link (tenant_id, space_id, repository, manifest, kind, digest)
SELECT $1, $2, $3, $4, e ->> 0, e ->> 1 FROM jsonb_array_elements($5::jsonb) e
ON CONFLICT (tenant_id, repository, manifest, digest) DO NOTHING

-- name: manifest_missing_child
SELECT e ->> 1 AS digest FROM jsonb_array_elements($3::jsonb) e WHERE NOT EXISTS
	(SELECT 1 FROM manifest m WHERE m.tenant_id = $1 AND m.repository = $2 AND m.digest = e ->> 1) LIMIT 1

-- name: manifest_delete
DELETE FROM manifest WHERE tenant_id = $1 AND repository = $2 AND digest = $3

-- name: manifest_reaches
WITH RECURSIVE reached (digest) AS (
	SELECT digest FROM manifest WHERE tenant_id = $1 AND repository = $2 AND digest = $3
	UNION SELECT l.digest FROM reached r JOIN manifest_link l
		ON l.tenant_id = $1 AND l.repository = $2 AND l.manifest = r.digest)
SELECT digest FROM reached WHERE digest = $4
