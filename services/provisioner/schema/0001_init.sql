-- Sandboxes: the row comes before anything outside is made, and everything outside carries its id.
CREATE TABLE sandbox (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, template_id text NOT NULL, template_version bigint NOT NULL, parameters text NOT NULL,
	state text NOT NULL DEFAULT 'creating' CHECK (state IN ('creating', 'ready', 'stopping', 'stopped', 'starting',
		'deleting', 'deleted', 'failed')),
	boot bigint NOT NULL DEFAULT 1, launched_boot bigint NOT NULL DEFAULT 0, launched_at timestamptz,
	claim text NOT NULL, initdata text NOT NULL,
	enrol_hash text, enrol_until timestamptz,
	evidence text, enc_jwk text, sig_jwk text, enc text, sig text,
	failure_code text, failure_detail text,
	revision bigint NOT NULL DEFAULT 1,
	run_at timestamptz NOT NULL DEFAULT now(), lease_until timestamptz NOT NULL DEFAULT '-infinity',
	created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, id))
	WITH (fillfactor = 70);
CREATE INDEX sandbox_due ON sandbox (run_at) WHERE state IN ('creating', 'ready', 'stopping', 'starting', 'deleting');
CREATE INDEX sandbox_id ON sandbox (id);

CREATE TABLE idempotency (
	tenant_id text NOT NULL, space_id text NOT NULL, key text NOT NULL, digest text NOT NULL,
	resource_id text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, key));
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL);

-- STABLE as to_char() is: a function around it that says immutable is not inlined, and that call was a third of a small read.
CREATE FUNCTION at_text(t timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
	RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

GRANT SELECT, INSERT, UPDATE ON sandbox TO provisioner;
GRANT SELECT, INSERT ON idempotency TO provisioner;
GRANT INSERT ON outbox TO provisioner;
GRANT SELECT, DELETE, UPDATE (id) ON outbox TO provisioner_sweep;

-- docs/ROW-LEVEL-SECURITY.md
SELECT tenant_rows('sandbox', 'idempotency');

-- Across tenants: the loop's due rows, the owner of an enrolment secret's hash, what should exist outside.
CREATE POLICY sweep ON sandbox TO provisioner_sweep USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, id, state, run_at, lease_until, enrol_hash, enrol_until), UPDATE (lease_until)
	ON sandbox TO provisioner_sweep;

-- Keys of requests are forgotten across tenants, by their age.
CREATE POLICY sweep ON idempotency TO provisioner_sweep USING (true);
GRANT SELECT (created_at), DELETE ON idempotency TO provisioner_sweep;
