-- Policies, pipelines, datasets, projections, orders and grants. Documents and envelopes are kept as the
-- exact text that was signed or hashed; nothing here is a key or can open one.
CREATE TABLE policy (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, version bigint NOT NULL, hash text NOT NULL, document text NOT NULL,
	max_runs bigint GENERATED ALWAYS AS ((document::jsonb ->> 'max_runs')::bigint) STORED,
	deadline bigint GENERATED ALWAYS AS ((document::jsonb ->> 'deadline')::bigint) STORED,
	image text GENERATED ALWAYS AS (document::jsonb -> 'image' ->> 'manifest') STORED,
	approvals text NOT NULL DEFAULT '', constraints text NOT NULL DEFAULT '', -- as they are read
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, hash), UNIQUE (tenant_id, name, version))
	WITH (toast_tuple_target = 8160); -- a usual document stays in its row, as it is
CREATE INDEX policy_id ON policy (id); -- space_id is the document's: its other tenants read the policy, too
CREATE INDEX policy_space ON policy (space_id, id);
CREATE INDEX policy_hash ON policy (hash);
CREATE INDEX policy_image ON policy (image, id); -- which policies pin an image that is about to change

CREATE TABLE approval (
	tenant_id text NOT NULL, space_id text NOT NULL, policy_id text NOT NULL, scope text NOT NULL, spki text NOT NULL,
	decision text NOT NULL, issued_at bigint NOT NULL, envelope text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, policy_id, scope, spki),
	FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id));

-- Scoped policies: of the tenant itself, of one of its datasets, of a workflow (in the workflow's space).
CREATE TABLE constraint_document (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, scope text NOT NULL, subject_id text NOT NULL, hash text NOT NULL, document text NOT NULL,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id));
CREATE UNIQUE INDEX constraint_document_name ON constraint_document (tenant_id, subject_id, name) WHERE deleted_at IS NULL;
CREATE INDEX constraint_document_subject ON constraint_document (subject_id) WHERE deleted_at IS NULL;

CREATE TABLE policy_constraint ( -- those that a policy pins, as they were
	tenant_id text NOT NULL, space_id text NOT NULL, policy_id text NOT NULL, hash text NOT NULL, document text NOT NULL,
	PRIMARY KEY (tenant_id, policy_id, hash),
	FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id));

-- A policy is read much more often than it is voted on: its approvals lie joined in its row, too, which whoever sees the one
-- sees with the other. Two votes at one time wait for that row, and each then sees those before it.
CREATE FUNCTION policy_approvals() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
	PERFORM FROM policy WHERE tenant_id = NEW.tenant_id AND id = NEW.policy_id FOR NO KEY UPDATE;
	UPDATE policy p SET approvals = (SELECT string_agg(a.envelope, ',' ORDER BY a.spki, a.scope) FROM approval a
		WHERE a.tenant_id = p.tenant_id AND a.policy_id = p.id)
	WHERE p.tenant_id = NEW.tenant_id AND p.id = NEW.policy_id;
	RETURN NULL;
END $$;
CREATE TRIGGER approvals AFTER INSERT OR UPDATE ON approval FOR EACH ROW EXECUTE FUNCTION policy_approvals();

CREATE TABLE pipeline (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, version bigint NOT NULL DEFAULT 1, template text NOT NULL, policy_id text NOT NULL,
	policy_hash text, max_runs bigint, deadline bigint, -- its policy's, which do not change
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id));
CREATE FUNCTION pipeline_terms() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
	SELECT hash, max_runs, deadline INTO NEW.policy_hash, NEW.max_runs, NEW.deadline FROM policy
	WHERE tenant_id = NEW.tenant_id AND id = NEW.policy_id;
	RETURN NEW;
END $$;
CREATE TRIGGER terms BEFORE INSERT OR UPDATE OF policy_id ON pipeline FOR EACH ROW EXECUTE FUNCTION pipeline_terms();
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
	members text[], -- who may see and use it; NULL: the whole tenant
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id));
CREATE UNIQUE INDEX projection_name ON projection (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX projection_id ON projection (id); -- it may be shared with others

CREATE TABLE dataset (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, direction text NOT NULL CHECK (direction IN ('input', 'output')),
	description text, long_description text, labels text NOT NULL, projection_id text,
	version bigint NOT NULL DEFAULT 0, credentials_version bigint NOT NULL DEFAULT 0,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, projection_id) REFERENCES projection (tenant_id, id));
CREATE UNIQUE INDEX dataset_name ON dataset (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX dataset_id ON dataset (id); -- it may be shared with others

CREATE TABLE dataset_version ( -- one of our objects, or a place elsewhere
	tenant_id text NOT NULL, space_id text NOT NULL, dataset_id text NOT NULL, version bigint NOT NULL,
	object_id text, location text, digest text, size_bytes bigint, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, dataset_id, version),
	CHECK ((object_id IS NULL) <> (location IS NULL)),
	CHECK (object_id IS NULL OR (digest IS NOT NULL AND size_bytes IS NOT NULL)),
	FOREIGN KEY (tenant_id, dataset_id) REFERENCES dataset (tenant_id, id));

-- What is decided about an application lies in its row, too: whoever may read that may know it.
CREATE TABLE app (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, description text NOT NULL, repository text NOT NULL, manifest text NOT NULL,
	allowed_domains text NOT NULL, labels text NOT NULL,
	build_task text, build_status text NOT NULL DEFAULT 'PENDING' CHECK (build_status IN ('PENDING', 'WHITELISTED', 'REJECTED')),
	domains_task text, domains_status text NOT NULL DEFAULT 'NONE'
		CHECK (domains_status IN ('NONE', 'PENDING', 'WHITELISTED', 'REJECTED')),
	whitelisted_domains text NOT NULL DEFAULT '[]',
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id));
CREATE INDEX app_id ON app (id); -- it may be shared with others
CREATE UNIQUE INDEX app_name ON app (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE task (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	type text NOT NULL CHECK (type IN ('BUILD_WHITELIST', 'DOMAIN_WHITELIST')),
	app_id text NOT NULL, subject text NOT NULL, status text NOT NULL DEFAULT 'INPROGRESS'
		CHECK (status IN ('INPROGRESS', 'SUCCESS', 'DENIED', 'FAILED')),
	decided_by text, reason text, decided_at timestamptz,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, app_id) REFERENCES app (tenant_id, id));
CREATE INDEX task_app ON task (tenant_id, app_id, type, id);

CREATE TABLE app_config (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, description text NOT NULL, app_id text NOT NULL, ports text NOT NULL,
	runtime text NOT NULL, app_config_id text NOT NULL,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, app_id) REFERENCES app (tenant_id, id));
CREATE UNIQUE INDEX app_config_name ON app_config (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX app_config_id ON app_config (id);
CREATE INDEX app_config_app ON app_config (app_id, id) WHERE deleted_at IS NULL;

CREATE TABLE dataset_credentials ( -- sealed to their owner's key, and nobody else's to see
	tenant_id text NOT NULL, space_id text NOT NULL, dataset_id text NOT NULL, version bigint NOT NULL,
	jwe text NOT NULL, created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, dataset_id, version),
	FOREIGN KEY (tenant_id, dataset_id) REFERENCES dataset (tenant_id, id));

-- Labels of whatever has an id, one a row, so that a list by label is a range of this index.
CREATE TABLE label (
	tenant_id text NOT NULL, space_id text NOT NULL, object_id text NOT NULL,
	name text NOT NULL, value text NOT NULL,
	PRIMARY KEY (tenant_id, object_id, name));
CREATE INDEX label_value ON label (tenant_id, name, value, object_id);

-- What a tenant lets the members of a space see of its own things.
CREATE TABLE share (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL, object_id text NOT NULL,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), revoked_at timestamptz,
	PRIMARY KEY (tenant_id, id));
CREATE UNIQUE INDEX share_object ON share (tenant_id, object_id, space_id) WHERE revoked_at IS NULL;
CREATE INDEX share_space ON share (space_id, object_id) WHERE revoked_at IS NULL;
CREATE INDEX share_revoked ON share (space_id, object_id) WHERE revoked_at IS NOT NULL;

-- In its policy's space, whose other tenants read it: owners of slots give their grants. started_at: its run may begin, and
-- nothing is taken back any more. departed_at: its tenant was found to have left the space before that.
CREATE TABLE run_order (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL, policy_id text NOT NULL,
	run_nonce text NOT NULL, runner_spki text NOT NULL, enc text NOT NULL, sig text NOT NULL,
	envelope text NOT NULL, revision bigint NOT NULL DEFAULT 1, started_at timestamptz, departed_at timestamptz,
	own_image boolean NOT NULL, -- in a repository of its tenant's; else the space has to share it (image_tenant)
	created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, run_nonce), UNIQUE (space_id, id),
	FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id));
CREATE INDEX run_order_id ON run_order (id);

-- tenant_id is who gave it, not always who ordered. One that was taken back stays, without its ciphertext.
CREATE TABLE run_grant (
	tenant_id text NOT NULL, space_id text NOT NULL, order_id text NOT NULL, slot text NOT NULL,
	jwe text NOT NULL, created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), withdrawn_at timestamptz,
	PRIMARY KEY (space_id, order_id, slot),
	FOREIGN KEY (space_id, order_id) REFERENCES run_order (space_id, id));

-- A draft, and the versions of it whose approval was requested: those are never changed, only settled.
CREATE TABLE workflow (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, description text, graph text NOT NULL, graph_hash text NOT NULL,
	version bigint NOT NULL DEFAULT 1, -- that the draft becomes when it is requested
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
	PRIMARY KEY (tenant_id, id));
CREATE UNIQUE INDEX workflow_name ON workflow (tenant_id, space_id, name) WHERE deleted_at IS NULL;
CREATE INDEX workflow_id ON workflow (id); -- of other tenants in the space
CREATE INDEX workflow_space ON workflow (space_id, id);

CREATE TABLE workflow_version (
	tenant_id text NOT NULL, space_id text NOT NULL, workflow_id text NOT NULL, version bigint NOT NULL,
	graph text NOT NULL, graph_hash text NOT NULL,
	state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'withdrawn')),
	requested_by text NOT NULL, requested_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL,
	settled_at timestamptz, settled_by text, reason text,
	PRIMARY KEY (tenant_id, workflow_id, version),
	FOREIGN KEY (tenant_id, workflow_id) REFERENCES workflow (tenant_id, id));
CREATE UNIQUE INDEX workflow_version_pending ON workflow_version (tenant_id, workflow_id) WHERE state = 'pending';
CREATE INDEX workflow_version_due ON workflow_version (expires_at) WHERE state = 'pending';

CREATE TABLE workflow_policy (
	tenant_id text NOT NULL, space_id text NOT NULL, workflow_id text NOT NULL, version bigint NOT NULL,
	object text NOT NULL, policy_id text NOT NULL,
	PRIMARY KEY (tenant_id, workflow_id, version, object),
	FOREIGN KEY (tenant_id, workflow_id, version) REFERENCES workflow_version (tenant_id, workflow_id, version),
	FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id));
CREATE INDEX workflow_policy_of ON workflow_policy (tenant_id, policy_id);

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

CREATE VIEW policy_full WITH (security_invoker = true) AS -- of a read
SELECT id, tenant_id, space_id, name, version, hash, created_by, at_text(created_at) AS created_at, revision, document, approvals,
	constraints FROM policy WHERE deleted_at IS NULL;

CREATE VIEW policy_line WITH (security_invoker = true) AS -- of a list
SELECT tenant_id, space_id, id, name, version, hash, image, revision, created_by, created_at FROM policy_record WHERE deleted_at IS NULL;

CREATE VIEW pipeline_record WITH (security_invoker = true) AS
SELECT tenant_id, space_id, id, name, version, template, policy_id, policy_hash, max_runs, deadline, revision, created_by,
	at_text(created_at) AS created_at, deleted_at FROM pipeline;

CREATE VIEW projection_record WITH (security_invoker = true) AS
SELECT tenant_id, space_id, id, name, columns, filter, minimum_rows, members, to_json(members) AS members_json, revision, created_by,
	at_text(created_at) AS created_at, deleted_at FROM projection;

CREATE VIEW dataset_record WITH (security_invoker = true) AS
SELECT d.tenant_id, d.space_id, d.id, d.name, d.direction, d.description, d.long_description, d.projection_id, d.labels, d.version,
	d.credentials_version, d.revision, d.created_by, at_text(d.created_at) AS created_at, d.deleted_at,
	v.object_id, v.location, v.digest, v.size_bytes
FROM dataset d LEFT JOIN dataset_version v
	ON v.tenant_id = d.tenant_id AND v.dataset_id = d.id AND v.version = d.version;

CREATE VIEW app_record WITH (security_invoker = true) AS
SELECT tenant_id, space_id, id, name, description, repository, manifest, allowed_domains, labels, build_task, build_status,
	domains_task, domains_status, whitelisted_domains, revision, created_by, at_text(created_at) AS created_at, deleted_at FROM app;

CREATE VIEW task_record WITH (security_invoker = true) AS
SELECT tenant_id, space_id, id, type, app_id, subject, status, decided_by, reason, at_text(decided_at) AS decided_at,
	revision, created_by, at_text(created_at) AS created_at FROM task;

CREATE VIEW app_config_record WITH (security_invoker = true) AS
SELECT tenant_id, space_id, id, name, description, app_id, ports, runtime, app_config_id, revision, created_by,
	at_text(created_at) AS created_at, deleted_at FROM app_config;

-- Who shares an application with the space that is this image now, and is approved to run.
CREATE FUNCTION image_tenant(place text, image jsonb) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
	RETURN (SELECT a.tenant_id FROM share s JOIN app a ON a.tenant_id = s.tenant_id AND a.id = s.object_id
		WHERE s.space_id = place AND s.revoked_at IS NULL AND a.deleted_at IS NULL AND a.build_status = 'WHITELISTED'
			AND a.repository = image ->> 'repository' AND a.manifest = image ->> 'manifest' LIMIT 1);

CREATE VIEW order_record WITH (security_invoker = true) AS
SELECT o.tenant_id, o.space_id, o.id, o.policy_id, p.hash AS policy_hash, p.document, o.run_nonce, o.enc, o.sig, o.envelope,
	o.revision + (SELECT count(*) + count(g.withdrawn_at) FROM run_grant g WHERE g.space_id = o.space_id AND g.order_id = o.id)
		AS revision, o.created_by, at_text(o.created_at) AS created_at, at_text(o.started_at) AS started_at,
	o.departed_at IS NOT NULL AS is_departed,
	(SELECT coalesce(json_agg(json_build_object('slot', s.key, 'owner', s.value ->> 'owner') ORDER BY s.key), '[]')
		FROM jsonb_each(d.j -> 'slots') s
		WHERE NOT EXISTS (SELECT 1 FROM run_grant g
			WHERE g.space_id = o.space_id AND g.order_id = o.id AND g.slot = s.key)) AS missing,
	(SELECT coalesce(json_agg(g.slot ORDER BY g.slot), '[]') FROM run_grant g
		WHERE g.space_id = o.space_id AND g.order_id = o.id AND g.withdrawn_at IS NOT NULL) AS withdrawn,
	(SELECT coalesce(json_agg(DISTINCT s.object_id), '[]') FROM jsonb_path_query(d.j, '$.**.dataset') used
		JOIN share s ON s.space_id = o.space_id AND s.object_id = used #>> '{}' AND s.revoked_at IS NOT NULL
		WHERE s.tenant_id <> o.tenant_id AND NOT EXISTS (SELECT 1 FROM share live
			WHERE live.space_id = s.space_id AND live.object_id = s.object_id AND live.revoked_at IS NULL)) AS unshared,
	CASE WHEN o.own_image THEN o.tenant_id ELSE image_tenant(o.space_id, d.j -> 'image') END AS image_tenant
FROM run_order o JOIN policy p ON p.tenant_id = o.tenant_id AND p.id = o.policy_id,
	LATERAL (SELECT p.document::jsonb AS j) AS d;

CREATE VIEW share_record WITH (security_invoker = true) AS
SELECT tenant_id, space_id, id, object_id, revision, created_by, at_text(created_at) AS created_at FROM share WHERE revoked_at IS NULL;

CREATE VIEW workflow_line WITH (security_invoker = true) AS -- of a list
SELECT tenant_id, space_id, id, name, description, graph_hash, version, revision, created_by,
	at_text(created_at) AS created_at, at_text(updated_at) AS updated_at FROM workflow WHERE deleted_at IS NULL;

CREATE VIEW workflow_record WITH (security_invoker = true) AS
SELECT l.*, w.graph FROM workflow_line l JOIN workflow w USING (tenant_id, id);

CREATE VIEW workflow_version_record WITH (security_invoker = true) AS
SELECT v.tenant_id, v.space_id, v.workflow_id, v.version, v.graph, v.graph_hash, s.state, v.requested_by,
	at_text(v.requested_at) AS requested_at, at_text(v.expires_at) AS expires_at,
	at_text(CASE s.state WHEN 'expired' THEN v.expires_at ELSE v.settled_at END) AS settled_at, v.settled_by, v.reason
FROM workflow_version v JOIN workflow w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id AND w.deleted_at IS NULL,
	LATERAL (SELECT CASE WHEN v.state = 'pending' AND v.expires_at <= now() THEN 'expired' ELSE v.state END) AS s (state);

-- Whether one of the caller's spaces was given it; for policies and statements alike.
CREATE FUNCTION is_shared(owner text, object text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
	RETURN EXISTS (SELECT 1 FROM share s WHERE s.tenant_id = owner AND s.object_id = object AND s.revoked_at IS NULL
		AND s.space_id = ANY (string_to_array(current_setting('app.space_ids'), ',')));

-- Who sees a scoped policy of another tenant: whom its dataset is shared with, and the members of its workflow's space.
CREATE FUNCTION constraint_is_seen(owner text, place text, of_scope text, of_subject text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
	RETURN (of_scope = 'dataset' AND is_shared(owner, of_subject))
		OR (of_scope = 'workflow' AND place = ANY (string_to_array(current_setting('app.space_ids'), ',')));

CREATE VIEW constraint_record WITH (security_invoker = true) AS
SELECT tenant_id, space_id, id, name, scope, subject_id, hash, document, revision, created_by,
	at_text(created_at) AS created_at FROM constraint_document WHERE deleted_at IS NULL;

-- Nothing here is deleted for good: the runtime role may not.
GRANT SELECT ON constraint_record TO policy;
GRANT SELECT, INSERT, UPDATE ON constraint_document TO policy;
GRANT SELECT, INSERT ON policy_constraint TO policy;
GRANT SELECT ON policy_record, policy_full, policy_line, pipeline_record, projection_record, dataset_record, share_record, app_record,
	task_record, app_config_record, order_record TO policy;
GRANT SELECT, INSERT, UPDATE ON policy, approval, pipeline, projection, dataset, share, app, task, app_config TO policy;
GRANT SELECT, INSERT ON pipeline_version, dataset_version, idempotency TO policy;
GRANT SELECT, INSERT, UPDATE ON run_order, run_grant TO policy;
GRANT SELECT, INSERT, UPDATE, DELETE ON label TO policy; -- of what has them now
GRANT SELECT, INSERT, DELETE ON dataset_credentials TO policy; -- gone with their dataset

-- A version of a workflow is settled, no more.
GRANT SELECT ON workflow_line, workflow_record, workflow_version_record TO policy;
GRANT SELECT, INSERT, UPDATE ON workflow TO policy;
GRANT SELECT, INSERT, UPDATE (state, settled_at, settled_by, reason) ON workflow_version TO policy;
GRANT SELECT, INSERT ON workflow_policy TO policy;

-- docs/ROW-LEVEL-SECURITY.md
SELECT tenant_rows('policy', 'approval', 'constraint_document', 'policy_constraint', 'pipeline', 'pipeline_version', 'projection', 'dataset', 'dataset_version',
	'dataset_credentials', 'label', 'share', 'app', 'task', 'app_config', 'run_order', 'run_grant', 'idempotency');

-- By name behind `tenant`, which Postgres asks first then: most rows are the caller's own.
CREATE POLICY viewer ON projection FOR SELECT TO policy USING (is_shared(tenant_id, id));
CREATE POLICY viewer ON dataset FOR SELECT TO policy USING (is_shared(tenant_id, id));
CREATE POLICY viewer ON constraint_document FOR SELECT TO policy USING (is_shared(tenant_id, subject_id));
CREATE POLICY viewer ON dataset_version FOR SELECT TO policy USING (is_shared(tenant_id, dataset_id));
CREATE POLICY viewer ON app FOR SELECT TO policy USING (is_shared(tenant_id, id));
CREATE POLICY viewer ON app_config FOR SELECT TO policy USING (is_shared(tenant_id, app_id));

SELECT tenant_rows('workflow', 'workflow_version', 'workflow_policy');

-- Keys of requests are forgotten across tenants, by their age.
CREATE POLICY sweep ON idempotency TO policy_sweep USING (true);
GRANT SELECT (created_at), DELETE ON idempotency TO policy_sweep;

-- Requests that nobody answered in time end across tenants.
CREATE POLICY sweep ON workflow_version TO policy_sweep USING (true) WITH CHECK (true);
GRANT SELECT (state, expires_at), UPDATE (state) ON workflow_version TO policy_sweep;

-- Shares of who left a space end across tenants.
CREATE POLICY sweep ON share TO policy_sweep USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, space_id, id, revision, revoked_at), UPDATE (revision, revoked_at) ON share TO policy_sweep;

CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL);
GRANT INSERT ON outbox TO policy, policy_sweep;
GRANT SELECT, DELETE, UPDATE (id) ON outbox TO policy_sweep;
