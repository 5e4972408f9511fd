//! What was played on a file, so that a day goes on where it stopped.
//!
//! Two tables of the demo's own, in the file of the stores: the documents with which the day began,
//! and a row for each step that is over, with what came of it and what the service has to remember.
//! The row is written after the step. So when a program ends in the middle of a step, or before its
//! row, that step is the only one to be played again, and playing it again does no harm: see
//! [`crate::world`].
//!
//! A day that has grown at its end goes on; any other day is refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_sqlite::{Database, Options};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};

use crate::data::Data;
use crate::step::Step;
use crate::world::{Kept, Outcome};

/// How long to wait for another program that writes.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE demo_document (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE demo_step (
        number INTEGER PRIMARY KEY,
        text TEXT NOT NULL,
        outcome TEXT NOT NULL,
        kept TEXT NOT NULL
    ) STRICT;
";

/// The file of a day.
pub struct Journal {
    path: PathBuf,
    database: Database,
    connection: Connection,
}

/// What was played before.
#[derive(Debug, Default)]
pub struct Played {
    /// What came of each step, from the first.
    pub outcomes: Vec<Outcome>,
    /// What the service has to remember after the last.
    pub kept: Kept,
}

impl Journal {
    /// Opens a file, or makes it, and gives what was played on it; says why if it is of another kind
    /// or of another day.
    pub fn open(path: &Path, data: &Data) -> Result<(Self, Played), String> {
        let shown = path.display();
        // The engine's own words do not say what to do.
        if path.is_dir() {
            return Err(format!("`{shown}` is a directory: name a file in it"));
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let folder = folder.display();
            return Err(format!(
                "there is no directory `{folder}`: make it, or name another file"
            ));
        }
        let database =
            Database::open(path, &Options::default()).map_err(|error| error.to_string())?;
        let failed = |error: rusqlite::Error| format!("`{shown}` cannot be used: {error}");
        let connection = connect(path).map_err(failed)?;
        let mut journal = Self {
            path: path.to_owned(),
            database,
            connection,
        };
        if !journal.begin(data).map_err(failed)? {
            return Err(format!(
                "`{shown}` has records that no day of the demo made: name another file"
            ));
        }
        journal.check_documents(data)?;
        let played = journal.played(data)?;
        Ok((journal, played))
    }

    /// The file, for the stores.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Notes that a step is over.
    pub fn note(&self, step: &Step, outcome: &Outcome, kept: &Kept) -> Result<(), String> {
        let text = |json: serde_json::Result<String>| json.map_err(|error| error.to_string());
        let outcome = text(serde_json::to_string(outcome))?;
        let kept = text(serde_json::to_string(kept))?;
        let insert = "INSERT INTO demo_step (number, text, outcome, kept) VALUES (?, ?, ?, ?)";
        let row = params![step.number, step.text, outcome, kept];
        match self.connection.execute(insert, row) {
            Ok(_) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(self.told("is played on by another program: let it end, and start this again"))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Makes the tables, unless they are there; says whether the file can be used.
    fn begin(&mut self, data: &Data) -> rusqlite::Result<bool> {
        let immediate = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(immediate)?;
        let count = |sql| transaction.query_row(sql, [], |row| row.get::<_, i64>(0));
        if count("SELECT count(*) FROM sqlite_schema WHERE name = 'demo_step'")? > 0 {
            return Ok(true);
        }
        let written = "SELECT (SELECT count(*) FROM request_ledger)
            + (SELECT count(*) FROM emergency_ledger) + (SELECT count(*) FROM policy_ledger)";
        if count(written)? > 0 {
            return Ok(false);
        }
        transaction.execute_batch(TABLES)?;
        for (name, text) in &data.texts {
            let insert = "INSERT INTO demo_document (name, text) VALUES (?, ?)";
            transaction.execute(insert, [name, text])?;
        }
        transaction.commit()?;
        Ok(true)
    }

    fn check_documents(&self, data: &Data) -> Result<(), String> {
        for (name, text) in &data.texts {
            let select = "SELECT count(*) FROM demo_document WHERE name = ? AND text = ?";
            let same = self
                .connection
                .query_row(select, [name, text], |row| row.get::<_, i64>(0));
            if same.map_err(|error| self.failed(&error))? == 0 {
                return Err(self.told(&format!(
                    "began with another `{name}`: play the files that it began with, or name \
                     another file"
                )));
            }
        }
        Ok(())
    }

    fn played(&self, data: &Data) -> Result<Played, String> {
        let rows = || {
            let select = "SELECT text, outcome, kept FROM demo_step ORDER BY number";
            let mut statement = self.connection.prepare(select)?;
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            statement.query_map([], row)?.collect()
        };
        let rows: rusqlite::Result<Vec<(String, String, String)>> = rows();
        let mut played = Played::default();
        let mut steps = data.steps.iter();
        for (text, outcome, kept) in rows.map_err(|error| self.failed(&error))? {
            let step = steps.next();
            let Some(step) = step.filter(|step| step.text == text) else {
                let number = played.outcomes.len() + 1;
                let day = data.day_file();
                let place = step.map_or(day.clone(), |step| format!("{day}:{}", step.line));
                return Err(self.told(&format!(
                    "is of another day, step {number} of which is not in {place}: play that day, \
                     or name another file"
                )));
            };
            let unreadable = |error: serde_json::Error| {
                self.told(&format!(
                    "has a step {} that cannot be read: {error}",
                    step.number
                ))
            };
            played
                .outcomes
                .push(serde_json::from_str(&outcome).map_err(unreadable)?);
            played.kept = serde_json::from_str(&kept).map_err(unreadable)?;
        }
        Ok(played)
    }

    fn told(&self, what: &str) -> String {
        format!("`{}` {what}", self.path.display())
    }

    fn failed(&self, error: &rusqlite::Error) -> String {
        self.told(&format!("cannot be used: {error}"))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}
