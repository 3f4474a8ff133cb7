-- What of a run no chain protects, so that rot there shows as well.
ALTER TABLE runs ADD COLUMN aside INTEGER NOT NULL DEFAULT 0;   -- sum over its timers and marks, without the keys
ALTER TABLE runs ADD COLUMN keys INTEGER NOT NULL DEFAULT 0;    -- sum over its marks that are keys of messages
ALTER TABLE runs ADD COLUMN seal INTEGER;   -- checksum over the line without its number; NULL only in a damaged one
