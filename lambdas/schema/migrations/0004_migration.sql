-- expand
-- What the move of another system's customers needs to go on where it was. Only its own user may write it.
CREATE SCHEMA migration;

-- Each file, and how far it is read. A file of changes is applied up to "line"; of a full load, "line" is staged.
CREATE TABLE migration.files (
    key text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('load', 'changes')),
    sort_order text NOT NULL,
    etag text NOT NULL,
    columns text[] NOT NULL DEFAULT '{}',
    line bigint NOT NULL DEFAULT 0,
    byte_offset bigint NOT NULL DEFAULT 0,
    state text NOT NULL CHECK (state IN ('reading', 'done', 'refused')),
    report jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- The columns of the old system's tables, in their order: lines of changes do not name them.
CREATE TABLE migration.layouts (
    source text PRIMARY KEY,
    columns text[] NOT NULL
);

-- The last change of each row that was changed or deleted, by file and line. What is older changes nothing any more.
CREATE TABLE migration.changed_rows (
    table_name text NOT NULL,
    key text[] NOT NULL,
    position text COLLATE "C" NOT NULL,
    PRIMARY KEY (table_name, key)
);

-- Rows of full loads until their file is read to its end. They are in no backup, because their files are.
CREATE UNLOGGED TABLE migration.staged_rows (
    file text NOT NULL,
    line bigint NOT NULL,
    texts text[] NOT NULL
);
CREATE INDEX staged_rows_by_file ON migration.staged_rows (file);
