-- A line holds one event, as before, or an array of several events of a run. seq is that of the newest event in it, and
-- the hash is over seq, ':' and the whole body. Lines that are written from now on have neither time nor type beside the
-- body: at is NULL and type is empty.
ALTER TABLE events RENAME TO event_lines;

-- Number of the line's newest event among the events of all runs. NULL where all lines before have one event each.
ALTER TABLE event_lines ADD COLUMN number INTEGER;

-- One row per event, for people who look into the file. blob and hash are those of the event's line.
CREATE VIEW events AS
SELECT line.run_id AS run_id,
       line.seq - json_array_length(line.events) + 1 + event.key AS seq,
       json_extract(event.value, '$.at') AS at,
       json_extract(event.value, '$.type') AS type,
       event.value AS body,
       line.blob AS blob,
       line.hash AS hash
FROM (
    SELECT run_id, seq, blob, hash, CASE substr(text, 1, 1) WHEN '[' THEN text ELSE '[' || text || ']' END AS events
    FROM (
        SELECT run_id, seq, blob, lines.hash AS hash, coalesce(lines.body, blobs.body) AS text
        FROM event_lines AS lines LEFT JOIN blobs ON blobs.hash = lines.blob
    )
) AS line, json_each(line.events) AS event;
