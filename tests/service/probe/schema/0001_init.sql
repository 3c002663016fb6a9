-- The pattern of docs/ROW-LEVEL-SECURITY.md on two tables, and an outbox.
CREATE TABLE note (
	tenant_id text NOT NULL, space_id text NOT NULL, id text NOT NULL,
	body text NOT NULL CHECK (body <> 'bad "body"\'),
	fence bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant_id, id)
);
SELECT tenant_rows('note');
GRANT SELECT, INSERT, UPDATE, DELETE ON note TO probe;
CREATE POLICY sweep ON note TO probe_sweep USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, id, fence), UPDATE (fence) ON note TO probe_sweep;

CREATE TABLE remark (
	tenant_id text NOT NULL, id text NOT NULL, note_id text NOT NULL,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, note_id) REFERENCES note (tenant_id, id)
);
SELECT tenant_rows('remark');
GRANT SELECT, INSERT ON remark TO probe;
