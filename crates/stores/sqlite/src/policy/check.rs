//! What `verify` asks of a version of a policy.

use chrono::{DateTime, Utc};
use countersign_core::version::Version;
use rusqlite::Row;

use super::Versions;
use super::rows::Made;
use crate::check::Checked;
use crate::error::Failure;
use crate::report::{Findings, Place};

impl Checked for Versions {
    const TABLES: [&'static str; 3] = ["policy_ledger", "policy_version", "policy_history"];
    /// No column follows from the history.
    type State = ();

    /// The row does not say: its version has one entry, which does.
    fn created_at(&self) -> Option<DateTime<Utc>> {
        None
    }

    fn made(entry: &Made) -> (Version, DateTime<Utc>) {
        (entry.version, entry.at)
    }

    fn state(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn kept(_row: &Row<'_>) -> Result<(), rusqlite::Error> {
        Ok(())
    }

    /// The document has to be that of the digest.
    fn check_identity(
        &self,
        _row: &Row<'_>,
        name: &str,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        if let Err(error) = self.stored() {
            findings.add(Some(name), Place::Row, error.to_string());
        }
        Ok(())
    }
}
