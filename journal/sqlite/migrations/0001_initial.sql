-- One line per event. An ordinary rowid table: the events themselves are written side by side whatever run they belong
-- to, and only small index entries are scattered. Measured against WITHOUT ROWID it costs half the processor time and
-- half the write-ahead log.
CREATE TABLE events (
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,       -- 1, 2, 3 ... within the run
    at REAL,                    -- seconds since the Unix epoch; as in the body
    type TEXT NOT NULL,         -- as in the body
    body TEXT,                  -- the event as JSON; NULL where it is in blobs
    blob BLOB,                  -- key into blobs where body is NULL
    hash BLOB NOT NULL,         -- SHA-256 over the hash before, seq, ':' and the JSON; before the first: SHA-256 of run_id
    PRIMARY KEY (run_id, seq)
);

-- Bodies too large for a line, once per content.
CREATE TABLE blobs (
    hash BLOB PRIMARY KEY,      -- SHA-256 of the body
    body TEXT NOT NULL
);

-- One line per run, always in step with its events. It changes with every append, so it has no further index: one on the
-- status would double the cost of the line, and a look through a hundred thousand lines takes a twentieth of a second.
CREATE TABLE runs (
    number INTEGER PRIMARY KEY, -- in the order in which the runs were accepted
    id TEXT NOT NULL UNIQUE,
    workflow TEXT NOT NULL,
    app TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    ended_at REAL,
    parent TEXT,
    reason TEXT,
    last_seq INTEGER NOT NULL,  -- seq of the newest event
    head BLOB NOT NULL          -- hash of the newest event
);

-- Durable wake-up times.
CREATE TABLE timers (
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    due REAL NOT NULL,
    PRIMARY KEY (run_id, key)
) WITHOUT ROWID;
CREATE INDEX timers_by_due ON timers (due);

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('format', 'understudy journal'), ('epoch', 0);
