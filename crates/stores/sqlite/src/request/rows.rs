//! Requests as rows: the tables' statements, how a request is read from a row, and how it is written.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::grant::GrantedBy;
use countersign_core::version::Version;
use countersign_request::{Action, Actor, HistoryEntry, Key, Profile, Request, Status, User};
use rusqlite::{Connection, Row, params};

use crate::error::Failure;
use crate::ledger::{Canonical, Ledger, Sum, ledger};
use crate::records::{Lookup, Rows, Scan, Statements, earliest_first, latest_first};
use crate::sql::{self, Length, Time, clamped, length, nanos, parsed, parsed_if_any};

macro_rules! columns {
    () => {
        "created, id, requester, profile, duration, justification, ticket, policy, \
         ends_with_policy, created_at, decide_by"
    };
}

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM request WHERE id = ?1");
const BY_KEY: &str = concat!("SELECT ", columns!(), " FROM request WHERE created = ?1");
// No two records have the same `created`.
const OF_REQUESTER: Scan = Scan::latest_first(latest_first!(
    columns,
    "request INDEXED BY request_requester",
    "requester = ?5 AND ",
    "created",
    ""
));
const OF_PROFILE: Scan = Scan::latest_first(latest_first!(
    columns,
    "request INDEXED BY request_profile",
    "profile = ?5 AND ",
    "created",
    ""
));
const OF_STATUS: Scan = Scan::latest_first(latest_first!(
    columns,
    "request INDEXED BY request_status",
    "status = ?5 AND ",
    "created",
    ""
));
const ACCESS: Scan = Scan::latest_first(latest_first!(
    columns,
    "request INDEXED BY request_access",
    "status = 'approved' AND requester = ?5 AND profile = ?6 AND pinned_to = ?7 AND ",
    "access_until",
    ", id"
));
const DEADLINE: Scan = Scan::earliest_first(earliest_first!(
    columns,
    "request INDEXED BY request_deadline",
    "status = 'pending' AND ",
    "decide_by",
    ", id"
));
const WAITING: Scan = Scan::earliest_first(earliest_first!(
    columns,
    "request INDEXED BY request_status",
    "status = 'pending' AND ",
    "created",
    ""
));
const WAITING_FOR: Scan = Scan::earliest_first(earliest_first!(
    columns,
    "request INDEXED BY request_waiting",
    "status = 'pending' AND profile = ?5 AND ",
    "created",
    ""
));
const OPEN: Scan = Scan::latest_first(latest_first!(
    columns,
    "request INDEXED BY request_open",
    "requester = ?5 AND ",
    "open_until",
    ", id"
));
const ENDED: Scan = Scan::earliest_first(earliest_first!(
    columns,
    "request INDEXED BY request_ended",
    "",
    "ended_at",
    ", id"
));
const IDEMPOTENCY_KEY: Scan = Scan::latest_first(concat!(
    "SELECT record, ",
    columns!(),
    " FROM request_history INDEXED BY request_history_idempotency_key \
     CROSS JOIN request ON created = record \
     WHERE idempotency_key = ?5 AND record <= ?1 AND (record < ?1 OR id > ?2) AND record >= ?3 \
     GROUP BY record ORDER BY record DESC LIMIT -1 OFFSET ?4"
));
const IN_FORCE_AGAIN: &str = "SELECT count(*) FROM request INDEXED BY request_ended \
     WHERE ended_at > ?1 AND ended_at <= ?2 AND status = 'approved' AND access_from <= ?1";
const HISTORY: &str = "SELECT version, at, previous, action, actor_kind, actor, reason, idempotency_key, \
     digest FROM request_history WHERE record = ?1 ORDER BY version";
const DIGEST: &str = "SELECT digest FROM request_history WHERE record = ?1 AND version = ?2";
const CHANGES: &str = "SELECT version, record FROM request_history \
     INDEXED BY request_history_version WHERE version >= ?1 ORDER BY version LIMIT ?2";
const INSERT: &str = "INSERT INTO request (created, id, requester, profile, duration, \
     justification, ticket, policy, ends_with_policy, created_at, decide_by, status, \
     approved_by, approved_by_rule, access_from, access_until, ended_at, note, updated_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
     ?19)";
const UPDATE: &str = "UPDATE request SET status = ?2, approved_by = ?3, approved_by_rule = ?4, \
     access_from = ?5, access_until = ?6, ended_at = ?7, note = ?8, updated_at = ?9 \
     WHERE created = ?1";
const INSERT_ENTRY: &str = "INSERT INTO request_history (record, version, at, previous, action, \
     actor_kind, actor, reason, idempotency_key, digest) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const DELETE: &str = "DELETE FROM request WHERE created = ?1";
const DELETE_HISTORY: &str = "DELETE FROM request_history WHERE record = ?1";

/// Every statement that the store runs, but for those of `verify`, which reads everything.
pub(crate) const STATEMENTS: &[&str] = &[
    BY_ID,
    BY_KEY,
    OF_REQUESTER.sql,
    OF_PROFILE.sql,
    OF_STATUS.sql,
    ACCESS.sql,
    DEADLINE.sql,
    WAITING.sql,
    WAITING_FOR.sql,
    OPEN.sql,
    ENDED.sql,
    IDEMPOTENCY_KEY.sql,
    HISTORY,
    DIGEST,
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

ledger!("request", in_force_again: Some(IN_FORCE_AGAIN));

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
        Actor::User(user) => ("user", Some(user.as_str())),
        Actor::Rule(rule) => ("rule", Some(rule)),
        Actor::Time => ("time", None),
        Actor::Clock => ("clock", None),
    }
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
                GrantedBy::User(user) => (Some(user.to_string()), None),
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

impl Rows for Request {
    type Entry = HistoryEntry;

    const LEDGER: &'static Ledger = &LEDGER;
    const STATEMENTS: Statements = Statements {
        by_id: BY_ID,
        by_key: BY_KEY,
        history: HISTORY,
        digest: DIGEST,
        changes: CHANGES,
        delete: [DELETE_HISTORY, DELETE],
    };

    fn lookup(key: &Key) -> Lookup<'_> {
        match key {
            Key::Requester(user) => Lookup::of(&OF_REQUESTER, [user.as_str()]),
            Key::Profile(profile) => Lookup::of(&OF_PROFILE, [profile.as_str()]),
            Key::Status(status) => Lookup::of(&OF_STATUS, [status_text(*status)]),
            Key::Access(user, profile, policy) => {
                let pinned_to = policy.map(|policy| policy.to_string()).unwrap_or_default();
                let keys = [
                    Cow::from(user.as_str()),
                    profile.as_str().into(),
                    pinned_to.into(),
                ];
                Lookup::of(&ACCESS, keys)
            }
            Key::Deadline => Lookup::all(&DEADLINE),
            Key::Waiting(None) => Lookup::all(&WAITING),
            Key::Waiting(Some(profile)) => Lookup::of(&WAITING_FOR, [profile.as_str()]),
            Key::Open(user) => Lookup::of(&OPEN, [user.as_str()]),
            Key::Ended => Lookup::all(&ENDED),
            Key::IdempotencyKey(idempotency_key) => {
                Lookup::of(&IDEMPOTENCY_KEY, [idempotency_key.to_string()])
            }
        }
    }

    fn created(&self) -> Version {
        self.created
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = Arc<HistoryEntry>> {
        self.history.iter().cloned()
    }

    fn versions(entry: &HistoryEntry) -> (Option<Version>, Version) {
        (entry.from, entry.to)
    }

    fn identity(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let created_at = row.get::<_, Time>("created_at")?.0;
        Ok(Request {
            id: parsed(row, "id", |text| text.parse().ok())?,
            requester: parsed(row, "requester", |text| User::new(text).ok())?,
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

    fn entry(row: &Row<'_>) -> Result<(HistoryEntry, Sum), rusqlite::Error> {
        let actor = match row.get::<_, String>("actor_kind")?.as_str() {
            "user" => Actor::User(parsed(row, "actor", |text| User::new(text).ok())?),
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
            idempotency_key: parsed_if_any(row, "idempotency_key", |text| text.parse().ok())?,
            from: row
                .get::<_, Option<i64>>("previous")?
                .map(Version::from_nanos),
            to: Version::from_nanos(row.get("version")?),
            at: row.get::<_, Time>("at")?.0,
        };
        Ok((entry, row.get("digest")?))
    }

    fn restored(self, history: Vec<Arc<HistoryEntry>>) -> Option<Self> {
        let last = history.last()?.to;
        Self { history, ..self }.as_of(last)
    }

    fn identity_digest(&self) -> Result<Sum, Failure> {
        let policy = self.policy.map(|policy| policy.to_string());
        Ok(Canonical::of("countersign request 1")
            .text(&self.id.to_string())
            .text(self.requester.as_str())
            .text(self.profile.as_str())
            .integer(length("duration", self.duration)?)
            .text(&self.justification)
            .text_if_any(self.ticket.as_deref())
            .text_if_any(policy.as_deref())
            .integer(self.ends_with_policy.into())
            .integer(self.created.as_nanos())
            .integer(nanos(self.created_at)?)
            .integer(nanos(self.decide_by)?)
            .finish())
    }

    fn entry_digest(entry: &HistoryEntry, before: &Sum) -> Sum {
        let (kind, actor) = actor_columns(&entry.actor);
        let idempotency_key = entry
            .idempotency_key
            .map(|idempotency_key| idempotency_key.to_string());
        Canonical::of("countersign request entry 1")
            .sum(before)
            .text(action_text(entry.action))
            .text(kind)
            .text_if_any(actor)
            .text_if_any(entry.reason.as_deref())
            .text_if_any(idempotency_key.as_deref())
            .integer_if_any(entry.from.map(Version::as_nanos))
            .integer(entry.to.as_nanos())
            .integer(clamped(entry.at))
            .finish()
    }

    fn insert(&self, connection: &Connection) -> Result<(), Failure> {
        let state = State::of(self)?;
        sql::statement(connection, STATEMENTS, INSERT)?.execute(params![
            self.created.as_nanos(),
            self.id.to_string(),
            self.requester.as_str(),
            self.profile.as_str(),
            length("duration", self.duration)?,
            self.justification,
            self.ticket,
            self.policy.map(|policy| policy.to_string()),
            self.ends_with_policy,
            nanos(self.created_at)?,
            nanos(self.decide_by)?,
            state.status,
            state.approved_by,
            state.approved_by_rule,
            state.access_from,
            state.access_until,
            state.ended_at,
            state.note,
            state.updated_at,
        ])?;
        Ok(())
    }

    fn update(&self, connection: &Connection) -> Result<(), Failure> {
        let state = State::of(self)?;
        sql::statement(connection, STATEMENTS, UPDATE)?.execute(params![
            self.created.as_nanos(),
            state.status,
            state.approved_by,
            state.approved_by_rule,
            state.access_from,
            state.access_until,
            state.ended_at,
            state.note,
            state.updated_at,
        ])?;
        Ok(())
    }

    fn insert_entry(
        connection: &Connection,
        record: i64,
        entry: &HistoryEntry,
        digest: &Sum,
    ) -> Result<(), Failure> {
        let (kind, actor) = actor_columns(&entry.actor);
        sql::statement(connection, STATEMENTS, INSERT_ENTRY)?.execute(params![
            record,
            entry.to.as_nanos(),
            nanos(entry.at)?,
            entry.from.map(Version::as_nanos),
            action_text(entry.action),
            kind,
            actor,
            entry.reason,
            entry
                .idempotency_key
                .map(|idempotency_key| idempotency_key.to_string()),
            digest,
        ])?;
        Ok(())
    }
}
