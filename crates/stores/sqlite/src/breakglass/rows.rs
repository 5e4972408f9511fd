//! Events as rows: the statements, how a record is read back, and how a change is written.
//!
//! A record is what its identity columns and its history say: the columns that follow from the
//! history are written for queries and never read back. The order of writes within a step is that
//! of the triggers: the rows of records, then entry and ledger row of each change, by version.

use std::num::NonZeroU32;
use std::sync::Arc;

use countersign_breakglass::{
    Action, Actor, Escalation, Event, EventId, HistoryEntry, MfaProof, Person, Profile, ProofId,
    ReviewOutcome, ReviewOverride, Status,
};
use countersign_core::version::Version;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::error::{EngineError, Failure};
use crate::ledger::{Canonical, Ledger, Sum, Times};
use crate::sql::{self, Length, Time, clamped, length, nanos, of_record, parsed, parsed_if_any};
use crate::step::Step;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT created, id, invoker, profile, duration, reason_code, justification, ",
            "ticket, request_id, mfa_id, mfa_method, mfa_person, mfa_event, mfa_verified_at, ",
            "escalate, escalation_rule, escalation_count, escalation_threshold, ",
            "escalation_window, override_by, override_reason, override_unreviewed, created_at, ",
            "expires_at FROM event ",
            $rest
        )
    };
}

// Lists: ?1 and so on what is asked for, then the time and id of the place to go on after, then
// the limit. No two records have the same `created`.
pub(crate) const BY_ID: &str = select!("WHERE id = ?1");
pub(crate) const BY_KEY: &str = select!("WHERE created = ?1");
pub(crate) const OF_INVOKER: &str = select!(
    "INDEXED BY event_invoker WHERE invoker = ?1 AND created <= ?2 \
     AND (created < ?2 OR id > ?3) ORDER BY created DESC LIMIT ?4"
);
pub(crate) const OF_PROFILE: &str = select!(
    "INDEXED BY event_profile WHERE profile = ?1 AND created <= ?2 \
     AND (created < ?2 OR id > ?3) ORDER BY created DESC LIMIT ?4"
);
pub(crate) const OF_STATUS: &str = select!(
    "INDEXED BY event_status WHERE status = ?1 AND created <= ?2 \
     AND (created < ?2 OR id > ?3) ORDER BY created DESC LIMIT ?4"
);
pub(crate) const ACTIVE: &str = select!(
    "INDEXED BY event_access WHERE status = 'active' AND invoker_folded = ?1 AND profile = ?2 \
     AND expires_at > ?3 LIMIT 1"
);
pub(crate) const DUE: &str = select!(
    "INDEXED BY event_deadline WHERE status = 'active' AND expires_at <= ?1 \
     ORDER BY expires_at, id LIMIT ?2"
);
/// What is not over, of which some may be dated ahead.
pub(crate) const NOT_DUE: &str = select!(
    "INDEXED BY event_deadline WHERE status = 'active' AND expires_at > ?1 \
     ORDER BY expires_at, id"
);
pub(crate) const UNREVIEWED: &str = select!(
    "INDEXED BY event_unreviewed WHERE reviewed_at IS NULL AND ended_at >= ?1 \
     AND (ended_at > ?1 OR id > ?2) ORDER BY ended_at, id"
);
pub(crate) const UNREVIEWED_OF: &str = select!(
    "INDEXED BY event_unreviewed_of WHERE reviewed_at IS NULL AND invoker_folded = ?1 \
     ORDER BY ended_at, id"
);
pub(crate) const ENDED: &str = select!(
    "INDEXED BY event_ended WHERE reviewed_at IS NOT NULL AND status <> 'active' \
     AND ended_at < ?1 ORDER BY ended_at, id"
);
// What an admission is decided by.
pub(crate) const LAST_CREATED: &str = "SELECT created_at, created FROM event \
     INDEXED BY event_person_and_profile WHERE invoker_folded = ?1 AND profile = ?2 \
     ORDER BY created_at DESC";
pub(crate) const COUNT_OF_PERSON: &str = "SELECT count(*) FROM event INDEXED BY event_person \
     WHERE invoker_folded = ?1 AND created_at > ?2";
pub(crate) const NTH_OF_PERSON: &str = "SELECT created_at FROM event INDEXED BY event_person \
     WHERE invoker_folded = ?1 AND created_at > ?2 ORDER BY created_at DESC LIMIT 1 OFFSET ?3";
pub(crate) const COUNT_OF_PROFILE: &str = "SELECT count(*) FROM event \
     INDEXED BY event_of_profile WHERE profile = ?1 AND created_at > ?2";
pub(crate) const NTH_OF_PROFILE: &str = "SELECT created_at FROM event \
     INDEXED BY event_of_profile WHERE profile = ?1 AND created_at > ?2 ORDER BY created_at DESC LIMIT 1 OFFSET ?3";
pub(crate) const PROOF_USED: &str = "SELECT id FROM event INDEXED BY event_proof \
     WHERE mfa_id = ?1 ORDER BY created DESC LIMIT 1";
pub(crate) const PROOF_OUTLASTING: &str = "SELECT id FROM event_proof_used WHERE mfa_id = ?1";
const KEEP_PROOF: &str = "INSERT INTO event_proof_used (mfa_id, id) VALUES (?1, ?2) \
     ON CONFLICT DO NOTHING";
pub(crate) const MOMENTS_OF_PERSON: &str = "SELECT created_at, created FROM event INDEXED BY event_person \
     WHERE invoker_folded = ?1 AND created_at > ?2";
pub(crate) const MOMENTS_OF_PROFILE: &str = "SELECT created_at, created FROM event \
     INDEXED BY event_of_profile WHERE profile = ?1 AND created_at > ?2";
const IN_FORCE_AGAIN: &str = "SELECT count(*) FROM event INDEXED BY event_deadline \
     WHERE status = 'active' AND expires_at > ?1 AND expires_at <= ?2 AND created_at <= ?1";
const HISTORY: &str = "SELECT version, at, previous, action, outcome, actor_kind, actor, reason, \
     operation, digest FROM event_history WHERE record = ?1 ORDER BY version";
const DIGEST: &str = "SELECT digest FROM event_history WHERE record = ?1 AND version = ?2";
const OPERATION: &str = "SELECT record FROM event_history INDEXED BY event_history_operation \
     WHERE operation = ?1 ORDER BY record DESC LIMIT 1";
pub(crate) const CHANGES: &str = "SELECT version, record FROM event_history \
     INDEXED BY event_history_version WHERE version >= ?1 ORDER BY version LIMIT ?2";
const TIP: &str = "SELECT position, version, head, at, writer, jumped_at FROM event_ledger \
     ORDER BY position DESC LIMIT 1";
const INSERT: &str = "INSERT INTO event (created, id, invoker, invoker_folded, profile, \
     duration, reason_code, justification, ticket, request_id, mfa_id, mfa_method, mfa_person, \
     mfa_event, mfa_verified_at, escalate, escalation_rule, escalation_count, \
     escalation_threshold, escalation_window, override_by, override_reason, \
     override_unreviewed, created_at, expires_at, status, ended_at, note, review_outcome, \
     reviewed_by, review, reviewed_at, updated_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
     ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33)";
const UPDATE: &str = "UPDATE event SET status = ?2, ended_at = ?3, note = ?4, \
     review_outcome = ?5, reviewed_by = ?6, review = ?7, reviewed_at = ?8, updated_at = ?9 \
     WHERE created = ?1";
const INSERT_ENTRY: &str = "INSERT INTO event_history (record, version, at, previous, action, \
     outcome, actor_kind, actor, reason, operation, digest) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const INSERT_LEDGER: &str = "INSERT INTO event_ledger (position, version, action, record, id, \
     digest, head, at, writer, jumped_at, latest, corrected_writer, in_force_again) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const CORRECTED: &str = "SELECT version, at, writer, record, latest, corrected_writer \
     FROM event_ledger INDEXED BY event_ledger_corrected WHERE action = 'corrected' \
     AND version >= ?1 ORDER BY version";
const DELETE: &str = "DELETE FROM event WHERE created = ?1";
const DELETE_HISTORY: &str = "DELETE FROM event_history WHERE record = ?1";

/// Every statement that the store runs, but for those of `verify`, which reads everything.
pub(crate) const STATEMENTS: &[&str] = &[
    BY_ID,
    BY_KEY,
    OF_INVOKER,
    OF_PROFILE,
    OF_STATUS,
    ACTIVE,
    DUE,
    NOT_DUE,
    UNREVIEWED,
    UNREVIEWED_OF,
    ENDED,
    LAST_CREATED,
    COUNT_OF_PERSON,
    NTH_OF_PERSON,
    COUNT_OF_PROFILE,
    NTH_OF_PROFILE,
    PROOF_USED,
    PROOF_OUTLASTING,
    KEEP_PROOF,
    MOMENTS_OF_PERSON,
    MOMENTS_OF_PROFILE,
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
    store: "event",
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
        Status::Active => "active",
        Status::Closed => "closed",
        Status::Expired => "expired",
    }
}

pub(crate) fn outcome_of(text: &str) -> Option<ReviewOutcome> {
    let mut outcomes = ReviewOutcome::ALL.into_iter();
    outcomes.find(|outcome| outcome.as_str() == text)
}

/// An action, and of a review its outcome, as they are stored.
fn action_columns(action: Action) -> (&'static str, Option<&'static str>) {
    match action {
        Action::Created => ("created", None),
        Action::Closed => ("closed", None),
        Action::Expired => ("expired", None),
        Action::Noted => ("noted", None),
        Action::Overridden => ("overridden", None),
        Action::Reviewed(outcome) => ("reviewed", Some(outcome.as_str())),
    }
}

/// Kind and name of an actor, as they are stored.
fn actor_columns(actor: &Actor) -> (&'static str, Option<&str>) {
    match actor {
        Actor::Person(person) => ("person", Some(person.as_str())),
        Actor::Time => ("time", None),
        Actor::Clock => ("clock", None),
    }
}

/// The identity of an event, without its history: what else it says follows from that.
pub(crate) fn identity(row: &Row<'_>) -> Result<Event, rusqlite::Error> {
    let person = |column: &str| parsed(row, column, |text| Person::new(text).ok());
    let event = |column: &str| parsed(row, column, |text| text.parse::<EventId>().ok());
    let mfa = match parsed_if_any(row, "mfa_id", |text| ProofId::new(text).ok())? {
        None => None,
        Some(id) => Some(MfaProof {
            id,
            method: parsed(row, "mfa_method", |text| text.parse().ok())?,
            person: person("mfa_person")?,
            event: event("mfa_event")?,
            verified_at: row.get::<_, Time>("mfa_verified_at")?.0,
        }),
    };
    let escalation = match row.get("escalation_rule")? {
        None => None,
        Some(rule) => Some(Escalation {
            rule,
            count: row.get("escalation_count")?,
            threshold: row.get::<_, NonZeroU32>("escalation_threshold")?,
            window: row.get::<_, Length>("escalation_window")?.0,
        }),
    };
    let review_override = match row.get("override_reason")? {
        None => None,
        Some(reason) => Some(ReviewOverride {
            by: person("override_by")?,
            reason,
            unreviewed: event("override_unreviewed")?,
        }),
    };
    Ok(Event {
        id: event("id")?,
        invoker: person("invoker")?,
        profile: parsed(row, "profile", |text| Profile::new(text).ok())?,
        duration: row.get::<_, Length>("duration")?.0,
        reason_code: parsed(row, "reason_code", |text| text.parse().ok())?,
        justification: row.get("justification")?,
        ticket: row.get("ticket")?,
        request_id: row.get("request_id")?,
        mfa,
        escalate: row.get("escalate")?,
        escalation,
        review_override,
        created: Version::from_nanos(row.get("created")?),
        created_at: row.get::<_, Time>("created_at")?.0,
        expires_at: row.get::<_, Time>("expires_at")?.0,
        status: Status::Active,
        note: None,
        review: None,
        updated_at: Version::from_nanos(row.get("created")?),
        history: Vec::new(),
    })
}

/// An entry, and the digest that is stored with it.
pub(crate) fn entry(row: &Row<'_>) -> Result<(HistoryEntry, Sum), rusqlite::Error> {
    let actor = match row.get::<_, String>("actor_kind")?.as_str() {
        "person" => Actor::Person(parsed(row, "actor", |text| Person::new(text).ok())?),
        "clock" => Actor::Clock,
        _ => Actor::Time,
    };
    let outcome = parsed_if_any(row, "outcome", outcome_of)?;
    let action = parsed(row, "action", |text| match text {
        "created" => Some(Action::Created),
        "closed" => Some(Action::Closed),
        "expired" => Some(Action::Expired),
        "noted" => Some(Action::Noted),
        "overridden" => Some(Action::Overridden),
        "reviewed" => outcome.map(Action::Reviewed),
        _ => None,
    })?;
    let entry = HistoryEntry {
        action,
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

/// The columns of an event that never change, but for id and times.
struct Identity {
    count: Option<i64>,
    threshold: Option<u32>,
    window: Option<i64>,
    verified_at: Option<i64>,
}

impl Identity {
    fn of(event: &Event) -> Result<Self, Failure> {
        let escalation = event.escalation.as_ref();
        let count = escalation.map(|escalation| {
            i64::try_from(escalation.count).map_err(|_| EngineError::TooLarge {
                what: "the number of emergencies",
                value: escalation.count.to_string(),
            })
        });
        let window = escalation.map(|escalation| length("quota window", escalation.window));
        Ok(Self {
            count: count.transpose()?,
            threshold: escalation.map(|escalation| escalation.threshold.get()),
            window: window.transpose()?,
            verified_at: event
                .mfa
                .as_ref()
                .map(|proof| nanos(proof.verified_at))
                .transpose()?,
        })
    }
}

/// The digest before the first entry: over what identifies the record.
pub(crate) fn identity_digest(event: &Event) -> Result<Sum, Failure> {
    let identity = Identity::of(event)?;
    let mfa = event.mfa.as_ref();
    let mfa_event = mfa.map(|proof| proof.event.to_string());
    let given = event.review_override.as_ref();
    let unreviewed = given.map(|given| given.unreviewed.to_string());
    let rule = event
        .escalation
        .as_ref()
        .map(|escalation| &*escalation.rule);
    Ok(Canonical::of("countersign event 1")
        .text(&event.id.to_string())
        .text(event.invoker.as_str())
        .text(event.profile.as_str())
        .integer(length("duration", event.duration)?)
        .text(event.reason_code.as_str())
        .text(&event.justification)
        .text_if_any(event.ticket.as_deref())
        .text_if_any(event.request_id.as_deref())
        .text_if_any(mfa.map(|proof| proof.id.as_str()))
        .text_if_any(mfa.map(|proof| proof.method.as_str()))
        .text_if_any(mfa.map(|proof| proof.person.as_str()))
        .text_if_any(mfa_event.as_deref())
        .integer_if_any(identity.verified_at)
        .integer(event.escalate.into())
        .text_if_any(rule)
        .integer_if_any(identity.count)
        .integer_if_any(identity.threshold.map(i64::from))
        .integer_if_any(identity.window)
        .text_if_any(given.map(|given| given.by.as_str()))
        .text_if_any(given.map(|given| &*given.reason))
        .text_if_any(unreviewed.as_deref())
        .integer(event.created.as_nanos())
        .integer(nanos(event.created_at)?)
        .integer(nanos(event.expires_at)?)
        .finish())
}

/// The digest of an entry that follows the one with digest `before`.
pub(crate) fn entry_digest(entry: &HistoryEntry, before: &Sum) -> Sum {
    let (action, outcome) = action_columns(entry.action);
    let (kind, actor) = actor_columns(&entry.actor);
    let operation = entry.operation.map(|operation| operation.to_string());
    Canonical::of("countersign event entry 1")
        .sum(before)
        .text(action)
        .text_if_any(outcome)
        .text(kind)
        .text_if_any(actor)
        .text_if_any(entry.reason.as_deref())
        .text_if_any(operation.as_deref())
        .integer_if_any(entry.from.map(Version::as_nanos))
        .integer(entry.to.as_nanos())
        .integer(clamped(entry.at))
        .finish()
}

/// What an event's row says besides its identity: all of it follows from the history.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) status: &'static str,
    pub(crate) ended_at: i64,
    pub(crate) note: Option<Arc<str>>,
    pub(crate) review_outcome: Option<&'static str>,
    pub(crate) reviewed_by: Option<String>,
    pub(crate) review: Option<Arc<str>>,
    pub(crate) reviewed_at: Option<i64>,
    pub(crate) updated_at: i64,
}

impl State {
    pub(crate) fn of(event: &Event) -> Result<Self, Failure> {
        let review = event.review.as_ref();
        Ok(Self {
            status: status_text(event.status),
            ended_at: nanos(event.ended_at())?,
            note: event.note.clone(),
            review_outcome: review.map(|review| review.outcome.as_str()),
            reviewed_by: review.map(|review| review.by.to_string()),
            review: review.map(|review| Arc::clone(&review.text)),
            reviewed_at: review.map(|review| nanos(review.at)).transpose()?,
            updated_at: event.updated_at.as_nanos(),
        })
    }
}

/// Reads one event.
pub(crate) fn one(
    connection: &Connection,
    sql: &'static str,
    parameters: impl Params,
) -> Result<Option<Event>, Failure> {
    Ok(many(connection, sql, parameters)?.pop())
}

/// Reads events in the order of the statement.
pub(crate) fn many(
    connection: &Connection,
    sql: &'static str,
    parameters: impl Params,
) -> Result<Vec<Event>, Failure> {
    some(connection, sql, parameters, usize::MAX, |_| true)
}

/// Reads events in the order of the statement, until there are `limit` of those to keep.
pub(crate) fn some(
    connection: &Connection,
    sql: &'static str,
    parameters: impl Params,
    limit: usize,
    keep: impl Fn(&Event) -> bool,
) -> Result<Vec<Event>, Failure> {
    let mut statement = sql::statement(connection, STATEMENTS, sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let place = || match row.get::<_, String>("id") {
            Ok(id) => format!("event `{id}`"),
            Err(_) => "an event".to_owned(),
        };
        let event = with_history(connection, identity(row).map_err(of_record(place))?)?;
        if keep(&event) {
            found.push(event);
        }
    }
    Ok(found)
}

/// The event that its identity and its stored history make.
fn with_history(connection: &Connection, mut event: Event) -> Result<Event, Failure> {
    let entries = history(connection, &event)?;
    event.history = entries
        .into_iter()
        .map(|(entry, _)| Arc::new(entry))
        .collect();
    let last = event.history.last().map(|entry| entry.to);
    let replayed = last.and_then(|last| event.as_of(last));
    let broken = || EngineError::Record {
        place: format!("the history of event `{}`", event.id),
        found: "no entry, or entries out of order".to_owned(),
    };
    replayed.ok_or_else(|| broken().into())
}

/// The stored entries of an event, each with its digest.
pub(crate) fn history(
    connection: &Connection,
    event: &Event,
) -> Result<Vec<(HistoryEntry, Sum)>, Failure> {
    let place = || format!("the history of event `{}`", event.id);
    let mut statement = sql::statement(connection, STATEMENTS, HISTORY)?;
    let mut rows = statement.query([event.created.as_nanos()])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row).map_err(of_record(place))?);
    }
    Ok(entries)
}

/// The event in whose history an operation is.
pub(crate) fn of_operation(
    connection: &Connection,
    operation: &str,
) -> Result<Option<Event>, Failure> {
    let mut statement = sql::statement(connection, STATEMENTS, OPERATION)?;
    let record = statement.query_row([operation], |row| row.get::<_, i64>(0));
    match record.optional()? {
        Some(record) => one(connection, BY_KEY, [record]),
        None => Ok(None),
    }
}

/// Writes a new event, and those that it takes the place of, which have just been marked expired.
pub(crate) fn insert(
    step: &mut Step<'_>,
    event: &Event,
    replaced: &[Event],
) -> Result<(), Failure> {
    // First, so that no two are active at any time.
    for event in replaced {
        update_row(step.connection, event)?;
    }
    let identity = Identity::of(event)?;
    let state = State::of(event)?;
    let key = event.created.as_nanos();
    let mfa = event.mfa.as_ref();
    let given = event.review_override.as_ref();
    sql::statement(step.connection, STATEMENTS, INSERT)?.execute(params![
        key,
        event.id.to_string(),
        event.invoker.as_str(),
        event.invoker.case_folded().as_str(),
        event.profile.as_str(),
        length("duration", event.duration)?,
        event.reason_code.as_str(),
        event.justification,
        event.ticket,
        event.request_id,
        mfa.map(|proof| proof.id.as_str()),
        mfa.map(|proof| proof.method.as_str()),
        mfa.map(|proof| proof.person.as_str()),
        mfa.map(|proof| proof.event.to_string()),
        identity.verified_at,
        event.escalate,
        event
            .escalation
            .as_ref()
            .map(|escalation| &*escalation.rule),
        identity.count,
        identity.threshold,
        identity.window,
        given.map(|given| given.by.as_str()),
        given.map(|given| &*given.reason),
        given.map(|given| given.unreviewed.to_string()),
        nanos(event.created_at)?,
        nanos(event.expires_at)?,
        state.status,
        state.ended_at,
        state.note,
        state.review_outcome,
        state.reviewed_by,
        state.review,
        state.reviewed_at,
        state.updated_at,
    ])?;
    let mut digest = identity_digest(event)?;
    for entry in &event.history {
        digest = append(step, key, event.id, entry, &digest)?;
    }
    replaced
        .iter()
        .try_for_each(|event| append_last(step, event))
}

/// Writes the last change of an event.
pub(crate) fn update(step: &mut Step<'_>, event: &Event) -> Result<(), Failure> {
    update_row(step.connection, event)?;
    append_last(step, event)
}

fn update_row(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let state = State::of(event)?;
    sql::statement(connection, STATEMENTS, UPDATE)?.execute(params![
        event.created.as_nanos(),
        state.status,
        state.ended_at,
        state.note,
        state.review_outcome,
        state.reviewed_by,
        state.review,
        state.reviewed_at,
        state.updated_at,
    ])?;
    Ok(())
}

fn append_last(step: &mut Step<'_>, event: &Event) -> Result<(), Failure> {
    let key = event.created.as_nanos();
    let Some(entry) = event.history.last() else {
        return Ok(());
    };
    let before = digest_at(step.connection, key, entry.from)?;
    append(step, key, event.id, entry, &before)?;
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
    id: EventId,
    entry: &HistoryEntry,
    before: &Sum,
) -> Result<Sum, Failure> {
    let digest = entry_digest(entry, before);
    let (action, outcome) = action_columns(entry.action);
    let (kind, actor) = actor_columns(&entry.actor);
    sql::statement(step.connection, STATEMENTS, INSERT_ENTRY)?.execute(params![
        record,
        entry.to.as_nanos(),
        nanos(entry.at)?,
        entry.from.map(Version::as_nanos),
        action,
        outcome,
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

/// Deletes an event with its history; the ledger says so, at version `at`.
pub(crate) fn delete(step: &mut Step<'_>, event: &Event, at: Version) -> Result<(), Failure> {
    let key = event.created.as_nanos();
    let last = digest_at(step.connection, key, Some(event.updated_at))?;
    let id = event.id.to_string();
    step.append(at, "deleted", key, (&id, &last))?;
    if let Some(proof) = &event.mfa {
        sql::statement(step.connection, STATEMENTS, KEEP_PROOF)?
            .execute(params![proof.id.as_str(), event.id.to_string()])?;
    }
    for sql in [DELETE_HISTORY, DELETE] {
        sql::statement(step.connection, STATEMENTS, sql)?.execute([key])?;
    }
    Ok(())
}
