-- Sums over the events of runs, so that figures of all runs need not read all events. They follow from the events; the
-- writer adds a line when a few thousand events have come. Each line is about the events behind the previous line's.
CREATE TABLE figures (
    upto INTEGER PRIMARY KEY,   -- rowid of the last event that is counted
    since INTEGER NOT NULL,     -- rowid before the first one: upto of the previous line, or 0
    sums TEXT NOT NULL,
    durations BLOB NOT NULL,    -- doubles of the machine's byte order
    seal INTEGER NOT NULL       -- checksum over the columns before
);

-- What later events of a run need in order to be counted, as of the last line. Missing where nothing was counted, or
-- where the run has completed.
CREATE TABLE figure_runs (
    run_id TEXT PRIMARY KEY,
    upto INTEGER NOT NULL,      -- the line of figures that it was written with
    state TEXT NOT NULL,
    seal INTEGER NOT NULL       -- checksum over the columns before
) WITHOUT ROWID;
