-- Policies, pipelines, datasets, projections, orders and grants. Documents and envelopes are kept as the
-- exact text that was signed or hashed; nothing here is a key or can open one.
CREATE TABLE policy (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, version bigint NOT NULL, hash text NOT NULL, document text NOT NULL,
	max_runs bigint GENERATED ALWAYS AS ((document::jsonb ->> 'max_runs')::bigint) STORED,
	deadline bigint GENERATED ALWAYS AS ((document::jsonb ->> 'deadline')::bigint) STORED,
	image text GENERATED ALWAYS AS (document::jsonb -> 'image' ->> 'manifest') STORED,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, hash), UNIQUE (tenant_id, name, version))
	WITH (toast_tuple_target = 8160); -- a usual document stays in its row, as it is
CREATE INDEX policy_id ON policy (id); -- space_id is the document's: its other tenants read the policy, too
CREATE INDEX policy_space ON policy (space_id, id);
CREATE INDEX policy_image ON policy (image, id); -- which policies pin an image that is about to change

CREATE TABLE approval (
	tenant_id text NOT NULL, space_id text NOT NULL, policy_id text NOT NULL, spki text NOT NULL,
	envelope text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, policy_id, spki),
	FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id));

CREATE TABLE pipeline (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, version bigint NOT NULL DEFAULT 1, template text NOT NULL, policy_id text NOT NULL,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id));
CREATE UNIQUE INDEX pipeline_name ON pipeline (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE pipeline_version (
	tenant_id text NOT NULL, space_id text NOT NULL, pipeline_id text NOT NULL, version bigint NOT NULL,
	template text NOT NULL, policy_id text NOT NULL, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, pipeline_id, version),
	FOREIGN KEY (tenant_id, pipeline_id) REFERENCES pipeline (tenant_id, id),
	FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id));

CREATE TABLE projection (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, columns text NOT NULL, filter text NOT NULL, minimum_rows bigint NOT NULL,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id));
CREATE UNIQUE INDEX projection_name ON projection (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE dataset (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, direction text NOT NULL CHECK (direction IN ('input', 'output')),
	projection_id text, labels text NOT NULL, version bigint NOT NULL DEFAULT 0,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, projection_id) REFERENCES projection (tenant_id, id));
CREATE UNIQUE INDEX dataset_name ON dataset (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE dataset_version (
	tenant_id text NOT NULL, space_id text NOT NULL, dataset_id text NOT NULL, version bigint NOT NULL,
	object_id text NOT NULL, digest text NOT NULL, size_bytes bigint NOT NULL, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, dataset_id, version),
	FOREIGN KEY (tenant_id, dataset_id) REFERENCES dataset (tenant_id, id));

CREATE TABLE run_order (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL, policy_id text NOT NULL,
	run_nonce text NOT NULL, runner_spki text NOT NULL, enc text NOT NULL, sig text NOT NULL,
	envelope text NOT NULL, created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, run_nonce),
	FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id));

CREATE TABLE run_grant (
	tenant_id text NOT NULL, space_id text NOT NULL, order_id text NOT NULL, slot text NOT NULL,
	jwe text NOT NULL,
	PRIMARY KEY (tenant_id, order_id, slot),
	FOREIGN KEY (tenant_id, order_id) REFERENCES run_order (tenant_id, id));

CREATE TABLE idempotency (
	tenant_id text NOT NULL, space_id text NOT NULL, key text NOT NULL, digest text NOT NULL,
	resource_id text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, key));
CREATE INDEX idempotency_age ON idempotency (created_at);

-- What the answers show. security_invoker: row-level security is the caller's.
-- STABLE as to_char() is: a function around it that says immutable is not inlined, and that call was a third of a small read.
CREATE FUNCTION at_text(t timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
	RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');

CREATE VIEW policy_record WITH (security_invoker = true) AS
SELECT tenant_id, space_id, id, name, version, hash, document, image, revision, created_by,
	at_text(created_at) AS created_at, deleted_at FROM policy;

CREATE VIEW policy_line WITH (security_invoker = true) AS -- of a list
SELECT tenant_id, space_id, id, name, version, hash, image, revision, created_by, created_at FROM policy_record WHERE deleted_at IS NULL;

CREATE VIEW pipeline_record WITH (security_invoker = true) AS
SELECT p.tenant_id, p.space_id, p.id, p.name, p.version, p.template, p.policy_id, d.hash AS policy_hash, d.max_runs, d.deadline,
	p.revision, p.created_by, at_text(p.created_at) AS created_at, p.deleted_at
FROM pipeline p JOIN policy d ON d.tenant_id = p.tenant_id AND d.id = p.policy_id;

CREATE VIEW projection_record WITH (security_invoker = true) AS
SELECT tenant_id, space_id, id, name, columns, filter, minimum_rows, revision, created_by,
	at_text(created_at) AS created_at, deleted_at FROM projection;

CREATE VIEW dataset_record WITH (security_invoker = true) AS
SELECT d.tenant_id, d.space_id, d.id, d.name, d.direction, d.projection_id, d.labels, d.version, d.revision,
	d.created_by, at_text(d.created_at) AS created_at, d.deleted_at, v.object_id, v.digest, v.size_bytes
FROM dataset d LEFT JOIN dataset_version v
	ON v.tenant_id = d.tenant_id AND v.dataset_id = d.id AND v.version = d.version;

-- Nothing here is deleted for good: the runtime role may not.
GRANT SELECT ON policy_record, policy_line, pipeline_record, projection_record, dataset_record TO policy;
GRANT SELECT, INSERT, UPDATE ON policy, approval, pipeline, projection, dataset TO policy;
GRANT SELECT, INSERT ON pipeline_version, dataset_version, run_order, run_grant, idempotency TO policy;

-- docs/ROW-LEVEL-SECURITY.md
SELECT tenant_rows('policy', 'approval', 'pipeline', 'pipeline_version', 'projection', 'dataset',
	'dataset_version', 'run_order', 'run_grant', 'idempotency');

-- Keys of requests are forgotten across tenants, by their age.
CREATE POLICY sweep ON idempotency TO policy_sweep USING (true);
GRANT SELECT (created_at), DELETE ON idempotency TO policy_sweep;

CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL);
GRANT INSERT ON outbox TO policy;
GRANT SELECT, DELETE, UPDATE (id) ON outbox TO policy_sweep;
