-- What an entry of the index is: a run, a session, a schedule.
ALTER TABLE runs ADD COLUMN kind TEXT NOT NULL DEFAULT 'run';

-- Events up to this one are not needed to go on, apart from the first: whoever wakes the entry reads from behind it.
ALTER TABLE runs ADD COLUMN wake_seq INTEGER NOT NULL DEFAULT 0;

-- Events that are looked for by a name of their own, so that nobody has to read whole runs for them.
CREATE TABLE marks (
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL,       -- of the event
    PRIMARY KEY (run_id, kind, name)
) WITHOUT ROWID;

-- Keys of messages are only ever looked up one by one, and there is one for each message.
CREATE INDEX marks_by_kind ON marks (kind, run_id, seq) WHERE kind <> 'message';
