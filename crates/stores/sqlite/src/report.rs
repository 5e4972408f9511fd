//! What a verification found, as data and as lines for people.

use std::fmt;

use countersign_core::version::Version;

use crate::error::{EngineError, Failure};
use crate::ledger::Head;

/// The most findings that a report holds; others are counted.
const MAX_FINDINGS: usize = 100;

/// What a verification found.
///
/// ```
/// # use countersign_sqlite::Report;
/// # fn example(report: &Report) {
/// for finding in &report.findings {
///     println!("{finding}");
/// }
/// println!("{} more; the head is {}", report.more, report.head);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The head of the ledger as it is now: note it if nothing was found.
    pub head: Head,
    /// How many records were looked at; of policies, how many versions.
    pub records: u64,
    /// How many entries of histories were looked at.
    pub entries: u64,
    /// What is wrong, at most 100 findings.
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    pub more: u64,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The record that it is about, if it is about one: what it is and its id or name.
    pub record: Option<String>,
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub problem: String,
}

/// Where something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// In the file as the engine sees it, or in its schema.
    File,
    /// In the head that was noted: the ledger does not have it.
    Head,
    /// In a row of the ledger.
    Ledger {
        /// Its place, counted from 1.
        position: u64,
    },
    /// In an entry of a history, or where it should be; of a policy, in one of its versions.
    Entry {
        /// The version that the entry made.
        version: Version,
    },
    /// In the row of the record.
    Row,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(record) = &self.record {
            write!(f, "{record}, ")?;
        }
        match self.place {
            Place::File => f.write_str("the file")?,
            Place::Head => f.write_str("the head")?,
            Place::Ledger { position } => write!(f, "row {position} of the ledger")?,
            Place::Entry { version } => write!(f, "the entry of `{version}`")?,
            Place::Row => f.write_str("its row")?,
        }
        write!(f, ": {}", self.problem)
    }
}

/// Findings as they are made.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    more: u64,
}

impl Findings {
    pub(crate) fn add(&mut self, record: Option<&str>, place: Place, problem: impl Into<String>) {
        if self.found.len() >= MAX_FINDINGS {
            self.more += 1;
            return;
        }
        self.found.push(Finding {
            record: record.map(str::to_owned),
            place,
            problem: problem.into(),
        });
    }

    pub(crate) fn first(&self) -> Option<&Finding> {
        self.found.first()
    }

    pub(crate) fn in_ledger(&mut self, position: i64, problem: impl Into<String>) {
        let position = u64::try_from(position).unwrap_or(0);
        self.add(None, Place::Ledger { position }, problem);
    }

    /// Damage is a finding; anything else ends the verification.
    pub(crate) fn damage(&mut self, result: Result<(), Failure>) -> Result<(), Failure> {
        match result {
            Err(Failure {
                source: source @ (EngineError::Corrupt(_) | EngineError::Record { .. }),
                ..
            }) => {
                self.add(None, Place::File, source.to_string());
                Ok(())
            }
            result => result,
        }
    }

    pub(crate) fn into_report(self, head: Head, records: u64, entries: u64) -> Report {
        Report {
            head,
            records,
            entries,
            findings: self.found,
            more: self.more,
        }
    }
}
