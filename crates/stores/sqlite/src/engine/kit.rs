//! The kit for engines, every case of it, with tables for its notes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use countersign_core::clock::{Clock, ManualClock};
use countersign_core::engine::conformance::{Edit, Key, Note, Subject};
use countersign_core::future::BoxFuture;
use countersign_core::time::CLOCK_TOLERANCE;
use rusqlite::{Row, params};
use tempfile::TempDir;

use super::*;
use crate::ledger::{Canonical, Ledger, Sum, ledger};
use crate::records::{Lookup, Scan, Statements, earliest_first, latest_first};
use crate::sql::{self, Time, nanos};
use crate::{Database, Options, Synchronous};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS note_ledger (position INTEGER PRIMARY KEY, version INTEGER NOT NULL,
        action TEXT NOT NULL, record INTEGER NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL,
        head BLOB NOT NULL, at INTEGER NOT NULL, writer INTEGER NOT NULL, jumped_at INTEGER,
        latest INTEGER, corrected_writer INTEGER, in_force_again INTEGER) STRICT;
    CREATE INDEX IF NOT EXISTS note_ledger_corrected ON note_ledger (version)
        WHERE action = 'corrected';
    CREATE TABLE IF NOT EXISTS note (created INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
        author TEXT NOT NULL, seal TEXT, shelf TEXT, rank INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS note_edit (record INTEGER NOT NULL, version INTEGER PRIMARY KEY,
        at INTEGER NOT NULL, shelf TEXT, rank INTEGER NOT NULL, text TEXT NOT NULL,
        digest BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS note_seal (seal TEXT PRIMARY KEY, id TEXT NOT NULL) STRICT;";

macro_rules! columns {
    () => {
        "created, id, author, seal"
    };
}

const SEALED_ONCE: &str = "SELECT id FROM note_seal WHERE seal = ?1";
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM note WHERE id = ?1");
const BY_KEY: &str = concat!("SELECT ", columns!(), " FROM note WHERE created = ?1");
const ALL: Scan = Scan::latest_first(latest_first!(columns, "note", "", "created", ", id"));
const OF_AUTHOR: Scan = Scan::latest_first(latest_first!(
    columns,
    "note",
    "author = ?5 AND ",
    "created",
    ", id"
));
const ON_SHELF: Scan = Scan::latest_first(latest_first!(
    columns,
    "note",
    "shelf = ?5 AND ",
    "rank",
    ", id"
));
const QUEUE: Scan = Scan::earliest_first(earliest_first!(
    columns,
    "note",
    "shelf IS NOT NULL AND ",
    "rank",
    ", id"
));
const SEALED: Scan = Scan::latest_first(latest_first!(
    columns,
    "note",
    "seal = ?5 AND ",
    "created",
    ", id"
))
.outlasting(SEALED_ONCE);
const SAID: Scan = Scan::latest_first(concat!(
    "SELECT record, ",
    columns!(),
    " FROM note_edit CROSS JOIN note ON created = record \
     WHERE text = ?5 AND record <= ?1 AND (record < ?1 OR id > ?2) AND record >= ?3 \
     GROUP BY record ORDER BY record DESC LIMIT -1 OFFSET ?4"
));
const HISTORY: &str = "SELECT version, at, shelf, rank, text, digest FROM note_edit \
     WHERE record = ?1 ORDER BY version";
const DIGEST: &str = "SELECT digest FROM note_edit WHERE record = ?1 AND version = ?2";
const CHANGES: &str =
    "SELECT version, record FROM note_edit WHERE version >= ?1 ORDER BY version LIMIT ?2";
const IN_FORCE_AGAIN: &str = "SELECT 0 WHERE ?1 IS NOT ?2";
const INSERT: &str =
    "INSERT INTO note (created, id, author, seal, shelf, rank) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const UPDATE: &str = "UPDATE note SET shelf = ?2, rank = ?3 WHERE created = ?1";
const INSERT_EDIT: &str = "INSERT INTO note_edit (record, version, at, shelf, rank, text, digest) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const KEEP_SEAL: &str = "INSERT INTO note_seal (seal, id) VALUES (?1, ?2) \
     ON CONFLICT (seal) DO UPDATE SET id = excluded.id";
const DELETE: &str = "DELETE FROM note WHERE created = ?1";
const DELETE_HISTORY: &str = "DELETE FROM note_edit WHERE record = ?1";

const STATEMENTS: &[&str] = &[
    BY_ID,
    BY_KEY,
    ALL.sql,
    OF_AUTHOR.sql,
    ON_SHELF.sql,
    QUEUE.sql,
    SEALED.sql,
    SAID.sql,
    HISTORY,
    SEALED_ONCE,
    DIGEST,
    CHANGES,
    TIP,
    INSERT_LEDGER,
    CORRECTED,
    IN_FORCE_AGAIN,
    INSERT,
    UPDATE,
    INSERT_EDIT,
    KEEP_SEAL,
    DELETE,
    DELETE_HISTORY,
];

ledger!("note", in_force_again: Some(IN_FORCE_AGAIN));

/// Where a note is.
fn place(note: &Note) -> (Option<&str>, i64) {
    let last = note.edits.last();
    last.map_or((None, 0), |edit| (edit.shelf.as_deref(), edit.rank))
}

impl Rows for Note {
    type Entry = Edit;

    const LEDGER: &'static Ledger = &LEDGER;
    const STATEMENTS: Statements = Statements {
        by_id: BY_ID,
        by_key: BY_KEY,
        history: HISTORY,
        digest: DIGEST,
        changes: CHANGES,
        delete: [DELETE_HISTORY, DELETE],
    };

    fn lookup(key: &Key) -> Lookup<'_> {
        match key {
            Key::All => Lookup::all(&ALL),
            Key::Author(name) => Lookup::of(&OF_AUTHOR, [name.as_str()]),
            Key::Shelf(name) => Lookup::of(&ON_SHELF, [name.as_str()]),
            Key::Queue => Lookup::all(&QUEUE),
            Key::Text(text) => Lookup::of(&SAID, [text.as_str()]),
            Key::Seal(seal) => Lookup::of(&SEALED, [seal.as_str()]),
        }
    }

    fn created(&self) -> Version {
        self.created
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = Arc<Edit>> {
        self.edits.iter().cloned()
    }

    /// Each edit is chained to the identity alone: this kit looks at no digests.
    fn versions(edit: &Edit) -> (Option<Version>, Version) {
        (None, edit.version)
    }

    fn identity(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Note {
            id: sql::parsed(row, "id", |text| text.parse().ok())?,
            author: row.get("author")?,
            seal: row.get("seal")?,
            created: Version::from_nanos(row.get("created")?),
            edits: Vec::new(),
        })
    }

    fn entry(row: &Row<'_>) -> Result<(Edit, Sum), rusqlite::Error> {
        let edit = Edit {
            version: Version::from_nanos(row.get("version")?),
            at: row.get::<_, Time>("at")?.0,
            shelf: row.get("shelf")?,
            rank: row.get("rank")?,
            text: row.get("text")?,
        };
        Ok((edit, row.get("digest")?))
    }

    fn restored(self, edits: Vec<Arc<Edit>>) -> Option<Self> {
        (!edits.is_empty()).then_some(Self { edits, ..self })
    }

    fn identity_digest(&self) -> Result<Sum, Failure> {
        Ok(Canonical::of("note").text(&self.id.to_string()).finish())
    }

    fn entry_digest(edit: &Edit, before: &Sum) -> Sum {
        let edit = Canonical::of("edit").integer(edit.version.as_nanos());
        edit.sum(before).finish()
    }

    fn insert(&self, connection: &Connection) -> Result<(), Failure> {
        let (created, (shelf, rank)) = (self.created.as_nanos(), place(self));
        let values = params![
            created,
            self.id.to_string(),
            self.author,
            self.seal,
            shelf,
            rank
        ];
        sql::statement(connection, STATEMENTS, INSERT)?.execute(values)?;
        Ok(())
    }

    fn update(&self, connection: &Connection) -> Result<(), Failure> {
        let (created, (shelf, rank)) = (self.created.as_nanos(), place(self));
        sql::statement(connection, STATEMENTS, UPDATE)?.execute(params![created, shelf, rank])?;
        Ok(())
    }

    fn insert_entry(
        connection: &Connection,
        record: i64,
        edit: &Edit,
        digest: &Sum,
    ) -> Result<(), Failure> {
        sql::statement(connection, STATEMENTS, INSERT_EDIT)?.execute(params![
            record,
            edit.version.as_nanos(),
            nanos(edit.at)?,
            edit.shelf,
            edit.rank,
            edit.text,
            digest,
        ])?;
        Ok(())
    }

    fn outlive(&self, connection: &Connection) -> Result<(), Failure> {
        if let Some(seal) = &self.seal {
            let values = params![seal, self.id.to_string()];
            sql::statement(connection, STATEMENTS, KEEP_SEAL)?.execute(values)?;
        }
        Ok(())
    }
}

/// An engine in a file of its own, which goes with it.
struct File {
    engine: Option<Arc<FileEngine<Note>>>,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

impl File {
    fn opened(mut self) -> Self {
        let engine = self.engine.take();
        let handles = engine.as_ref().map_or(0, Arc::strong_count);
        assert!(handles < 2, "nothing else holds the file open");
        drop(engine);
        let path = self.folder.path().join("countersign.db");
        let options = Options {
            synchronous: Synchronous::Normal,
            ..Options::default()
        };
        let database = Database::open(&path, &options).expect("the file opens");
        let schema = Connection::open(&path).unwrap();
        schema.execute_batch(SCHEMA).unwrap();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let books = Books::new(&database, &LEDGER, clock, CLOCK_TOLERANCE);
        self.engine = Some(Arc::new(FileEngine::over(books)));
        self
    }
}

impl Subject for File {
    type Engine = FileEngine<Note>;

    fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let file = File {
                engine: None,
                clock,
                folder: tempfile::tempdir().unwrap(),
            };
            file.opened()
        })
    }

    fn engine(&self) -> Arc<FileEngine<Note>> {
        self.engine.clone().expect("an engine is open")
    }

    fn reopen(self) -> BoxFuture<'static, Self> {
        Box::pin(async move { self.opened() })
    }
}

countersign_core::engine_conformance_tests!(File);
