//! What `verify` looks at in one record, whichever it is: its identity, its history, and the columns
//! that follow from them. What differs between records is their [`Checked`].

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::version::Version;
use rusqlite::{Connection, Row};

use crate::error::{EngineError, Failure};
use crate::records::{self, Rows};
use crate::report::{Findings, Place};
use crate::sql::of_record;
use crate::verify::{Chained, check_column, check_entries};

/// What verifying asks of a record besides its [`Rows`].
pub(crate) trait Checked: Rows {
    /// The tables of ledger, records and histories.
    const TABLES: [&'static str; 3];
    /// The columns that follow from the history, as they are kept.
    type State: PartialEq + fmt::Debug;

    /// When it was created, if its row says.
    fn created_at(&self) -> Option<DateTime<Utc>>;
    /// The version of an entry, and when it was made.
    fn made(entry: &Self::Entry) -> (Version, DateTime<Utc>);
    /// What follows from the history of a record that was restored by it.
    fn state(&self) -> Result<Self::State, Failure>;
    /// What the row says of the same.
    fn kept(row: &Row<'_>) -> Result<Self::State, rusqlite::Error>;
    /// Looks at what follows from the identity.
    fn check_identity(
        &self,
        _row: &Row<'_>,
        _name: &str,
        _findings: &mut Findings,
    ) -> Result<(), Failure> {
        Ok(())
    }
}

/// How a store of these records is verified.
pub(crate) const fn chained<R: Checked>() -> Chained {
    Chained {
        ledger: R::LEDGER,
        named: R::named,
        noun: R::LEDGER.store,
        tables: R::TABLES,
        check: check::<R>,
    }
}

fn check<R: Checked>(
    connection: &Connection,
    row: &Row<'_>,
    findings: &mut Findings,
) -> Result<u64, Failure> {
    let name = R::named(&row.get::<_, String>("id")?);
    let mut broken = |problem: String| findings.add(Some(&name), Place::Row, problem);
    let record = match R::identity(row).map_err(of_record(|| name.clone())) {
        Ok(record) => record,
        Err(Failure { source, .. }) => {
            broken(source.to_string());
            return Ok(0);
        }
    };
    let entries = match records::history(connection, &record) {
        Ok(entries) => entries,
        Err(Failure {
            source: source @ EngineError::Record { .. },
            ..
        }) => {
            broken(source.to_string());
            return Ok(0);
        }
        Err(error) => return Err(error),
    };
    let count = entries.len() as u64;
    check_entries(
        &name,
        record.identity_digest()?,
        &entries,
        R::versions,
        R::entry_digest,
        findings,
    );
    let first = entries.first().map(|(entry, _)| R::made(entry));
    let found = record.created_at().map(|at| (record.created(), at));
    let history = entries.into_iter().map(|(entry, _)| Arc::new(entry));
    let Some(restored) = record.restored(history.collect()) else {
        let problem = "its history is empty or out of order";
        findings.add(Some(&name), Place::Row, problem);
        return Ok(count);
    };
    if found.is_some() {
        check_column(&name, "created, created_at", &found, &first, findings);
    }
    restored.check_identity(row, &name, findings)?;
    let (expected, found) = (restored.state()?, R::kept(row)?);
    if found != expected {
        let problem = format!("it says {found:?}, and from the history follows {expected:?}");
        findings.add(Some(&name), Place::Row, problem);
    }
    Ok(count)
}
