-- Every statement of registry-gw.

-- name: upload_insert
INSERT INTO upload (tenant_id, space_id, id, repository, backend_id, location, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: upload_get
SELECT id, repository, backend_id, location, offset_bytes, fence, lease_until > now() AS busy FROM upload
WHERE tenant_id = $1 AND id = $2 AND repository = $3 AND created_by = $4 AND expires_at > now()

-- name: upload_claim
WITH old AS (SELECT location FROM upload
	WHERE tenant_id = $1 AND id = $2 AND repository = $3 AND created_by = $4 AND expires_at > now() FOR UPDATE)
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
INSERT INTO manifest (tenant_id, space_id, repository, digest, media_type, size_bytes, subject, artifact_type, annotations, created_by)
VALUES ($1, $2, $3, $4, $5, $6::bigint, $7, $8, $9, $10)
ON CONFLICT (tenant_id, repository, digest) DO UPDATE SET media_type = excluded.media_type

-- name: manifest_links_insert
INSERT INTO manifest_link (tenant_id, space_id, repository, manifest, kind, digest)
SELECT $1, $2, $3, $4, e ->> 0, e ->> 1 FROM jsonb_array_elements($5::jsonb) e
ON CONFLICT (tenant_id, repository, manifest, digest) DO NOTHING

-- name: manifest_missing_child
SELECT e ->> 1 AS digest FROM jsonb_array_elements($3::jsonb) e WHERE NOT EXISTS
	(SELECT 1 FROM manifest m WHERE m.tenant_id = $1 AND m.repository = $2 AND m.digest = e ->> 1) LIMIT 1

-- name: manifest_find
SELECT digest, media_type FROM manifest WHERE tenant_id = $1 AND repository = $2 AND digest =
	coalesce((SELECT t.digest FROM tag t WHERE t.tenant_id = $1 AND t.repository = $2 AND t.name = $3), $3)

-- name: manifest_delete
DELETE FROM manifest WHERE tenant_id = $1 AND repository = $2 AND digest = $3 RETURNING digest

-- name: manifest_names
SELECT manifest FROM manifest_link WHERE tenant_id = $1 AND repository = $2 AND digest = $3 LIMIT 1

-- name: tag_set
INSERT INTO tag (tenant_id, space_id, repository, name, digest, created_by)
SELECT DISTINCT $1, $2, $3, n #>> '{}', $5, $6 FROM jsonb_array_elements($4::jsonb) n ORDER BY 4
ON CONFLICT (tenant_id, repository, name) DO UPDATE SET digest = excluded.digest, created_by = excluded.created_by, updated_at = now()

-- name: tag_delete
DELETE FROM tag WHERE tenant_id = $1 AND repository = $2 AND name = $3 RETURNING name

-- name: tag_page
SELECT t.name FROM (SELECT 1 FROM manifest WHERE tenant_id = $1 AND repository = $2 LIMIT 1) here LEFT JOIN LATERAL
	(SELECT name FROM tag WHERE tenant_id = $1 AND repository = $2 AND name > $3 ORDER BY name LIMIT $4::bigint) t ON true
ORDER BY t.name

-- name: referrer_page
SELECT digest, media_type, size_bytes, artifact_type, annotations, more FROM (
	SELECT m.*, lead(digest) OVER w IS NOT NULL AS more, row_number() OVER w AS number,
		sum(400 + octet_length(coalesce(annotations, ''))) OVER w AS total
	FROM manifest m WHERE tenant_id = $1 AND repository = $2 AND subject = $3 AND digest > $4
		AND ($5::text IS NULL OR coalesce(artifact_type, '') = $5) WINDOW w AS (ORDER BY digest)) page
WHERE number = 1 OR (number <= $6::bigint AND total <= $7::bigint) ORDER BY digest

-- name: manifest_reaches
WITH RECURSIVE reached (digest) AS (
	SELECT digest FROM manifest WHERE tenant_id = $1 AND repository = $2 AND digest = $3
	UNION SELECT l.digest FROM reached r JOIN manifest_link l
		ON l.tenant_id = $1 AND l.repository = $2 AND l.manifest = r.digest)
SELECT digest FROM reached WHERE digest = $4
