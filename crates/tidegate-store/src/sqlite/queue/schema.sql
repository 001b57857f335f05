-- Entries of the queue. `place` says by what one is found: 0 by its name alone,
-- 1 ready to be taken, 2 broken, 3 due later, 4 held, 5 ended; `at` in which order,
-- 1 excepted, where it is that of `seq`. `waits` counts what it follows that has
-- not ended, `needed` what follows it and has never ended.
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    lane TEXT NOT NULL,
    rank INTEGER NOT NULL,
    key TEXT,
    after BLOB NOT NULL,
    shelf INTEGER NOT NULL,
    place INTEGER NOT NULL,
    at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    marks INTEGER NOT NULL,
    waits INTEGER NOT NULL,
    needed INTEGER NOT NULL,
    begun INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    put_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    begun_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    token BLOB,
    state BLOB NOT NULL,
    note BLOB NOT NULL,
    result BLOB
) STRICT;
CREATE UNIQUE INDEX entry_by_name ON entry (owner, id);
CREATE UNIQUE INDEX entry_by_key ON entry (owner, key) WHERE key IS NOT NULL;
CREATE INDEX entry_ready ON entry (lane, rank) WHERE place = 1;
CREATE INDEX entry_at ON entry (place, at) WHERE place > 1;
CREATE INDEX entry_by_shelf ON entry (owner, shelf, put_ms, id);
-- Beside the rest, which is written at every step.
CREATE TABLE entry_input (seq INTEGER PRIMARY KEY, input BLOB NOT NULL) STRICT;
CREATE TABLE entry_follower (
    parent INTEGER NOT NULL,
    follower INTEGER NOT NULL,
    PRIMARY KEY (parent, follower)
) STRICT, WITHOUT ROWID;
-- How many there are: nothing that counts reads the entries.
CREATE TABLE entry_count (
    lane TEXT NOT NULL,
    rank INTEGER NOT NULL,
    shelf INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (lane, rank, shelf)
) STRICT, WITHOUT ROWID;
-- `taken` counts takes, `rung` what others should look for, `kept` the entries
-- that have ended and stay because of what follows them.
CREATE TABLE entry_last (
    taken INTEGER NOT NULL,
    rung INTEGER NOT NULL,
    kept INTEGER NOT NULL
) STRICT;
INSERT INTO entry_last (taken, rung, kept) VALUES (0, 0, 0);
