//! Requests as rows: the statements, how a record is read back, and how a change is written.
//!
//! A record is what its identity columns and its history say: the columns that follow from the
//! history are written for queries and never read back. The order of writes within a step is that
//! of the triggers: the record's row, then entry and ledger row of each change.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::grant::GrantedBy;
use countersign_core::version::Version;
use countersign_request::{
    Action, Actor, HistoryEntry, Person, Profile, Request, RequestId, Status,
};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::error::{EngineError, Failure};
use crate::ledger::{Canonical, Ledger, Sum, Times};
use crate::sql::{self, Length, Time, clamped, length, nanos, of_record, parsed, parsed_if_any};
use crate::step::Step;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT created, id, requester, profile, duration, justification, ticket, policy, ",
            "ends_with_policy, created_at, decide_by FROM request ",
            $rest
        )
    };
}

// Lists: ?1 and so on what is asked for, then the time and id of the place to go on after, then
// the limit. No two records have the same `created`.
pub(crate) const BY_ID: &str = select!("WHERE id = ?1");
pub(crate) const BY_KEY: &str = select!("WHERE created = ?1");
pub(crate) const OF_REQUESTER: &str = select!(
    "INDEXED BY request_requester WHERE requester = ?1 AND created <= ?2 \
     AND (created < ?2 OR id > ?3) ORDER BY created DESC LIMIT ?4"
);
pub(crate) const OF_PROFILE: &str = select!(
    "INDEXED BY request_profile WHERE profile = ?1 AND created <= ?2 \
     AND (created < ?2 OR id > ?3) ORDER BY created DESC LIMIT ?4"
);
pub(crate) const OF_STATUS: &str = select!(
    "INDEXED BY request_status WHERE status = ?1 AND created <= ?2 \
     AND (created < ?2 OR id > ?3) ORDER BY created DESC LIMIT ?4"
);
pub(crate) const GRANT: &str = select!(
    "INDEXED BY request_access WHERE status = 'approved' AND requester = ?1 AND profile = ?2 \
     AND pinned_to = ?3 AND access_until > ?4 ORDER BY access_until DESC, id"
);
pub(crate) const DUE: &str = select!(
    "INDEXED BY request_deadline WHERE status = 'pending' AND decide_by <= ?1 \
     ORDER BY decide_by, id LIMIT ?2"
);
/// What has not come to its deadline, of which some may be dated ahead.
pub(crate) const NOT_DUE: &str = select!(
    "INDEXED BY request_deadline WHERE status = 'pending' AND decide_by > ?1 \
     ORDER BY decide_by, id"
);
pub(crate) const WAITING: &str = select!(
    "INDEXED BY request_status WHERE status = 'pending' AND created >= ?1 \
     AND (created > ?1 OR id > ?2) ORDER BY created LIMIT ?3"
);
pub(crate) const WAITING_FOR: &str = select!(
    "INDEXED BY request_waiting WHERE status = 'pending' AND profile = ?1 AND created >= ?2 \
     AND (created > ?2 OR id > ?3) ORDER BY created LIMIT ?4"
);
pub(crate) const OPEN: &str = select!(
    "INDEXED BY request_open WHERE requester = ?1 AND open_until > ?2 AND open_until <= ?3 \
     AND (open_until < ?3 OR id > ?4) ORDER BY open_until DESC, id"
);
pub(crate) const ENDED: &str =
    select!("INDEXED BY request_ended WHERE ended_at < ?1 ORDER BY ended_at, id");
/// What ends or has ended then or later, of which some may be dated ahead.
pub(crate) const NOT_ENDED: &str =
    select!("INDEXED BY request_ended WHERE ended_at >= ?1 ORDER BY ended_at, id");
const IN_FORCE_AGAIN: &str = "SELECT count(*) FROM request INDEXED BY request_ended \
     WHERE ended_at > ?1 AND ended_at <= ?2 AND status = 'approved' AND access_from <= ?1";
const HISTORY: &str = "SELECT version, at, previous, action, actor_kind, actor, reason, operation, \
     digest FROM request_history WHERE record = ?1 ORDER BY version";
const DIGEST: &str = "SELECT digest FROM request_history WHERE record = ?1 AND version = ?2";
const OPERATION: &str = "SELECT record FROM request_history INDEXED BY request_history_operation \
     WHERE operation = ?1 ORDER BY record DESC LIMIT 1";
pub(crate) const CHANGES: &str = "SELECT version, record FROM request_history \
     INDEXED BY request_history_version WHERE version >= ?1 ORDER BY version LIMIT ?2";
const TIP: &str = "SELECT position, version, head, at, writer, jumped_at FROM request_ledger \
     ORDER BY position DESC LIMIT 1";
const INSERT: &str = "INSERT INTO request (created, id, requester, profile, duration, \
     justification, ticket, policy, ends_with_policy, created_at, decide_by, status, \
     approved_by, approved_by_rule, access_from, access_until, ended_at, note, updated_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
     ?19)";
const UPDATE: &str = "UPDATE request SET status = ?2, approved_by = ?3, approved_by_rule = ?4, \
     access_from = ?5, access_until = ?6, ended_at = ?7, note = ?8, updated_at = ?9 \
     WHERE created = ?1";
const INSERT_ENTRY: &str = "INSERT INTO request_history (record, version, at, previous, action, \
     actor_kind, actor, reason, operation, digest) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const INSERT_LEDGER: &str = "INSERT INTO request_ledger (position, version, action, record, id, \
     digest, head, at, writer, jumped_at, latest, corrected_writer, in_force_again) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const CORRECTED: &str = "SELECT version, at, writer, record, latest, corrected_writer \
     FROM request_ledger INDEXED BY request_ledger_corrected WHERE action = 'corrected' \
     AND version >= ?1 ORDER BY version";
const DELETE: &str = "DELETE FROM request WHERE created = ?1";
const DELETE_HISTORY: &str = "DELETE FROM request_history WHERE record = ?1";

/// Every statement that the store runs, but for those of `verify`, which reads everything.
pub(crate) const STATEMENTS: &[&str] = &[
    BY_ID,
    BY_KEY,
    OF_REQUESTER,
    OF_PROFILE,
    OF_STATUS,
    GRANT,
    DUE,
    NOT_DUE,
    WAITING,
    WAITING_FOR,
    OPEN,
    ENDED,
    NOT_ENDED,
    HISTORY,
    DIGEST,
    OPERATION,
    CHANGES,
    TIP,
    CORRECTED,
    IN_FORCE_AGAIN,
    INSERT,
    UPDATE,
    INSERT_ENTRY,
    INSERT_LEDGER,
    DELETE,
    DELETE_HISTORY,
];

pub(crate) const LEDGER: Ledger = Ledger {
    store: "request",
    statements: STATEMENTS,
    tip: TIP,
    append: INSERT_LEDGER,
    times: Some(Times {
        corrected: CORRECTED,
        in_force_again: IN_FORCE_AGAIN,
    }),
};

/// A status as it is stored, if the text is one.
pub(crate) fn status_of(text: &str) -> &'static str {
    let mut texts = Status::ALL.into_iter().map(status_text);
    texts.find(|known| *known == text).unwrap_or("unknown")
}

pub(crate) fn status_text(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Approved => "approved",
        Status::Denied => "denied",
        Status::Expired => "expired",
        Status::Cancelled => "cancelled",
        Status::Revoked => "revoked",
        Status::Released => "released",
        Status::Ended => "ended",
    }
}

const ACTIONS: [Action; 10] = [
    Action::Created,
    Action::ApprovedInPart,
    Action::Approved,
    Action::Denied,
    Action::Expired,
    Action::Cancelled,
    Action::Revoked,
    Action::Released,
    Action::Ended,
    Action::Noted,
];

fn action_text(action: Action) -> &'static str {
    match action {
        Action::Created => "created",
        Action::ApprovedInPart => "approved_in_part",
        Action::Approved => "approved",
        Action::Denied => "denied",
        Action::Expired => "expired",
        Action::Cancelled => "cancelled",
        Action::Revoked => "revoked",
        Action::Released => "released",
        Action::Ended => "ended",
        Action::Noted => "noted",
    }
}

/// Kind and name of an actor, as they are stored.
fn actor_columns(actor: &Actor) -> (&'static str, Option<&str>) {
    match actor {
        Actor::Person(person) => ("person", Some(person.as_str())),
        Actor::Rule(rule) => ("rule", Some(rule)),
        Actor::Time => ("time", None),
        Actor::Clock => ("clock", None),
    }
}

/// The identity of a request, without its history: what else it says follows from that.
pub(crate) fn identity(row: &Row<'_>) -> Result<Request, rusqlite::Error> {
    let created_at = row.get::<_, Time>("created_at")?.0;
    Ok(Request {
        id: parsed(row, "id", |text| text.parse().ok())?,
        requester: parsed(row, "requester", |text| Person::new(text).ok())?,
        profile: parsed(row, "profile", |text| Profile::new(text).ok())?,
        duration: row.get::<_, Length>("duration")?.0,
        justification: row.get("justification")?,
        ticket: row.get("ticket")?,
        policy: parsed_if_any(row, "policy", |text| text.parse().ok())?,
        ends_with_policy: row.get("ends_with_policy")?,
        created: Version::from_nanos(row.get("created")?),
        created_at,
        decide_by: row.get::<_, Time>("decide_by")?.0,
        status: Status::Pending,
        approvals: Vec::new(),
        approval: None,
        access_until: None,
        note: None,
        updated_at: Version::from_nanos(row.get("created")?),
        history: Vec::new(),
    })
}

/// An entry, and the digest that is stored with it.
pub(crate) fn entry(row: &Row<'_>) -> Result<(HistoryEntry, Sum), rusqlite::Error> {
    let actor = match row.get::<_, String>("actor_kind")?.as_str() {
        "person" => Actor::Person(parsed(row, "actor", |text| Person::new(text).ok())?),
        "rule" => Actor::Rule(row.get("actor")?),
        "clock" => Actor::Clock,
        _ => Actor::Time,
    };
    let entry = HistoryEntry {
        action: parsed(row, "action", |text| {
            ACTIONS
                .into_iter()
                .find(|action| action_text(*action) == text)
        })?,
        actor,
        reason: row.get("reason")?,
        operation: parsed_if_any(row, "operation", |text| text.parse().ok())?,
        from: row
            .get::<_, Option<i64>>("previous")?
            .map(Version::from_nanos),
        to: Version::from_nanos(row.get("version")?),
        at: row.get::<_, Time>("at")?.0,
    };
    Ok((entry, row.get("digest")?))
}

/// The digest before the first entry: over what identifies the record.
pub(crate) fn identity_digest(request: &Request) -> Result<Sum, Failure> {
    let policy = request.policy.map(|policy| policy.to_string());
    Ok(Canonical::of("countersign request 1")
        .text(&request.id.to_string())
        .text(request.requester.as_str())
        .text(request.profile.as_str())
        .integer(length("duration", request.duration)?)
        .text(&request.justification)
        .text_if_any(request.ticket.as_deref())
        .text_if_any(policy.as_deref())
        .integer(request.ends_with_policy.into())
        .integer(request.created.as_nanos())
        .integer(nanos(request.created_at)?)
        .integer(nanos(request.decide_by)?)
        .finish())
}

/// The digest of an entry that follows the one with digest `before`.
pub(crate) fn entry_digest(entry: &HistoryEntry, before: &Sum) -> Sum {
    let (kind, actor) = actor_columns(&entry.actor);
    let operation = entry.operation.map(|operation| operation.to_string());
    Canonical::of("countersign request entry 1")
        .sum(before)
        .text(action_text(entry.action))
        .text(kind)
        .text_if_any(actor)
        .text_if_any(entry.reason.as_deref())
        .text_if_any(operation.as_deref())
        .integer_if_any(entry.from.map(Version::as_nanos))
        .integer(entry.to.as_nanos())
        .integer(clamped(entry.at))
        .finish()
}

/// What a request's row says besides its identity: all of it follows from the history.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) status: &'static str,
    pub(crate) approved_by: Option<String>,
    pub(crate) approved_by_rule: Option<String>,
    pub(crate) access_from: Option<i64>,
    pub(crate) access_until: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) note: Option<Arc<str>>,
    pub(crate) updated_at: i64,
}

impl State {
    pub(crate) fn of(request: &Request) -> Result<Self, Failure> {
        let time = |time: Option<DateTime<Utc>>| time.map(nanos).transpose();
        let (approved_by, approved_by_rule) = match &request.approval {
            None => (None, None),
            Some(approval) => match &approval.by {
                GrantedBy::Person(person) => (Some(person.to_string()), None),
                GrantedBy::Rule(rule) => (None, Some(rule.to_string())),
            },
        };
        Ok(Self {
            status: status_text(request.status),
            approved_by,
            approved_by_rule,
            access_from: time(request.approval.as_ref().map(|approval| approval.at))?,
            access_until: time(request.access_until)?,
            ended_at: time(request.ended_at())?,
            note: request.note.clone(),
            updated_at: request.updated_at.as_nanos(),
        })
    }
}

/// Reads one request.
pub(crate) fn one(
    connection: &Connection,
    sql: &'static str,
    parameters: impl Params,
) -> Result<Option<Request>, Failure> {
    Ok(many(connection, sql, parameters)?.pop())
}

/// Reads requests in the order of the statement.
pub(crate) fn many(
    connection: &Connection,
    sql: &'static str,
    parameters: impl Params,
) -> Result<Vec<Request>, Failure> {
    some(connection, sql, parameters, usize::MAX, |_| true)
}

/// Reads requests in the order of the statement, until there are `limit` of those to keep.
pub(crate) fn some(
    connection: &Connection,
    sql: &'static str,
    parameters: impl Params,
    limit: usize,
    keep: impl Fn(&Request) -> bool,
) -> Result<Vec<Request>, Failure> {
    let mut statement = sql::statement(connection, STATEMENTS, sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let place = || match row.get::<_, String>("id") {
            Ok(id) => format!("request `{id}`"),
            Err(_) => "a request".to_owned(),
        };
        let request = with_history(connection, identity(row).map_err(of_record(place))?)?;
        if keep(&request) {
            found.push(request);
        }
    }
    Ok(found)
}

/// The request that its identity and its stored history make.
fn with_history(connection: &Connection, mut request: Request) -> Result<Request, Failure> {
    let entries = history(connection, &request)?;
    request.history = entries
        .into_iter()
        .map(|(entry, _)| Arc::new(entry))
        .collect();
    let last = request.history.last().map(|entry| entry.to);
    let replayed = last.and_then(|last| request.as_of(last));
    let broken = || EngineError::Record {
        place: format!("the history of request `{}`", request.id),
        found: "no entry, or entries out of order".to_owned(),
    };
    replayed.ok_or_else(|| broken().into())
}

/// The stored entries of a request, each with its digest.
pub(crate) fn history(
    connection: &Connection,
    request: &Request,
) -> Result<Vec<(HistoryEntry, Sum)>, Failure> {
    let place = || format!("the history of request `{}`", request.id);
    let mut statement = sql::statement(connection, STATEMENTS, HISTORY)?;
    let mut rows = statement.query([request.created.as_nanos()])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row).map_err(of_record(place))?);
    }
    Ok(entries)
}

/// The request in whose history an operation is.
pub(crate) fn of_operation(
    connection: &Connection,
    operation: &str,
) -> Result<Option<Request>, Failure> {
    let mut statement = sql::statement(connection, STATEMENTS, OPERATION)?;
    let record = statement.query_row([operation], |row| row.get::<_, i64>(0));
    match record.optional()? {
        Some(record) => one(connection, BY_KEY, [record]),
        None => Ok(None),
    }
}

/// Writes a new request.
pub(crate) fn insert(step: &mut Step<'_>, request: &Request) -> Result<(), Failure> {
    let state = State::of(request)?;
    let key = request.created.as_nanos();
    sql::statement(step.connection, STATEMENTS, INSERT)?.execute(params![
        key,
        request.id.to_string(),
        request.requester.as_str(),
        request.profile.as_str(),
        length("duration", request.duration)?,
        request.justification,
        request.ticket,
        request.policy.map(|policy| policy.to_string()),
        request.ends_with_policy,
        nanos(request.created_at)?,
        nanos(request.decide_by)?,
        state.status,
        state.approved_by,
        state.approved_by_rule,
        state.access_from,
        state.access_until,
        state.ended_at,
        state.note,
        state.updated_at,
    ])?;
    let mut digest = identity_digest(request)?;
    for entry in &request.history {
        digest = append(step, key, request.id, entry, &digest)?;
    }
    Ok(())
}

/// Writes the last change of a request.
pub(crate) fn update(step: &mut Step<'_>, request: &Request) -> Result<(), Failure> {
    let state = State::of(request)?;
    let key = request.created.as_nanos();
    sql::statement(step.connection, STATEMENTS, UPDATE)?.execute(params![
        key,
        state.status,
        state.approved_by,
        state.approved_by_rule,
        state.access_from,
        state.access_until,
        state.ended_at,
        state.note,
        state.updated_at,
    ])?;
    let Some(entry) = request.history.last() else {
        return Ok(());
    };
    let before = digest_at(step.connection, key, entry.from)?;
    append(step, key, request.id, entry, &before)?;
    Ok(())
}

/// The digest that is stored with the entry of this version.
fn digest_at(
    connection: &Connection,
    record: i64,
    version: Option<Version>,
) -> Result<Sum, Failure> {
    let version = version.map(Version::as_nanos);
    let mut statement = sql::statement(connection, STATEMENTS, DIGEST)?;
    Ok(statement.query_row(params![record, version], |row| row.get(0))?)
}

/// Writes an entry and its row of the ledger.
fn append(
    step: &mut Step<'_>,
    record: i64,
    id: RequestId,
    entry: &HistoryEntry,
    before: &Sum,
) -> Result<Sum, Failure> {
    let digest = entry_digest(entry, before);
    let (kind, actor) = actor_columns(&entry.actor);
    sql::statement(step.connection, STATEMENTS, INSERT_ENTRY)?.execute(params![
        record,
        entry.to.as_nanos(),
        nanos(entry.at)?,
        entry.from.map(Version::as_nanos),
        action_text(entry.action),
        kind,
        actor,
        entry.reason,
        entry.operation.map(|operation| operation.to_string()),
        digest,
    ])?;
    let id = id.to_string();
    step.append(entry.to, "entry", record, (&id, &digest))?;
    Ok(digest)
}

/// Deletes a request with its history; the ledger says so, at version `at`.
pub(crate) fn delete(step: &mut Step<'_>, request: &Request, at: Version) -> Result<(), Failure> {
    let key = request.created.as_nanos();
    let last = digest_at(step.connection, key, Some(request.updated_at))?;
    let id = request.id.to_string();
    step.append(at, "deleted", key, (&id, &last))?;
    for sql in [DELETE_HISTORY, DELETE] {
        sql::statement(step.connection, STATEMENTS, sql)?.execute([key])?;
    }
    Ok(())
}
