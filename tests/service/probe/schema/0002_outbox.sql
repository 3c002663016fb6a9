CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL);
GRANT INSERT ON outbox TO probe;
GRANT SELECT, DELETE, UPDATE (id) ON outbox TO probe_sweep;
