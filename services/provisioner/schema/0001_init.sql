-- Sandboxes: the row comes before anything outside is made, and everything outside carries its id.
CREATE TABLE sandbox (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL, template_id text NOT NULL, template_version bigint NOT NULL, driver text NOT NULL,
	parameters text NOT NULL,
	state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'creating', 'ready', 'stopping', 'stopped',
		'starting', 'deleting', 'deleted', 'failed')),
	-- is_begun: whether anything outside was ever begun of it; said before that.
	boot bigint NOT NULL DEFAULT 1, is_begun boolean NOT NULL DEFAULT false, launched_boot bigint NOT NULL DEFAULT 0,
	launched_at timestamptz,
	claim text NOT NULL, initdata text NOT NULL,
	enrol_hash text, enrol_until timestamptz,
	evidence text, enc_jwk text, sig_jwk text, enc text, sig text,
	failure_code text, failure_detail text,
	-- What it takes from the quotas while it is more than a row, and since when it waits for that.
	vcpus bigint NOT NULL, memory_mib bigint NOT NULL, weight bigint NOT NULL,
	queued_at timestamptz NOT NULL DEFAULT now(),
	-- Its end, and how long it may be ready with no run in it; used_at is the last sign of one.
	expires_at timestamptz, idle_s bigint, used_at timestamptz NOT NULL DEFAULT now(),
	revision bigint NOT NULL DEFAULT 1,
	run_at timestamptz NOT NULL DEFAULT now(), lease_until timestamptz NOT NULL DEFAULT '-infinity',
	created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, id))
	WITH (fillfactor = 70);
CREATE INDEX sandbox_due ON sandbox (run_at) WHERE state <> 'deleted';
CREATE INDEX sandbox_id ON sandbox (id);
CREATE INDEX sandbox_space ON sandbox (space_id, id); -- its other tenants read it
CREATE INDEX sandbox_queue ON sandbox (tenant_id, created_by, queued_at, id) WHERE state = 'queued';
CREATE INDEX sandbox_held ON sandbox (tenant_id) WHERE state IN ('creating', 'starting', 'ready', 'stopping');

-- Where an operator gave a tenant other limits than the configuration's; NULL: those, 0: none.
CREATE TABLE quota (
	tenant_id text PRIMARY KEY, sandboxes bigint, vcpus bigint, memory_mib bigint, weight bigint,
	member_sandboxes bigint, member_weight bigint, lifetime_s bigint,
	revision bigint NOT NULL DEFAULT 1, updated_by text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());

-- Who a measured sandbox's vTPM said it is in its last boot, what it was asked to open then, and what we think of its word.
CREATE TABLE vtpm (
	tenant_id text NOT NULL, space_id text NOT NULL, sandbox_id text NOT NULL, boot bigint NOT NULL,
	ek_certificate text NOT NULL, ak text NOT NULL, activation_hash text NOT NULL, verdict text,
	PRIMARY KEY (tenant_id, sandbox_id));

-- Questions of members to a sandbox's agent, for some minutes.
CREATE TABLE attestation (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	sandbox_id text NOT NULL, boot bigint NOT NULL, member text NOT NULL,
	nonce text NOT NULL, credential text,
	state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
	activated text, evidence text, failure_code text, failure_detail text,
	revision bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, sandbox_id, boot, nonce));
CREATE INDEX attestation_age ON attestation (created_at);

-- What the driver tofu knows of a sandbox: what is wanted of it, the step on the way there, the run that is under way for that,
-- how often it failed, and what the current run keeps in the http backend (tofu_state.h). `state` is base64 of nonce,
-- ciphertext and tag.
CREATE TABLE tofu (
	tenant_id text NOT NULL, sandbox_id text NOT NULL,
	goal text NOT NULL DEFAULT 'down' CHECK (goal IN ('up', 'down')), boot bigint NOT NULL DEFAULT 0,
	step text NOT NULL DEFAULT 'done' CHECK (step IN ('init', 'plan', 'show', 'apply', 'output', 'done', 'failed')),
	run bigint NOT NULL DEFAULT 0,
	running text CHECK (running IN ('init', 'plan', 'show', 'apply', 'output', 'refresh', 'push')),
	attempts bigint NOT NULL DEFAULT 0, code text, detail text, progress text, plan_digest text,
	next_at timestamptz NOT NULL DEFAULT now(),
	serial bigint NOT NULL DEFAULT 0, state text,
	lock_id text, lock_run bigint, lock_info text, lock_until timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, sandbox_id));

-- Templates: no tenant's. A version that was published stays what it was; a file's is published as it comes.
CREATE TABLE template (
	id text NOT NULL, version bigint NOT NULL,
	state text NOT NULL CHECK (state IN ('draft', 'published', 'deprecated')),
	document text NOT NULL, digest text NOT NULL, is_built_in boolean NOT NULL DEFAULT false,
	revision bigint NOT NULL DEFAULT 1,
	created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (id, version));

-- Sandboxes that wait for somebody: nobody's, so no tenant's rows. Whoever takes one gets a row of `sandbox` with its id.
CREATE TABLE warm (
	id text PRIMARY KEY, template_id text NOT NULL, template_version bigint NOT NULL, driver text NOT NULL,
	parameters text NOT NULL, initdata text NOT NULL,
	state text NOT NULL DEFAULT 'creating' CHECK (state IN ('creating', 'warm', 'failed', 'deleting')),
	launched_at timestamptz, enrol_hash text, ek_certificate text, ak text, activation_hash text,
	vcpus bigint NOT NULL, memory_mib bigint NOT NULL,
	run_at timestamptz NOT NULL DEFAULT now(), lease_until timestamptz NOT NULL DEFAULT '-infinity',
	created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());

CREATE TABLE idempotency (
	tenant_id text NOT NULL, space_id text NOT NULL, key text NOT NULL, digest text NOT NULL,
	resource_id text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, key));
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL);

-- A limit of 0 is none.
CREATE FUNCTION within(amount numeric, most bigint) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN most = 0 OR amount <= most;

-- STABLE as to_char() is: a function around it that says immutable is not inlined, and that call was a third of a small read.
CREATE FUNCTION at_text(t timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
	RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

CREATE VIEW sandbox_line WITH (security_invoker = true) AS -- of a list
SELECT tenant_id, space_id, id, name, template_id, template_version, state, boot, failure_code, revision, created_by,
	at_text(created_at) AS created_at, at_text(updated_at) AS updated_at FROM sandbox WHERE state <> 'deleted';

GRANT SELECT ON sandbox_line TO provisioner;
GRANT SELECT, INSERT, UPDATE ON sandbox, quota, vtpm, attestation TO provisioner;
GRANT SELECT, INSERT ON idempotency TO provisioner;
GRANT SELECT, INSERT, UPDATE, DELETE ON template, warm, tofu TO provisioner;
GRANT SELECT, INSERT, UPDATE ON warm TO provisioner_sweep;
GRANT INSERT ON outbox TO provisioner;
GRANT SELECT, DELETE, UPDATE (id) ON outbox TO provisioner_sweep;

-- docs/ROW-LEVEL-SECURITY.md
SELECT tenant_rows('sandbox', 'quota', 'vtpm', 'attestation', 'tofu', 'idempotency');

-- Across tenants: the loop's due rows, whose turn it is, the owner of an enrolment secret's hash, what should exist outside,
-- and what was deleted a day ago.
CREATE POLICY sweep ON sandbox TO provisioner_sweep USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, id, state, boot, run_at, lease_until, enrol_hash, enrol_until, created_by, vcpus, memory_mib, weight,
	queued_at, revision, updated_at), UPDATE (state, run_at, lease_until, revision, updated_at, used_at), DELETE
	ON sandbox TO provisioner_sweep;
CREATE POLICY sweep ON vtpm TO provisioner_sweep USING (true);
GRANT SELECT (tenant_id, sandbox_id), DELETE ON vtpm TO provisioner_sweep;
CREATE POLICY sweep ON quota TO provisioner_sweep USING (true);
GRANT SELECT (tenant_id, sandboxes, vcpus, memory_mib, weight, member_sandboxes, member_weight) ON quota TO provisioner_sweep;

-- Questions and keys of requests are forgotten across tenants, by their age.
CREATE POLICY sweep ON attestation TO provisioner_sweep USING (true);
GRANT SELECT (created_at), DELETE ON attestation TO provisioner_sweep;
CREATE POLICY sweep ON idempotency TO provisioner_sweep USING (true);
GRANT SELECT (created_at), DELETE ON idempotency TO provisioner_sweep;
