//! What `verify` asks of a request.

use chrono::{DateTime, Utc};
use countersign_core::version::Version;
use countersign_request::{HistoryEntry, Request};
use rusqlite::Row;

use super::rows::{self, State};
use crate::check::Checked;
use crate::error::Failure;

impl Checked for Request {
    const TABLES: [&'static str; 3] = ["request_ledger", "request", "request_history"];
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
        Ok(State {
            status: row
                .get::<_, String>("status")
                .map(|text| rows::status_of(&text))?,
            approved_by: row.get("approved_by")?,
            approved_by_rule: row.get("approved_by_rule")?,
            access_from: row.get("access_from")?,
            access_until: row.get("access_until")?,
            ended_at: row.get("ended_at")?,
            note: row.get("note")?,
            updated_at: row.get("updated_at")?,
        })
    }
}
