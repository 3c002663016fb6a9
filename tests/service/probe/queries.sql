-- The statements of db_probe.c; also a test of tools/sql2c.awk (quotes, backslashes, comments).

-- name: note_insert
INSERT INTO note (tenant_id, space_id, id, body)
	-- a comment inside a statement
VALUES ($1, $2, $3, $4)

-- name: note_list
SELECT id, body FROM note ORDER BY id

-- name: note_owner
SELECT set_config('app.tenant_id', coalesce((SELECT tenant_id FROM note WHERE id = $1), $2), true)

-- name: note_visible
SELECT coalesce(string_agg(id || '=' || body, ';' ORDER BY id), 'none') AS notes FROM note

-- name: began
SELECT now()::text AS notes

-- name: fault
SELECT 1 / (length($1) - length($1)) AS notes

-- name: note_body
SELECT body FROM note WHERE tenant_id = $1 AND id = $2

-- name: note_fence
SELECT fence FROM note WHERE tenant_id = $1 AND id = $2

-- name: note_set_fence
UPDATE note SET fence = $3::bigint WHERE tenant_id = $1 AND id = $2 RETURNING fence

-- name: note_all
SELECT * FROM note ORDER BY id;

-- name: note_claim
UPDATE note SET fence = fence + 1 WHERE (tenant_id, id) IN (
	SELECT tenant_id, id FROM note ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING tenant_id, id, fence

-- name: note_set_body
UPDATE note SET body = $1

-- name: remark_insert
INSERT INTO remark (tenant_id, id, note_id) VALUES ($1, $2, $3)

-- name: remark_list
SELECT id FROM remark

-- name: outbox_insert
INSERT INTO outbox (topic, key) VALUES ($1, $2)

-- name: outbox_drain
DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED)
RETURNING topic, key

-- name: echo
SELECT $1 || E'\\' || '"%' AS text, NULL::text AS nothing, true AS yes, 42 AS number

-- name: nap
SELECT pg_sleep($1::float8) IS NULL AS slept

-- name: backend
SELECT pg_backend_pid() AS pid

-- name: settings
SELECT current_setting('search_path') || '|' || current_setting('statement_timeout') || '|'
	|| current_setting('lock_timeout') || '|' || current_setting('idle_in_transaction_session_timeout') AS settings
