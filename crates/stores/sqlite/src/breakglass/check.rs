//! What `verify` asks of an emergency.

use chrono::{DateTime, Utc};
use countersign_breakglass::{Emergency, HistoryEntry};
use countersign_core::version::Version;
use rusqlite::Row;

use super::rows::{self, State};
use crate::check::Checked;
use crate::error::Failure;
use crate::report::Findings;
use crate::verify::check_column;

impl Checked for Emergency {
    const TABLES: [&'static str; 3] = ["emergency_ledger", "emergency", "emergency_history"];
    type State = State;

    fn created_at(&self) -> Option<DateTime<Utc>> {
        Some(self.created_at)
    }

    fn made(entry: &HistoryEntry) -> (Version, DateTime<Utc>) {
        (entry.to, entry.at)
    }

    fn state(&self) -> Result<State, Failure> {
        State::of(self)
    }

    fn kept(row: &Row<'_>) -> Result<State, rusqlite::Error> {
        let outcome: Option<String> = row.get("review_outcome")?;
        Ok(State {
            status: row
                .get::<_, String>("status")
                .map(|text| rows::status_of(&text))?,
            ended_at: row.get("ended_at")?,
            note: row.get("note")?,
            review_outcome: outcome
                .map(|text| rows::outcome_of(&text).map_or("?", |found| found.as_str())),
            reviewed_by: row.get("reviewed_by")?,
            review: row.get("review")?,
            reviewed_at: row.get("reviewed_at")?,
            updated_at: row.get("updated_at")?,
        })
    }

    fn check_identity(
        &self,
        row: &Row<'_>,
        name: &str,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let folded = self.invoker.case_folded().to_string();
        let found = row.get("invoker_folded")?;
        check_column(name, "invoker_folded", &found, &folded, findings);
        Ok(())
    }
}
