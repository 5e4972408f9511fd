//! What `verify` looks at in one emergency.

use std::sync::Arc;

use countersign_breakglass::Emergency;
use rusqlite::{Connection, Row};

use super::rows::{self, State};
use crate::error::{EngineError, Failure};
use crate::records::{self, Rows};
use crate::report::{Findings, Place};
use crate::sql::of_record;
use crate::verify::{Chained, check_column, check_entries};

pub(crate) const CHAINED: Chained = Chained {
    ledger: &rows::LEDGER,
    noun: "emergency",
    tables: ["emergency_ledger", "emergency", "emergency_history"],
    check,
};

fn check(connection: &Connection, row: &Row<'_>, findings: &mut Findings) -> Result<u64, Failure> {
    let name = format!("emergency `{}`", row.get::<_, String>("id")?);
    let emergency = match Emergency::identity(row).map_err(of_record(|| name.clone())) {
        Ok(emergency) => emergency,
        Err(Failure { source, .. }) => {
            findings.add(Some(&name), Place::Row, source.to_string());
            return Ok(0);
        }
    };
    let entries = match records::history(connection, &emergency) {
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
        emergency.identity_digest()?,
        &entries,
        Emergency::versions,
        Emergency::entry_digest,
        findings,
    );
    let history = entries.into_iter().map(|(entry, _)| Arc::new(entry));
    let emergency = Emergency {
        history: history.collect(),
        ..emergency
    };
    let last = emergency.history.last().map(|entry| entry.to);
    let Some(replayed) = last.and_then(|last| emergency.as_of(last)) else {
        findings.add(
            Some(&name),
            Place::Row,
            "its history is empty or out of order",
        );
        return Ok(count);
    };
    let first = emergency.history.first();
    let created = first.map(|entry| (entry.to, entry.at));
    let found = Some((emergency.created, emergency.created_at));
    check_column(&name, "created, created_at", &found, &created, findings);
    let folded = emergency.invoker.case_folded().to_string();
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
