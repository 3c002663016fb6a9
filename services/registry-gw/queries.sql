-- Every statement of registry-gw.

-- name: upload_insert
WITH room AS (INSERT INTO quota AS q (tenant_id, uploads) SELECT $1, 1 WHERE $8::bigint > 0 AND $9::bigint > 0
	ON CONFLICT (tenant_id) DO UPDATE SET uploads = q.uploads + 1
	WHERE q.uploads < coalesce(q.uploads_limit, $8::bigint)
		AND q.bytes_used + q.bytes_reserved < coalesce(q.bytes_limit, $9::bigint) RETURNING 1)
INSERT INTO upload (tenant_id, space_id, id, repository, backend_id, location, created_by, owner, lease_until, expires_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $10, CASE WHEN $10::text IS NULL THEN '-infinity' ELSE now() + interval '40 seconds' END,
	CASE WHEN $10::text IS NULL THEN now() + interval '7 days' ELSE now() END FROM room RETURNING id

-- name: upload_get
SELECT id, repository, backend_id, location, offset_bytes, reserved_bytes, closing, fence, lease_until > now() AS busy FROM upload
WHERE tenant_id = $1 AND id = $2 AND repository = $3 AND created_by = $4 AND expires_at > now()

-- name: upload_claim
WITH old AS (SELECT location FROM upload
	WHERE tenant_id = $1 AND id = $2 AND repository = $3 AND created_by = $4 AND expires_at > now() FOR UPDATE)
UPDATE upload u SET owner = $5, lease_until = now() + interval '40 seconds', fence = u.fence + 1, location = NULL
FROM old WHERE u.tenant_id = $1 AND u.id = $2 AND u.lease_until < now()
RETURNING u.id, u.repository, u.backend_id, old.location, u.offset_bytes, u.reserved_bytes, u.closing, u.fence, true AS busy

-- name: upload_reserve
WITH old AS (SELECT u.reserved_bytes AS had,
		greatest(least($5::bigint - u.reserved_bytes, coalesce(q.bytes_limit, $6::bigint) - q.bytes_used - q.bytes_reserved), 0) AS more
	FROM upload u JOIN quota q ON q.tenant_id = u.tenant_id
	WHERE u.tenant_id = $1 AND u.id = $2 AND u.fence = $3::bigint FOR UPDATE),
counted AS (UPDATE quota q SET bytes_reserved = q.bytes_reserved + old.more FROM old
	WHERE q.tenant_id = $1 AND old.had + old.more >= $4::bigint)
UPDATE upload u SET reserved_bytes = u.reserved_bytes + old.more FROM old
WHERE u.tenant_id = $1 AND u.id = $2 AND old.had + old.more >= $4::bigint RETURNING u.reserved_bytes

-- name: upload_settle
WITH old AS (SELECT reserved_bytes FROM upload WHERE tenant_id = $1 AND id = $2 AND fence = $3::bigint FOR UPDATE),
counted AS (UPDATE quota q SET bytes_reserved = q.bytes_reserved - old.reserved_bytes + $5::bigint FROM old
	WHERE q.tenant_id = $1 AND $4::text IS NOT NULL AND old.reserved_bytes <> $5::bigint)
UPDATE upload u SET location = $4, offset_bytes = $5::bigint, owner = NULL, lease_until = '-infinity',
	reserved_bytes = CASE WHEN $4 IS NULL THEN u.reserved_bytes ELSE $5::bigint END
FROM old WHERE u.tenant_id = $1 AND u.id = $2

-- name: upload_closing
UPDATE upload SET closing = $3 WHERE tenant_id = $1 AND id = $2

-- name: upload_delete
WITH gone AS (DELETE FROM upload WHERE tenant_id = $1 AND id = $2 RETURNING reserved_bytes)
UPDATE quota q SET uploads = q.uploads - 1, bytes_reserved = q.bytes_reserved - gone.reserved_bytes
FROM gone WHERE q.tenant_id = $1

-- name: leases_keep
UPDATE upload SET lease_until = now() + interval '40 seconds'
WHERE owner = $1 AND id = ANY (string_to_array($2, ','))

-- name: leases_drop
UPDATE upload SET lease_until = '-infinity' WHERE owner = $1

-- name: upload_forget
WITH gone AS (DELETE FROM upload WHERE expires_at < now() AND lease_until < now() RETURNING tenant_id, reserved_bytes),
total AS (SELECT tenant_id, count(*) AS uploads, sum(reserved_bytes) AS bytes FROM gone GROUP BY tenant_id)
UPDATE quota q SET uploads = q.uploads - total.uploads, bytes_reserved = q.bytes_reserved - total.bytes
FROM total WHERE q.tenant_id = total.tenant_id

-- name: quota_get
SELECT bytes_limit, images_limit, uploads_limit, bytes_used, bytes_reserved, images, uploads, revision
FROM quota WHERE tenant_id = $1

-- name: quota_new
INSERT INTO quota (tenant_id, bytes_limit, images_limit, uploads_limit)
SELECT $1, $3::bigint, $4::bigint, $5::bigint WHERE $2::bigint = 0
ON CONFLICT (tenant_id) DO NOTHING RETURNING tenant_id

-- name: quota_change
UPDATE quota SET bytes_limit = $3::bigint, images_limit = $4::bigint, uploads_limit = $5::bigint, revision = revision + 1
WHERE tenant_id = $1 AND revision = $2::bigint RETURNING tenant_id

-- name: blob_get
SELECT size_bytes, used_at < now() - $4::bigint * interval '0.25 milliseconds' AS is_stale FROM blob
WHERE tenant_id = $1 AND repository = $2 AND digest = $3

-- name: blob_touch
UPDATE blob SET used_at = now() WHERE tenant_id = $1 AND repository = $2 AND digest = $3
RETURNING created_at = now() AS is_new

-- name: blob_insert
WITH came AS (INSERT INTO blob (tenant_id, space_id, repository, digest, size_bytes, created_by)
	VALUES ($1, $2, $3, $4, $5::bigint, $6) ON CONFLICT (tenant_id, repository, digest) DO NOTHING RETURNING size_bytes),
held AS (INSERT INTO held_blob AS h (tenant_id, digest, size_bytes, repositories) SELECT $1, $4, size_bytes, 1 FROM came
	ON CONFLICT (tenant_id, digest) DO UPDATE SET repositories = h.repositories + 1 RETURNING size_bytes, repositories)
UPDATE quota q SET bytes_used = q.bytes_used + held.size_bytes FROM held WHERE q.tenant_id = $1 AND held.repositories = 1

-- name: blob_lock
SELECT size_bytes FROM blob WHERE tenant_id = $1 AND repository = $2 AND digest = $3 FOR UPDATE

-- name: blob_delete
WITH gone AS (DELETE FROM blob WHERE tenant_id = $1 AND repository = $2 AND digest = $3 AND NOT EXISTS (SELECT 1 FROM manifest_link l
	WHERE l.tenant_id = $1 AND l.repository = $2 AND l.digest = $3) RETURNING digest),
held AS (UPDATE held_blob h SET repositories = h.repositories - 1 FROM gone
	WHERE h.tenant_id = $1 AND h.digest = gone.digest RETURNING h.size_bytes, h.repositories),
counted AS (UPDATE quota q SET bytes_used = q.bytes_used - held.size_bytes FROM held
	WHERE q.tenant_id = $1 AND held.repositories = 0)
INSERT INTO leftover (tenant_id, repository, digest, kind, due_at)
SELECT $1, $2, digest, 'blob', now() + $4::bigint * interval '1 millisecond' FROM gone
ON CONFLICT (tenant_id, repository, digest, kind) DO UPDATE SET due_at = greatest(leftover.due_at, excluded.due_at)
RETURNING digest

-- name: blob_missing
SELECT e ->> 1 AS digest FROM jsonb_array_elements($3::jsonb) e WHERE e ->> 0 <> 'manifest' AND NOT EXISTS
	(SELECT 1 FROM blob b WHERE b.tenant_id = $1 AND b.repository = $2 AND b.digest = e ->> 1) LIMIT 1

-- name: leftover_expect
INSERT INTO leftover AS l (tenant_id, repository, digest, kind, due_at) VALUES ($1, $2, $3, $4, now() + interval '1 hour')
ON CONFLICT (tenant_id, repository, digest, kind) DO UPDATE SET due_at = greatest(l.due_at, excluded.due_at)
WHERE l.lease_until < now() RETURNING digest

-- name: leftover_settle
DELETE FROM leftover WHERE tenant_id = $1 AND repository = $2 AND digest = $3 AND kind = $4 AND lease_until < now()

-- name: leftover_add
INSERT INTO leftover (tenant_id, repository, digest, kind, due_at)
VALUES ($1, $2, $3, $4, now() + $5::bigint * interval '1 millisecond')
ON CONFLICT (tenant_id, repository, digest, kind) DO UPDATE SET due_at = greatest(leftover.due_at, excluded.due_at)

-- name: collect_claim
UPDATE quota SET collected_at = now() WHERE tenant_id = (SELECT tenant_id FROM quota
	WHERE collected_at < now() - $1::bigint * interval '1 millisecond' ORDER BY collected_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING tenant_id

-- name: collect_blobs
SELECT repository, digest FROM blob b WHERE tenant_id = $1 AND used_at < now() - $2::bigint * interval '1 millisecond' AND NOT EXISTS
	(SELECT 1 FROM manifest_link l WHERE l.tenant_id = $1 AND l.repository = b.repository AND l.digest = b.digest)
LIMIT 100 FOR UPDATE SKIP LOCKED

-- name: collect_held
DELETE FROM held_blob WHERE tenant_id = $1 AND repositories = 0

-- name: collect_known
DELETE FROM leftover f WHERE tenant_id = $1 AND due_at < now() AND lease_until < now() AND (
	(kind = 'blob' AND EXISTS (SELECT 1 FROM blob b
		WHERE b.tenant_id = $1 AND b.repository = f.repository AND b.digest = f.digest)) OR
	(kind = 'manifest' AND EXISTS (SELECT 1 FROM manifest m
		WHERE m.tenant_id = $1 AND m.repository = f.repository AND m.digest = f.digest)))

-- name: collect_leftovers
UPDATE leftover f SET lease_until = now() + interval '60 seconds', fence = f.fence + 1
FROM (SELECT repository, digest, kind FROM leftover o WHERE tenant_id = $1 AND due_at < now() AND lease_until < now()
	AND NOT EXISTS (SELECT 1 FROM blob b
		WHERE o.kind = 'blob' AND b.tenant_id = $1 AND b.repository = o.repository AND b.digest = o.digest)
	AND NOT EXISTS (SELECT 1 FROM manifest m
		WHERE o.kind = 'manifest' AND m.tenant_id = $1 AND m.repository = o.repository AND m.digest = o.digest)
	ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) due
WHERE f.tenant_id = $1 AND f.repository = due.repository AND f.digest = due.digest AND f.kind = due.kind
RETURNING f.repository, f.digest, f.kind, f.fence

-- name: leftover_done
DELETE FROM leftover WHERE tenant_id = $1 AND repository = $2 AND digest = $3 AND kind = $4 AND fence = $5::bigint

-- name: manifest_insert
INSERT INTO manifest (tenant_id, space_id, repository, digest, media_type, size_bytes, subject, artifact_type, annotations, created_by,
	id, kind, encrypted, layers, total_bytes, recipients, layer_recipients)
VALUES ($1, $2, $3, $4, $5, $6::bigint, $7, $8, $9, $10, $11, $12, $13::boolean, $14::bigint, $15::bigint, $16::jsonb, $17::bigint)
ON CONFLICT (tenant_id, repository, digest) DO UPDATE SET media_type = excluded.media_type, kind = excluded.kind,
	encrypted = excluded.encrypted, total_bytes = excluded.total_bytes, pushes = manifest.pushes + 1, pushed_at = now()
RETURNING created_at = now() AS is_new

-- name: quota_add_image
INSERT INTO quota AS q (tenant_id, images, bytes_used) SELECT $1, 1, $2::bigint WHERE $3::bigint > 0 AND $2::bigint <= $4::bigint
ON CONFLICT (tenant_id) DO UPDATE SET images = q.images + 1, bytes_used = q.bytes_used + $2::bigint
WHERE q.images < coalesce(q.images_limit, $3::bigint)
	AND q.bytes_used + q.bytes_reserved + $2::bigint <= coalesce(q.bytes_limit, $4::bigint)
RETURNING q.images * 100 / greatest(coalesce(q.images_limit, $3::bigint), 1) AS images_percent,
	((q.bytes_used + q.bytes_reserved) * 100.0 / greatest(coalesce(q.bytes_limit, $4::bigint), 1))::bigint AS bytes_percent

-- name: quota_drop_image
UPDATE quota SET images = images - 1, bytes_used = bytes_used - $2::bigint WHERE tenant_id = $1

-- name: manifest_links_insert
INSERT INTO manifest_link (tenant_id, space_id, repository, manifest, kind, digest)
SELECT $1, $2, $3, $4, e ->> 0, e ->> 1 FROM jsonb_array_elements($5::jsonb) e
ON CONFLICT (tenant_id, repository, manifest, digest) DO NOTHING

-- name: manifest_children
WITH RECURSIVE named (digest) AS (SELECT e ->> 1 FROM jsonb_array_elements($3::jsonb) e),
below (digest) AS (SELECT digest FROM named UNION SELECT l.digest FROM below b JOIN manifest_link l
	ON l.tenant_id = $1 AND l.repository = $2 AND l.manifest = b.digest AND l.kind = 'manifest'),
child AS MATERIALIZED (SELECT m.* FROM below b JOIN manifest m ON m.tenant_id = $1 AND m.repository = $2 AND m.digest = b.digest)
SELECT (SELECT digest FROM named WHERE digest NOT IN (SELECT digest FROM child) LIMIT 1) AS missing,
	(SELECT digest FROM child WHERE NOT encrypted AND kind <> 'index' LIMIT 1) AS plain,
	(SELECT digest FROM child WHERE layer_recipients > $4::bigint LIMIT 1) AS crowded,
	(SELECT digest FROM child WHERE encrypted AND kind = 'image' AND EXISTS (SELECT 1 FROM jsonb_array_elements($5::jsonb) r
		WHERE NOT recipients @> jsonb_build_array(jsonb_build_object('issuer_serial', r -> 'issuer_serial', 'layers', layers)))
		LIMIT 1) AS unreadable,
	(SELECT coalesce(sum(CASE kind WHEN 'index' THEN size_bytes ELSE total_bytes END), 0) FROM child) AS bytes

-- name: manifest_signed
WITH RECURSIVE above (digest) AS (SELECT $3::text UNION SELECT l.manifest FROM above a JOIN manifest_link l
	ON l.tenant_id = $1 AND l.repository = $2 AND l.digest = a.digest AND l.kind = 'manifest')
SELECT coalesce((SELECT mode FROM rule WHERE tenant_id = $1), 'encrypted-only') AS mode,
	EXISTS (SELECT 1 FROM above a JOIN signature s ON s.tenant_id = $1 AND s.repository = $2 AND s.image = a.digest
		JOIN rule r ON r.tenant_id = $1 AND r.signers @> jsonb_build_array(jsonb_build_object('spki', s.spki))) AS signed

-- name: signature_clear
DELETE FROM signature WHERE tenant_id = $1 AND repository = $2 AND manifest = $3

-- name: signature_insert
INSERT INTO signature (tenant_id, space_id, repository, manifest, image, spki)
SELECT DISTINCT $1, $2, $3, $4, e ->> 0, e ->> 1 FROM jsonb_array_elements($5::jsonb) e

-- name: rule_get
SELECT mode, required_recipients, signers, max_recipients, revision, updated_by, at_text(updated_at) AS updated_at
FROM rule WHERE tenant_id = $1

-- name: rule_put
INSERT INTO rule (tenant_id, space_id, mode, required_recipients, signers, max_recipients, updated_by)
SELECT $1, $2, $3, $4::jsonb, $5::jsonb, $6::bigint, $8
WHERE $7::bigint = 0 OR EXISTS (SELECT 1 FROM rule WHERE tenant_id = $1 AND revision = $7::bigint)
ON CONFLICT (tenant_id) DO UPDATE SET mode = excluded.mode, required_recipients = excluded.required_recipients,
	signers = excluded.signers, max_recipients = excluded.max_recipients, revision = rule.revision + 1,
	updated_by = excluded.updated_by, updated_at = now()
WHERE rule.revision = $7::bigint

-- name: manifest_find
SELECT id, digest, media_type, kind = 'signature' OR encrypted AS is_free FROM manifest WHERE tenant_id = $1 AND repository = $2 AND digest =
	coalesce((SELECT t.digest FROM tag t WHERE t.tenant_id = $1 AND t.repository = $2 AND t.name = $3), $3)

-- name: manifest_get
SELECT id, digest, media_type, kind = 'signature' OR encrypted AS is_free FROM manifest
WHERE tenant_id = $1 AND repository = $2 AND digest = $3

-- name: manifest_delete
DELETE FROM manifest WHERE tenant_id = $1 AND repository = $2 AND digest = $3 RETURNING size_bytes

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

-- name: image_list
SELECT * FROM image_record m WHERE tenant_id = $1 AND id < $2 AND ($4::text IS NULL OR repository = $4)
	AND ($5::text IS NULL OR EXISTS (SELECT 1 FROM tag t WHERE t.tenant_id = $1 AND t.repository = m.repository AND t.name = $5
		AND t.digest = m.digest))
	AND ($6::text IS NULL OR digest = $6) AND ($7::text IS NULL OR encrypted = $7::boolean)
ORDER BY id DESC LIMIT $3::bigint

-- name: image_full
SELECT * FROM image_record WHERE tenant_id = $1 AND id = $2

-- name: image_index
SELECT manifest FROM manifest_link WHERE tenant_id = $1 AND repository = $2 AND digest = $3 AND kind = 'manifest' LIMIT 1

-- name: image_parts
WITH RECURSIVE below (digest, depth) AS (SELECT $3::text, 0 UNION SELECT l.digest, b.depth + 1 FROM below b JOIN manifest_link l
	ON l.tenant_id = $1 AND l.repository = $2 AND l.manifest = b.digest AND l.kind = 'manifest')
SELECT digest FROM below WHERE depth > 0 GROUP BY digest ORDER BY max(depth)

-- name: image_orphan
SELECT digest FROM manifest WHERE tenant_id = $1 AND repository = $2 AND digest = $3
	AND NOT EXISTS (SELECT 1 FROM manifest_link WHERE tenant_id = $1 AND repository = $2 AND digest = $3 AND kind = 'manifest')
	AND NOT EXISTS (SELECT 1 FROM tag WHERE tenant_id = $1 AND repository = $2 AND digest = $3)

-- name: image_lock
SELECT pushes FROM manifest WHERE tenant_id = $1 AND id = $2 FOR UPDATE

-- name: tags_move
WITH moved AS (UPDATE tag SET digest = $4, created_by = $5, updated_at = now()
	WHERE tenant_id = $1 AND repository = $2 AND digest = $3 RETURNING name)
SELECT coalesce(jsonb_agg(name), '[]') @> $6::jsonb AND coalesce(jsonb_agg(name), '[]') <@ $6::jsonb AS as_expected FROM moved

-- name: images_used
UPDATE manifest SET used_at = now() WHERE id = ANY (string_to_array($1, ','))
	AND (used_at IS NULL OR used_at < now() - interval '1 minute')
