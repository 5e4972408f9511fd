//! What `verify` looks at in one event.

use std::sync::Arc;

use countersign_breakglass::Event;
use rusqlite::{Connection, Row};

use super::rows::{self, State};
use crate::error::{EngineError, Failure};
use crate::records::{self, Rows};
use crate::report::{Findings, Place};
use crate::sql::of_record;
use crate::verify::{Chained, check_column, check_entries};

pub(crate) const CHAINED: Chained = Chained {
    ledger: &rows::LEDGER,
    noun: "event",
    tables: ["event_ledger", "event", "event_history"],
    check,
};

fn check(connection: &Connection, row: &Row<'_>, findings: &mut Findings) -> Result<u64, Failure> {
    let name = format!("event `{}`", row.get::<_, String>("id")?);
    let event = match Event::identity(row).map_err(of_record(|| name.clone())) {
        Ok(event) => event,
        Err(Failure { source, .. }) => {
            findings.add(Some(&name), Place::Row, source.to_string());
            return Ok(0);
        }
    };
    let entries = match records::history(connection, &event) {
        Ok(entries) => entries,
        Err(Failure {
            source: source @ EngineError::Record { .. },
            ..
        }) => {
            findings.add(Some(&name), Place::Row, source.to_string());
            return Ok(0);
        }
        Err(error) => return Err(error),
    };
    let count = entries.len() as u64;
    check_entries(
        &name,
        event.identity_digest()?,
        &entries,
        Event::versions,
        Event::entry_digest,
        findings,
    );
    let history = entries.into_iter().map(|(entry, _)| Arc::new(entry));
    let event = Event {
        history: history.collect(),
        ..event
    };
    let last = event.history.last().map(|entry| entry.to);
    let Some(replayed) = last.and_then(|last| event.as_of(last)) else {
        findings.add(
            Some(&name),
            Place::Row,
            "its history is empty or out of order",
        );
        return Ok(count);
    };
    let first = event.history.first();
    let created = first.map(|entry| (entry.to, entry.at));
    let found = Some((event.created, event.created_at));
    check_column(&name, "created, created_at", &found, &created, findings);
    let folded = event.invoker.case_folded().to_string();
    check_column(
        &name,
        "invoker_folded",
        &row.get("invoker_folded")?,
        &folded,
        findings,
    );
    let expected = State::of(&replayed)?;
    let outcome: Option<String> = row.get("review_outcome")?;
    let found = State {
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
    };
    if found != expected {
        let problem = format!("it says {found:?}, and from the history follows {expected:?}");
        findings.add(Some(&name), Place::Row, problem);
    }
    Ok(count)
}
