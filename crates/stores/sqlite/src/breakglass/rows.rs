//! Emergencies as rows: the tables' statements, how an emergency is read from a row, and how it is
//! written.

use std::num::NonZeroU32;
use std::sync::Arc;

use countersign_breakglass::{
    Action, Actor, Emergency, EmergencyId, Escalation, HistoryEntry, Key, MfaProof, Profile,
    ProofId, ReviewOutcome, ReviewOverride, Status, User,
};
use countersign_core::version::Version;
use rusqlite::{Connection, Row, params};

use crate::error::{EngineError, Failure};
use crate::ledger::{Canonical, Ledger, Sum, ledger};
use crate::records::{Lookup, Rows, Scan, Statements, earliest_first, latest_first};
use crate::sql::{self, Length, Time, clamped, length, nanos, parsed, parsed_if_any};

macro_rules! columns {
    () => {
        "created, id, invoker, profile, duration, reason_code, justification, ticket, \
         request_id, mfa_id, mfa_method, mfa_user, mfa_emergency, mfa_verified_at, escalate, \
         escalation_rule, escalation_count, escalation_threshold, escalation_window, \
         override_by, override_reason, override_unreviewed, created_at, expires_at"
    };
}

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM emergency WHERE id = ?1");
const BY_KEY: &str = concat!("SELECT ", columns!(), " FROM emergency WHERE created = ?1");
// No two records have the same `created`.
const OF_INVOKER: Scan = Scan::latest_first(latest_first!(
    columns,
    "emergency INDEXED BY emergency_invoker",
    "invoker = ?5 AND ",
    "created",
    ""
));
const OF_PROFILE: Scan = Scan::latest_first(latest_first!(
    columns,
    "emergency INDEXED BY emergency_profile",
    "profile = ?5 AND ",
    "created",
    ""
));
const OF_STATUS: Scan = Scan::latest_first(latest_first!(
    columns,
    "emergency INDEXED BY emergency_status",
    "status = ?5 AND ",
    "created",
    ""
));
// What an admission is decided by. Nobody asks for places among those of one moment.
const COUNT_OF_USER: &str = "SELECT count(*) FROM emergency INDEXED BY emergency_user \
     WHERE invoker_folded = ?5 AND created_at <= ?1 AND created_at >= ?3";
const SAME_USER: Scan = Scan::latest_first(latest_first!(
    columns,
    "emergency INDEXED BY emergency_user",
    "invoker_folded = ?5 AND ",
    "created_at",
    ""
))
.counted(COUNT_OF_USER);
const SAME_USER_AND_PROFILE: Scan = Scan::latest_first(latest_first!(
    columns,
    "emergency INDEXED BY emergency_user_and_profile",
    "invoker_folded = ?5 AND profile = ?6 AND ",
    "created_at",
    ""
));
const COUNT_OF_PROFILE: &str = "SELECT count(*) FROM emergency INDEXED BY emergency_of_profile \
     WHERE profile = ?5 AND created_at <= ?1 AND created_at >= ?3";
const SAME_PROFILE: Scan = Scan::latest_first(latest_first!(
    columns,
    "emergency INDEXED BY emergency_of_profile",
    "profile = ?5 AND ",
    "created_at",
    ""
))
.counted(COUNT_OF_PROFILE);
// There is one at most.
const ACCESS: Scan = Scan::latest_first(latest_first!(
    columns,
    "emergency INDEXED BY emergency_access",
    "status = 'active' AND invoker_folded = ?5 AND profile = ?6 AND ",
    "expires_at",
    ""
));
const DEADLINE: Scan = Scan::earliest_first(earliest_first!(
    columns,
    "emergency INDEXED BY emergency_deadline",
    "status = 'active' AND ",
    "expires_at",
    ", id"
));
const UNREVIEWED: Scan = Scan::earliest_first(earliest_first!(
    columns,
    "emergency INDEXED BY emergency_unreviewed",
    "reviewed_at IS NULL AND ",
    "ended_at",
    ", id"
));
const UNREVIEWED_OF: Scan = Scan::earliest_first(earliest_first!(
    columns,
    "emergency INDEXED BY emergency_unreviewed_of",
    "reviewed_at IS NULL AND invoker_folded = ?5 AND ",
    "ended_at",
    ", id"
));
const ENDED: Scan = Scan::earliest_first(earliest_first!(
    columns,
    "emergency INDEXED BY emergency_ended",
    "reviewed_at IS NOT NULL AND status <> 'active' AND ",
    "ended_at",
    ", id"
));
const PROOF: Scan = Scan::latest_first(latest_first!(
    columns,
    "emergency INDEXED BY emergency_proof",
    "mfa_id = ?5 AND ",
    "created",
    ""
))
.outlasting(PROOF_OUTLASTING);
const PROOF_OUTLASTING: &str = "SELECT id FROM emergency_proof_used WHERE mfa_id = ?1";
const KEEP_PROOF: &str = "INSERT INTO emergency_proof_used (mfa_id, id) VALUES (?1, ?2) \
     ON CONFLICT DO NOTHING";
const IDEMPOTENCY_KEY: Scan = Scan::latest_first(concat!(
    "SELECT record, ",
    columns!(),
    " FROM emergency_history INDEXED BY emergency_history_idempotency_key \
     CROSS JOIN emergency ON created = record \
     WHERE idempotency_key = ?5 AND record <= ?1 AND (record < ?1 OR id > ?2) AND record >= ?3 \
     GROUP BY record ORDER BY record DESC LIMIT -1 OFFSET ?4"
));
const IN_FORCE_AGAIN: &str = "SELECT count(*) FROM emergency INDEXED BY emergency_deadline \
     WHERE status = 'active' AND expires_at > ?1 AND expires_at <= ?2 AND created_at <= ?1";
const HISTORY: &str = "SELECT version, at, previous, action, outcome, actor_kind, actor, reason, \
     idempotency_key, digest FROM emergency_history WHERE record = ?1 ORDER BY version";
const DIGEST: &str = "SELECT digest FROM emergency_history WHERE record = ?1 AND version = ?2";
const CHANGES: &str = "SELECT version, record FROM emergency_history \
     INDEXED BY emergency_history_version WHERE version >= ?1 ORDER BY version LIMIT ?2";
const INSERT: &str = "INSERT INTO emergency (created, id, invoker, invoker_folded, profile, \
     duration, reason_code, justification, ticket, request_id, mfa_id, mfa_method, mfa_user, \
     mfa_emergency, mfa_verified_at, escalate, escalation_rule, escalation_count, \
     escalation_threshold, escalation_window, override_by, override_reason, \
     override_unreviewed, created_at, expires_at, status, ended_at, note, review_outcome, \
     reviewed_by, review, reviewed_at, updated_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
     ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33)";
const UPDATE: &str = "UPDATE emergency SET status = ?2, ended_at = ?3, note = ?4, \
     review_outcome = ?5, reviewed_by = ?6, review = ?7, reviewed_at = ?8, updated_at = ?9 \
     WHERE created = ?1";
const INSERT_ENTRY: &str = "INSERT INTO emergency_history (record, version, at, previous, action, \
     outcome, actor_kind, actor, reason, idempotency_key, digest) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const DELETE: &str = "DELETE FROM emergency WHERE created = ?1";
const DELETE_HISTORY: &str = "DELETE FROM emergency_history WHERE record = ?1";

/// Every statement that the store runs, but for those of `verify`, which reads everything.
pub(crate) const STATEMENTS: &[&str] = &[
    BY_ID,
    BY_KEY,
    OF_INVOKER.sql,
    OF_PROFILE.sql,
    OF_STATUS.sql,
    SAME_USER.sql,
    COUNT_OF_USER,
    SAME_USER_AND_PROFILE.sql,
    SAME_PROFILE.sql,
    COUNT_OF_PROFILE,
    ACCESS.sql,
    DEADLINE.sql,
    UNREVIEWED.sql,
    UNREVIEWED_OF.sql,
    ENDED.sql,
    PROOF.sql,
    PROOF_OUTLASTING,
    KEEP_PROOF,
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

ledger!("emergency", in_force_again: Some(IN_FORCE_AGAIN));

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
        Actor::User(user) => ("user", Some(user.as_str())),
        Actor::Time => ("time", None),
        Actor::Clock => ("clock", None),
    }
}

/// The columns of an emergency that never change, but for id and times.
struct Identity {
    count: Option<i64>,
    threshold: Option<u32>,
    window: Option<i64>,
    verified_at: Option<i64>,
}

impl Identity {
    fn of(emergency: &Emergency) -> Result<Self, Failure> {
        let escalation = emergency.escalation.as_ref();
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
            verified_at: emergency
                .mfa
                .as_ref()
                .map(|proof| nanos(proof.verified_at))
                .transpose()?,
        })
    }
}

/// What an emergency's row says besides its identity: all of it follows from the history.
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
    pub(crate) fn of(emergency: &Emergency) -> Result<Self, Failure> {
        let review = emergency.review.as_ref();
        Ok(Self {
            status: status_text(emergency.status),
            ended_at: nanos(emergency.ended_at())?,
            note: emergency.note.clone(),
            review_outcome: review.map(|review| review.outcome.as_str()),
            reviewed_by: review.map(|review| review.by.to_string()),
            review: review.map(|review| Arc::clone(&review.text)),
            reviewed_at: review.map(|review| nanos(review.at)).transpose()?,
            updated_at: emergency.updated_at.as_nanos(),
        })
    }
}

impl Rows for Emergency {
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
            Key::Invoker(user) => Lookup::of(&OF_INVOKER, [user.as_str()]),
            Key::Profile(profile) => Lookup::of(&OF_PROFILE, [profile.as_str()]),
            Key::Status(status) => Lookup::of(&OF_STATUS, [status_text(*status)]),
            Key::SameUser(user) => Lookup::of(&SAME_USER, [user.as_str()]),
            Key::SameUserAndProfile(user, profile) => {
                Lookup::of(&SAME_USER_AND_PROFILE, [user.as_str(), profile.as_str()])
            }
            Key::SameProfile(profile) => Lookup::of(&SAME_PROFILE, [profile.as_str()]),
            Key::Access(user, profile) => Lookup::of(&ACCESS, [user.as_str(), profile.as_str()]),
            Key::Deadline => Lookup::all(&DEADLINE),
            Key::Unreviewed => Lookup::all(&UNREVIEWED),
            Key::UnreviewedOf(user) => Lookup::of(&UNREVIEWED_OF, [user.as_str()]),
            Key::Ended => Lookup::all(&ENDED),
            Key::Proof(proof) => Lookup::of(&PROOF, [proof.as_str()]),
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
        let user = |column: &str| parsed(row, column, |text| User::new(text).ok());
        let emergency = |column: &str| parsed(row, column, |text| text.parse::<EmergencyId>().ok());
        let mfa = match parsed_if_any(row, "mfa_id", |text| ProofId::new(text).ok())? {
            None => None,
            Some(id) => Some(MfaProof {
                id,
                method: parsed(row, "mfa_method", |text| text.parse().ok())?,
                user: user("mfa_user")?,
                emergency: emergency("mfa_emergency")?,
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
                by: user("override_by")?,
                reason,
                unreviewed: emergency("override_unreviewed")?,
            }),
        };
        Ok(Emergency {
            id: emergency("id")?,
            invoker: user("invoker")?,
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

    fn entry(row: &Row<'_>) -> Result<(HistoryEntry, Sum), rusqlite::Error> {
        let actor = match row.get::<_, String>("actor_kind")?.as_str() {
            "user" => Actor::User(parsed(row, "actor", |text| User::new(text).ok())?),
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
        let identity = Identity::of(self)?;
        let mfa = self.mfa.as_ref();
        let mfa_emergency = mfa.map(|proof| proof.emergency.to_string());
        let given = self.review_override.as_ref();
        let unreviewed = given.map(|given| given.unreviewed.to_string());
        let rule = self.escalation.as_ref().map(|escalation| &*escalation.rule);
        Ok(Canonical::of("countersign emergency 1")
            .text(&self.id.to_string())
            .text(self.invoker.as_str())
            .text(self.profile.as_str())
            .integer(length("duration", self.duration)?)
            .text(self.reason_code.as_str())
            .text(&self.justification)
            .text_if_any(self.ticket.as_deref())
            .text_if_any(self.request_id.as_deref())
            .text_if_any(mfa.map(|proof| proof.id.as_str()))
            .text_if_any(mfa.map(|proof| proof.method.as_str()))
            .text_if_any(mfa.map(|proof| proof.user.as_str()))
            .text_if_any(mfa_emergency.as_deref())
            .integer_if_any(identity.verified_at)
            .integer(self.escalate.into())
            .text_if_any(rule)
            .integer_if_any(identity.count)
            .integer_if_any(identity.threshold.map(i64::from))
            .integer_if_any(identity.window)
            .text_if_any(given.map(|given| given.by.as_str()))
            .text_if_any(given.map(|given| &*given.reason))
            .text_if_any(unreviewed.as_deref())
            .integer(self.created.as_nanos())
            .integer(nanos(self.created_at)?)
            .integer(nanos(self.expires_at)?)
            .finish())
    }

    fn entry_digest(entry: &HistoryEntry, before: &Sum) -> Sum {
        let (action, outcome) = action_columns(entry.action);
        let (kind, actor) = actor_columns(&entry.actor);
        let idempotency_key = entry
            .idempotency_key
            .map(|idempotency_key| idempotency_key.to_string());
        Canonical::of("countersign emergency entry 1")
            .sum(before)
            .text(action)
            .text_if_any(outcome)
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
        let identity = Identity::of(self)?;
        let state = State::of(self)?;
        let mfa = self.mfa.as_ref();
        let given = self.review_override.as_ref();
        sql::statement(connection, STATEMENTS, INSERT)?.execute(params![
            self.created.as_nanos(),
            self.id.to_string(),
            self.invoker.as_str(),
            self.invoker.case_folded().as_str(),
            self.profile.as_str(),
            length("duration", self.duration)?,
            self.reason_code.as_str(),
            self.justification,
            self.ticket,
            self.request_id,
            mfa.map(|proof| proof.id.as_str()),
            mfa.map(|proof| proof.method.as_str()),
            mfa.map(|proof| proof.user.as_str()),
            mfa.map(|proof| proof.emergency.to_string()),
            identity.verified_at,
            self.escalate,
            self.escalation.as_ref().map(|escalation| &*escalation.rule),
            identity.count,
            identity.threshold,
            identity.window,
            given.map(|given| given.by.as_str()),
            given.map(|given| &*given.reason),
            given.map(|given| given.unreviewed.to_string()),
            nanos(self.created_at)?,
            nanos(self.expires_at)?,
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

    fn update(&self, connection: &Connection) -> Result<(), Failure> {
        let state = State::of(self)?;
        sql::statement(connection, STATEMENTS, UPDATE)?.execute(params![
            self.created.as_nanos(),
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

    fn insert_entry(
        connection: &Connection,
        record: i64,
        entry: &HistoryEntry,
        digest: &Sum,
    ) -> Result<(), Failure> {
        let (action, outcome) = action_columns(entry.action);
        let (kind, actor) = actor_columns(&entry.actor);
        sql::statement(connection, STATEMENTS, INSERT_ENTRY)?.execute(params![
            record,
            entry.to.as_nanos(),
            nanos(entry.at)?,
            entry.from.map(Version::as_nanos),
            action,
            outcome,
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

    /// A second factor that was used stays used.
    fn outlive(&self, connection: &Connection) -> Result<(), Failure> {
        if let Some(proof) = &self.mfa {
            sql::statement(connection, STATEMENTS, KEEP_PROOF)?
                .execute(params![proof.id.as_str(), self.id.to_string()])?;
        }
        Ok(())
    }
}
