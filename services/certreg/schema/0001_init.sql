-- Who belongs to which tenant, what proves it, and which certificates they registered. An API key is kept as an HMAC
-- under a pepper that is not in the database. Nothing here is a private key.

-- Names are taken across tenants (repositories and the mirror start with them); this table says no more than that.
CREATE TABLE tenant_name (name text PRIMARY KEY);
-- So are ids of keys, which clients choose: a second one would make the first one's tenant ambiguous.
CREATE TABLE key_id (id text PRIMARY KEY);
GRANT INSERT ON tenant_name, key_id TO certreg;

CREATE TABLE tenant (
	tenant_id text NOT NULL, space_id text NOT NULL,
	name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
	state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
	revision bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id));

CREATE TABLE member (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
	kind text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service')),
	roles text NOT NULL, state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'removed')),
	revision bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, name),
	FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id));

CREATE TABLE api_key (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL, member_id text NOT NULL,
	name text NOT NULL, mac text NOT NULL, scopes text NOT NULL,
	state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'revoked')),
	revision bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz,
	last_used_at timestamptz, -- to the minute
	created_by text NOT NULL, -- the member who sent its hash; whoever made it may know the secret
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, member_id) REFERENCES member (tenant_id, id));
CREATE INDEX api_key_id ON api_key (id); -- the tenant of a key that is shown

-- Whoever shows the secret becomes a member of this name with these roles, once.
CREATE TABLE invitation (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	inviter text NOT NULL, -- a member, or an operator of the instance
	name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'), roles text NOT NULL, mac text NOT NULL,
	state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'withdrawn')),
	revision bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL,
	PRIMARY KEY (tenant_id, id));
CREATE INDEX invitation_id ON invitation (id); -- the tenant of an invitation that is shown

-- Where members of several tenants work together. A tenant's own space has no row here.
CREATE TABLE space (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL CHECK (id = space_id), -- tenant_id: the founder
	name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
	revision bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, name));
CREATE INDEX space_id ON space (id); -- the founder of a space that is joined

-- By signed word on both sides (trust.md 4); the founder has neither.
CREATE TABLE space_invitation (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	digest text NOT NULL, invited text NOT NULL, envelope text NOT NULL, -- digest: of the signed payload; invited: SPKI
	state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'withdrawn')),
	revision bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL,
	PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, digest));
CREATE TABLE space_member (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL CHECK (id = tenant_id),
	tenant_name text NOT NULL, space_name text NOT NULL, invitation text, acceptance text, -- invitation: its digest
	revision bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, space_id), UNIQUE (space_id, invitation));
CREATE INDEX space_member_space ON space_member (space_id);
-- An invitation lets in once. Rows stay: who was taken out does not come back by the old papers.
CREATE TABLE space_joined (
	tenant_id text NOT NULL, space_id text NOT NULL, invitation text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, space_id, invitation), UNIQUE (space_id, invitation));

CREATE TABLE challenge (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL, member_id text NOT NULL,
	spki text NOT NULL, nonce text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL, used_at timestamptz,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, member_id) REFERENCES member (tenant_id, id));
CREATE INDEX challenge_expiry ON challenge (expires_at);
CREATE INDEX challenge_pending ON challenge (tenant_id, expires_at) WHERE used_at IS NULL;

-- A name belongs to one certificate that is neither revoked nor replaced; one key (SPKI) has one record.
CREATE TABLE certificate (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL, member_id text NOT NULL,
	name text NOT NULL, labels jsonb NOT NULL DEFAULT '{}', fingerprint text NOT NULL, spki text NOT NULL,
	subject text NOT NULL, serial text NOT NULL, not_before timestamptz NOT NULL, not_after timestamptz NOT NULL,
	algorithm text NOT NULL, source text NOT NULL CHECK (source IN ('self-signed', 'external', 'issued')), pem text NOT NULL,
	state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'revoked')),
	revoked_at timestamptz, revocation_reason text, revocation_comment text,
	replaces text, replaced_by text, retires_at timestamptz, warned_days int,
	revision bigint NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, spki),
	FOREIGN KEY (tenant_id, member_id) REFERENCES member (tenant_id, id));
CREATE UNIQUE INDEX certificate_name ON certificate (tenant_id, name) WHERE state = 'active' AND replaced_by IS NULL;
CREATE INDEX certificate_fingerprint ON certificate (fingerprint, tenant_id); -- also the tenant of a certificate that is shown
CREATE INDEX certificate_end ON certificate (tenant_id, not_after) WHERE state = 'active' AND replaced_by IS NULL;

-- Standing of what our own CA issued, by serial number alone: the CRL and OCSP answer for all tenants and name none.
-- revoked_at may lie ahead: then the certificate was replaced, and its overlap still runs.
CREATE TABLE issued_serial (
	serial text PRIMARY KEY, not_after timestamptz NOT NULL, revoked_at timestamptz, reason text);
CREATE INDEX issued_serial_revoked ON issued_serial (revoked_at) WHERE revoked_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON issued_serial TO certreg;

-- Ids of keys, certificates, members and tenants, and "<space>/<tenant>", that no token may rest on any more. The last row of an id counts: a
-- lifted one says that tokens made from then on are good again. seq is the epoch of auth-state, which never falls: rows
-- stay.
CREATE TABLE revocation (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL, seq bigint GENERATED ALWAYS AS IDENTITY,
	state text NOT NULL CHECK (state IN ('revoked', 'lifted')),
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(), -- at the end of a transaction that may have waited
	PRIMARY KEY (tenant_id, id, seq));
CREATE INDEX revocation_seq ON revocation (seq);
CREATE INDEX revocation_age ON revocation (created_at);

-- Assertions of sandboxes and certificates that were used: each buys one token.
CREATE TABLE assertion (
	tenant_id text NOT NULL, space_id text NOT NULL, subject_id text NOT NULL, jti text NOT NULL,
	expires_at timestamptz NOT NULL,
	PRIMARY KEY (tenant_id, subject_id, jti));
CREATE INDEX assertion_expiry ON assertion (expires_at);

CREATE TABLE idempotency (
	tenant_id text NOT NULL, space_id text NOT NULL, key text NOT NULL, digest text NOT NULL,
	resource_id text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, key));
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL);
GRANT INSERT ON outbox TO certreg;
GRANT SELECT, DELETE, UPDATE (id) ON outbox TO certreg_sweep;

-- docs/ROW-LEVEL-SECURITY.md
SELECT tenant_rows('tenant', 'member', 'api_key', 'invitation', 'space', 'space_invitation', 'space_member', 'space_joined', 'challenge',
	'certificate', 'revocation', 'assertion', 'idempotency');
GRANT SELECT, INSERT ON space, space_joined, revocation, assertion, idempotency TO certreg;
GRANT SELECT, INSERT, UPDATE ON tenant, member, api_key, invitation, space_invitation, challenge, certificate TO certreg;
GRANT SELECT, INSERT, DELETE ON space_member TO certreg;

-- Without a tenant: whose key, certificate, invitation or space is it, which tenants are there (the operators' list), what is revoked.
CREATE POLICY sweep ON api_key TO certreg_sweep USING (true);
CREATE POLICY sweep ON certificate TO certreg_sweep USING (true);
CREATE POLICY sweep ON invitation TO certreg_sweep USING (true);
CREATE POLICY sweep ON space TO certreg_sweep USING (true);
CREATE POLICY sweep ON tenant TO certreg_sweep USING (true);
CREATE POLICY sweep ON revocation TO certreg_sweep USING (true);
GRANT SELECT (tenant_id, id) ON api_key, certificate TO certreg_sweep;
GRANT SELECT (tenant_id, id) ON invitation, space TO certreg_sweep;
GRANT SELECT (fingerprint) ON certificate TO certreg_sweep;
GRANT SELECT (tenant_id) ON tenant TO certreg_sweep;
GRANT SELECT (tenant_id, id, seq, state, created_at) ON revocation TO certreg_sweep;

-- What is past its time is forgotten across tenants.
CREATE POLICY sweep ON challenge TO certreg_sweep USING (true);
CREATE POLICY sweep ON assertion TO certreg_sweep USING (true);
CREATE POLICY sweep ON idempotency TO certreg_sweep USING (true);
GRANT SELECT (expires_at), DELETE ON challenge, assertion TO certreg_sweep;
GRANT SELECT (created_at), DELETE ON idempotency TO certreg_sweep;

-- What the answers show; row-level security is the caller's.
-- STABLE as to_char() is: a function around it that says immutable is not inlined, and that call was a third of a small read.
CREATE FUNCTION at_text(t timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
	RETURN to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');

-- 30, 14, 7 or 1: a certificate in use ends within that many days. NULL: none of them, or nobody needs to care.
CREATE FUNCTION warning_days(state text, replaced_by text, ends_at timestamptz) RETURNS int LANGUAGE sql STABLE PARALLEL SAFE
	RETURN CASE WHEN state = 'revoked' OR replaced_by IS NOT NULL OR ends_at <= now() OR ends_at > now() + interval '30 days'
		THEN NULL WHEN ends_at <= now() + interval '1 day' THEN 1 WHEN ends_at <= now() + interval '7 days' THEN 7
		WHEN ends_at <= now() + interval '14 days' THEN 14 ELSE 30 END;

-- A quota is broken as a constraint is: the transaction fails, and the name says which.
CREATE FUNCTION quota_check(quota text, most bigint, used bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF used > most THEN
		RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = quota, MESSAGE = quota;
	END IF;
END $$;

CREATE VIEW api_key_record WITH (security_invoker = true) AS
SELECT k.tenant_id, k.id, k.member_id, k.created_by, m.roles AS member_roles, k.name, k.scopes, k.state, k.revision,
	at_text(k.created_at) AS created_at, at_text(k.expires_at) AS expires_at, at_text(k.last_used_at) AS last_used_at
FROM api_key k JOIN member m ON m.tenant_id = k.tenant_id AND m.id = k.member_id;

CREATE VIEW certificate_record WITH (security_invoker = true) AS
SELECT c.tenant_id, c.space_id, c.id, c.member_id, m.name AS member_name, CASE t.state WHEN 'active' THEN m.state ELSE 'disabled' END AS member_state, t.name AS tenant_name, c.name,
	c.labels, c.fingerprint, c.spki, c.subject, c.serial, at_text(c.not_before) AS not_before, at_text(c.not_after) AS not_after,
	c.not_after AS ends_at, c.algorithm, c.source, c.pem, c.replaces, c.replaced_by, at_text(c.retires_at) AS retires_at,
	at_text(c.revoked_at) AS revoked_at, c.revocation_reason,
	CASE WHEN c.state = 'revoked' THEN 'revoked' WHEN c.not_after <= now() THEN 'expired'
		WHEN c.retires_at <= now() THEN 'retired' WHEN c.retires_at IS NOT NULL THEN 'retiring' ELSE 'active' END AS state,
	warning_days(c.state, c.replaced_by, c.not_after) AS warning_days, c.revision, at_text(c.created_at) AS created_at
FROM certificate c JOIN member m ON m.tenant_id = c.tenant_id AND m.id = c.member_id
	JOIN tenant t ON t.tenant_id = c.tenant_id;

-- An invitation is worth what its inviter may do now. Operators, who invite the first owner, are members elsewhere.
CREATE VIEW invitation_valid WITH (security_invoker = true) AS
SELECT i.tenant_id, i.id, i.mac, i.expires_at FROM invitation i LEFT JOIN member m ON m.tenant_id = i.tenant_id AND m.id = i.inviter
WHERE i.state = 'open' AND (m.id IS NULL OR m.state = 'active' AND (m.roles ~ '(^| )(owner|operator)( |$)'
	OR m.roles ~ '(^| )admin( |$)' AND i.roles !~ '(^| )owner( |$)'));

CREATE VIEW invitation_record WITH (security_invoker = true) AS
SELECT i.tenant_id, i.id, i.inviter, i.name, i.roles, CASE WHEN i.state <> 'open' THEN i.state WHEN v.id IS NULL THEN 'withdrawn'
	WHEN i.expires_at <= now() THEN 'expired' ELSE 'open' END AS state,
	i.revision, at_text(i.created_at) AS created_at, at_text(i.expires_at) AS expires_at
FROM invitation i LEFT JOIN invitation_valid v ON v.tenant_id = i.tenant_id AND v.id = i.id;

CREATE VIEW space_invitation_record WITH (security_invoker = true) AS
SELECT i.tenant_id, i.space_id, i.id, i.digest, i.invited, i.envelope, CASE WHEN j.invitation IS NOT NULL THEN 'accepted'
	WHEN i.state = 'open' AND i.expires_at <= now() THEN 'expired' ELSE i.state END AS state,
	i.revision, at_text(i.created_at) AS created_at, at_text(i.expires_at) AS expires_at
FROM space_invitation i LEFT JOIN space_joined j ON j.space_id = i.space_id AND j.invitation = i.digest;
GRANT SELECT ON api_key_record, certificate_record, invitation_valid, invitation_record, space_invitation_record TO certreg;

-- Certificates that may vouch for their member now: for tokens by them, and for tokens bound to them.
CREATE INDEX certificate_id ON certificate (id); -- the tenant of a certificate that asks for a token
CREATE VIEW certificate_usable WITH (security_invoker = true) AS
SELECT c.tenant_id, c.space_id, c.id, c.member_id, m.roles, t.name AS tenant_name, c.fingerprint, c.spki, c.pem,
	least(c.not_after, c.retires_at) AS not_after
FROM certificate c JOIN member m ON m.tenant_id = c.tenant_id AND m.id = c.member_id
	JOIN tenant t ON t.tenant_id = c.tenant_id
WHERE c.state = 'active' AND m.state = 'active' AND t.state = 'active' AND c.not_before <= now()
	AND least(c.not_after, c.retires_at) > now();
GRANT SELECT ON certificate_usable TO certreg;

-- --- the audit log ---
-- Records of all services, each in its tenant; the tree over their salted hashes is everybody's. `leaf` is a record's place
-- in the tree, `seq` its number among its tenant's, so that a missing one shows.
CREATE TABLE audit_record (
	tenant_id text NOT NULL, seq bigint NOT NULL, leaf bigint NOT NULL, id text NOT NULL, at timestamptz NOT NULL,
	service text NOT NULL, action text NOT NULL, subject text, resource text, outcome text NOT NULL, code text,
	salt text NOT NULL, record text NOT NULL,
	PRIMARY KEY (tenant_id, seq), UNIQUE (tenant_id, leaf), UNIQUE (tenant_id, id));
CREATE TABLE audit_count (tenant_id text NOT NULL, seq bigint NOT NULL, PRIMARY KEY (tenant_id));
-- Hashes of complete subtrees, signed heads, cosignatures of witnesses; and what was taken over last from each service.
CREATE TABLE audit_node (level int NOT NULL, place bigint NOT NULL, hash bytea NOT NULL, PRIMARY KEY (level, place));
CREATE TABLE audit_head (size bigint PRIMARY KEY, note text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE audit_cosignature (
	size bigint NOT NULL REFERENCES audit_head (size), witness text NOT NULL, line text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (size, witness));
CREATE TABLE audit_taken (service text PRIMARY KEY, ids int8multirange NOT NULL DEFAULT '{}');
INSERT INTO audit_taken (service) VALUES ('certreg'), ('provisioner'), ('registry-gw'), ('policy'), ('orchestrator');

DO $$
DECLARE
	rule text := 'tenant_id = current_setting(''app.tenant_id'')::scope_id';
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['audit_record', 'audit_count'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
		EXECUTE format('CREATE POLICY tenant ON %I TO certreg USING (%s) WITH CHECK (%s)', name, rule, rule);
		EXECUTE format('CREATE POLICY sweep ON %I TO certreg_sweep USING (true) WITH CHECK (true)', name);
	END LOOP;
END $$;
GRANT SELECT ON audit_record, audit_count, audit_node, audit_head, audit_cosignature TO certreg;
GRANT INSERT ON audit_cosignature TO certreg;
-- The loop that appends writes records and cannot read them.
GRANT SELECT (tenant_id, id), INSERT (tenant_id, seq, leaf, id, at, service, action, subject, resource, outcome, code, salt,
	record) ON audit_record TO certreg_sweep;
GRANT SELECT (tenant_id, seq), INSERT (tenant_id, seq), UPDATE (seq) ON audit_count TO certreg_sweep;
GRANT SELECT, INSERT ON audit_node, audit_head TO certreg_sweep;
GRANT SELECT, UPDATE ON audit_taken TO certreg_sweep;
