//! Verification: whether the file is still what its stores have written.
//!
//! What is looked at: the engine's own check of the file and its references; the schema, triggers
//! included; the ledger from its first row; each entry of each history against the ledger and
//! against the digest stored with it; and the columns that follow from the history. All of it is
//! one snapshot, read by the thread that is for long reads: whoever writes or reads otherwise does not
//! wait for it.
//!
//! What cannot be found: whoever can write the file can also write all of it anew, ledger included,
//! and it will agree with itself. Only a [`Head`] that was noted elsewhere tells then, and only of
//! what was before it.
//!
//! It costs a walk over everything, and keeps the write-ahead log from being cut while it lasts.

use std::fmt;

use countersign_core::version::Version;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::error::Failure;
use crate::ledger::{Head, Ledger, Line, Sum, Tip, Written, correction_digest};
use crate::report::{Findings, Place, Report};
use crate::schema;

/// What a store with records and histories lets be verified.
pub(crate) struct Chained {
    pub(crate) ledger: &'static Ledger,
    /// What a record is called, and the one with an id.
    pub(crate) noun: &'static str,
    pub(crate) named: fn(&str) -> String,
    /// The tables of ledger, records and histories.
    pub(crate) tables: [&'static str; 3],
    /// Looks at one row of the table of records and its history, and counts its entries.
    pub(crate) check: fn(&Connection, &Row<'_>, &mut Findings) -> Result<u64, Failure>,
}

/// Verifies a store with records and histories.
pub(crate) fn verify(
    connection: &Connection,
    chained: &Chained,
    known: Option<&Head>,
) -> Result<Report, Failure> {
    let mut findings = Findings::default();
    let [ledger, records, histories] = chained.tables;
    let mut tip = Tip::START;
    let (mut count, mut entries) = (0, 0);
    check_file(connection, &mut findings)?;

    let mut walk = || {
        let mut statement = connection.prepare(&format!(
            "SELECT version, record, digest, at FROM {histories} ORDER BY version"
        ))?;
        let mut history = Merged::new(statement.query([])?)?;
        let columns = format!(
            "position, version, action, record, id, digest, head, at, writer, jumped_at, latest, \
             corrected_writer, in_force_again FROM {ledger}"
        );
        tip = walk_ledger(
            connection,
            chained.ledger,
            &columns,
            known,
            &mut findings,
            |line, findings| {
                if matches!(line.action.as_str(), "corrected" | "jumped") {
                    return Ok(());
                }
                let record = (chained.named)(&line.id);
                if line.action == "deleted" {
                    let sql = format!("SELECT 1 FROM {records} WHERE created = ?1");
                    if exists(connection, &sql, line.record)? {
                        let place = Place::Ledger {
                            position: line.position,
                        };
                        findings.add(Some(&record), place, "it is deleted here, and is there");
                    }
                    return Ok(());
                }
                history.up_to(line.version, findings)?;
                let place = Place::Entry {
                    version: line.version,
                };
                match history.take(line.version)? {
                    Some((of, digest)) if of == line.record && digest == line.digest => {}
                    Some((of, _)) if of != line.record => {
                        findings.add(
                            Some(&record),
                            place,
                            "it is in the history of another record",
                        );
                    }
                    Some(_) => {
                        findings.add(
                            Some(&record),
                            place,
                            "it was changed: its digest is not the ledger's",
                        );
                    }
                    None => {
                        let sql = format!(
                            "SELECT 1 FROM {ledger} WHERE record = ?1 AND action = 'deleted'"
                        );
                        if !exists(connection, &sql, line.record)? {
                            findings.add(Some(&record), place, "it was dropped: the ledger has it");
                        }
                    }
                }
                Ok(())
            },
        )?;
        history.rest(&mut findings)
    };
    let walked = walk();
    findings.damage(walked)?;

    let mut look = || {
        let mut statement =
            connection.prepare(&format!("SELECT * FROM {records} ORDER BY created"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            count += 1;
            entries += (chained.check)(connection, row, &mut findings)?;
        }
        let mut statement = connection.prepare(&format!(
            "SELECT version FROM {histories} \
             WHERE NOT EXISTS (SELECT 1 FROM {records} WHERE created = record)"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let version = Version::from_nanos(row.get(0)?);
            let problem = format!("the {} that it is of is gone", chained.noun);
            findings.add(None, Place::Entry { version }, problem);
        }
        Ok(())
    };
    let looked = look();
    findings.damage(looked)?;
    let head = Head::new(chained.ledger.store, tip.position, tip.head);
    Ok(findings.into_report(head, count, entries))
}

/// A row of the ledger.
pub(crate) struct LedgerRow {
    pub(crate) position: u64,
    pub(crate) version: Version,
    pub(crate) action: String,
    pub(crate) record: i64,
    pub(crate) id: String,
    pub(crate) digest: Sum,
    /// When it was written, and by whom.
    pub(crate) written: Written,
}

/// Walks the ledger from its first row, and compares it with a head that was noted.
pub(crate) fn walk_ledger(
    connection: &Connection,
    ledger: &Ledger,
    columns: &str,
    known: Option<&Head>,
    findings: &mut Findings,
    mut each: impl FnMut(LedgerRow, &mut Findings) -> Result<(), Failure>,
) -> Result<Tip, Failure> {
    let mut tip = Tip::START;
    let mut statement = connection.prepare(&format!("SELECT {columns} ORDER BY position"))?;
    let mut rows = statement.query([])?;
    let mut met = compare(known, ledger, &tip, findings);
    while let Some(row) = rows.next()? {
        let position: i64 = row.get(0)?;
        let line = LedgerRow {
            position: u64::try_from(position).unwrap_or(0),
            version: Version::from_nanos(row.get(1)?),
            action: row.get(2)?,
            record: row.get(3)?,
            id: row.get(4)?,
            digest: row.get(5)?,
            written: Written {
                at: row.get(7)?,
                writer: row.get(8)?,
                jumped_at: row.get(9)?,
            },
        };
        if let Some(before) = tip.written {
            let is_back = line.written.at < before.at;
            if is_back != (line.action == "corrected") {
                findings.in_ledger(position, "its time is before that of the row before it");
            }
        }
        if line.action == "corrected" {
            let expected = correction_digest(row.get(10)?, row.get(11)?, row.get(12)?);
            if expected != line.digest || tip.written.map(|before| before.at) != Some(line.record) {
                findings.in_ledger(position, "its correction of the clock was changed");
            }
        }
        if position != tip.position.saturating_add(1) {
            findings.in_ledger(position, format!("the row before it is {}", tip.position));
            tip.position = position.saturating_sub(1);
        }
        let grows = match line.action.as_str() {
            "jumped" => Some(line.version) == tip.version,
            _ => Some(line.version) > tip.version,
        };
        if !grows {
            findings.in_ledger(position, "its version is not later than the one before");
        }
        let head: Sum = row.get(6)?;
        tip.advance(
            ledger.store,
            &Line {
                version: line.version,
                action: &line.action,
                record: line.record,
                id: &line.id,
                digest: &line.digest,
                written: line.written,
            },
        );
        if tip.head != head {
            findings.in_ledger(
                position,
                "its head does not follow from it and the head before",
            );
            // What comes after is judged by what is written here.
            tip.head = head;
        }
        met = compare(known, ledger, &tip, findings) || met;
        each(line, findings)?;
    }
    if let (Some(known), false) = (known, met) {
        let problem = match known.store() == ledger.store {
            true => format!(
                "`{known}` was noted, and the ledger ends at row {}",
                tip.position
            ),
            false => format!("`{known}` is of another store: compare with one of this store"),
        };
        findings.add(None, Place::Head, problem);
    }
    Ok(tip)
}

/// Whether this is the place of the head that was noted; whether it is the same is a finding.
fn compare(known: Option<&Head>, ledger: &Ledger, tip: &Tip, findings: &mut Findings) -> bool {
    let here = Head::new(ledger.store, tip.position, tip.head);
    let Some(known) = known else {
        return false;
    };
    let same_place = known.store() == here.store() && known.position() == here.position();
    if same_place && *known != here {
        let problem = format!("`{known}` was noted, and the ledger has `{here}` in its place");
        findings.add(None, Place::Head, problem);
    }
    same_place
}

fn exists(connection: &Connection, sql: &str, record: i64) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([record], |row| row.get::<_, i64>(0));
    Ok(found.optional()?.is_some())
}

/// The entries of all histories by version, read beside the ledger.
struct Merged<'s> {
    rows: rusqlite::Rows<'s>,
    next: Option<(Version, i64, Sum)>,
}

impl<'s> Merged<'s> {
    fn new(rows: rusqlite::Rows<'s>) -> Result<Self, Failure> {
        let mut merged = Self { rows, next: None };
        merged.advance()?;
        Ok(merged)
    }

    fn advance(&mut self) -> Result<(), Failure> {
        self.next = match self.rows.next()? {
            None => None,
            Some(row) => Some((Version::from_nanos(row.get(0)?), row.get(1)?, row.get(2)?)),
        };
        Ok(())
    }

    /// Passes what comes before a version: the ledger does not have it.
    fn up_to(&mut self, version: Version, findings: &mut Findings) -> Result<(), Failure> {
        while let Some((found, ..)) = self.next.filter(|(found, ..)| *found < version) {
            self.added(found, findings)?;
        }
        Ok(())
    }

    fn rest(&mut self, findings: &mut Findings) -> Result<(), Failure> {
        while let Some((found, ..)) = self.next {
            self.added(found, findings)?;
        }
        Ok(())
    }

    fn added(&mut self, version: Version, findings: &mut Findings) -> Result<(), Failure> {
        let problem = "it was added: the ledger does not have it";
        findings.add(None, Place::Entry { version }, problem);
        self.advance()
    }

    /// Record and digest of the entry of this version, if it is the next.
    fn take(&mut self, version: Version) -> Result<Option<(i64, Sum)>, Failure> {
        match self.next {
            Some((found, record, digest)) if found == version => {
                self.advance()?;
                Ok(Some((record, digest)))
            }
            _ => Ok(None),
        }
    }
}

/// The engine's own checks, and whether the schema is the one that the migrations make.
pub(crate) fn check_file(connection: &Connection, findings: &mut Findings) -> Result<(), Failure> {
    let check = |findings: &mut Findings| {
        let mut statement = connection.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let said: String = row.get(0)?;
            if said != "ok" {
                findings.add(None, Place::File, said);
            }
        }
        for difference in schema::differences(connection)? {
            findings.add(None, Place::File, difference);
        }
        Ok(())
    };
    let checked = check(findings);
    findings.damage(checked)
}

/// Looks at the entries of one record: each must follow from the one before it.
pub(crate) fn check_entries<E>(
    record: &str,
    mut before: Sum,
    entries: &[(E, Sum)],
    versions: impl Fn(&E) -> (Option<Version>, Version),
    digest: impl Fn(&E, &Sum) -> Sum,
    findings: &mut Findings,
) {
    let mut last = None;
    for (entry, stored) in entries {
        let (from, version) = versions(entry);
        let place = Place::Entry { version };
        if from != last {
            let problem = "it does not follow the entry before it";
            findings.add(Some(record), place, problem);
        }
        if digest(entry, &before) != *stored {
            let problem = match last {
                None => "it, or what identifies the record, was changed",
                Some(_) => "it was changed, or does not follow the entry before it",
            };
            findings.add(Some(record), place, problem);
        }
        (before, last) = (*stored, Some(version));
    }
}

/// Looks at one column of a record's row.
pub(crate) fn check_column<T: PartialEq + fmt::Debug>(
    record: &str,
    column: &str,
    found: &T,
    expected: &T,
    findings: &mut Findings,
) {
    if found != expected {
        let problem =
            format!("column `{column}` is {found:?}, and from the history follows {expected:?}");
        findings.add(Some(record), Place::Row, problem);
    }
}
