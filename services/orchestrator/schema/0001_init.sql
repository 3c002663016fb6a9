-- Runs with their steps and events, and the objects that relay encrypted inputs and outputs.
CREATE TABLE run (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	pipeline_id text NOT NULL, policy_hash text NOT NULL, repository text NOT NULL, manifest text NOT NULL,
	inputs text NOT NULL, deadline bigint NOT NULL,
	sandbox_id text NOT NULL, order_id text NOT NULL, run_nonce text NOT NULL,
	state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'awaiting_grants', 'dispatched', 'running',
		'succeeded', 'failed', 'refused', 'cancelled')),
	step text, boot bigint NOT NULL DEFAULT 0, fence bigint NOT NULL DEFAULT 0,
	failure_code text, failure_detail text,
	awaiting text, -- [{slot, owner}] whose grants it waits for
	output_object text, output_digest text, output_size bigint, receipt text,
	revision bigint NOT NULL DEFAULT 1, event_seq bigint NOT NULL DEFAULT 0,
	run_at timestamptz NOT NULL DEFAULT now(), lease_until timestamptz NOT NULL DEFAULT '-infinity',
	created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(), ended_at timestamptz,
	PRIMARY KEY (tenant_id, id))
	WITH (fillfactor = 70);
CREATE UNIQUE INDEX run_order_once ON run (tenant_id, order_id);
CREATE UNIQUE INDEX run_one_per_sandbox ON run (tenant_id, sandbox_id)
	WHERE state IN ('queued', 'awaiting_grants', 'dispatched', 'running');
CREATE INDEX run_due ON run (run_at) WHERE state IN ('queued', 'awaiting_grants', 'dispatched', 'running');
CREATE INDEX run_space ON run (space_id, id); -- its other tenants read it
CREATE INDEX run_by_policy ON run (space_id, policy_hash);

CREATE TABLE run_step (
	tenant_id text NOT NULL, space_id text NOT NULL, run_id text NOT NULL, name text NOT NULL,
	state text NOT NULL, attempts bigint NOT NULL DEFAULT 1, detail text,
	started_at timestamptz NOT NULL DEFAULT now(), ended_at timestamptz,
	PRIMARY KEY (tenant_id, run_id, name),
	FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id));

CREATE TABLE run_event (
	tenant_id text NOT NULL, space_id text NOT NULL, run_id text NOT NULL, seq bigint NOT NULL,
	at timestamptz NOT NULL DEFAULT now(), type text NOT NULL, step text, state text, detail text,
	fence bigint NOT NULL, agent_seq bigint,
	PRIMARY KEY (tenant_id, run_id, seq),
	UNIQUE (tenant_id, run_id, fence, agent_seq),
	FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id));

CREATE TABLE run_egress (
	tenant_id text NOT NULL, space_id text NOT NULL, run_id text NOT NULL, target text NOT NULL,
	bytes_in bigint NOT NULL DEFAULT 0, bytes_out bigint NOT NULL DEFAULT 0, connections bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant_id, run_id, target),
	FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id));

CREATE TABLE object (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	role text NOT NULL CHECK (role IN ('input', 'output')), run_id text, fence bigint,
	state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed', 'deleted')),
	size_bytes bigint NOT NULL DEFAULT 0, digest text,
	revision bigint NOT NULL DEFAULT 1, created_by text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), closed_at timestamptz,
	due_at timestamptz NOT NULL DEFAULT now() + interval '7 days', -- when retention looks at it
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, run_id) REFERENCES run (tenant_id, id));
CREATE INDEX object_space ON object (space_id, id);
CREATE INDEX object_due ON object (due_at) WHERE state <> 'deleted';
CREATE INDEX object_deleted ON object (tenant_id, id) WHERE state = 'deleted';

CREATE TABLE usage (
	tenant_id text NOT NULL, space_id text NOT NULL, used_bytes bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant_id));

CREATE TABLE idempotency (
	tenant_id text NOT NULL, space_id text NOT NULL, key text NOT NULL, digest text NOT NULL,
	resource_id text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, key));
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL);

-- STABLE as to_char() is: a function around it that says immutable is not inlined, and that call was a third of a small read.
CREATE FUNCTION at_text(t timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
	RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

CREATE VIEW run_line WITH (security_invoker = true) AS -- of a list
SELECT tenant_id, space_id, id, pipeline_id, policy_hash, sandbox_id, order_id, state, step, fence, failure_code, run_nonce,
	revision, created_by, at_text(created_at) AS created_at, at_text(updated_at) AS updated_at, at_text(ended_at) AS ended_at
FROM run;

GRANT SELECT ON run_line TO orchestrator;
GRANT SELECT, INSERT, UPDATE ON run, run_step, run_egress, object, usage TO orchestrator;
GRANT SELECT, INSERT ON run_event, idempotency TO orchestrator;
GRANT INSERT ON outbox TO orchestrator;
GRANT SELECT, DELETE, UPDATE (id) ON outbox TO orchestrator_sweep;

-- docs/ROW-LEVEL-SECURITY.md
SELECT tenant_rows('run', 'run_step', 'run_event', 'run_egress', 'object', 'usage', 'idempotency');

-- The loop finds due runs, and certreg asks which run a sandbox is in, across tenants: bookkeeping columns only.
CREATE POLICY sweep ON run TO orchestrator_sweep USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, id, state, run_at, lease_until, sandbox_id), UPDATE (lease_until, run_at) ON run TO orchestrator_sweep;

-- What is past its time is found, and what is gone is forgotten, across tenants.
CREATE POLICY sweep ON object TO orchestrator_sweep USING (true) WITH CHECK (true);
CREATE POLICY sweep ON idempotency TO orchestrator_sweep USING (true);
GRANT SELECT (tenant_id, space_id, id, state, due_at), UPDATE (due_at), DELETE ON object TO orchestrator_sweep;
GRANT SELECT (created_at), DELETE ON idempotency TO orchestrator_sweep;
