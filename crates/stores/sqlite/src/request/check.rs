//! What `verify` looks at in one request.

use std::sync::Arc;

use countersign_request::Request;
use rusqlite::{Connection, Row};

use super::rows::{self, State};
use crate::error::{EngineError, Failure};
use crate::records::{self, Rows};
use crate::report::{Findings, Place};
use crate::sql::of_record;
use crate::verify::{Chained, check_column, check_entries};

pub(crate) const CHAINED: Chained = Chained {
    ledger: &rows::LEDGER,
    noun: "request",
    tables: ["request_ledger", "request", "request_history"],
    check,
};

fn check(connection: &Connection, row: &Row<'_>, findings: &mut Findings) -> Result<u64, Failure> {
    let name = format!("request `{}`", row.get::<_, String>("id")?);
    let request = match Request::identity(row).map_err(of_record(|| name.clone())) {
        Ok(request) => request,
        Err(Failure { source, .. }) => {
            findings.add(Some(&name), Place::Row, source.to_string());
            return Ok(0);
        }
    };
    let entries = match records::history(connection, &request) {
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
        request.identity_digest()?,
        &entries,
        Request::versions,
        Request::entry_digest,
        findings,
    );
    let history = entries.into_iter().map(|(entry, _)| Arc::new(entry));
    let request = Request {
        history: history.collect(),
        ..request
    };
    let last = request.history.last().map(|entry| entry.to);
    let Some(replayed) = last.and_then(|last| request.as_of(last)) else {
        findings.add(
            Some(&name),
            Place::Row,
            "its history is empty or out of order",
        );
        return Ok(count);
    };
    let first = request.history.first();
    let created = first.map(|entry| (entry.to, entry.at));
    let found = Some((request.created, request.created_at));
    check_column(&name, "created, created_at", &found, &created, findings);
    let expected = State::of(&replayed)?;
    let found = State {
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
    };
    if found != expected {
        let problem = format!("it says {found:?}, and from the history follows {expected:?}");
        findings.add(Some(&name), Place::Row, problem);
    }
    Ok(count)
}
