-- Upload sessions; which blobs and manifests there are, under which tags, and what they reach. The bytes themselves lie in
-- the registry behind, which knows manifests by digest only.

-- What a tenant may have and has: changed by short statements that add to it and ask for the limit at once. Limits are the
-- operator's; NULL: the configuration's. Beside each row's own table: `reserved_bytes` of its uploads, `held_blob`, `manifest`.
CREATE TABLE quota (
	tenant_id text PRIMARY KEY,
	bytes_limit bigint, images_limit bigint, uploads_limit bigint,
	bytes_used bigint NOT NULL DEFAULT 0, bytes_reserved bigint NOT NULL DEFAULT 0,
	images bigint NOT NULL DEFAULT 0, uploads bigint NOT NULL DEFAULT 0,
	revision bigint NOT NULL DEFAULT 1, collected_at timestamptz NOT NULL DEFAULT now())
	WITH (fillfactor = 50);
CREATE INDEX quota_collected ON quota (collected_at);

-- A writer holds the row by its lease. While bytes may be on their way `location` is NULL: the registry's own word for
-- where the upload stands is then unknown, and is made anew from its storage if the writer never came back. What nobody else
-- may go on with, an archive's, expires at once: it lives as long as its lease.
CREATE TABLE upload (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	repository text NOT NULL, backend_id text NOT NULL, location text, offset_bytes bigint NOT NULL DEFAULT 0,
	reserved_bytes bigint NOT NULL DEFAULT 0, -- of the quota; never less than offset_bytes
	closing text, -- the digest under which the registry was last asked to keep it
	owner text, lease_until timestamptz NOT NULL DEFAULT '-infinity', fence bigint NOT NULL DEFAULT 0,
	created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL DEFAULT now() + interval '7 days',
	PRIMARY KEY (tenant_id, id));
CREATE INDEX upload_expired ON upload (expires_at);
CREATE INDEX upload_owned ON upload (owner) WHERE owner IS NOT NULL;

-- A blob is there when its row is. Touched when it is told of to those who may be about to name it in a manifest.
CREATE TABLE blob (
	tenant_id text NOT NULL, space_id text NOT NULL, repository text NOT NULL, digest text NOT NULL,
	size_bytes bigint NOT NULL, created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	used_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, repository, digest));
CREATE INDEX blob_used ON blob (tenant_id, used_at);

-- Each blob of a tenant once, however many of its repositories have it: what its quota counts.
CREATE TABLE held_blob (
	tenant_id text NOT NULL, digest text NOT NULL, size_bytes bigint NOT NULL, repositories bigint NOT NULL,
	PRIMARY KEY (tenant_id, digest));

-- What the registry may have without a row: written before it gets something, and with the end of a row. Whoever finds one
-- that is due, and no row, deletes it there; while it is leased nobody may give the registry the same again.
CREATE TABLE leftover (
	tenant_id text NOT NULL, repository text NOT NULL, digest text NOT NULL,
	kind text NOT NULL CHECK (kind IN ('blob', 'manifest')), due_at timestamptz NOT NULL,
	lease_until timestamptz NOT NULL DEFAULT '-infinity', fence bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant_id, repository, digest, kind));
CREATE INDEX leftover_due ON leftover (tenant_id, due_at);

CREATE TABLE manifest (
	tenant_id text NOT NULL, space_id text NOT NULL, repository text NOT NULL, digest text NOT NULL,
	id text NOT NULL, media_type text NOT NULL, size_bytes bigint NOT NULL,
	kind text NOT NULL CHECK (kind IN ('image', 'index', 'signature')),
	encrypted boolean NOT NULL, -- every layer of it and of all that it names
	layers bigint NOT NULL, total_bytes bigint NOT NULL,
	recipients jsonb NOT NULL, layer_recipients bigint NOT NULL, -- as far as packets tell; the most of one layer
	subject text, artifact_type text, annotations text, -- of the manifest, for who asks what refers to its subject
	pushes bigint NOT NULL DEFAULT 1, pushed_at timestamptz NOT NULL DEFAULT now(), used_at timestamptz, -- to the minute
	created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, repository, digest), UNIQUE (tenant_id, id));
CREATE INDEX manifest_id ON manifest (id);
CREATE INDEX manifest_digest ON manifest (tenant_id, digest);
CREATE INDEX manifest_subject ON manifest (tenant_id, repository, subject, digest) WHERE subject IS NOT NULL;

CREATE TABLE manifest_link (
	tenant_id text NOT NULL, space_id text NOT NULL, repository text NOT NULL, manifest text NOT NULL,
	digest text NOT NULL, kind text NOT NULL CHECK (kind IN ('config', 'layer', 'manifest')),
	blob text GENERATED ALWAYS AS (CASE WHEN kind <> 'manifest' THEN digest END) STORED,
	PRIMARY KEY (tenant_id, repository, manifest, digest),
	FOREIGN KEY (tenant_id, repository, manifest) REFERENCES manifest (tenant_id, repository, digest) ON DELETE CASCADE,
	CONSTRAINT manifest_link_blob FOREIGN KEY (tenant_id, repository, blob) REFERENCES blob (tenant_id, repository, digest));
CREATE INDEX manifest_link_digest ON manifest_link (tenant_id, repository, digest);

CREATE TABLE tag (
	tenant_id text NOT NULL, space_id text NOT NULL, repository text NOT NULL, name text COLLATE "C" NOT NULL,
	digest text NOT NULL, created_by text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, repository, name),
	FOREIGN KEY (tenant_id, repository, digest) REFERENCES manifest (tenant_id, repository, digest) ON DELETE CASCADE);
CREATE INDEX tag_digest ON tag (tenant_id, repository, digest);

-- What a tenant wants of its images; without a row: encrypted-only.
CREATE TABLE rule (
	tenant_id text PRIMARY KEY, space_id text NOT NULL,
	mode text NOT NULL CHECK (mode IN ('encrypted-only', 'encrypted-or-signed', 'open')),
	required_recipients jsonb NOT NULL, signers jsonb NOT NULL, max_recipients bigint NOT NULL,
	revision bigint NOT NULL DEFAULT 1, updated_by text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());

-- A signature that was verified when the manifest that holds it came, by a key that the rule named then.
CREATE TABLE signature (
	tenant_id text NOT NULL, space_id text NOT NULL, repository text NOT NULL, manifest text NOT NULL,
	image text NOT NULL, spki text NOT NULL,
	PRIMARY KEY (tenant_id, repository, manifest, image, spki),
	FOREIGN KEY (tenant_id, repository, manifest) REFERENCES manifest (tenant_id, repository, digest) ON DELETE CASCADE);
CREATE INDEX signature_image ON signature (tenant_id, repository, image);

CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL);

GRANT SELECT, INSERT, UPDATE, DELETE ON upload, blob, held_blob, leftover TO registry_gw;
GRANT SELECT, INSERT, UPDATE ON quota TO registry_gw;
GRANT SELECT, INSERT, UPDATE (media_type, kind, encrypted, total_bytes, pushes, pushed_at), DELETE ON manifest TO registry_gw;
GRANT SELECT, INSERT, UPDATE ON rule TO registry_gw;
GRANT SELECT, INSERT, DELETE ON signature TO registry_gw;
GRANT SELECT, INSERT, UPDATE, DELETE ON tag TO registry_gw;
GRANT SELECT, INSERT ON manifest_link TO registry_gw;
GRANT INSERT ON outbox TO registry_gw;
GRANT SELECT, DELETE, UPDATE (id) ON outbox TO registry_gw_sweep;

-- docs/ROW-LEVEL-SECURITY.md
SELECT tenant_rows('quota', 'upload', 'blob', 'held_blob', 'leftover', 'manifest', 'manifest_link', 'tag', 'rule', 'signature');

-- Leases are kept, old sessions forgotten with what they had reserved, and tenants looked after in turn, across tenants:
-- bookkeeping columns only.
CREATE POLICY sweep ON upload TO registry_gw_sweep USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, id, owner, lease_until, expires_at, reserved_bytes), UPDATE (lease_until), DELETE ON upload
	TO registry_gw_sweep;
CREATE POLICY sweep ON quota TO registry_gw_sweep USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, bytes_reserved, uploads, collected_at), UPDATE (bytes_reserved, uploads, collected_at) ON quota
	TO registry_gw_sweep;

-- When images were last pulled is written down across tenants, some seconds later.
CREATE POLICY sweep ON manifest TO registry_gw_sweep USING (true) WITH CHECK (true);
GRANT SELECT (id, used_at), UPDATE (used_at) ON manifest TO registry_gw_sweep;

-- Times as the API writes them.
CREATE FUNCTION at_text(t timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
	RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');

CREATE VIEW image_record WITH (security_invoker = true) AS
SELECT m.tenant_id, m.id, m.repository, m.digest, m.media_type, m.kind, m.encrypted, m.layers, m.total_bytes, m.size_bytes,
	m.recipients, m.layer_recipients, m.subject, m.pushes, m.pushes AS revision, m.created_by,
	at_text(m.created_at) AS created_at, at_text(m.pushed_at) AS pushed_at, at_text(m.used_at) AS used_at,
	(SELECT coalesce(jsonb_agg(t.name ORDER BY t.name), '[]') FROM tag t
		WHERE t.tenant_id = m.tenant_id AND t.repository = m.repository AND t.digest = m.digest) AS tags,
	(SELECT coalesce(jsonb_agg(DISTINCT s.spki), '[]') FROM signature s
		WHERE s.tenant_id = m.tenant_id AND s.repository = m.repository AND s.image = m.digest) AS signers
FROM manifest m;
GRANT SELECT ON image_record TO registry_gw;
