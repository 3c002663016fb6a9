-- Upload sessions; which manifests there are, under which tags, and which blobs they reach. The bytes themselves lie in the
-- registry behind, which knows manifests by digest only.

-- A writer holds the row by its lease. While bytes may be on their way `location` is NULL: the registry's own word for
-- where the upload stands is then unknown, and is made anew from its storage if the writer never came back.
CREATE TABLE upload (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	repository text NOT NULL, backend_id text NOT NULL, location text, offset_bytes bigint NOT NULL DEFAULT 0,
	owner text, lease_until timestamptz NOT NULL DEFAULT '-infinity', fence bigint NOT NULL DEFAULT 0,
	created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL DEFAULT now() + interval '7 days',
	PRIMARY KEY (tenant_id, id));
CREATE INDEX upload_expired ON upload (expires_at);
CREATE INDEX upload_owned ON upload (owner) WHERE owner IS NOT NULL;

CREATE TABLE manifest (
	tenant_id text NOT NULL, space_id text NOT NULL, repository text NOT NULL, digest text NOT NULL,
	media_type text NOT NULL, size_bytes bigint NOT NULL,
	subject text, artifact_type text, annotations text, -- of the manifest, for who asks what refers to its subject
	created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, repository, digest));
CREATE INDEX manifest_subject ON manifest (tenant_id, repository, subject, digest) WHERE subject IS NOT NULL;

CREATE TABLE manifest_link (
	tenant_id text NOT NULL, space_id text NOT NULL, repository text NOT NULL, manifest text NOT NULL,
	digest text NOT NULL, kind text NOT NULL CHECK (kind IN ('config', 'layer', 'manifest')),
	PRIMARY KEY (tenant_id, repository, manifest, digest),
	FOREIGN KEY (tenant_id, repository, manifest) REFERENCES manifest (tenant_id, repository, digest) ON DELETE CASCADE);
CREATE INDEX manifest_link_digest ON manifest_link (tenant_id, repository, digest);

CREATE TABLE tag (
	tenant_id text NOT NULL, space_id text NOT NULL, repository text NOT NULL, name text COLLATE "C" NOT NULL,
	digest text NOT NULL, created_by text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, repository, name),
	FOREIGN KEY (tenant_id, repository, digest) REFERENCES manifest (tenant_id, repository, digest) ON DELETE CASCADE);
CREATE INDEX tag_digest ON tag (tenant_id, repository, digest);

CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL);

GRANT SELECT, INSERT, UPDATE, DELETE ON upload TO registry_gw;
GRANT SELECT, INSERT, UPDATE (media_type), DELETE ON manifest TO registry_gw;
GRANT SELECT, INSERT, UPDATE, DELETE ON tag TO registry_gw;
GRANT SELECT, INSERT ON manifest_link TO registry_gw;
GRANT INSERT ON outbox TO registry_gw;
GRANT SELECT, DELETE, UPDATE (id) ON outbox TO registry_gw_sweep;

-- docs/ROW-LEVEL-SECURITY.md
SELECT tenant_rows('upload', 'manifest', 'manifest_link', 'tag');

-- Leases are kept and old sessions forgotten across tenants: bookkeeping columns only.
CREATE POLICY sweep ON upload TO registry_gw_sweep USING (true) WITH CHECK (true);
GRANT SELECT (id, owner, lease_until, expires_at), UPDATE (lease_until), DELETE ON upload TO registry_gw_sweep;
